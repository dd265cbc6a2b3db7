from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import PROJECT, SUPPORT

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("onnx")
from genrelab.core.config import EMBEDDING_CLIPS, EmbeddingView, SamplesView
from genrelab.serve import schemas
from genrelab.serve.app import create_app
from genrelab.serve.limits import Limits
from genrelab.serve.model_store import ModelStore
from genrelab.serve.problems import KINDS
from genrelab.serve.workers.queue import WorkerQueue
from tests.support.bundles import bundle_for
from tests.support.fake_workers import Client, service
from tests.support.guards import HANG_S
from tests.support.live_service import running_server, with_workers

TOKEN = "a token for tests"
LIMITS = Limits(classify_s=600)

CONFIG = """\
hooks = "wav_hooks.py"
[checks.negative_data_rejection]
# Besides what it expects anyway: 413, of a batch of too many files.
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 426, 428, 429, "5xx"]
[checks.positive_data_acceptance]
# Besides what it expects anyway: 426, where a WebSocket is to be asked for.
expected-statuses = ["2xx", 401, 403, 404, 409, 426, "5xx"]
"""


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        yield from ((f"{method} {path}", operation) for method, operation in methods.items())


def test_schema_lists_all_endpoints(tmp_path: Path) -> None:
    assert [name for name, _ in operations(service(tmp_path).openapi())] == [
        "post /v1/predict", "post /v1/predict/batch", "get /v1/models", "get /v1/models/{name}", "get /v1/health",
        "get /v1/ready", "get /metrics", "get /v1/stream",
    ]  # fmt: skip


def test_schema_documents_every_problem_kind(tmp_path: Path) -> None:
    described = service(tmp_path, token=TOKEN).openapi()
    told = set()
    for _, operation in operations(described):
        for status, answer in operation["responses"].items():
            if int(status) < 400:
                continue
            content = answer["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/ProblemDetails"}
            for kind, example in content["examples"].items():
                assert (KINDS[kind][0], example["value"]["status"]) == (int(status), int(status))
                told.add(kind)
    assert set(KINDS) - told == {"not-found", "method-not-allowed"}  # which no address that there is answers
    named = described["components"]["schemas"]["ProblemDetails"]["properties"]["type"]["enum"]
    assert named == [f"urn:genrelab:problem:{kind}" for kind in KINDS]


def test_schema_requires_a_token_only_if_one_is_set(tmp_path: Path) -> None:
    for name, operation in operations(service(tmp_path, token=TOKEN).openapi()):
        public = name in ("get /v1/health", "get /v1/ready")
        assert ("security" in operation, "401" in operation["responses"]) == (not public, not public), name
    for _, operation in operations(service(tmp_path).openapi()):
        assert "security" not in operation
        assert "401" not in operation["responses"]


def test_schema_lists_the_model_names(tmp_path: Path) -> None:
    found = [p for _, o in operations(service(tmp_path).openapi()) for p in o.get("parameters", [])]
    assert [p["schema"]["enum"] for p in found if p["name"] in ("model", "name")] == [["first", "second"]] * 3


def test_schema_hides_the_model_names_if_a_token_is_set(tmp_path: Path) -> None:
    found = [p for _, o in operations(service(tmp_path, token=TOKEN).openapi()) for p in o.get("parameters", [])]
    assert [p["schema"].get("enum") for p in found if p["name"] in ("model", "name")] == [None] * 3


def test_openapi_endpoint_returns_the_schema(tmp_path: Path) -> None:
    app = service(tmp_path)
    with Client(app) as client:
        answer = client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == app.openapi()


def test_responses_match_the_schema(tmp_path: Path) -> None:
    with Client(service(tmp_path)) as client:
        schemas.PredictionResult.model_validate(client.post("/v1/predict", content=b"x").json())
        timed = schemas.PredictionResult.model_validate(client.post("/v1/predict?timeline=true", content=b"x").json())
        assert timed.timeline
        assert schemas.PredictionResult.model_validate(client.post("/v1/predict?tags=true", content=b"x").json()).tags
        bird = schemas.PredictionResult.model_validate(client.post("/v1/predict", content=b"bird").json())
        assert (bird.genre, bird.unknown_because) == ("unknown", "not_music")
        parts = [("f", ("a", b"x")), ("f", ("b", b"refuse damaged"))]
        for file in client.post("/v1/predict/batch?describe=true", files=parts).json():
            (schemas.FileError if file["error"] else schemas.PredictionResult).model_validate(file)
        for file in client.post(
            "/v1/predict/batch", files=[("f", ("a", b"x")), ("f", ("b", b"refuse damaged"))]
        ).json():
            (schemas.FileError if file["error"] else schemas.PredictionResult).model_validate(file)
        schemas.ModelList.model_validate(client.get("/v1/models").json())
        schemas.ModelDetails.model_validate(client.get("/v1/models/first").json())


