from __future__ import annotations

import json

import pytest

pytest.importorskip("starlette")
from genrelab.serve.problems import KINDS, Problem, problem_response, quoted, retry_later


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_an_object_of_rfc_9457(kind: str) -> None:
    answer = problem_response(Problem(kind, "what, which, what now", extra={"limit": 3, "status": "not this"}))
    status, title = KINDS[kind]
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(bytes(answer.body)) == {
        "type": f"urn:genrelab:problem:{kind}", "title": title, "status": status, "detail": "what, which, what now",
        "limit": 3,
    }  # fmt: skip
    assert title[0].isupper()
    assert not title.endswith(".")


def test_unknown_problem_kind_raises_key_error() -> None:
    with pytest.raises(KeyError):
        Problem("nonsense", "x").about  # noqa: B018


@pytest.mark.parametrize(("seconds", "said"), [(-1, "1"), (0, "1"), (0.2, "1"), (1.01, "2"), (60, "60")])
def test_retry_after_is_in_whole_seconds(seconds: float, said: str) -> None:
    assert problem_response(retry_later("busy", "x", seconds)).headers["retry-after"] == said


def test_quoted_client_text_is_one_short_line() -> None:
    assert quoted("a\nb\x1b[2Jü") == r"'a\nb\x1b[2Jü'"
    assert len(quoted("x" * 10_000)) < 400
