"""Settings of the service, and their validation."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from genrelab.bundle.remote import is_address
from genrelab.core.errors import SettingsError, printable
from genrelab.serve.http.origins import ORIGIN
from genrelab.serve.limits import Limits

MIN_TOKEN_CHARS = 8


@dataclass(frozen=True)
class ServeSettings:
    """Which models are served, to which clients, and how.

    Attributes:
        models: `NAME=BUNDLE` or `BUNDLE`; the first is the default. None: as `load_bundle()`.
        host, port: address of the service; port 0 takes a free one.
        token: that clients must send; None: none is needed.
        insecure: accept requests from other machines without a token.
        watch: reload bundles as soon as they change.
        origins: web origins whose pages may use the service.
        min_precision: see `Classifier.with_min_precision`.
        limits: see `Limits`.
        access_log: log one line for each request, on stderr.
    """

    models: Sequence[str] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    insecure: bool = False
    watch: bool = False
    origins: Sequence[str] = ()
    min_precision: float | None = None
    limits: Limits = field(default_factory=Limits)
    access_log: bool = False

    def verify(self) -> None:
        """Check the token, the origins, and that access without a token is intended.

        Raises:
            SettingsError: the token or an origin is invalid, other machines would have access without a token, or a
                bundle that is fetched only once is to be watched.
        """
        far = [text for text in self.models if is_address(text) or is_address(text.partition("=")[2])]
        if self.watch and far:
            raise SettingsError(
                f"--watch works for folders on this disk only, not for {printable(far[0])}: leave out --watch, and "
                "restart the service when the bundle changes"
            )
        if self.token is not None and not re.fullmatch(rf"[!-~]{{{MIN_TOKEN_CHARS},}}", self.token):
            raise SettingsError(
                f"the token must have at least {MIN_TOKEN_CHARS} printable ASCII characters, and no spaces"
            )
        if self.token is None and not self.insecure and not is_loopback(self.host):
            raise SettingsError(
                f"--host {printable(self.host)} gives other machines access: add a --token (or set GENRELAB_TOKEN), "
                "or --insecure to allow access without one"
            )
        for origin in self.origins:
            if origin != origin.lower() or not ORIGIN.fullmatch(origin):
                raise SettingsError(
                    "--allow-origin must be an origin such as https://example.org or http://example.org:8080, in "
                    f"lower case and without a path. Received: {printable(origin)}"
                )


def is_loopback(host: str) -> bool:
    """Is the address reachable from this machine only?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
