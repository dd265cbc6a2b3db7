"""Every error that genrelab raises on purpose.

    GenrelabError
    ├── SettingsError                an invalid option or configuration value
    ├── DatasetError                 ROOT, its tables or its labels
    ├── DecodeError                  one audio file (`.path` names it)
    ├── PreparedError                PREPARED is missing, unfinished, damaged or has other settings
    ├── SplitError                   a split without training tracks or without test tracks
    ├── ModelError                   a model that cannot be trained or exported
    │   └── MissingRequirementError  one of its requirements is not installed
    ├── BundleError                  a bundle that is missing, changed or of an unknown version
    ├── TagError                     tags of one file, or a journal of tags (`.path` names it)
    └── DownloadError                an archive that cannot be fetched or does not match its checksum

A message names the problem, the file or value, and the remedy in one line. The command line prints it and exits 1.
"""

from __future__ import annotations

from pathlib import Path


class GenrelabError(Exception):
    """Base of all known errors. The message is written for the user, in one line."""


class SettingsError(GenrelabError):
    """An invalid option or configuration value."""


class DatasetError(GenrelabError):
    """A ROOT that matches no dataset, or whose tables or labels are inconsistent."""


class DecodeError(GenrelabError):
    """One audio file that cannot be used.

    Args:
        path: the file.
        reason: the decoder's message, or the problem of the samples.
        stage: `read` (the file itself), `decode`, or `check` (silent, too short, not finite).
    """

    def __init__(self, path: str | Path, reason: str, *, stage: str = "decode") -> None:
        self.path, self.reason, self.stage = str(path), " ".join(str(reason).split()), stage
        super().__init__(f"{printable(self.path)}: {self.reason}")

    def __reduce__(self) -> tuple[object, ...]:  # keeps the attributes when pickled between processes
        return DecodeError, (self.path, self.reason), {"stage": self.stage}


class PreparedError(GenrelabError):
    """A PREPARED folder that is missing, unfinished, damaged, or has other settings."""


class SplitError(GenrelabError):
    """A split that would leave a genre without training tracks, or no test tracks."""


class ModelError(GenrelabError):
    """A model that cannot be trained, or cannot be exported."""


class MissingRequirementError(ModelError):
    """A requirement of a model is not installed; `--models all` lists the model as not trained."""


class BundleError(GenrelabError):
    """A bundle that is missing, changed, or of a version that this genrelab cannot read."""


class TagError(GenrelabError):
    """Tags of one file that cannot be read, written or restored, or a journal of tags that cannot be used.

    Args:
        path: the file.
        reason: the problem and the remedy.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        self.path, self.reason = str(path), " ".join(reason.split())
        super().__init__(f"{printable(self.path)}: {self.reason}")


class DownloadError(GenrelabError):
    """An archive that cannot be fetched, or that does not match its published checksum."""


def printable(name: str) -> str:
    """`name` with newlines and other control characters escaped, so that it stays on one line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
