"""What is served is a copy that nobody changes, until something better stands in its place."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import fsspec
import pytest

from genrelab.bundle.manifest import CARD_FILE, MANIFEST_FILE, MODEL_FILE, read_manifest
from genrelab.core.config import (
    EMBEDDING_CLIPS,
    ClipSettings,
    EmbeddingView,
    FramesView,
    LogMelView,
    SamplesView,
    StatisticsView,
    TableView,
    View,
)
from genrelab.core.errors import BundleError, SettingsError
from genrelab.predict.classifier import STARTER, load_bundle
from genrelab.serve.model_store import ModelStore, parse_models
from genrelab.serve.problems import Problem
from genrelab.serve.schemas import ModelDetails
from tests.support.bundles import GENRES, SR, bundle_for, noise
from tests.support.evidence import evidence_from_confidences

VIEW = SamplesView(sr=SR, n_samples=400)


def bundle(folder: Path, bias: tuple[float, float, float] = (0.0, 0.0, 0.0), **changes: object) -> Path:
    bundle_for(folder, VIEW, bias=bias, **changes)
    return folder


@pytest.fixture
def model_store(tmp_path: Path) -> ModelStore:
    sources = {"one": bundle(tmp_path / "one"), "two": bundle(tmp_path / "two", (9, 0, 0))}
    return ModelStore(sources, tmp_path / "copies")


def copies(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "copies").iterdir())


def test_first_model_is_the_default(model_store: ModelStore) -> None:
    assert model_store.default == "one"
    assert model_store.get(None) is model_store.get("one")
    assert [m.name for m in model_store.models()] == ["one", "two"]
    assert model_store.get("two").card == "# Card\n"
    with pytest.raises(Problem, match="No model is called"):
        model_store.get("three")


def test_model_description_has_the_published_fields(tmp_path: Path) -> None:
    metrics = {"n": 8, "accuracy": 0.5, "confusion": [[1]], "macro_f1": 0.4}
    source = bundle(tmp_path / "one", metrics=metrics, licence="CC0")
    about = ModelStore({"mine": source}, tmp_path / "copies").get(None).about
    assert about == {
        "name": "mine",
        "genres": list(GENRES),
        "view": "samples",
        "dataset": "d",
        "split": "artist",
        "licence": "CC0",
        "created_by": about["created_by"],
        "fingerprint": about["fingerprint"],
        "window_s": 0.05,
        "max_windows": 1,
        "stops_early": False,
        "gate": False,
        "metrics": {"n": 8, "accuracy": 0.5, "macro_f1": 0.4},
        "min_precision": None,
        "evidence": None,
    }
    assert about["created_by"].startswith("genrelab ")
    assert len(about["fingerprint"]) == 64


def published_metrics(tmp_path: Path, metrics: dict[str, object]) -> dict[str, Any]:
    source = bundle(tmp_path / "one", metrics=metrics)
    told: dict[str, Any] = ModelStore({"mine": source}, tmp_path / "copies").get(None).about["metrics"]
    return told


@pytest.mark.parametrize("odd", [{"a": 1}, [1], None, True, 10**400, -1e300, "x" * 1_000])
def test_invalid_scores_are_not_published(tmp_path: Path, odd: object) -> None:
    metrics = {"n": 8, "accuracy": odd, "interval_over": "artists", "reliability": odd}
    assert published_metrics(tmp_path, metrics) == {"n": 8, "interval_over": "artists"}


def test_reliability_bins_are_published(tmp_path: Path) -> None:
    some = {"low": 0.5, "high": 0.6, "n": 3, "accuracy": 0.7}
    assert published_metrics(tmp_path, {"reliability": [some | {"confidence": 0.55}] * 15}) == {
        "reliability": [some] * 15
    }


@pytest.mark.parametrize("odd", [[], [{"low": 0.5}], [{"low": 0.5, "high": 0.6, "n": "3", "accuracy": 1}], [7]])
def test_invalid_reliability_bins_are_not_published(tmp_path: Path, odd: object) -> None:
    assert published_metrics(tmp_path, {"n": 8, "reliability": odd}) == {"n": 8}


def test_too_many_reliability_bins_are_not_published(tmp_path: Path) -> None:
    assert published_metrics(tmp_path, {"reliability": [{"low": 0, "high": 1, "n": 3, "accuracy": 1}] * 21}) == {}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_bundle_with_a_non_finite_number_is_refused(tmp_path: Path, number: str) -> None:
    source = bundle(tmp_path / "one", metrics={"accuracy": 0.125})
    about = (source / "bundle.json").read_text()
    (source / "bundle.json").write_text(about.replace("0.125", number))
    with pytest.raises(BundleError, match=f"bundle.json: not valid JSON: {number} is not a finite number"):
        ModelStore({"mine": source}, tmp_path / "copies")


@pytest.mark.parametrize(
    ("view", "window_s", "windows"),
    [
        (LogMelView(sr=SR, n_fft=512, hop_length=256, n_mels=16, window_s=0.5, hop_s=0.5), 0.5, 7),
        (FramesView(sr=44_100, hop_length=512, n_frames=86), 86 * 512 / 44_100, 1),
        (StatisticsView(), 6.0, 7),
    ],
)
def test_description_has_window_length_and_count(tmp_path: Path, view: View, window_s: float, windows: int) -> None:
    bundle_for(tmp_path / "one", view, ClipSettings(clip_s=6.0, max_clips=7))
    about = ModelStore({"one": tmp_path / "one"}, tmp_path / "copies").get(None).about
    assert (about["window_s"], about["max_windows"]) == (window_s, windows)


def test_description_tells_what_models_on_embedding_do(tmp_path: Path) -> None:
    sure = evidence_from_confidences({g: [900] * 3 for g in GENRES}, {"Folk": [949, 950]})
    bundle_for(tmp_path / "one", EmbeddingView(), EMBEDDING_CLIPS, calibration=sure)
    about = ModelStore({"one": tmp_path / "one"}, tmp_path / "copies").get(None).about
    assert (about["window_s"], about["max_windows"]) == (3.0, 10)
    assert (about["stops_early"], about["gate"]) == (True, True)
    assert set(about["evidence"]) == set(GENRES)
    assert about["evidence"]["Folk"] == {"n": [0] * 18 + [4, 1], "right": [0] * 18 + [3, 0]}
    ModelDetails.model_validate({**about, "card": ""})


def test_changed_bundle_is_used_only_after_a_reload(model_store: ModelStore, tmp_path: Path) -> None:
    before = model_store.get("one")
    assert not model_store.changed()
    bundle(tmp_path / "one", (0, 0, 9))
    assert model_store.changed()
    assert model_store.get("one") is before
    assert load_bundle(before.path).fingerprint == before.bundle.fingerprint
    (said,) = model_store.reload()
    assert said == f"model one: reloaded from {tmp_path / 'one'}"
    assert not model_store.changed()
    assert model_store.get("one").bundle.predict(noise(1), SR).genre == "Rock"
    assert model_store.get(None) is model_store.get("one")
    assert model_store.reload() == ["model one: unchanged", "model two: unchanged"]


def test_reload_keeps_unchanged_models(model_store: ModelStore, tmp_path: Path) -> None:
    two = model_store.get("two")
    bundle(tmp_path / "one", (0, 0, 9))
    model_store.reload()
    assert model_store.get("two") is two


def test_copy_is_kept_while_its_model_is_in_use(model_store: ModelStore, tmp_path: Path) -> None:
    held = model_store.get("one")
    for bias in ((0, 0, 9), (0, 9, 0), (9, 0, 0)):
        bundle(tmp_path / "one", bias)
        assert len(model_store.reload()) == 1
    assert held.path.is_dir()
    assert len(copies(tmp_path)) == 3, "two that are served, and the one that is held"
    path = held.path
    del held
    assert not path.exists()


def _remove_folder(one: Path) -> None:
    shutil.rmtree(one)


def _truncate_model(one: Path) -> None:
    bundle(one, (0, 9, 0))
    content = (one / "model.onnx").read_bytes()
    (one / "model.onnx").write_bytes(content[: len(content) // 2])


def _break_json(one: Path) -> None:
    (one / "bundle.json").write_text("{")


def _remove_card(one: Path) -> None:
    bundle(one, (0, 9, 0))
    (one / "README.md").unlink()


def _make_a_table_bundle(one: Path) -> None:
    bundle_for(one, TableView(columns=("a", "b")))


@pytest.mark.parametrize("harm", [_remove_folder, _truncate_model, _break_json, _remove_card, _make_a_table_bundle])
def test_unusable_bundle_leaves_the_previous_one_in_use(harm, model_store: ModelStore, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before = model_store.get("one")
    harm(tmp_path / "one")
    assert model_store.changed()
    (said,) = model_store.reload()
    assert said.startswith("model one: still using the previous version, because the new one cannot be loaded: ")
    assert str(tmp_path / "one") in said
    assert "copies" not in said
    assert model_store.get("one") is before
    assert before.path.is_dir()
    assert len(copies(tmp_path)) == 2, "nothing of it stays"
    assert not model_store.changed(), "nobody tries again before something has changed"
    bundle(tmp_path / "one", (0, 0, 9))
    assert model_store.changed()
    assert model_store.reload() == [f"model one: reloaded from {tmp_path / 'one'}"]


def test_repaired_bundle_is_reported_as_unchanged(model_store: ModelStore, tmp_path: Path) -> None:
    content = (tmp_path / "one" / "bundle.json").read_bytes()
    _break_json(tmp_path / "one")
    assert "cannot be" in model_store.reload()[0]
    (tmp_path / "one" / "bundle.json").write_bytes(content)
    bundle(tmp_path / "two", (0, 0, 9))
    assert model_store.reload() == ["model one: unchanged", f"model two: reloaded from {tmp_path / 'two'}"]


def test_partly_copied_bundle_is_loaded_once_it_is_complete(model_store: ModelStore, tmp_path: Path) -> None:
    bundle(tmp_path / "new", (0, 0, 9))
    for file in ("bundle.json", "README.md", "model.onnx"):
        shutil.copy(tmp_path / "new" / file, tmp_path / "one" / file)
        assert model_store.changed()
        said = model_store.reload()
    assert said == [f"model one: reloaded from {tmp_path / 'one'}"]


def test_get_and_reload_are_thread_safe(model_store: ModelStore, tmp_path: Path) -> None:
    stop, wrong = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            model = model_store.get("one")
            if not (model.path / "model.onnx").exists():
                wrong.append(model.path)

    threads = [threading.Thread(target=ask) for _ in range(3)] + [
        threading.Thread(target=model_store.reload) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for i in range(6):
        bundle(tmp_path / "one", (i, 0, 0))
        model_store.reload()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("view", [TableView(columns=("a", "b"))])
def test_table_bundle_is_refused(tmp_path: Path, view: View) -> None:
    bundle_for(tmp_path / "one", view)
    with pytest.raises(BundleError, match="not audio"):
        ModelStore({"one": tmp_path / "one"}, tmp_path / "copies")
    assert copies(tmp_path) == []


def test_missing_bundle_and_empty_store_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        ModelStore({"one": tmp_path / "nowhere"}, tmp_path / "copies")
    with pytest.raises(SettingsError, match="no model to serve"):
        ModelStore({}, tmp_path / "copies")


def test_uncalibrated_bundle_is_refused_if_a_precision_is_required(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has no calibration"):
        ModelStore({"one": bundle(tmp_path / "one")}, tmp_path / "copies", min_precision=0.5)
    sure = evidence_from_confidences({g: [900] * 40 for g in GENRES}, {g: [400] * 5 for g in GENRES}, by=2)
    bundle(tmp_path / "one", calibration=sure)
    model_store = ModelStore({"one": tmp_path / "one"}, tmp_path / "copies", min_precision=0.5)
    model = model_store.get(None)
    assert model.about["min_precision"] == 0.5
    assert model.bundle.decision.thresholds is not None
    bundle(tmp_path / "one")
    assert "has no calibration" in model_store.reload()[0]
    assert model_store.get(None) is model


# --- names ---


def test_model_names_come_from_the_option_or_the_bundle(tmp_path: Path) -> None:
    one, two = bundle(tmp_path / "one"), bundle(tmp_path / "two", name="svm")
    assert parse_models([f"best={one}", str(two)]) == {"best": one, "svm": two}
    assert list(parse_models([str(two), f"a.b-C_1={one}"])) == ["svm", "a.b-C_1"]


def test_default_model_is_that_of_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENRELAB_MODEL", raising=False)
    assert parse_models([]) == {"starter": STARTER}
    monkeypatch.setenv("GENRELAB_MODEL", str(bundle(tmp_path / "one", name="mine")))
    assert parse_models([]) == {"mine": tmp_path / "one"}


def test_an_equals_sign_may_stand_in_a_path(tmp_path: Path) -> None:
    assert parse_models([str(bundle(tmp_path / "a=b"))]) == {"linear": tmp_path / "a=b"}
    assert parse_models([f"x={tmp_path / 'a=b'}"]) == {"x": tmp_path / "a=b"}


@pytest.mark.parametrize("name", ["a b", "ä", "", "..", ".", "x" * 65, "a\n", "<b>"])
def test_invalid_model_name_is_refused(tmp_path: Path, name: str) -> None:
    bundle(tmp_path / "one")
    with pytest.raises((SettingsError, BundleError)):
        parse_models([f"{name}={tmp_path / 'one'}"])


def test_duplicate_model_name_is_refused(tmp_path: Path) -> None:
    one, two = bundle(tmp_path / "one"), bundle(tmp_path / "two")
    with pytest.raises(SettingsError, match="two models are called linear"):
        parse_models([str(one), str(two)])


def test_bundle_with_an_unusable_name_needs_an_explicit_one(tmp_path: Path) -> None:
    bundle(tmp_path / "one", name="my model")
    with pytest.raises(SettingsError, match=r"cannot be used here \(my model\)"):
        parse_models([str(tmp_path / "one")])
    assert parse_models([f"mine={tmp_path / 'one'}"]) == {"mine": tmp_path / "one"}


def test_path_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        parse_models([str(tmp_path / "nowhere")])


def test_starter_names_the_built_in_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_models(["starter"]) == {"starter": STARTER}
    assert parse_models(["best=starter"]) == {"best": STARTER}
    bundle(tmp_path / "starter", name="mine")
    assert parse_models(["starter"]) == {"mine": Path("starter")}


@pytest.mark.parametrize("text", ["nosuchstore://bucket/svm", "best=nosuchstore://bucket/svm"])
def test_an_address_of_an_unknown_kind_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="nosuchstore://bucket/svm: this kind of address cannot be used here"):
        parse_models([text])


def test_a_bundle_at_an_address_is_fetched_and_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = bundle(tmp_path / "one", name="far")
    store = fsspec.filesystem("memory")
    for file in (MANIFEST_FILE, MODEL_FILE, CARD_FILE):
        store.pipe(f"memory://served/{tmp_path.name}/{file}", (source / file).read_bytes())
    address = f"memory://served/{tmp_path.name}"
    assert list(parse_models([address, f"named={address}"])) == ["far", "named"]
    served = ModelStore(parse_models([address]), tmp_path / "copies").get(None)
    assert served.bundle.fingerprint == read_manifest(source)["fingerprint"]
    monkeypatch.setenv("GENRELAB_MODEL", address)
    assert list(parse_models([])) == ["far"]
    with pytest.raises(BundleError, match=r"memory://served/nowhere has no bundle"):
        parse_models(["memory://served/nowhere"])
