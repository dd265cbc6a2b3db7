"""Odd parameters and messages: the errors say what to send instead, in no library's words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from genrelab.serve.problems import Problem
from genrelab.serve.schemas import EXPECTED
from genrelab.serve.stream import protocol
from tests.support.fake_workers import Client, service

LIBRARY_WORDS = re.compile(
    r"[Ii]nput should|[Vv]alue error|valid (integer|boolean|number|string)|unable to parse|must be None|pydantic"
    r"|greater than|less than|[Ee]xtra inputs|[Ff]ield required|Traceback|Error\b|NoneType|literal"
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Client(service(tmp_path_factory.mktemp("uploads"))) as client:
        yield client


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from([*EXPECTED]) | st.text(max_size=10), value=st.text(max_size=20) | st.integers().map(str))
def test_query_errors_are_in_our_own_words(client: Any, name: str, value: str) -> None:
    answer = client.post("/v1/predict", params={name: value}, content=b"x")
    assert answer.status_code in (200, 404, 422), answer.text
    if answer.status_code == 422:
        detail = answer.json()["detail"]
        ours = detail.replace(value, "") if value else detail
        assert not LIBRARY_WORDS.search(ours), detail
        assert "; received " in detail or "There is no parameter" in detail


def test_example_of_a_query_error(client: Any) -> None:
    detail = client.post("/v1/predict?top=abc", content=b"x").json()["detail"]
    assert detail == "top: give a whole number from 1 to 1,000; received 'abc'."


@settings(max_examples=150, deadline=None)
@given(fields=st.dictionaries(st.sampled_from([*protocol.EXPECTED]) | st.text(max_size=8), JSON, max_size=4))
def test_stream_errors_are_in_our_own_words(fields: dict[str, Any]) -> None:
    message = {"type": "start", "format": "pcm16", "sr": 8_000} | fields
    try:
        protocol.parse_start(message)
    except Problem as e:
        ours = re.sub(r"received '.*?'(?=\.)", "", e.detail)
        for text in (*map(str, fields.values()), *fields):
            ours = ours.replace(text, "") if len(text) > 3 else ours
        assert not LIBRARY_WORDS.search(ours), e.detail


@pytest.mark.parametrize("path", ["/v1/predict/batch", "/v1/predict"])
@pytest.mark.parametrize(
    "content_type", ["", ";", "multipart/form-data", "multipart/form-data; boundary=\x7f", "a/b; c"]
)
def test_odd_content_types_are_problems_or_files(client: Any, path: str, content_type: str) -> None:
    answer = client.post(path, content=b"x", headers={"content-type": content_type})
    assert answer.status_code in (200, 400)
    assert answer.status_code == 200 or not LIBRARY_WORDS.search(answer.json()["detail"])
