"""`tag`, `untag` and `playlists` on the command line: which answers count, what is refused, and what is printed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import mutagen
import pytest
from mutagen import id3
from typer.testing import CliRunner

from genrelab.cli.main import app
from genrelab.core.config import EmbeddingView, SamplesView
from genrelab.evaluation.calibration import Evidence
from genrelab.features.description import MusicDescription
from genrelab.predict.prediction import Prediction
from genrelab.tagging import classify, tags
from genrelab.tagging.classify import Classify
from genrelab.tagging.write_tag import OnWritten
from tests.support.bundles import SR, bundle_for
from tests.support.command import call
from tests.support.containers import make, tag_richly
from tests.support.evidence import evidence_from_confidences

HEARD = {"Blues": 0.3, "Folk": 0.6, "Rock": 0.1}
"""What every file sounds like here."""


def hear(paths: Iterable[Path], **heard: float) -> Iterator[Prediction]:
    heard = heard or HEARD
    genre = max(heard, key=lambda g: heard[g])
    for path in list(paths):
        yield Prediction(str(path), genre, 0.6, heard, 61.4, "linear", None, tags={"sad": 0.7, "happy": 0.2})


@pytest.fixture(autouse=True)
def _model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle whose decisions are real, and whose answers are `HEARD`."""

    @contextmanager
    def listening(bundle: classify.Classifier, *_: object) -> Iterator[tuple[Classify, OnWritten]]:
        yield lambda paths: map(bundle.decision, hear(paths)), lambda _: None

    with_evidence(tmp_path, None)
    monkeypatch.setenv("GENRELAB_MODEL", str(tmp_path / "model"))
    monkeypatch.setattr(classify, "open_classifier", listening)


def with_evidence(tmp_path: Path, found: Evidence | None) -> None:
    bundle_for(tmp_path / "model", SamplesView(sr=SR, n_samples=2_000), calibration=found)


def evidence(folk: int, *, n: int = 45) -> Evidence:
    """Only Folk is right, from a confidence of `folk` thousandths on."""
    return evidence_from_confidences({"Folk": [folk] * n}, {"Blues": [100] * n, "Rock": [100] * n})


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for name in ("a", "b"):
        make(folder, "mp3", seconds=0.5).rename(folder / f"{name}.mp3")
    make(folder / "talk", "flac", seconds=0.5).rename(folder / "talk" / "c.flac")
    return folder


def written(*words: object) -> dict[str, list[str]]:
    """Name of each file → the genres that would be written."""
    status, out, err = call("tag", *words, "--dry-run", "--json")
    assert status == 0, err
    return {Path(row["path"]).name: row["after"] for row in json.loads(out)["files"]}


# --- which answers count ---


def test_default_is_a_precision_of_four_in_five(tmp_path: Path, library: Path) -> None:
    with_evidence(tmp_path, evidence(500))
    status, out, err = call("tag", library, "--dry-run", "--json")
    assert status == 0
    assert (
        err == "--min-precision 0.8 is supported only for Folk (135 calibration tracks); any other answer is unknown\n"
    )
    assert {tuple(row["after"]) for row in json.loads(out)["files"]} == {("Folk",)}
    with_evidence(tmp_path, evidence(700))
    assert set(map(tuple, written(library).values())) == {()}, "0.6 is too little for it"
    assert set(map(tuple, written(library, "--min-confidence", "0.6").values())) == {("Folk",)}, "without a precision"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "is not calibrated"),
        (evidence(900, n=2), "was calibrated on 6 tracks, too few to support a precision of 80 %"),
        (evidence(100, n=45), "was calibrated on 135 tracks, and is too often wrong to support a precision of 80 %"),
    ],
)
def test_model_that_supports_no_such_precision_needs_half(
    tmp_path: Path, library: Path, found: Evidence | None, why: str
) -> None:
    with_evidence(tmp_path, found)
    for words in (("tag", library, "--dry-run"), ("playlists", library, "--out", tmp_path / "lists")):
        status, _, err = call(*words)
        assert status == 0
        assert err == (
            f"linear {why}: genres with a confidence of 50 % or more are written (change it with --min-confidence)\n"
        )
    assert set(map(tuple, written(library).values())) == {("Folk",)}


