"""The genre in the tags of one file, its origin, and tempo and key, whatever the container.

Genres are read from all tags of a file (`audio/file_tags.py`), and written into the tag that players read first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from genrelab.audio.clips import probe
from genrelab.audio.file_tags import read_file_tags
from genrelab.core.errors import DecodeError, TagError
from genrelab.identity.genres import separate_genres
from genrelab.tagging.formats import KEY, TEMPO, Ape, Asf, Flac, Mp4, TagFormat, Vorbis
from genrelab.tagging.id3 import Id3, Mp3, refuse_flac_after_tags

PROVENANCE = "GENRELAB"
"""The field with the origin of a genre: version, model and confidence."""

_FORMATS: Mapping[str, TagFormat] = {
    "MP3": Mp3(),
    "WAVE": Id3(),
    "AIFF": Id3(),
    "FLAC": Flac(),
    **dict.fromkeys(("OggVorbis", "OggOpus", "OggFLAC", "OggSpeex", "OggTheora"), Vorbis()),
    "MP4": Mp4(),
    "ASF": Asf(),
    **dict.fromkeys(("WavPack", "Musepack", "MonkeysAudio", "OptimFROG", "TAK"), Ape()),
}
"""Keys: names of mutagen's classes."""

NO_TAGS = "this format has no tags that can be written; MP3, FLAC, Ogg, Opus, MP4, WAV, AIFF, WMA and WavPack have them"


DAMAGED_TAGS = "its tags are damaged: repair them with a tag editor"


@dataclass(frozen=True)
class GenreTag:
    """The genre tag of a file.

    Attributes:
        kind: mutagen's class for the file.
        field: the field that was read; None: the genre field.
        values: raw values of that field, in the tag that is written.
        genres: the genres in that field (see `separate_genres`). Of the genre field, the first tag in the file that
            names a genre counts, such as a second ID3v2 tag, APEv2, or the INFO list of a WAV.
        no_genre: without a genre, the text in its place that names none, such as `Other`.
        provenance: values of the field with the origin.
        music: for TEMPO and KEY, the keys to write in that tag, and their raw values. A name is missing if a value
            is not plain text, such as binary data, which `untag` could not restore in a file that was edited.
    """

    kind: Any
    field: str | None
    values: tuple[str, ...]
    genres: tuple[str, ...]
    no_genre: tuple[str, ...]
    provenance: tuple[str, ...]
    music: Mapping[str, Mapping[str, tuple[str, ...]]]

    def has_music(self, name: str, texts: tuple[str, ...]) -> bool:
        """Do all keys to write for TEMPO or KEY have these values?"""
        return name in self.music and all(values == texts for values in self.music[name].values())


def read(path: Path, field: str | None = None) -> GenreTag:
    """Read the genre of a file, or its field `field`.

    Raises:
        TagError: not a container with tags, or damaged.
        OSError: it cannot be read.
    """
    with _mutagen_errors(path):
        tag_format, kind = _format_of(path)
        tags = tag_format.load(kind, path).tags
        values = _values(tag_format, tags, tag_format.key(field))
        provenance = _values(tag_format, tags, tag_format.key(PROVENANCE))
        music = {name: _values_of(tag_format, tags, tag_format.music_keys(tags, name)) for name in (TEMPO, KEY)}
        if tags is not None:
            keeps = partial(tag_format.keeps_its_form, tags)
            music = {name: values for name, values in music.items() if all(map(keeps, values))}
    texts = values if field is not None else read_file_tags(path).genres
    genres = separate_genres(texts)
    no_genre = () if genres else tuple(text.strip() for text in texts if text.strip())
    return GenreTag(kind, field, values, genres, no_genre, provenance, music)


def read_genres(path: Path, field: str | None = None) -> tuple[str, ...]:
    """The genres of a file, or those in its field `field`. The genre field is read even if it cannot be written.

    Raises:
        TagError: see `read`; only with `field`.
        OSError: it cannot be read.
    """
    return separate_genres(read_file_tags(path).genres) if field is None else read(path, field).genres


def read_music(path: Path) -> dict[str, tuple[str, ...]]:
    """TEMPO and KEY of a file, from all its tags.

    Raises:
        OSError: it cannot be read.
    """
    found = read_file_tags(path)
    return {TEMPO: found.tempo, KEY: found.key}


