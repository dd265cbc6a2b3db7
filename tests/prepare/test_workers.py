from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from genrelab.core.config import PrepareSettings, SamplesView
from genrelab.core.errors import PreparedError
from genrelab.prepare import workers
from genrelab.prepare.make_piece import make_piece
from genrelab.prepare.work_unit import Item, Piece
from genrelab.records.prepared import open_prepared
from tests.support.guards import HANG_S

PREPARE = """
import sys
from pathlib import Path
from genrelab.core.config import PrepareSettings, SamplesView
from genrelab.datasets.base import DatasetOptions
from genrelab.datasets import folder
from genrelab.prepare.pipeline import prepare
if __name__ == "__main__":
    settings = PrepareSettings(views=(SamplesView(n_samples=500),), shard_tracks=12)
    prepare(folder.load(Path(sys.argv[1]), DatasetOptions()), sys.argv[2], settings, jobs=2, notify=print)
"""

CRASH = """
import os
import genrelab.audio.clips
from pathlib import Path
clips = genrelab.audio.clips.read_clips
def crash(path, *args, **kwargs):
    if str(path).endswith((os.path.join("ambient", "0.wav"), os.path.join("choir", "5.wav"))):
        os._exit(11)  # as a decoder does on a hostile file
    return clips(path, *args, **kwargs)
genrelab.audio.clips.read_clips = crash
"""


@pytest.mark.slow
def test_file_that_crashes_the_decoder_is_counted_as_failed(music: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(CRASH)
    script = tmp_path / "script.py"
    script.write_text(PREPARE)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, str(script), str(music), str(tmp_path / "out")]
    run = partial(subprocess.run, check=True, timeout=HANG_S, env=environment, stdout=subprocess.PIPE, text=True)
    messages = run(command).stdout
    assert "28 tracks to decode" in messages
    prepared = open_prepared(str(tmp_path / "out"))
    broken = [prepared.tracks["track_id"][i] for i, s in enumerate(prepared.tracks["status"]) if s == "failed"]
    assert broken == ["ambient/0.wav", "beat/broken.mp3", "choir/5.wav"]
    assert "crashed" in prepared.tracks["error"][prepared.tracks["track_id"].index("choir/5.wav")]
    assert None not in prepared.tracks["sha256"]
    again = run(command).stdout
    assert "up to date" in again


def _pieces(work: Path, n: int) -> list[Piece]:
    return [Piece(i, str(work), (Item(i, f"{i}.wav"),), PrepareSettings(views=(SamplesView(),))) for i in range(n)]


def _fake_pool(pool: Callable[[list[Piece]], dict[int, float | None]]) -> Callable[..., Iterator[object]]:
    def results(function: object, pieces: list[Piece], *, jobs: int) -> Iterator[tuple[int, float | None]]:
        yield from pool(pieces).items()

    return results


def test_piece_that_crashes_a_worker_is_made_again_without_the_track(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, made = list[list[tuple[int, list[int]]]](), list[int]()

    def pool(pieces: list[Piece]) -> dict[int, float | None]:
        calls.append([(p.number, sorted(p.crashed)) for p in pieces])
        for piece in pieces:
            piece.marker.write_text(str(piece.number))
        return {i: None if p.number in (2, 3) and not p.crashed else 1.0 for i, p in enumerate(pieces)}

    monkeypatch.setattr(workers, "map_in_processes", _fake_pool(pool))
    workers.make_pieces(_pieces(tmp_path, 5), jobs=2, done=lambda piece, _: made.append(piece.number))
    assert calls == [[(n, []) for n in range(5)], [(2, [2]), (3, [3])]]
    assert sorted(made) == [0, 1, 2, 3, 4]


def test_worker_that_dies_before_any_track_or_twice_on_one_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "map_in_processes", _fake_pool(lambda pieces: dict.fromkeys(range(len(pieces)))))
    with pytest.raises(PreparedError, match="before it read a track: there may be too little memory"):
        workers.make_pieces(_pieces(tmp_path, 3), jobs=2, done=lambda *_: None)
    pieces = _pieces(tmp_path, 1)
    pieces[0].marker.write_text("0")
    with pytest.raises(PreparedError, match=r"^0\.wav: a worker died on it twice: is there enough memory"):
        workers.make_pieces(pieces, jobs=2, done=lambda *_: None)


def _make_piece_in_seven_seconds(piece: Piece) -> float:
    make_piece(piece)
    return 7.0


def test_progress_callback_can_stop_all_pieces(music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.make_piece, "make_piece", _make_piece_in_seven_seconds)
    reported: list[tuple[int, float]] = []

    def done(piece: Piece, seconds: float) -> None:
        reported.append((piece.number, seconds))
        raise PreparedError("enough")

    settings = PrepareSettings(views=(SamplesView(),))
    pieces = [Piece(i, str(tmp_path), (Item(i, str(music / "beat" / "0.wav")),), settings) for i in range(30)]
    with pytest.raises(PreparedError, match="enough"):
        workers.make_pieces(pieces, jobs=1, done=done)
    ((number, seconds),) = reported
    assert number in (0, 1) and seconds == 7.0, "one piece waits behind the one in work: either may be reported first"
    assert pieces[0].folder.exists() and not pieces[-1].folder.exists()
