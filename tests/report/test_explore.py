"""explore.py, and of the page: data.py, map.py and tracks.py, on a preparation of sound."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genrelab.core.config import MelImageView, PrepareSettings, StatisticsView
from genrelab.core.errors import PreparedError, SettingsError
from genrelab.core.storage import Folder
from genrelab.datasets import folder
from genrelab.datasets.base import DatasetOptions
from genrelab.prepare.pipeline import prepare
from genrelab.records.prepared import Prepared, open_prepared
from genrelab.report.explore import write_data_page
from genrelab.report.page.map import Features, harmony, load_features, map_figure, principal_plane
from genrelab.report.page.tracks import add_pictures, data_url, mel_pictures, track_info
from tests.support.scored_run import AUDIT
from tests.support.tones import write_tone


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """Three genres of four tones, dark to bright, and a file that is no audio."""
    top = tmp_path_factory.mktemp("explore")
    for g, genre in enumerate(("ambient", "beat", "<choir>")):
        for i in range(4):
            write_tone(top / "my music" / genre / f"{i}.wav", hz=220 * 2**g + 7 * i, seed=10 * g + i)
    (top / "my music" / "beat" / "broken.mp3").write_text("this is no audio")
    settings = PrepareSettings(views=(StatisticsView(), MelImageView()), shard_tracks=5)
    yield prepare(folder.load(top / "my music", DatasetOptions()), top / "prepared", settings, jobs=1)


def specs(page: str) -> dict[str, dict[str, object]]:
    """The charts' specifications by what a screen reader says of them."""
    found = re.findall(
        r'class="chart" data-label="(.*?)"><script type="application/json">(.*?)</script>', page, re.DOTALL
    )  # fmt: skip
    return {label: json.loads(spec) for label, spec in found}


def test_the_page_shows_counts_failures_map_and_sound(prepared: Prepared, tmp_path: Path) -> None:
    said: list[str] = []
    page = write_data_page(prepared, tmp_path / "page.html", said.append)
    html = page.read_text()
    assert "<h1>my music</h1>" in html and said
    assert "broken.mp3" in html and "1 unused file (1 in" in html
    assert "13 tracks in 3 genres, 12 usable (1 failed), artists unknown" in html
    assert "&lt;choir&gt;" in html and "<choir>" not in html
    shown = specs(html)
    titles = ("Tracks by genre", "Map of 12 tracks", "Mean spectrum of 3", "Harmony", "Timbre", "Spectral centroid")
    assert all(any(label.startswith(t) for label in shown) for t in titles), list(shown)
    points = next(s for label, s in shown.items() if label.startswith("Map"))["data"]["values"]  # type: ignore[index]
    assert len(points) == 12 and {"x0", "y0", "x1", "x2", "genre", "track"} <= points[0].keys()
    assert "Brightest is beat, darkest ambient" in html or "Brightest is &lt;choir&gt;, darkest ambient" in html


def test_missing_features_are_reported(prepared: Prepared, tmp_path: Path) -> None:
    shutil.copytree(prepared.folder.local, tmp_path / "copy")
    (tmp_path / "copy" / "features.parquet").unlink()
    said: list[str] = []
    html = write_data_page(open_prepared(Folder(tmp_path / "copy")), None, said.append).read_text()
    assert said[0].startswith("features.parquet is missing: no map") and "features.parquet is missing" in html
    assert 'id="map"' not in html and "Mean spectrum of 3" in html


def test_harmony_does_not_depend_on_key_or_loudness() -> None:
    major = np.array([[9.0, 0, 2, 0, 5, 2, 0, 6, 0, 2, 0, 1]])
    found = harmony(np.concatenate([major, np.roll(major, 5), 0.01 * np.roll(major, 11)]))
    assert np.allclose(found, major[:, 1:] / major[:, 1:].sum())
    assert np.isfinite(harmony(np.zeros((1, 12)))).all()


def test_page_is_written_into_prepared_with_its_audit(prepared: Prepared) -> None:
    prepared.folder.write_json("audit.json", AUDIT | {"split": None, "n_scored": 0, "n_learned": 0})
    try:
        page = write_data_page(open_prepared(prepared.folder), None, lambda _: None)
        assert page == prepared.folder.local / "explore.html"
        assert "Are there duplicates?" in page.read_text()
        prepared.folder.write_bytes("audit.json", b"{}")
        with pytest.raises(PreparedError, match=r"audit\.json is damaged"):
            write_data_page(prepared, None, lambda _: None)
    finally:
        prepared.folder.remove("audit.json")


