"""From several channels to one: their mean, or the loudest of them where they cancel each other out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CANCELLED_SHARE = 0.05
"""Energy of the channels' sum over the sum of their energies: below it (-13 dB) they cancel each other out.

Channels that have nothing in common give 1 (0 dB), however many they are. In an hour of real stereo music every stretch
of 30 s gives -1.2 dB or more, and every second -2.9 dB or more. With one channel inverted only what a codec, a
converter or a room added is left in the mean, which is then not the music: -15 dB or less in quiet music by a lossy
codec.
"""

STEP = 13
"""One of so many samples is looked at: enough to tell 13 dB, and decoding is not slower for it."""

NO_SOUND = 1e-9
"""Energy over that of constant offsets: what is less (-90 dB) is rounding, and nothing that could cancel."""

CANCELLED = "its channels cancel each other out: only the loudest one is used"
"""Said of a file where that was found."""

Samples = NDArray[np.float32]


class Mixer:
    """Mixes blocks of one window, and measures whether their channels cancel each other out.

    Args:
        channels: how many there are.
        only: use this channel alone; None: the mean of all.
        each: measure the energy of each channel; without it only that of all together, which is much faster.
    """

    def __init__(self, channels: int, *, only: int | None = None, each: bool = False) -> None:
        self._channels, self._each = channels, each
        self._weights = np.full(channels, 1 / channels, np.float32)
        if only is not None:
            self._weights[:] = np.arange(channels) == only
        self._of_mean, self._of_all, self._n = 0.0, 0.0, 0
        self._of_each, self._sums = np.zeros(channels), np.zeros(channels)
        self._sums_of_each, self._n_of_each = np.zeros(channels), 0

    def mix(self, x: Samples, out: Samples | None = None) -> Samples:
        """One channel, shape (samples,), of a block of shape (samples, channels); written to `out` if that is given.

        A block of another number of channels, as in an MP3 that changes from mono to stereo, counts with their mean.
        """
        x = with_channels(x, self._channels)
        if self._channels == 1:
            if out is None:
                return x[:, 0]
            out[:] = x[:, 0]
            return out
        y: Samples = np.matmul(x, self._weights, out=out)
        some, few = y[::STEP].astype(np.float64), x[::STEP].astype(np.float64)
        with np.errstate(invalid="ignore"):  # samples that are not finite: `clips.check` refuses them
            self._of_mean += float((some * some).sum())  # no product of vectors: BLAS would wake all its threads
            self._of_all += float((few * few).sum())
            self._sums += [float(one.sum()) for one in few.T]
            self._n += len(few)
            if self._each:
                self._of_each += [float(np.dot(one, one)) for one in x.T]
                self._sums_of_each += [float(one.sum(dtype=np.float64)) for one in x.T]
                self._n_of_each += len(x)
        return y

    @property
    def cancelled(self) -> bool:
        """Do the channels of what was mixed cancel each other out? A constant offset of a channel is no sound."""
        if not self._n or not np.isfinite(self._of_all):
            return False
        total = self._of_all - float(np.dot(self._sums, self._sums)) / self._n
        of_mean = self._of_mean - float(self._sums.mean()) ** 2 / self._n
        return total > NO_SOUND * self._of_all and of_mean * self._channels**2 < CANCELLED_SHARE * total

    @property
    def loudest(self) -> int:
        """The channel of the most energy; measured with `each`."""
        offsets = self._sums_of_each**2 / max(self._n_of_each, 1)
        offsets[offsets < CANCELLED_SHARE * self._of_each] = 0  # too weak to matter: rounding must not decide
        return int((self._of_each - offsets).argmax())


def mix_window(channels: int, decode: Callable[[Mixer], Samples]) -> tuple[Samples, bool]:
    """Mono samples of a window, and whether one channel stands for all because they cancel each other out.

    Each window is judged by itself: the same window gives the same samples whatever was read before it, and a stretch
    whose channels agree keeps their mean.

    Args:
        decode: decodes the window, mixes its blocks with a mixer, and joins them; called again for the rare file whose
            channels cancel each other out.
    """
    mixer = Mixer(channels)
    y = decode(mixer)
    if not mixer.cancelled:
        return y, False
    measuring = Mixer(channels, each=True)
    decode(measuring)
    return decode(Mixer(channels, only=measuring.loudest)), True


def with_channels(x: Samples, channels: int) -> Samples:
    """A block of shape (samples, any number) with this number of channels: its own, or their mean in each."""
    if x.shape[1] == channels:
        return x
    return np.repeat(x.mean(axis=1, keepdims=True, dtype=np.float32), channels, axis=1)