def test_options_override_the_default_without_a_note(tmp_path: Path, library: Path) -> None:
    with_evidence(tmp_path, evidence(900))
    for words, genres in (
        (("--min-confidence", "0.7"), []),
        (("--min-confidence", "0.2"), ["Folk"]),
        (("--min-confidence", "0.2", "--genres", "3"), ["Folk", "Blues"]),
        (("--any",), ["Folk"]),
        (("--any", "--genres", "3"), ["Folk", "Blues", "Rock"]),
        (("--any", "--genres", "3", "--min-confidence", "0.3"), ["Folk", "Blues"]),
    ):
        status, out, err = call("tag", library, "--dry-run", "--json", *words)
        assert (status, err) == (0, "")
        assert {tuple(row["after"]) for row in json.loads(out)["files"]} == {tuple(genres)}, words


def test_further_genres_need_the_precision_too(tmp_path: Path, library: Path) -> None:
    found = evidence_from_confidences(
        {"Folk": [500] * 45, "Blues": [300] * 45}, {"Rock": [50] * 45}
    )  # fmt: skip
    with_evidence(tmp_path, found)
    assert set(map(tuple, written(library, "--genres", 3).values())) == {("Folk", "Blues")}


@pytest.mark.parametrize(("own", "name"), [(False, "Folk"), (True, "folk")])
def test_owners_words_are_written_as_they_are(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch, own: bool, name: str
) -> None:
    view = SamplesView(sr=SR, n_samples=2_000)
    bundle_for(tmp_path / "own", view, genres=("blues", "folk", "rock"), own_names=own)
    monkeypatch.setattr(f"{__name__}.hear", partial(hear, blues=0.3, folk=0.6, rock=0.1))
    assert set(map(tuple, written(library, "--model", tmp_path / "own").values())) == {(name,)}


# --- what is printed ---


def test_summary_comes_first_and_only_failures_follow(library: Path) -> None:
    (library / "broken.mp3").write_text("no audio")
    status, out, err = call("tag", library)
    lines = out.splitlines()
    assert status == 1 and "confidence of 50 % or more" in err
    assert lines[0] == "4 files: 3 tagged, 1 failed"
    assert lines[1].startswith(f"FAILED    {library / 'broken.mp3'}: cannot be decoded")
    assert lines[2].startswith("Undo with: ") and len(lines) == 3
    status, out, _ = call("untag", lines[2].split()[-1])
    assert (status, out) == (0, "3 files: 3 restored\n")


def test_verbose_and_dry_run_print_every_file(library: Path) -> None:
    for words in (("tag", library, "--dry-run"), ("tag", library, "-v")):
        lines = call(*words)[1].splitlines()
        assert [line.split()[-4:] for line in lines[:3]] == [["→", "Folk;", "60", "%"]] * 3
        assert lines[3].startswith("3 files: 3 ")
    journal = next((library / ".genrelab").glob("*.jsonl"))
    (library / "a.mp3").rename(library / "new.mp3")
    status, out, err = call("untag", journal, "--verbose")
    assert status == 0 and "gone or renamed" in err
    assert f"restored  {library / 'new.mp3'}: Folk → (none); renamed; it was a.mp3" in out


def test_unsure_files_are_given_a_reason(tmp_path: Path, library: Path) -> None:
    with_evidence(tmp_path, evidence(700))
    line = f"unsure    {library / 'a.mp3'}: 60 %; perhaps Folk; "
    assert line + "Folk needs a confidence of 70 %\n" in call("tag", library, "--dry-run", "-v")[1]
    assert line + "confidence below 65 %\n" in call("tag", library, "--dry-run", "-v", "--min-confidence", "0.65")[1]


