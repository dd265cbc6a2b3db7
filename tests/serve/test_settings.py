from __future__ import annotations

import pytest

from genrelab.core.errors import SettingsError
from genrelab.serve.settings import ServeSettings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_others_are_not_let_in_without_a_token(host: str) -> None:
    with pytest.raises(SettingsError, match="lets others in"):
        ServeSettings(host=host).verify()
    ServeSettings(host=host, token="a-long-secret").verify()
    ServeSettings(host=host, insecure=True).verify()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_needs_none(host: str) -> None:
    ServeSettings(host=host).verify()


@pytest.mark.parametrize("token", ["", "short", "with\nnewline", "ключ-ключ", " a-long-secret", "two words here"])
def test_a_token_that_cannot_be_sent_or_is_guessed_is_refused(token: str) -> None:
    with pytest.raises(SettingsError, match="the token must be"):
        ServeSettings(token=token).verify()


@pytest.mark.parametrize(
    "origin", ["*", "null", "example.org", "https://example.org/", "https://Example.org", "ftp://a"]
)
def test_what_no_browser_names_as_a_web_site_is_refused(origin: str) -> None:
    with pytest.raises(SettingsError, match="--allow-origin must be"):
        ServeSettings(origins=[origin]).verify()


@pytest.mark.parametrize("origin", ["https://example.org", "http://localhost:3000", "http://[::1]:8000"])
def test_web_sites_are_taken(origin: str) -> None:
    ServeSettings(origins=[origin]).verify()