def read_keys(path: Path, keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Raw values of these keys of the tag that is written.

    Raises:
        TagError: not a container with tags, or damaged.
        OSError: it cannot be read.
    """
    with _mutagen_errors(path):
        tag_format, kind = _format_of(path)
        return _values_of(tag_format, tag_format.load(kind, path).tags, keys)


def write(
    path: Path,
    found: GenreTag,
    values: Sequence[str] | None,
    provenance: Sequence[str],
    music: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write fields, and check that every other tag is kept. A field without values is removed.

    Args:
        path: a copy of the file of `found`; it is changed in place.
        found: the result of `read`.
        values: genres to write; None: the genre and its origin stay.
        provenance: the origin, such as `genrelab 0.3.0 svm p=0.83`.
        music: keys of tempo and key, and the values to write.

    Raises:
        TagError: it cannot be written without loss. The copy is then unusable.
        OSError: reading or writing fails.
    """
    with _mutagen_errors(path):
        tag_format = _FORMATS[found.kind.__name__]
        audio = tag_format.load(found.kind, path)
        new_values = {key: list(texts) for key, texts in (music or {}).items()}
        if values is not None:
            new_values |= {tag_format.key(found.field): list(values), tag_format.key(PROVENANCE): list(provenance)}
        before, around = _other_tags(tag_format, audio, new_values), tag_format.other_blocks(path)
        tag_format.save(audio, path, new_values)
        audio = tag_format.load(found.kind, path)
        if lost := before - _other_tags(tag_format, audio, new_values):
            raise TagError(path, f"saving would change another tag ({min(lost)[0] or 'an unknown frame'}): not tagged")
        if tag_format.other_blocks(path) != around:
            raise TagError(path, "saving would change another tag before or after the audio: not tagged")
        if any(_values(tag_format, audio.tags, key) != tuple(wanted) for key, wanted in new_values.items()):
            raise TagError(path, "the written tags cannot be read back: not tagged")


def artist_and_title(path: Path) -> tuple[str, str]:
    """Artist and title, from all tags of a file; empty if it has none.

    Raises:
        OSError: it cannot be read.
    """
    found = read_file_tags(path)
    return ", ".join(found.artist), found.title or ""


def duration_s(path: Path) -> float | None:
    """Length in seconds by the header of the file; None if it states none.

    Raises:
        TagError: not a container with tags, or damaged.
        OSError: it cannot be read.
    """
    with _mutagen_errors(path):
        tag_format, kind = _format_of(path)
        length = getattr(tag_format.load(kind, path).info, "length", None)
        return float(length) if length else None


@contextmanager
def _mutagen_errors(path: Path) -> Iterator[None]:
    """Turn any exception of mutagen on a damaged file into a TagError, with the reader's reason if it is no audio."""
    try:
        yield
    except (TagError, OSError):
        raise
    except Exception as e:
        raise TagError(path, _why_undecodable(path) or DAMAGED_TAGS) from e


def _why_undecodable(path: Path) -> str | None:
    try:
        probe(path)
    except DecodeError as e:
        return e.reason
    return None


def _format_of(path: Path) -> tuple[TagFormat, Any]:
    import mutagen

    refuse_flac_after_tags(path)
    kind = type(mutagen.File(path))
    if kind.__name__ not in _FORMATS:
        raise TagError(path, _why_undecodable(path) or NO_TAGS)
    return _FORMATS[kind.__name__], kind


def _values(tag_format: TagFormat, tags: Any, key: str) -> tuple[str, ...]:
    return tuple(tag_format.get(tags, key)) if tags is not None else ()


def _values_of(tag_format: TagFormat, tags: Any, keys: Iterable[str]) -> dict[str, tuple[str, ...]]:
    return {key: _values(tag_format, tags, key) for key in keys}


def _other_tags(tag_format: TagFormat, audio: Any, our_keys: Iterable[str]) -> Counter[tuple[str, str]]:
    our_keys_folded = {key.casefold() for key in our_keys}
    items = tag_format.items(audio) if audio.tags is not None else ()
    return Counter((key, value) for key, value in items if key.casefold() not in our_keys_folded)
