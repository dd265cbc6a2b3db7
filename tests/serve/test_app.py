from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from genrelab.serve.limits import Limits
from genrelab.serve.schemas import EXPECTED
from tests.support.fake_workers import Client, Exchange, service
from tests.support.guards import HANG_S


@pytest.fixture
def app(tmp_path: Path) -> Any:
    return service(tmp_path)


@pytest.fixture
def client(app: Any) -> Any:
    with Client(app) as client:
        yield client


def is_problem(answer: Any, kind: str, status: int) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    about: dict[str, Any] = answer.json()
    assert (answer.status_code, about["type"], about["status"]) == (status, f"urn:genrelab:problem:{kind}", status)
    return about


def test_raw_body_is_classified(client: Client, app: Any, tmp_path: Path) -> None:
    answer = client.post("/v1/predict", content=b"sound", headers={"content-type": "audio/wav"})
    assert answer.status_code == 200
    assert answer.json() == {
        "path": "", "genre": "Rock", "confidence": 0.8, "probabilities": {"Rock": 0.8, "Folk": 0.2},
        "unknown_because": None, "duration_s": 2.5, "model": "first", "error": None,
        "notes": [],
    }  # fmt: skip
    assert app.state.worker_queue.contents == [b"sound"]
    assert list(tmp_path.iterdir()) == []


def test_form_upload_is_classified_and_its_file_name_returned(client: Client, app: Any) -> None:
    name = "../../etc/Beyoncé – „x“.mp3"
    answer = client.post("/v1/predict", files={"any": (name, io.BytesIO(b"sound"), "audio/mpeg")})
    assert answer.json()["path"] == name
    assert app.state.worker_queue.contents == [b"sound"]


def test_query_parameters_reach_the_worker_queue(client: Client, app: Any) -> None:
    query = "model=second&top=2&timeline=true&windows=all"
    answer = client.post(f"/v1/predict?{query}", content=b"sound").json()
    order = app.state.worker_queue.orders[0]
    assert (order.model.name, order.top, order.timeline, order.windows) == ("second", 2, True, "all")
    assert (answer["model"], len(answer["timeline"])) == ("second", 1)
    assert (order.any_genre, order.tags, order.describe) == (False, False, False)
    client.post("/v1/predict?windows=7&any=true&tags=true&describe=true", content=b"sound")
    order = app.state.worker_queue.orders[1]
    assert (order.windows, order.any_genre, order.tags, order.describe) == (7, True, True, True)


@pytest.mark.parametrize(
    "query",
    ["top=0", "top=x", "top=1_0", "top=+1", "top=", "top=1.0", "timeline=yes", "timeline=1", "windows=0",
     "windows=1001", "windows=many", "any=yes", "any=1", "tags=True", "tags=", "describe=1", "describe=", "tpo=3",
     "top=1&top=2", "timeline="],
)  # fmt: skip
def test_invalid_parameter_is_named_in_the_error(client: Client, app: Any, query: str) -> None:
    about = is_problem(client.post(f"/v1/predict?{query}", content=b"x"), "bad-parameter", 422)
    name, _, value = query.partition("=")
    first, _, received = about["detail"].partition("; received ")
    if name in EXPECTED and "&" not in query:
        assert (first, received) == (f"{name}: give {EXPECTED[name]}", f"'{unquote_plus(value)}'.")
    else:
        assert f"parameter '{name}'" in first
    assert app.state.worker_queue.orders == []


def test_sound_that_is_no_music_gets_a_genre_only_on_request(client: Client) -> None:
    answer = client.post("/v1/predict", content=b"bird").json()
    assert (answer["genre"], answer["unknown_because"]) == ("unknown", "not_music")
    answer = client.post("/v1/predict?any=true", content=b"bird").json()
    assert (answer["genre"], answer["unknown_because"]) == ("Rock", None)


def test_tags_are_left_out_unless_requested(client: Client) -> None:
    assert "tags" not in client.post("/v1/predict", content=b"sound").json()
    assert "tags" not in client.post("/v1/predict?tags=false", content=b"sound").json()
    parts = [("f", ("a.mp3", b"sound"))]
    (answer,) = client.post("/v1/predict/batch?tags=true", files=parts).json()
    assert answer["tags"] == {"rock": 0.6, "guitar": 0.4}


def test_tempo_and_key_are_left_out_unless_requested(client: Client) -> None:
    parts = [("f", ("a.mp3", b"sound")), ("f", ("b.mp3", b"refuse damaged"))]
    fields = {"tempo_bpm", "tempo_confidence", "key", "key_confidence"}
    for answer in client.post("/v1/predict/batch?describe=false", files=parts).json():
        assert fields.isdisjoint(answer)
    found, refused = client.post("/v1/predict/batch?describe=true", files=parts).json()
    assert (found["tempo_bpm"], found["tempo_confidence"], found["key"], found["key_confidence"]) == (126, 0.9, None, 0)
    assert {name: refused[name] for name in fields} == dict.fromkeys(fields)
    assert client.post("/v1/predict?describe=true", content=b"sound").json() == found | {"path": ""}


