from __future__ import annotations

import pytest

from genrelab.core.errors import SettingsError
from genrelab.serve.settings import ServeSettings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_public_host_requires_a_token_or_insecure(host: str) -> None:
    with pytest.raises(SettingsError, match="gives other machines access"):
        ServeSettings(host=host).verify()
    ServeSettings(host=host, token="a-long-secret").verify()
    ServeSettings(host=host, insecure=True).verify()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_host_needs_no_token(host: str) -> None:
    ServeSettings(host=host).verify()


@pytest.mark.parametrize("token", ["", "short", "with\nnewline", "ключ-ключ", " a-long-secret", "two words here"])
def test_unsendable_or_weak_token_is_refused(token: str) -> None:
    with pytest.raises(SettingsError, match="the token must have"):
        ServeSettings(token=token).verify()


@pytest.mark.parametrize(
    "origin", ["*", "null", "example.org", "https://example.org/", "https://Example.org", "ftp://a"]
)
def test_invalid_origin_is_refused(origin: str) -> None:
    with pytest.raises(SettingsError, match="--allow-origin must be"):
        ServeSettings(origins=[origin]).verify()


@pytest.mark.parametrize("model", ["s3://bucket/svm", "best=s3://bucket/svm", "gs://bucket/a=b"])
def test_a_bundle_that_is_fetched_once_cannot_be_watched(model: str) -> None:
    ServeSettings(models=["runs/first/svm/bundle", model]).verify()
    ServeSettings(models=["runs/first/svm/bundle", "best=x"], watch=True).verify()
    with pytest.raises(SettingsError, match=f"--watch works for folders on this disk only, not for {model}"):
        ServeSettings(models=["runs/first/svm/bundle", model], watch=True).verify()


@pytest.mark.parametrize("origin", ["https://example.org", "http://localhost:3000", "http://[::1]:8000"])
def test_valid_origin_is_accepted(origin: str) -> None:
    ServeSettings(origins=[origin]).verify()
