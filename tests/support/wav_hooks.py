"""For schemathesis: files, which its random bytes are not, and the names of models, which only a token tells."""

from __future__ import annotations

import io
from typing import Any

import schemathesis
import soundfile
from hypothesis import strategies

from tests.support.bundles import noise

SR = 8_000


def wav(seed: int) -> bytes:
    """A second and a half of noise."""
    out = io.BytesIO()
    soundfile.write(out, noise(1.5, SR, seed), SR, format="WAV", subtype="PCM_16")
    return out.getvalue()


FILES = strategies.sampled_from([wav(seed) for seed in range(3)])

schemathesis.openapi.format("binary", FILES)
for kind in ("audio/*", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, FILES)


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """What a service without a token says itself."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in ("model", "name"):
                    parameter["schema"]["enum"] = ["one", "two"]