def test_error_lists_only_the_first_invalid_parameters(client: Client) -> None:
    query = "&".join(f"parameter{n}=1" for n in range(2_000))
    detail = is_problem(client.post(f"/v1/predict?{query}", content=b"x"), "bad-parameter", 422)["detail"]
    assert "There is no parameter 'parameter9'. " in detail and detail.endswith(" And 1,990 more.")
    assert "parameter10'" not in detail


def test_unknown_model_error_lists_the_served_models(client: Client) -> None:
    about = is_problem(client.post("/v1/predict?model=nein", content=b"x"), "unknown-model", 404)
    assert about["detail"] == "No model is called 'nein'. Models: first, second."


def test_batch_keeps_its_order_and_marks_refused_files(client: Client, app: Any, tmp_path: Path) -> None:
    parts = [("f", (f"{i}.mp3", content)) for i, content in enumerate((b"a", b"refuse damaged", b"c"))]
    answer = client.post("/v1/predict/batch?top=1", files=parts).json()
    assert [(a["path"], a["genre"], a.get("problem")) for a in answer] == [
        ("0.mp3", "Rock", None), ("1.mp3", None, "damaged"), ("2.mp3", "Rock", None),
    ]  # fmt: skip
    assert answer[1]["error"] == "The file is damaged: as it was told"
    assert {*answer[0]} | {"problem"} == {*answer[1]}, "both kinds of rows have the fields of a prediction"
    assert list(tmp_path.iterdir()) == []


def test_batch_waits_while_the_worker_queue_is_full(tmp_path: Path) -> None:
    async def scenario() -> Exchange:
        app = service(tmp_path)
        body = b"".join(
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="%d"\r\n\r\nx\r\n' % i for i in range(3)
        )
        headers = [("content-type", "multipart/form-data; boundary=b")]
        exchange = Exchange(app, "POST", "/v1/predict/batch", headers=headers, pieces=[body + b"--b--\r\n"])
        queue = app.state.worker_queue
        queue.gate.clear()
        running = asyncio.create_task(exchange.run())
        await queue.wait_async(lambda: queue.orders)
        queue.full, looks = True, queue.looks
        queue.gate.set()
        await queue.wait_async(lambda: queue.looks >= looks + 5)  # it asks again and again, and is told the same
        assert len(queue.orders) == 1
        queue.full = False
        return await running

    answer = json.loads(asyncio.run(scenario()).body)
    assert [a["genre"] for a in answer] == ["Rock"] * 3


def test_batch_leaves_half_of_the_queue_to_other_requests(tmp_path: Path) -> None:
    async def scenario() -> None:
        app = service(tmp_path, Limits(queue=4))
        form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nx\r\n--b--\r\n'
        headers = [("content-type", "multipart/form-data; boundary=b")]
        queue = app.state.worker_queue
        queue.waiting = 2
        exchange = Exchange(app, "POST", "/v1/predict/batch", headers=headers, pieces=[form])
        batch = asyncio.create_task(exchange.run())
        await exchange.idle.wait()  # all of it has come
        looks = queue.looks
        await queue.wait_async(lambda: queue.looks >= looks + 6)
        assert queue.orders == []
        single = await Exchange(app, "POST", "/v1/predict", pieces=[b"x"]).run()
        assert (single.status, len(queue.orders)) == (200, 1)
        queue.waiting = 1
        assert (await batch).status == 200

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("kind", "status"), [("not-audio", 415), ("damaged", 422), ("took-too-long", 422), ("crashed", 422)]
)
def test_refusal_of_the_worker_queue_becomes_a_problem_response(client: Client, kind: str, status: int) -> None:
    about = is_problem(client.post("/v1/predict", content=f"refuse {kind}"), kind, status)
    assert about["detail"] == "as it was told"


def test_busy_response_has_a_retry_after_header(client: Client, app: Any) -> None:
    app.state.worker_queue.full, app.state.worker_queue.waiting = True, 16
    answer = client.post("/v1/predict", content=b"x")
    is_problem(answer, "busy", 429)
    assert int(answer.headers["retry-after"]) >= 1
    assert app.state.worker_queue.orders == []


@pytest.mark.parametrize(
    ("waiting", "said"),
    [(0, "All workers are busy."), (1, "1 file in the queue."), (7, "7 files in the queue.")],
)
def test_busy_response_reports_the_queue_length(client: Client, app: Any, waiting: int, said: str) -> None:
    app.state.worker_queue.full, app.state.worker_queue.waiting, app.state.worker_queue.in_progress = True, waiting, 1
    assert is_problem(client.post("/v1/predict", content=b"x"), "busy", 429)["detail"] == f"{said} Try again later."


