"""From several channels to one: their mean, or the loudest of them where they cancel each other out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

CANCELLED_SHARE = 0.05
"""Energy of the channels' sum over the sum of their energies: below this (-13 dB) they cancel each other out.

Unrelated channels have 1 (0 dB), whatever their number. In an hour of real stereo music every stretch of 30 s has
-1.2 dB or more, and every second -2.9 dB or more. If one channel is inverted, the mean only has what a codec, a
converter or a room added: -15 dB or less in quiet music with a lossy codec.
"""

STEP = 13
"""Every 13th sample is measured: accurate enough, and decoding takes no longer."""

NO_SOUND = 1e-9
"""Energy over that of constant offsets: less (-90 dB) is rounding, not sound."""

CANCELLED = "its channels cancel each other out: only the loudest one is used"
"""The note on such a file."""

Samples = NDArray[np.float32]


class Mixer:
    """Mixes blocks of one window, and measures whether their channels cancel each other out.

    Args:
        channels: their number.
        only: use this channel; None: the mean of all.
    """

    def __init__(self, channels: int, *, only: int | None = None) -> None:
        self._channels = channels
        self._weights = np.full(channels, 1 / channels, np.float32)
        if only is not None:
            self._weights[:] = np.arange(channels) == only
        self._of_mean, self._n = 0.0, 0
        self._of_each, self._sums = np.zeros(channels), np.zeros(channels)

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
        some, few = y[::STEP].astype(np.float64), np.ascontiguousarray(x[::STEP].T).astype(np.float64)
        with np.errstate(invalid="ignore"):  # samples that are not finite: `clips` refuses them
            self._of_mean += float((some * some).sum())  # no product of vectors: BLAS would start all its threads
            self._of_each += [float((one * one).sum()) for one in few]
            self._sums += [float(one.sum()) for one in few]
            self._n += len(some)
        return y

    @property
    def cancelled(self) -> bool:
        """Do the channels cancel each other out? A constant offset of a channel is not sound."""
        of_all = float(self._of_each.sum())
        if not self._n or not np.isfinite(of_all):
            return False
        total = of_all - float(np.dot(self._sums, self._sums)) / self._n
        of_mean = self._of_mean - float(self._sums.mean()) ** 2 / self._n
        return total > NO_SOUND * of_all and of_mean * self._channels**2 < CANCELLED_SHARE * total

    @property
    def loudest(self) -> int:
        """The channel with the most energy."""
        offsets = self._sums**2 / max(self._n, 1)
        offsets[offsets < CANCELLED_SHARE * self._of_each] = 0  # too weak to matter, so that rounding does not decide
        return int((self._of_each - offsets).argmax())


def mix_window(channels: int, decode: Callable[[Mixer], Samples]) -> tuple[Samples, bool]:
    """Mono samples of a window, and whether its channels cancel each other out, so that only the loudest is used.

    Each window is mixed by itself: its samples do not depend on what was read before.

    Args:
        decode: decodes the window, mixes its blocks with a mixer, and joins them; called again if channels cancel.
    """
    mixer = Mixer(channels)
    y = decode(mixer)
    if not mixer.cancelled:
        return y, False
    return decode(Mixer(channels, only=mixer.loudest)), True


def with_channels(x: Samples, channels: int) -> Samples:
    """A block of shape (samples, any number) with this number of channels: its own, or their mean in each."""
    if x.shape[1] == channels:
        return x
    return np.repeat(x.mean(axis=1, keepdims=True, dtype=np.float32), channels, axis=1)
