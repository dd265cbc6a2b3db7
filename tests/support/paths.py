"""Where the parts of the project lie."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "src" / "genrelab"
SUPPORT = PROJECT / "tests" / "support"
STARTER = PACKAGE / "bundle" / "starter"
SHARED = PROJECT.parent / "shared"
