"""The genre in the tags of one file, and where it comes from, whatever the container."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrelab.core.errors import TagError
from genrelab.tagging.formats import Ape, Asf, Flac, Mp4, TagFormat, Vorbis
from genrelab.tagging.id3 import Id3, Mp3, Wave

PROVENANCE = "GENRELAB"
"""The field that says who wrote a genre."""

_FORMATS: Mapping[str, TagFormat] = {
    "MP3": Mp3(),
    "WAVE": Wave(),
    "AIFF": Id3(),
    "FLAC": Flac(),
    **dict.fromkeys(("OggVorbis", "OggOpus", "OggFLAC", "OggSpeex", "OggTheora"), Vorbis()),
    "MP4": Mp4(),
    "ASF": Asf(),
    **dict.fromkeys(("WavPack", "Musepack", "MonkeysAudio", "OptimFROG", "TAK"), Ape()),
}
"""By the name of mutagen's class."""

NO_TAGS = (
    "this container has no tags that can be written: MP3, FLAC, Ogg, Opus, MP4, WAV, AIFF, WMA and WavPack have them"
)


@dataclass(frozen=True)
class GenreTag:
    """What a file says of its genre.

    Attributes:
        kind: mutagen's class for it.
        field: the field that this is about; None: the genre's own.
        values: what stands in that field, as it is written.
        genres: the same in words, without what is blank; where that is nothing, genres from elsewhere in the file: an
            ID3 or APEv2 tag around an MP3, a FLAC or what has APEv2 tags, the INFO list of a WAV.
        provenance: what stands in our own field.
    """

    kind: Any
    field: str | None
    values: tuple[str, ...]
    genres: tuple[str, ...]
    provenance: tuple[str, ...]


def read(path: Path, field: str | None = None) -> GenreTag:
    """What a file says of its genre, or in the field `field`.

    Raises:
        TagError: not a container with tags, or damaged.
        OSError: it cannot be read.
    """
    with _mutagen_errors(path):
        family, kind = _format_of(path)
        tags = family.load(kind, path).tags
        key = family.key(field)
        genres = _non_blank(family.words(tags, key) if tags is not None else ())
        if not genres and field is None:
            genres = _non_blank(family.elsewhere(path))
        return GenreTag(kind, field, _values(family, tags, key), genres, _values(family, tags, family.key(PROVENANCE)))


def write(path: Path, found: GenreTag, values: Sequence[str], provenance: Sequence[str]) -> None:
    """Puts values into the field and into our own; every other tag stays, and this is checked. No values: no field.

    Args:
        path: a copy of the file that `found` was read from; it is changed in place.
        found: what `read` said.
        values: genres, as they are to be written.
        provenance: such as `genrelab 0.2.0 svm p=0.83`.

    Raises:
        TagError: it cannot be written without loss. The copy is then of no use.
        OSError: reading or writing fails.
    """
    with _mutagen_errors(path):
        family = _FORMATS[found.kind.__name__]
        own = {family.key(found.field): list(values), family.key(PROVENANCE): list(provenance)}
        audio = family.load(found.kind, path)
        before = _other_tags(family, audio, own)
        family.save(audio, path, own)
        audio = family.load(found.kind, path)
        if lost := before - _other_tags(family, audio, own):
            raise TagError(path, f"saving would change another tag ({min(lost)[0] or 'an unknown frame'}): not tagged")
        if any(_values(family, audio.tags, key) != tuple(wanted) for key, wanted in own.items()):
            raise TagError(path, "its tags do not read back as they were written: not tagged")


def artist_and_title(path: Path) -> tuple[str, str]:
    """Artist and title; empty where a file does not say.

    Raises:
        TagError: not a container with tags, or damaged.
        OSError: it cannot be read.
    """
    with _mutagen_errors(path):
        family, kind = _format_of(path)
        tags = family.load(kind, path).tags
        artist, title = (", ".join(_non_blank(_values(family, tags, key))) for key in (family.artist, family.title))
        return artist, title


@contextmanager
def _mutagen_errors(path: Path) -> Iterator[None]:
    """Whatever mutagen lets through of a damaged file becomes an error that names it."""
    try:
        yield
    except (TagError, OSError):
        raise
    except Exception as e:
        raise TagError(path, f"its tags cannot be used: {str(e) or type(e).__name__}") from e


def _format_of(path: Path) -> tuple[TagFormat, Any]:
    import mutagen

    kind = type(mutagen.File(path))
    if kind.__name__ not in _FORMATS:
        raise TagError(path, NO_TAGS)
    return _FORMATS[kind.__name__], kind


def _values(family: TagFormat, tags: Any, key: str) -> tuple[str, ...]:
    return tuple(family.get(tags, key)) if tags is not None else ()


def _non_blank(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(v.strip() for v in values if v.strip())


def _other_tags(family: TagFormat, audio: Any, own: Iterable[str]) -> Counter[tuple[str, str]]:
    mine = {key.casefold() for key in own}
    items = family.items(audio) if audio.tags is not None else ()
    return Counter((key, value) for key, value in items if key.casefold() not in mine)
