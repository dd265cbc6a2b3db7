"""The accuracy that altered audio costs a model is measured in pairs, and reported in its card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genrelab.bundle.model_card import EARLIER_USAGE_HEADING, USAGE_HEADING
from genrelab.core.config import ClipSettings, MelImageView, SamplesView, TrainSettings
from genrelab.core.storage import Folder
from genrelab.predict.classifier import load_bundle
from genrelab.predict.file import predict_file
from genrelab.studies import robustness
from genrelab.studies.conditions import CONDITIONS, DESCRIPTION, EXCERPT_SECONDS, excerpt
from genrelab.studies.reclassify import ScoredTrack, StudyInputs, StudyModel
from genrelab.studies.robustness import (
    REFUSED,
    predicted_genres,
    robustness_json,
    study,
)
from genrelab.studies.robustness_card import HEADING, section, with_section
from tests.support.bundles import GENRES, SR, bundle_for, noise
from tests.support.finished_run import Sounds, no_bar, write_finished_run

VIEW = MelImageView(sr=SR, n_fft=512, size=16)
SOUNDS: Sounds = {f"{g}/{i}.wav": (g, noise(3.2, seed=7 * i + len(g)), SR) for i in range(2) for g in GENRES}
CARD = f"# A model\n\n## Data\n\nMuch.\n\n{USAGE_HEADING}\n\nBy hand.\n"


def run_study(run: Folder, said: list[str] | None = None, at_most: int = 200) -> dict[str, object]:
    notify = (said if said is not None else []).append
    return study(run, TrainSettings(), jobs=1, notify=notify, bar=no_bar, at_most=at_most)


def card_text_of(found: dict[str, object]) -> str:
    return section(found, "mel", robustness.HEADERS, robustness.table(found))


def a_run(folder: Path) -> Folder:
    models = {"mel": bundle_for(folder / "run" / "mel" / "bundle", VIEW, readme=CARD)}
    models["raw"] = bundle_for(folder / "run" / "raw" / "bundle", SamplesView(sr=SR, n_samples=900), readme=CARD)
    return write_finished_run(folder / "run", models, SOUNDS)


def test_finished_run_is_measured_under_every_condition(tmp_path: Path) -> None:
    run, said = a_run(tmp_path), list[str]()
    found = run_study(run, said)
    assert run.read_json("robustness.json") == found
    assert (found["part"], found["n"], found["n_scored"]) == ("test", 6, 6)
    assert [m["model"] for m in found["models"]] == ["mel", "raw"]
    assert said[0] == "  Robustness: 6 test tracks, 2 models, 9 versions of each track"
    for model in found["models"]:
        rows = {c["name"]: c for c in model["conditions"]}
        assert list(rows) == [c.name for c in CONDITIONS]
        assert (rows["clean"]["difference"], rows["clean"]["same_answer"]) == (0, 1)
        assert all(c["low"] <= c["accuracy"] <= c["high"] for c in (*rows.values(), *model["seconds"]))
        assert all(c["difference_low"] <= c["difference"] <= c["difference_high"] for c in rows.values())
        assert [s["seconds"] for s in model["seconds"]] == [1, 3]  # no track has 5 s
        assert rows["lead_in"]["refused"] == 0
    mel = {c["name"]: c for c in found["models"][0]["conditions"]}
    assert mel["quieter"]["same_answer"] == 1  # its levels are relative to the loudest bin
    assert mel["telephone"]["same_answer"] < 1


def test_the_clean_accuracy_is_that_of_the_predictions(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    for model in run_study(run)["models"]:
        bundle = run.local / model["model"] / "bundle"
        right = [predict_file(load_bundle(bundle), tmp_path / "root" / t).genre == SOUNDS[t][0] for t in SOUNDS]
        assert model["conditions"][0]["accuracy"] == pytest.approx(np.mean(right))


def test_every_model_card_gets_the_section_once(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    before = load_bundle(run.local / "mel" / "bundle")
    found = run_study(run)
    found = run_study(run)
    after = load_bundle(run.local / "mel" / "bundle")
    card = (run.local / "mel" / "bundle" / "README.md").read_text()
    assert after.fingerprint != before.fingerprint
    assert card.count(HEADING) == 1
    assert card_text_of(found) in card
    assert card == CARD.replace(USAGE_HEADING, card_text_of(found) + USAGE_HEADING)
    assert card.count("| telephone |") == 1


def test_a_section_is_put_before_the_last_and_replaced() -> None:
    first, second = (f"{HEADING}\n\n{text}\n\n" for text in ("Some.", "Other."))
    once = with_section(CARD, first)
    assert once == CARD.replace(USAGE_HEADING, first + USAGE_HEADING)
    assert with_section(once, second) == CARD.replace(USAGE_HEADING, second + USAGE_HEADING)
    assert with_section("# A model\n", first) == f"# A model\n\n{first}"
    earlier = CARD.replace(USAGE_HEADING, EARLIER_USAGE_HEADING)
    assert with_section(earlier, first) == earlier.replace(EARLIER_USAGE_HEADING, first + EARLIER_USAGE_HEADING)
    assert with_section(with_section("# A model\n", first), second) == f"# A model\n\n{second}"


def test_sample_reports_the_total_number_of_tracks(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    found = run_study(run, at_most=3)
    assert (found["n"], found["n_scored"]) == (3, 6)
    assert "n = 3 of 6 test tracks" in card_text_of(found)


def test_run_without_audio_is_reported_and_left_unchanged(tmp_path: Path) -> None:
    run, said = a_run(tmp_path), list[str]()
    card = (run.local / "mel" / "bundle" / "README.md").read_text()
    for file in (tmp_path / "root").rglob("*.wav"):
        file.unlink()
    found = run_study(run, said)
    assert (found["models"], len(said)) == ([], 1)
    assert "Robustness: not measured: the audio of 6 test tracks is no longer in" in said[0]
    assert not run.exists("robustness.json")
    assert (run.local / "mel" / "bundle" / "README.md").read_text() == card


def test_without_an_encoder_mp3_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robustness, "can_encode_mp3", lambda: False)
    said: list[str] = []
    names = [c["name"] for c in run_study(a_run(tmp_path), said)["models"][0]["conditions"]]
    assert names == [c.name for c in CONDITIONS if c.name != "mp3_64"]
    assert any("without MP3" in s for s in said)


def test_unreadable_track_is_not_counted(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    (tmp_path / "root" / "Folk" / "0.wav").write_bytes(b"no audio")
    found = run_study(run)
    assert found["n"] == 5
    assert found["sentences"][-1] == "1 file could not be read and is not counted"


def test_run_without_readable_tracks_is_reported(tmp_path: Path) -> None:
    run, said = a_run(tmp_path), list[str]()
    for name in SOUNDS:
        (tmp_path / "root" / name).write_bytes(b"no audio")
    assert run_study(run, said)["models"] == []
    assert said[-1] == "Robustness: not measured: 6 files could not be read"
    assert not run.exists("robustness.json")


# --- from answers to rows, by hand ---

MODEL = StudyModel("svm", "svm/bundle", "f", GENRES, VIEW, ClipSettings())
TRACKS = [ScoredTrack(f"{i:03d}", "", "", GENRES[i % 3], f"artist {i}", 4.0 if i < 95 else 0.9) for i in range(100)]
TRUTH = np.arange(100) % 3


def rows(*columns: np.ndarray, seconds: float | None = None) -> dict[str, object]:
    conditions = [*CONDITIONS[: len(columns) - (seconds is not None)], *([excerpt(seconds)] if seconds else [])]
    inputs = StudyInputs((MODEL,), tuple(TRACKS), "test", 100, None)
    return robustness_json(inputs, TRACKS, conditions, np.stack(columns, axis=1)[:, :, None])


def test_difference_is_measured_in_pairs() -> None:
    clean, worse = TRUTH.copy(), TRUTH.copy()
    clean[:20] = (TRUTH[:20] + 1) % 3  # 80 right
    worse[10:50] = (TRUTH[10:50] + 1) % 3  # 60 right, ten of them anew
    found = rows(clean, worse)
    row = found["models"][0]["conditions"][1]
    assert row["accuracy"] == 0.6
    assert row["difference"] == pytest.approx(-0.2)
    assert -0.35 < row["difference_low"] < -0.2 < row["difference_high"] < -0.05
    assert row["same_answer"] == 0.6
    low, high = (round(-100 * row[f"difference_{e}"]) for e in ("high", "low"))
    loss = f"MP3 −20 points [−{high}, −{low}]"
    assert found["sentences"][:2] == [
        f"1 model loses accuracy on altered audio (100 test tracks); the largest significant loss: svm, {loss}",
        f"svm: {loss}",
    ]


def test_refusal_counts_as_wrong_and_as_a_changed_answer() -> None:
    silent = TRUTH.copy()
    silent[:30] = REFUSED
    found = rows(TRUTH, silent)
    row = found["models"][0]["conditions"][1]
    assert (row["accuracy"], row["same_answer"], row["refused"]) == (0.7, 0.7, 30)
    assert "svm rejects 30 of 100 tracks (MP3): only silence" in found["sentences"]


def test_gain_is_reported_as_a_gain() -> None:
    clean = TRUTH.copy()
    clean[:40] = (TRUTH[:40] + 1) % 3
    assert rows(clean, TRUTH)["sentences"][1].startswith("svm: MP3 +40 points [+")


def test_difference_within_chance_is_reported_as_such() -> None:
    once = TRUTH.copy()
    once[0] = (TRUTH[0] + 1) % 3
    sentence = rows(TRUTH, once)["sentences"][0]
    assert sentence.startswith(
        "No loss on altered audio (100 test tracks) is significant after Holm's correction; the largest: svm, MP3 −1 "
    )


def test_verdicts_are_corrected_for_many_conditions() -> None:
    clean, worse = TRUTH.copy(), TRUTH.copy()
    worse[:8] = (TRUTH[:8] + 1) % 3
    clean[99] = (TRUTH[99] + 1) % 3  # 8 lost, 1 gained: p = 0.039
    alone = rows(clean, worse)
    assert alone["sentences"][1].startswith("svm: MP3 −7 points [")
    many = rows(clean, worse, clean, clean)
    assert many["models"][0]["conditions"][1]["difference_high"] < 0
    assert many["sentences"][0].startswith("No loss on altered audio (100 test tracks) is significant after Holm's")


def test_constant_model_loses_nothing() -> None:
    always = np.zeros(100, np.int64)
    assert rows(always, always)["sentences"] == [
        "No model loses accuracy on altered audio (100 test tracks)", DESCRIPTION
    ]  # fmt: skip


def test_excerpt_accuracy_counts_only_long_enough_tracks() -> None:
    short = TRUTH.copy()
    short[:19] = (TRUTH[:19] + 1) % 3
    found = rows(TRUTH, short, seconds=3.0)
    assert found["models"][0]["seconds"][0] | {"low": 0, "high": 0} == {
        "seconds": 3.0, "accuracy": pytest.approx(76 / 95), "low": 0, "high": 0, "n": 95,
    }  # fmt: skip
    assert "svm, middle of each track: 80 % with 3 s, 100 % with the whole track" in found["sentences"]


def test_lengths_that_few_tracks_have_are_left_out() -> None:
    lengths = [1.0, 3.0, 30.0, 29.9]
    tracks = [ScoredTrack(str(i), "", "", "Folk", None, s) for s in lengths for i in range(5)]
    assert robustness._excerpt_lengths(tracks) == [1.0]
    assert robustness._excerpt_lengths(tracks[10:]) == list(EXCERPT_SECONDS)


def test_answers_are_the_best_genre_or_refused() -> None:
    p = np.array([[[[0.2, 0.5, 0.3], [np.nan, np.nan, np.nan]]]])
    assert predicted_genres(p).tolist() == [[[1, REFUSED]]]
