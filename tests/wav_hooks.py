"""For schemathesis: what its random bytes are not, the files that the service asks for."""

from __future__ import annotations

import io

import schemathesis
import soundfile
from bundles import noise
from hypothesis import strategies

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