def test_schema_describes_unknown_answers_and_tags(tmp_path: Path) -> None:
    described = service(tmp_path).openapi()
    heard, refused = (described["components"]["schemas"][name] for name in ("PredictionResult", "FileError"))
    reasons, null = heard["properties"]["unknown_because"]["anyOf"]
    assert (reasons["enum"], null) == (["not_music", "unsure"], {"type": "null"})
    assert "unknown_because" in heard["required"]
    tags = heard["properties"]["tags"]
    assert (tags["type"], tags["additionalProperties"]["type"]) == ("object", "number")
    assert "tags" not in heard["required"]
    assert refused["properties"]["unknown_because"]["type"] == "null"
    for path in ("/v1/predict", "/v1/predict/batch"):
        parameters = {p["name"]: p["schema"] for p in described["paths"][path]["post"]["parameters"]}
        assert {name: parameters[name]["default"] for name in ("any", "tags")} == {"any": False, "tags": False}


def test_schema_describes_tempo_and_key(tmp_path: Path) -> None:
    described = service(tmp_path).openapi()
    found, refused = (described["components"]["schemas"][name] for name in ("PredictionResult", "FileError"))
    for name, kind in (("tempo_bpm", "number"), ("key", "string")):
        assert [one["type"] for one in found["properties"][name]["anyOf"]] == [kind, "null"]
        confidence = found["properties"][f"{name.removesuffix('_bpm')}_confidence"]
        assert (confidence["type"], confidence["minimum"], confidence["maximum"]) == ("number", 0, 1)
        assert refused["properties"][name]["type"] == "null"
    assert {"tempo_bpm", "key", "tempo_confidence", "key_confidence"}.isdisjoint(found["required"])
    for path in ("/v1/predict", "/v1/predict/batch"):
        parameters = {p["name"]: p["schema"] for p in described["paths"][path]["post"]["parameters"]}
        assert (parameters["describe"]["type"], parameters["describe"]["default"]) == ("boolean", False)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The real thing: two bundles, one of them with tags and a gate, a worker, a server."""
    bundle_for(tmp_path / "one", SamplesView(sr=8_000, n_samples=4_000))
    bundle_for(tmp_path / "two", EmbeddingView(), EMBEDDING_CLIPS)
    store = ModelStore({name: tmp_path / name for name in ("one", "two")}, tmp_path / "models")
    (tmp_path / "uploads").mkdir()
    queue = WorkerQueue(LIMITS, store)
    app = create_app(LIMITS, store, queue, token=TOKEN, folder=tmp_path / "uploads")
    with running_server(with_workers(app, queue), LIMITS) as port:
        yield port
    assert list((tmp_path / "uploads").iterdir()) == []


def authorized_request(port: int, path: str) -> urllib.request.Request:
    return urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.mark.slow
def test_schemathesis_finds_nothing(port: int, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    (tmp_path / "wav_hooks.py").write_bytes((SUPPORT / "wav_hooks.py").read_bytes())
    settings = ["--checks=all", "--max-examples=10", "--generation-deterministic", "--no-color"]
    settings.append(f"--header=Authorization: Bearer {TOKEN}")
    ran = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/openapi.json", *settings],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=30 * HANG_S,  # it asks hundreds of times
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4_000:] + ran.stderr[-2_000:]
    with urllib.request.urlopen(authorized_request(port, "/metrics")) as answer:
        figures = answer.read().decode()
    heard = re.findall(r'genrelab_files_total\{model="(one|two)",outcome="heard"\} (\d+)', figures)
    assert sum(int(n) for _, n in heard) > 50, "it has seen no answers"