def test_remote_preparation_needs_out_for_the_page(prepared: Prepared, tmp_path: Path) -> None:
    away = Folder("memory://explored")
    away.publish_tree(prepared.folder.local)
    with pytest.raises(SettingsError, match="--out"):
        write_data_page(open_prepared(away), None, lambda _: None)
    html = write_data_page(open_prepared(away), tmp_path / "away.html", lambda _: None).read_text()
    assert "Map of 12 tracks" in html


def test_pictures_of_tracks_come_from_the_right_shard(prepared: Prepared) -> None:
    ids = prepared.tracks["track_id"]
    wanted = [ids.index("<choir>/0.wav"), ids.index("beat/3.wav")]
    found = mel_pictures(prepared, wanted)
    assert sorted(found) == sorted(wanted)
    loudest = {i: int(p.mean(axis=0, dtype=np.float32).argmax()) for i, p in found.items()}
    assert loudest[wanted[0]] > loudest[wanted[1]]  # the higher tone lies in a higher band
    tracks = track_info(prepared.tracks, prepared.about["root"], prepared.folder)
    add_pictures(tracks, prepared, {"beat/3.wav", "nowhere"})
    heard = tracks.card("beat/3.wav", "said")
    assert heard.picture and heard.range.startswith("0 to 2 s") and heard.credits == "artist unknown"


def test_a_picture_has_its_lowest_band_at_the_bottom() -> None:
    levels = np.full((224, 224), -80, np.float16)
    levels[:, :40] = 0  # loud in the low bands
    address = data_url(levels, colours="gray")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("L"))
    assert image.shape == (112, 224)
    assert image[-10:].mean() > 240 > 15 > image[:10].mean()


def test_reason_is_given_for_audio_that_cannot_be_played(prepared: Prepared, tmp_path: Path) -> None:
    page = Folder(tmp_path)
    tracks = track_info({"track_id": ["a", "b"], "path": ["gone.mp3", None]}, str(tmp_path), page)
    assert tracks.audio("a") == (None, f"no audio: {tmp_path}/gone.mp3 is missing")
    assert tracks.audio("b")[1] == "no audio: a row of a table"
    assert track_info({"track_id": ["a"], "path": ["x"]}, "/", Folder("memory://x")).audio("a")[0] is None
    (tmp_path / "a:b %.mp3").write_bytes(b"x")
    odd = track_info({"track_id": ["a"], "path": ["a:b %.mp3"]}, str(tmp_path), page)
    assert odd.audio("a") == ("a%3Ab%20%25.mp3", "")


def test_principal_components_are_those_of_the_singular_values() -> None:
    rng = np.random.default_rng(0)
    for rows in (rng.normal(size=(50, 8)) @ rng.normal(size=(8, 20)), rng.normal(size=(6, 30))):
        places, shares = principal_plane(rows)
        u, s, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
        np.testing.assert_allclose(np.abs(places), np.abs(u[:, :2] * s[:2]), atol=1e-9)
        np.testing.assert_allclose(shares, (s**2 / (s**2).sum())[:2])
        np.testing.assert_allclose(principal_plane(rows)[0], places)
    flat, none = principal_plane(np.ones((4, 3)))
    assert np.isfinite(flat).all() and (none == 0).all()


def test_map_may_be_placed_by_each_family_of_features() -> None:
    names = ["mfcc_mean_01", "mfcc_mean_02", "mfcc_mean_03", "msd_vgg_000", "msd_vgg_001", "msd_vgg_002"]
    values, genre = np.random.default_rng(0).normal(size=(8, 6)), np.array(["x", "y"] * 4)
    known = track_info({"track_id": list("abcdefgh"), "path": list("abcdefgh")}, "/", Folder("memory://x"))

    def placed_by(columns: list[int]) -> object:
        features = Features(list("abcdefgh"), genre, [names[i] for i in columns], values[:, columns])
        shown = map_figure(features, known, {}, "").chart.spec["params"][0]
        return shown["bind"]["labels"] if "bind" in shown else None

    assert placed_by([*range(6)]) == ["all features", "timbre (MFCC)", "music networks (embedding)"]
    assert placed_by([3, 4, 5]) is None  # one family alone: there is nothing to choose


def test_features_are_means_over_windows_in_standard_deviations(prepared: Prepared) -> None:
    found = load_features(prepared)
    assert found is not None and found.values.shape == (12, 518)
    assert len(found.means_of("chroma_stft")) == 12 and len(found.means_of("mfcc")) == 20
    assert np.abs(found.standard).max() <= 5
    still = Features(["a", "b"], np.array(["x", "y"]), ["mfcc1_mean", "flat"], np.array([[1.0, 7.0], [3.0, 7.0]]))
    np.testing.assert_allclose(still.standard, [[-1, 0], [1, 0]])
