"""Every failure that genrelab knows, in one small tree.

    GenrelabError
    ├── SettingsError      an option or a configuration value that cannot be
    ├── DatasetError       ROOT, its tables or its labels
    ├── DecodeError        one audio file (`.path` names it)
    ├── PreparedError      PREPARED is missing, unfinished, damaged or holds other settings
    ├── SplitError         a split that would leave nothing to learn or nothing to test
    ├── ModelError         a model that cannot be trained or exported
    │   └── MissingNeed    something that it needs is not on this machine
    ├── BundleError        a bundle that is missing, changed or of an unknown version
    ├── TagError           tags of one file, or a journal of tags (`.path` names it)
    └── DownloadError      an archive that cannot be fetched or does not match its checksum

A message says what, which, and what now, in one line. The command line prints it and exits 1.
"""

from __future__ import annotations

from pathlib import Path


class GenrelabError(Exception):
    """Base of all known failures. The message is written for the user, in one line."""


class SettingsError(GenrelabError):
    """An option or a configuration value that cannot be."""


class DatasetError(GenrelabError):
    """A ROOT that fits no dataset, or whose tables or labels do not add up."""


class DecodeError(GenrelabError):
    """One audio file that cannot be used.

    Args:
        path: the file.
        reason: the decoder's own words, or what was found in the samples.
        stage: `read` (the file itself), `decode`, or `check` (silent, too short, not finite).
    """

    def __init__(self, path: str | Path, reason: str, *, stage: str = "decode") -> None:
        self.path, self.reason, self.stage = str(path), " ".join(str(reason).split()), stage
        super().__init__(f"{printable(self.path)}: {self.reason}")

    def __reduce__(self) -> tuple[object, ...]:  # crosses process borders with its parts
        return (_decode_error, (self.path, self.reason, self.stage))


def _decode_error(path: str, reason: str, stage: str) -> DecodeError:
    return DecodeError(path, reason, stage=stage)


class PreparedError(GenrelabError):
    """A PREPARED folder that is missing, unfinished, damaged, or holds other settings."""


class SplitError(GenrelabError):
    """A split that would leave a genre without training tracks, or nothing to test."""


class ModelError(GenrelabError):
    """A model that cannot be trained, or cannot be exported."""


class MissingRequirementError(ModelError):
    """Something that a model needs is not on this machine; under `--models all` it is listed as not run."""


class BundleError(GenrelabError):
    """A bundle that is missing, changed, or of a version that this genrelab does not know."""


class TagError(GenrelabError):
    """Tags of one file that cannot be read, written or restored, or a journal of tags that cannot be used.

    Args:
        path: the file.
        reason: what is in the way, and what now.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        self.path, self.reason = str(path), " ".join(reason.split())
        super().__init__(f"{printable(self.path)}: {self.reason}")


class DownloadError(GenrelabError):
    """An archive that cannot be fetched, or that does not match its published checksum."""


def printable(name: str) -> str:
    """`name` with newlines and other control characters escaped, so that it stays on one line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
