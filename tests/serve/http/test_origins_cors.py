from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from tests.support.fake_workers import Client, service

TOKEN = "a token for tests"
FRIEND = {"origin": "https://friend.example"}
ASKING = {**FRIEND, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}


@pytest.fixture
def app(tmp_path: Path) -> Any:
    return service(tmp_path, token=TOKEN, origins=["https://Friend.example/"])


@pytest.fixture
def client(app: Any) -> Iterator[Client]:
    with Client(app) as client:
        yield client


def test_allowed_origin_may_read_responses_and_errors(client: Client) -> None:
    answer = client.options("/v1/predict", headers=ASKING)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == FRIEND["origin"]
    answer = client.post("/v1/predict", headers=FRIEND)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, FRIEND["origin"])
    answer = client.get("/v1/models", headers={"origin": "https://evil.example"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:genrelab:problem:foreign-origin")


@pytest.mark.parametrize(("name", "said"), [("method", "DELETE"), ("headers", "authorization, x-evil")])
def test_disallowed_preflight_is_refused(client: Client, name: str, said: str) -> None:
    answer = client.options("/v1/predict", headers={**ASKING, f"access-control-request-{name}": said})
    assert (answer.status_code, answer.headers["access-control-allow-methods"]) == (400, "GET, POST")


def test_allowed_origin_may_read_internal_errors(client: Client, app: Any) -> None:
    async def broken(_: Any) -> Any:
        raise RuntimeError("a secret")

    app.state.worker_queue.classify = broken
    answer = client.post("/v1/predict", content=b"x", headers={**FRIEND, "authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (500, FRIEND["origin"])
