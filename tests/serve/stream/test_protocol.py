"""What a `start` may say, how it is told what is wrong with one, and that the words for people hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from genrelab.serve.problems import KINDS, Problem
from genrelab.serve.stream import protocol
from genrelab.serve.stream.protocol import DOCUMENTATION, EXPECTED, StartMessage, parse_start
from genrelab.serve.stream.route import CLOSE_CODES, POLICY
from tests.support.fake_workers import Client, service
from tests.support.paths import PROJECT

START = {"type": "start", "format": "pcm16", "sr": 44_100}


def refusal_detail(said: Any) -> str:
    with pytest.raises(Problem) as e:
        parse_start(said)
    assert e.value.kind == "bad-parameter"
    return e.value.detail


@pytest.mark.parametrize("said", [None, [], "start", {}, {"type": "stop"}, {"type": "begin"}])
def test_first_message_must_be_start(said: Any) -> None:
    assert refusal_detail(said) == (
        'The first message must be `start`. Send {"type":"start","format":"pcm16","sr":44100} first, as text.'
    )


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (
            START | {"rate": 1},
            "There is no field 'rate'. Fields: type, format, sr, channels, model, top, window_s, any, tags, token.",
        ),
        ({"type": "start"}, "format: give pcm16, auto, webm, ogg or mp3; it is missing."),
        ({"type": "start", "format": "pcm16"}, f"sr: give {EXPECTED['sr']}; it is missing."),
        (START | {"sr": 5}, f"sr: give {EXPECTED['sr']}; received '5'."),
        (START | {"sr": "x"}, f"sr: give {EXPECTED['sr']}; received 'x'."),
        (START | {"any": "true"}, "any: give true or false; received 'true'."),
        (START | {"format": "midi"}, "format: give pcm16, auto, webm, ogg or mp3; received 'midi'."),
        (
            START | {"channels": 9, "top": 0},
            "channels: give a whole number from 1 to 8; received '9'. top: give a whole number of 1 or more; "
            "received '0'",
        ),
        (START | {"token": 7}, "token: give the service's token, as text; it is not text."),
    ],
)
def test_invalid_start_message_is_explained(said: Any, detail: str) -> None:
    assert refusal_detail(said).startswith("The start message is invalid. " + detail)


@pytest.mark.parametrize("form", ["auto", "webm", "ogg", "mp3"])
def test_container_formats_need_no_sample_rate(form: str) -> None:
    assert parse_start({"type": "start", "format": form}).channels == 1


def test_documentation_names_every_field_format_and_close_code() -> None:
    for name, field in StartMessage.model_fields.items():
        assert f"| `{name}` |" in DOCUMENTATION
        if not field.is_required() and field.default is not None and name != "sr":
            default = "false" if field.default is False else f"{field.default:g}"
            assert re.search(rf"\| `{name}` \|.*\| {default} \|", DOCUMENTATION), name
    rows = {
        int(code): re.findall("`([a-z-]+)`", kinds)
        for code, kinds in re.findall(r"\| (\d{4}) \| (.*) \|", DOCUMENTATION)
    }
    for code, kinds in rows.items():
        for kind in kinds:
            assert kind in KINDS
            assert CLOSE_CODES.get(kind, POLICY) == code
    assert set(CLOSE_CODES) <= {kind for kinds in rows.values() for kind in kinds}
    for said in re.findall(r'`(\{"type": "(?:start|stop|ready)"[^`…]*\})`', DOCUMENTATION):
        json.loads(said)


def test_request_without_an_upgrade_is_answered_with_426(tmp_path: Path) -> None:
    with Client(service(tmp_path)) as client:
        answer = client.get("/v1/stream?model=one")
        assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:genrelab:problem:upgrade-required"
        assert client.post("/v1/stream").status_code == 405


def test_documentation_is_in_the_openapi_description(tmp_path: Path) -> None:
    told = service(tmp_path).openapi()["paths"]["/v1/stream"]["get"]
    assert (told["description"], told["tags"]) == (DOCUMENTATION.strip(), ["stream"])
    assert {*told["responses"]} >= {"101", "426"} - {"200", "422"}


def test_documentation_is_in_the_docs_folder() -> None:
    page = (PROJECT / "docs" / "stream.md").read_text(encoding="utf-8")
    assert page == Path(protocol.__file__).with_name("protocol.md").read_text(encoding="utf-8")


def test_every_field_has_an_expectation() -> None:
    assert set(EXPECTED) == set(StartMessage.model_fields)