def test_models_are_listed_with_limits_and_cards(client: Client) -> None:
    said = client.get("/v1/models").json()
    assert (said["default"], [m["name"] for m in said["models"]]) == ("first", ["first", "second"])
    assert said["limits"] == {
        "upload_bytes": 64_000_000, "audio_s": 1200.0, "batch_files": 32, "batch_bytes": 256_000_000, "streams": 4,
    }  # fmt: skip
    assert client.get("/v1/models/second").json() == {**said["models"][1], "card": "# second\n"}
    is_problem(client.get("/v1/models/third"), "unknown-model", 404)
    is_problem(client.get("/v1/models?x=1"), "bad-parameter", 422)


def test_health_stays_live_while_ready_reports_not_ready(client: Client, app: Any) -> None:
    assert client.get("/v1/health").json() == {"status": "live"}
    assert client.get("/v1/ready").json() == {"status": "ready"}
    app.state.worker_queue.ready = False
    is_problem(client.get("/v1/ready"), "not-ready", 503)
    is_problem(client.post("/v1/predict", content=b"x"), "not-ready", 503)
    app.state.draining.started = True
    assert client.get("/v1/health").json() == {"status": "live"}


def test_unknown_paths_and_methods_are_refused(client: Client) -> None:
    is_problem(client.get("/v1/nothing"), "not-found", 404)
    is_problem(client.get("/v1/models/"), "not-found", 404)
    answer = client.put("/v1/models")
    is_problem(answer, "method-not-allowed", 405)
    assert answer.headers["allow"] == "GET, HEAD"
    answer = client.get("/v1/predict")
    is_problem(answer, "method-not-allowed", 405)
    assert answer.headers["allow"] == "POST"


def test_head_is_get_without_a_body(client: Client) -> None:
    answer = client.head("/v1/models")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(client.get("/v1/models").content)
    assert client.head("/v1/predict").status_code == 405


def test_internal_error_is_logged_but_not_returned(client: Client, app: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: Any) -> Any:
        raise RuntimeError("a secret")

    app.state.worker_queue.classify = broken
    answer = client.post("/v1/predict", content=b"x")
    is_problem(answer, "internal", 500)
    assert "secret" not in answer.text
    assert "a secret" in caplog.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_client_disconnect_cancels_processing(tmp_path: Path) -> None:
    async def scenario() -> tuple[Any, Exchange]:
        app, gone = service(tmp_path), asyncio.Event()
        app.state.worker_queue.gate.clear()
        exchange = Exchange(app, "POST", "/v1/predict", pieces=[b"sound", gone, None])
        running = asyncio.create_task(exchange.run())
        await app.state.worker_queue.wait_async(lambda: app.state.worker_queue.orders)
        gone.set()
        await asyncio.wait_for(running, HANG_S)
        return app, exchange

    app, exchange = asyncio.run(scenario())
    assert (app.state.worker_queue.cancelled, exchange.status) == (1, 499)
    assert list(tmp_path.iterdir()) == []


def test_cancelled_request_leaves_no_files(tmp_path: Path) -> None:
    async def scenario() -> Any:
        app = service(tmp_path)
        app.state.worker_queue.gate.clear()
        running = asyncio.create_task(Exchange(app, "POST", "/v1/predict", pieces=[b"sound"]).run())
        await app.state.worker_queue.wait_async(lambda: app.state.worker_queue.orders)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        return app

    app = asyncio.run(scenario())
    assert (app.state.worker_queue.cancelled, app.state.draining.in_flight) == (1, 0)
    assert list(tmp_path.iterdir()) == []


def test_metrics_count_files_and_requests(client: Client) -> None:
    client.post("/v1/predict", content=b"sound")
    client.post("/v1/predict?model=second", content=b"refuse damaged")
    client.get("/v1/models/first")
    client.get("/secret-path")
    text = client.get("/metrics").text
    for line in (
        'genrelab_files_total{model="first",outcome="heard"} 1.0',
        'genrelab_files_total{model="second",outcome="damaged"} 1.0',
        'genrelab_audio_seconds_total{model="first"} 2.5',
        'genrelab_requests_total{method="GET",route="/v1/models/{name}",status="200"} 1.0',
        'genrelab_requests_total{method="GET",route="none",status="404"} 1.0',
        "genrelab_files_waiting 0.0",
        "genrelab_streams 0.0",
    ):
        assert line in text
    assert "secret-path" not in text


def test_file_over_the_upload_limit_is_refused(tmp_path: Path) -> None:
    with Client(service(tmp_path, Limits(upload_bytes=10))) as client:
        is_problem(client.post("/v1/predict", content=b"x" * 11), "too-large", 413)
        assert client.post("/v1/predict", content=b"x" * 10).status_code == 200