def test_what_is_no_music_has_no_percentage(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hear_birds(paths: Iterable[Path]) -> Iterator[Prediction]:
        return (replace(p, music_score=-9.0) for p in hear(paths))

    @contextmanager
    def listening(bundle: classify.Classifier, *_: object) -> Iterator[tuple[Classify, OnWritten]]:
        yield lambda paths: map(bundle.decision, hear_birds(paths)), lambda _: None

    monkeypatch.setattr(classify, "open_classifier", listening)
    lines = call("tag", library, "--dry-run", "-v")[1].splitlines()
    assert lines[0] == f"unsure    {library / 'a.mp3'}: does not sound like music"
    found = json.loads(call("tag", library, "--dry-run", "--json")[1])["files"]
    assert {row["confidence"] for row in found} == {0.6}


def test_one_file_is_one_file(library: Path) -> None:
    assert call("tag", library / "a.mp3")[1].splitlines()[0] == "1 file: 1 tagged"
    assert call("tag", "-")[1] == "No files to tag.\n"


# --- tempo and key ---


@pytest.fixture
def _described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions have tempo and key if the command asks for them; the key is uncertain."""

    @contextmanager
    def describing(bundle: classify.Classifier, *_: object) -> Iterator[tuple[Classify, OnWritten]]:
        found = MusicDescription(128.0, 0.91, "A minor", 0.31) if bundle.describes else None
        yield lambda paths: (replace(bundle.decision(p), description=found) for p in hear(paths)), lambda _: None

    monkeypatch.setattr(classify, "open_classifier", describing)


@pytest.mark.usefixtures("_described")
def test_summary_counts_tempos_and_keys_on_request(library: Path) -> None:
    tag_richly(library / "b.mp3", genres=("Metal",))
    tempo_and_key = "tempo (none) → 128, 91 %; key unsure, 31 %"
    status, out, _ = call("tag", library, "--write-tempo-key", "-v", "--dry-run")
    assert (status, out.splitlines()) == (
        0,
        [
            f"would tag {library / 'a.mp3'}: genre (none) → Folk, 60 %; {tempo_and_key}",
            f"would tag {library / 'b.mp3'}: genre Metal; {tempo_and_key}; keeps its genre",
            f"would tag {library / 'talk/c.flac'}: genre (none) → Folk, 60 %; {tempo_and_key}",
            "3 files: 3 would tag; 2 genres, 3 tempos, 0 keys to write",
        ],
    )
    lines = call("tag", library, "--write-tempo-key")[1].splitlines()
    assert lines[0] == "3 files: 3 tagged; 2 genres, 3 tempos, 0 keys written"
    assert tags.read_music(library / "b.mp3") == {"tempo": ("128",), "key": ()}
    status, out, _ = call("untag", lines[1].split()[-1], "-v")
    assert (status, out.splitlines()[1:]) == (
        0,
        [
            f"restored  {library / 'b.mp3'}: tempo 128 → (none)",
            f"restored  {library / 'a.mp3'}: genre Folk → (none); tempo 128 → (none)",
            "3 files: 3 restored",
        ],
    )


@pytest.mark.usefixtures("_described")
def test_tempo_and_key_are_in_json_and_in_a_plan_on_request(tmp_path: Path, library: Path) -> None:
    tempo, key = (
        {"before": [], "after": ["128"], "confidence": 0.91},
        {"before": [], "after": [], "confidence": 0.31},
    )
    rows = json.loads(call("tag", library, "--write-tempo-key", "--dry-run", "--json")[1])["files"]
    assert [(row["tempo"], row["key"]) for row in rows] == [(tempo, key)] * 3
    rows = json.loads(call("tag", library, "--dry-run", "--json")[1])["files"]
    assert not {"tempo", "key"} & set(rows[0])
    plan, flac = tmp_path / "plan.jsonl", library / "talk" / "c.flac"
    audio = mutagen.File(flac)
    audio["BPM"] = ["60"]
    audio.save()
    out = call("tag", library, "--write-tempo-key", "--plan", plan)[1]
    assert out.splitlines()[0] == "3 files: 3 would tag; 3 genres, 2 tempos, 0 keys to write"
    out = call("tag", "--apply", plan)[1]
    assert out.splitlines()[0] == "3 files: 3 tagged; 3 genres, 2 tempos written"
    assert [tags.read_music(path)["tempo"] for path in (library / "a.mp3", flac)] == [("128",), ("60",)]


@pytest.mark.usefixtures("_described")
def test_summary_has_one_order_and_promises_nothing_in_a_dry_run(tmp_path: Path, library: Path) -> None:
    with_evidence(tmp_path, evidence(700))
    id3_tag = id3.ID3()
    id3_tag.add(id3.TBPM(encoding=0, text=["99"]))
    id3_tag.save(library / "a.mp3")
    lines = call("tag", library / "a.mp3", "--write-tempo-key", "-v", "--dry-run")[1].splitlines()
    assert lines[0].startswith(
        f"unsure    {library / 'a.mp3'}: genre unsure, 60 %; tempo 99; key unsure, 31 %; perhaps"
    )
    assert lines[1] == "1 file: 1 unsure; 0 genres, 0 tempos, 0 keys to write"
    plan = tmp_path / "plan.jsonl"
    call("tag", library, "--write-tempo-key", "--plan", plan, "--exclude", "a.mp3")
    head, first, second = plan.read_text().splitlines()
    only_key = json.loads(first) | {"key": {"old": [], "new": ["Am"], "confidence": 0.9}}
    del only_key["tempo"]
    plan.write_text(f"{head}\n{json.dumps(only_key)}\n{second}\n")
    assert call("tag", "--apply", plan)[1].splitlines()[0] == "2 files: 2 tagged; 0 genres, 1 tempo, 1 key written"


# --- which files ---


def test_files_come_from_standard_input(library: Path) -> None:
    names = b"\n".join(os.fsencode(path) for path in (library / "a.mp3", library / "talk"))
    result = CliRunner().invoke(app, ["tag", "-", str(library / "b.mp3"), "--json", "--exclude", "b.*"], input=names)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [Path(row["path"]).name for row in found["files"]] == ["a.mp3", "c.flac"]
    assert Path(found["journal"]).parent == library / ".genrelab"


def test_patterns_leave_files_out_of_every_command(tmp_path: Path, library: Path) -> None:
    assert list(written(library, "--exclude", "talk", "--exclude", "b.*")) == ["a.mp3"]
    call("playlists", library, "--out", tmp_path / "lists", "--exclude", "*.mp3")
    assert "c.flac" in (text := (tmp_path / "lists" / "Folk.m3u8").read_text()) and "a.mp3" not in text
    status, out, err = call("predict", library, "--exclude", "talk/*", "--exclude", "Podcast", "--json")
    assert [Path(row["path"]).name for row in json.loads(out)] == ["a.mp3", "b.mp3"]
    assert status == 0 and f"--exclude Podcast matches no file or folder below {library}\n" in err
    status, out, err = call("predict", library, "--exclude", "*")
    assert (status, out) == (1, "") and "--exclude matches every file" in err


# --- a map, and a plan ---


def test_genre_map_names_what_is_written_and_rows_for_no_genre_are_noted(tmp_path: Path, library: Path) -> None:
    (tmp_path / "map.csv").write_text("from,to\nFOLK,Songs\nfolk,Americana\nrokc,Rock\n")
    status, out, err = call("tag", library / "a.mp3", "--json", "--genre-map", tmp_path / "map.csv")
    assert (status, json.loads(out)["files"][0]["after"]) == (0, ["Songs", "Americana"])
    assert err.splitlines()[-1] == "--genre-map: linear has no genre rokc; it has Blues, Folk, Rock"
    assert tags.read(library / "a.mp3").genres == ("Songs", "Americana")
    call("playlists", library / "talk", "--out", tmp_path / "lists", "--genre-map", tmp_path / "map.csv")
    assert {p.name for p in (tmp_path / "lists").iterdir()} == {"Songs.m3u8", "Americana.m3u8", "unsure.m3u8"}
    status, out, err = call("tag", library, "--genre-map", tmp_path / "none.csv")
    assert (status, out) == (1, "") and "none.csv: no such file" in err


def test_plan_is_written_down_and_applied(tmp_path: Path, library: Path) -> None:
    plan = tmp_path / "plan.jsonl"
    status, out, _ = call("tag", library, "--plan", plan, "--exclude", "talk")
    lines = out.splitlines()
    assert (status, lines[0]) == (0, "2 files: 2 would tag")
    assert lines[1].startswith("Apply with: ") and lines[1].endswith(f"tag --apply {plan}")
    tag_richly(library / "b.mp3", genres=("Mine",))
    assert call("tag", "--apply", plan, "--dry-run")[1].splitlines()[-1] == "2 files: 1 would tag, 1 failed"
    status, out, _ = call("tag", "--apply", plan, "--json")
    found = json.loads(out)
    assert (status, [row["status"] for row in found["files"]]) == (1, ["tagged", "failed"])
    assert tags.read(library / "a.mp3").genres == ("Folk",)
    assert call("untag", found["journal"])[0] == 0


# --- playlists ---


def test_playlists_by_descriptive_tag_need_a_model_that_has_tags(tmp_path: Path, library: Path) -> None:
    status, out, err = call("playlists", library, "--out", tmp_path / "lists", "--by", "tag")
    assert (status, out) == (1, "")
    assert "--by tag needs descriptive tags, and linear has none: use a model with the view embedding" in err
    assert not (tmp_path / "lists").exists()


def test_playlists_by_descriptive_tag_hold_those_that_are_likely(tmp_path: Path, library: Path) -> None:
    bundle_for(tmp_path / "tagger", EmbeddingView())
    words = ("playlists", library, "--out", tmp_path / "lists", "--by", "tag", "--model", tmp_path / "tagger", "--json")
    for more, lists in (("--min-confidence", "0.5"), {"sad.m3u8", "unsure.m3u8"}), ((), {"happy.m3u8", "sad.m3u8"}):
        status, out, err = call(*words, *more)
        assert (status, err) == (0, "")
        assert {Path(name).name for name, n in json.loads(out)["playlists"].items() if n} == lists - {"unsure.m3u8"}


def test_own_genres_are_preferred_on_demand(tmp_path: Path, library: Path) -> None:
    tag_richly(library / "a.mp3", genres=("FOLK",))
    tag_richly(library / "b.mp3", genres=("Metal",))
    status, out, _ = call("playlists", library, "--out", tmp_path / "lists", "--prefer-tags", "--json")
    found = {Path(name).name: n for name, n in json.loads(out)["playlists"].items()}
    assert (status, found) == (0, {"FOLK.m3u8": 2, "Metal.m3u8": 1, "unsure.m3u8": 0})


# --- what is refused ---


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give files or folders"),
        (("music", ""), "the name is empty"),
        (("music", "--plan", "p", "--dry-run"), "--plan and --dry-run cannot be used together"),
        (("music", "--any", "--min-precision", "0.5"), "--any and --min-precision cannot be used together"),
        (
            ("music", "--min-confidence", "0", "--min-precision", "0.5"),
            "--min-confidence and --min-precision cannot be",
        ),
        (("music", "--genres", "0"), "--genres"),
        (("music", "--exclude", " "), "the name is empty"),
        (("--apply", "p", "music"), "leave out FILE"),
        (("--apply", "p", "--overwrite", "--genres", "2"), "leave out --genres, --overwrite"),
        (("--apply", "p", "--plan", "q"), "leave out --plan"),
        (("--apply", "p", "--min-confidence", "0"), "leave out --min-confidence"),
        (("--apply", "p", "--exclude", "x", "--any"), "leave out --any, --exclude"),
        (("--apply", "p", "--subgenre-field", "STYLE"), "leave out --subgenre-field"),
        (("--apply", "p", "--write-tempo-key"), "leave out --write-tempo-key"),
    ],
)
def test_tag_refuses_what_makes_no_sense(words: tuple[str, ...], message: str) -> None:
    status, out, err = call("tag", *words)
    assert (status, out) == (2, "")
    assert message in " ".join(err.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--by", "tag", "--prefer-tags"), "--prefer-tags applies only to genres"),
        (("--by", "tag", "--min-precision", "0.5"), "--min-precision applies only to genres"),
        (("--by", "mood"), "mood"),
        (("--any", "--min-precision", "0.5"), "--any and --min-precision cannot be used together"),
        (("--min-confidence", "0.4", "--min-precision", "0.5"), "--min-confidence and --min-precision cannot be"),
    ],
)
def test_playlists_refuses_what_makes_no_sense(words: tuple[str, ...], message: str) -> None:
    status, out, err = call("playlists", "music", "--out", "lists", *words)
    assert (status, out) == (2, "")
    assert message in " ".join(err.split())
