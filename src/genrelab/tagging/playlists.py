"""One playlist per genre or descriptive tag of a library, and one for the other tracks; `m3u.py` writes the files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genrelab.audio.files import find_audio_files
from genrelab.core.errors import DecodeError, SettingsError, TagError
from genrelab.core.progress import Notify, ignore
from genrelab.identity.genre_names import spelling_key
from genrelab.identity.genres import most_frequent
from genrelab.predict.prediction import NOT_MUSIC, Prediction
from genrelab.tagging import m3u, tags
from genrelab.tagging.classify import Classify, GenreChoice

UNSURE, UNTAGGED = "unsure", "untagged"
"""Playlists of tracks without a genre, and of tracks without a descriptive tag."""


@dataclass(frozen=True)
class PlaylistSettings:
    """Which playlists are written.

    Attributes:
        choice: which genres are used, and their names.
        prefer_tags: use the genres in a file's own tags, if any, instead of classifying it.
        by_tag: one playlist for each descriptive tag of the model, instead of genres; `choice.min_confidence` is its
            minimum probability.
        exclude: patterns of excluded files (see `find_audio_files`).
    """

    choice: GenreChoice = field(default_factory=GenreChoice)
    prefer_tags: bool = False
    by_tag: bool = False
    exclude: Sequence[str] = ()


@dataclass(frozen=True)
class PlaylistResult:
    """The playlists that were written.

    Attributes:
        files: playlist → number of its tracks.
        removed: playlists of an earlier run, of the same kind and folder, that would be empty now; they stay if a track
            failed.
        failed: track → why it is in no playlist.
    """

    files: dict[Path, int]
    removed: tuple[Path, ...]
    failed: dict[str, str]


@dataclass(frozen=True)
class _Found:
    """The playlists of one track.

    Attributes:
        names: its playlists, and the sort key in each; empty: no genre or tag is certain enough.
        confidence: of the model.
        from_tags: are these the genres of its own tags?
        error: why it is in no playlist.
    """

    path: Path
    names: Mapping[str, float]
    confidence: float
    duration_s: float | None
    from_tags: bool = False
    error: str | None = None


class _Lists:
    """Playlists by genre, whatever the spelling; each gets the most frequent spelling in the library's own tags."""

    def __init__(self, *, exact: bool) -> None:
        self.rest: list[m3u.PlaylistItem] = []
        self._key = str if exact else spelling_key
        self._items: dict[str, list[m3u.PlaylistItem]] = defaultdict(list)
        self._own: dict[str, Counter[str]] = defaultdict(Counter)
        self._usual: dict[str, str] = {}

    def add(self, found: _Found, lines: str) -> None:
        if not found.names:
            self.rest.append(m3u.PlaylistItem(found.confidence, found.path, lines))
        for key, name in {self._key(name): name for name in found.names}.items():
            self._items[key].append(m3u.PlaylistItem(found.names[name], found.path, lines))
            if found.from_tags:
                self._own[key][name] += 1
            else:
                self._usual.setdefault(key, name)

    def by_title(self) -> dict[str, list[m3u.PlaylistItem]]:
        """Title → tracks."""
        return {self._title(key): items for key, items in self._items.items()}

    def _title(self, key: str) -> str:
        own = self._own[key]
        return most_frequent(own) if own else self._usual[key]


def write_playlists(
    folder: Path, out: Path, classify: Classify, settings: PlaylistSettings, notify: Notify = ignore
) -> PlaylistResult:
    """Write the playlists of a library; if no track can be in one, all existing ones are kept.

    Args:
        folder: the library.
        out: folder for the playlists; created if missing.
        classify: returns predictions in the order of the files.
        settings: which playlists; tracks without a certain genre go into `unsure.m3u8`, without a tag into
            `untagged.m3u8`.
        notify: called with remarks of the search for files.

    Raises:
        SettingsError: no such folder, `out` cannot be written, or a playlist there was not written by genrelab.
    """
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise SettingsError(f"{folder}: {what}: give the folder with the music")
    files = list(find_audio_files([folder], settings.exclude, notify))
    m3u.make_folder(out)
    failed = {error.path: error.reason for error in files if isinstance(error, DecodeError)}
    lists = _Lists(exact=settings.by_tag or (settings.choice.own_names and not settings.prefer_tags))
    for found in _find([p for p in files if isinstance(p, Path)], classify, settings):
        try:
            if found.error is not None:
                raise ValueError(found.error)
            lists.add(found, m3u.entry(found.path, out, found.duration_s))
        except ValueError as e:
            failed[str(found.path)] = str(e)
    return _write_lists(lists, folder, out, failed, by_tag=settings.by_tag)


def _write_lists(lists: _Lists, folder: Path, out: Path, failed: dict[str, str], *, by_tag: bool) -> PlaylistResult:
    by_title = lists.by_title()
    if not by_title and not lists.rest:  # perhaps the disk with the music is not mounted
        return PlaylistResult({}, (), failed)
    rest = UNTAGGED if by_tag else UNSURE
    files = {out / f"{rest}.m3u8": (rest, lists.rest)}
    for title, name in m3u.file_names(by_title, reserved=rest).items():
        files[out / f"{name}.m3u8"] = (title, by_title[title])
    m3u.check_replaceable(files)
    origin = m3u.origin_of(folder, out, "tag" if by_tag else "genre")
    for file, (title, items) in files.items():
        m3u.write(file, title, items, origin)
    removed = () if failed else m3u.remove_stale(out, files, origin)
    return PlaylistResult({file: len(items) for file, (_, items) in files.items()}, removed, failed)


def _find(files: list[Path], classify: Classify, settings: PlaylistSettings) -> Iterator[_Found]:
    """The playlists of each file: by its own tags if these are preferred and it has any, else by the model."""
    rest = []
    for path in files:
        found = _from_own_tags(path, settings.choice) if settings.prefer_tags else None
        if found is None:
            rest.append(path)
        else:
            yield found
    for path, prediction in zip(rest, classify(rest), strict=True):
        assert prediction.path == str(path), "the prediction belongs to another file"
        yield _from_prediction(path, prediction, settings)


def _from_own_tags(path: Path, choice: GenreChoice) -> _Found | None:
    """None if no tag of the file names a genre, or the file cannot be read; it is then classified."""
    try:
        genres = tags.read_genres(path)
    except OSError:
        return None
    if not genres:
        return None
    names = choice.names(genres, as_written=True)
    return _Found(path, dict.fromkeys(names, 1.0), 1.0, _duration_s(path), from_tags=True)


def _duration_s(path: Path) -> float | None:
    try:
        return tags.duration_s(path)
    except (TagError, OSError):
        return None


def _from_prediction(path: Path, prediction: Prediction, settings: PlaylistSettings) -> _Found:
    choice, confidence, duration_s = settings.choice, prediction.confidence, prediction.duration_s
    if prediction.genre is None or confidence is None:
        return _Found(path, {}, 0.0, None, error=prediction.error or "not classified")
    if not settings.by_tag:
        names = choice.names(choice.genres(prediction))
        return _Found(path, dict.fromkeys(names, confidence), confidence, duration_s)
    found = {} if prediction.unknown_because == NOT_MUSIC else dict(prediction.tags or {})
    by_name: dict[str, float] = {}
    for tag, p in found.items():
        for name in choice.names([tag] if p >= choice.min_confidence else [], as_written=True):
            by_name[name] = max(p, by_name.get(name, 0.0))
    return _Found(path, by_name, max(found.values(), default=0.0), duration_s)
