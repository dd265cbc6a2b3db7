"""Settings as frozen dataclasses.

Views turn a clip (at most `clip_s` seconds of one track, mono float32) into arrays. A view's settings are stored in
`dataset.json` and in every bundle, so that serving uses the same numbers as training.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

from genrelab.core.errors import SettingsError
from genrelab.core.hyperparameters import SHARED, validated_params

MIN_CONFIDENCE = 0.5
"""A genre with a lower confidence is more likely wrong than right; it is not written without calibration."""

SCHEMA_VERSION = 1
"""Format version of PREPARED and RUN folders."""

PARTS = ("training", "validation", "test", "excluded")
"""The parts of a split, in reading order."""


def _require_positive(settings: object, *names: str) -> None:
    for name in names:
        if not getattr(settings, name) > 0:
            raise SettingsError(f"{name} must be above 0. Received: {getattr(settings, name)}")


def _require_one_of(option: str, value: str | None, known: tuple[str | None, ...]) -> None:
    if value not in known:
        raise SettingsError(f"{option} must be one of {', '.join(k for k in known if k)}. Received: {value}")


def _require_defaults(view: Any, why: str, *names: str) -> None:
    for f in dataclasses.fields(view):
        if f.name in names and getattr(view, f.name) != f.default:
            received = getattr(view, f.name)
            raise SettingsError(f"view {view.name}: {f.name} must be {f.default}: {why}. Received: {received}")


@dataclass(frozen=True)
class ClipSettings:
    """Which stretches of a track are used."""

    clip_s: float = 30.0  # a longer track becomes several clips of this length; a shorter one is one clip
    tolerance: float = 0.05  # 30.01 s (GTZAN) or 29.98 s (FMA) is still one whole clip
    max_clips: int = 10  # per track; those of a longer one are spread evenly over it
    min_s: float = 0.5  # shorter tracks are counted as failures

    def __post_init__(self) -> None:
        _require_positive(self, "clip_s", "max_clips", "min_s")


EMBEDDING_CLIPS = ClipSettings(clip_s=3.0, max_clips=10)
"""For bundles that read `embedding`: each clip is one window of the networks, so that two may be enough."""


@dataclass(frozen=True)
class MelImageView:
    """Log-mel spectrogram of a whole clip as one square image, in dB below its loudest bin (float16).

    The hop is chosen so that the clip's own length fills the image: padding 2 s to 30 s costs 10 to 15
    percentage points of accuracy.
    """

    name: ClassVar[str] = "mel_image"
    dtype: ClassVar[str] = "<f2"
    sr: int = 22_050
    n_fft: int = 2_048
    size: int = 224  # frames and mel bands
    min_hop: int = 64
    top_db: float = 80.0

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, n_mels)."""
        return (self.size, self.size)

    def hop_length(self, n_samples: int) -> int:
        """2,953 for 30 s at 22,050 Hz; never below `min_hop`."""
        return max(self.min_hop, n_samples // self.size)


@dataclass(frozen=True)
class LogMelView:
    """Log-mel windows for convolutional networks, in dB below each window's loudest bin (float16)."""

    name: ClassVar[str] = "log_mel"
    dtype: ClassVar[str] = "<f2"
    sr: int = 22_050
    n_fft: int = 2_048
    hop_length: int = 512
    n_mels: int = 128
    window_s: float = 3.0
    hop_s: float = 3.0
    top_db: float = 80.0

    @property
    def n_frames(self) -> int:
        """Frames per window (129 at the default settings)."""
        return int(self.window_s * self.sr) // self.hop_length

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, n_mels)."""
        return (self.n_frames, self.n_mels)


@dataclass(frozen=True)
class SamplesView:
    """The article's raw audio: the first `n_samples` samples of the track (float32)."""

    name: ClassVar[str] = "samples"
    dtype: ClassVar[str] = "<f4"
    sr: int = 44_100
    n_samples: int = 10_000

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples,)."""
        return (self.n_samples,)


@dataclass(frozen=True)
class StatisticsView:
    """FMA's 518 statistics of a whole clip: 7 moments of 74 rows of 11 features (float32).

    With `fma_exact` the clip keeps its native rate and the columns follow FMA's recipe with its quirk
    (centroid, bandwidth, contrast, rolloff and chroma_stft assume a rate of 22,050 Hz).
    """

    name: ClassVar[str] = "statistics"
    dtype: ClassVar[str] = "<f4"
    sr: int = 22_050
    n_fft: int = 2_048
    hop_length: int = 512
    n_mfcc: int = 20
    n_mels: int = 128
    fma_exact: bool = False

    def __post_init__(self) -> None:
        _require_defaults(self, "FMA's 518 columns are computed with it", "n_mfcc", "n_mels")

    @property
    def shape(self) -> tuple[int, ...]:
        """(statistics,)."""
        return (518,)


@dataclass(frozen=True)
class DescriptorsView:
    """The 518 statistics and 230 descriptors of how the timbre changes (float32).

    These are covariances of the MFCC and variances of their steps. On short windows they separate genres better than
    the statistics alone.
    """

    name: ClassVar[str] = "descriptors"
    dtype: ClassVar[str] = "<f4"
    sr: int = 22_050
    n_fft: int = 2_048
    hop_length: int = 512
    n_mfcc: int = 20
    n_mels: int = 128

    def __post_init__(self) -> None:
        _require_defaults(self, "the names of the 748 columns depend on it", "n_mfcc", "n_mels")

    @property
    def shape(self) -> tuple[int, ...]:
        """(518 statistics + covariances and steps of the MFCC,)."""
        return (518 + self.n_mfcc * (self.n_mfcc + 3) // 2,)


@dataclass(frozen=True)
class FramesView:
    """The article's frame matrix: 12 chroma, centroid, rolloff, zero-crossing rate and 20 MFCC per frame (float32)."""

    name: ClassVar[str] = "frames"
    dtype: ClassVar[str] = "<f4"
    sr: int = 44_100
    n_fft: int = 2_048
    hop_length: int = 512
    n_frames: int = 2_582
    n_mfcc: int = 20

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, features)."""
        return (self.n_frames, 15 + self.n_mfcc)


@dataclass(frozen=True)
class EmbeddingView:
    """The mean output of frozen music networks over windows of 3 s of a clip (float32).

    Windows are spread evenly over the clip; for 30 s five are as good as ten (docs/results.md). The networks were
    trained with these numbers, except `max_windows`.
    """

    name: ClassVar[str] = "embedding"
    dtype: ClassVar[str] = "<f4"
    networks: tuple[str, ...] = ("msd_musicnn", "msd_vgg")
    sr: int = 16_000
    n_fft: int = 512
    hop_length: int = 256
    n_mels: int = 96
    n_frames: int = 187
    max_windows: int = 5

    def __post_init__(self) -> None:
        numbers = (self.networks, self.sr, self.n_fft, self.hop_length, self.n_mels, self.n_frames)
        if numbers != (tuple(NETWORK_OUTPUTS), 16_000, 512, 256, 96, 187):
            raise SettingsError(
                "view embedding: its networks were trained with their own settings, of which only max_windows can be "
                f"changed; a file with others needs the version of genrelab that wrote it. Received: {numbers}"
            )
        _require_positive(self, "max_windows")

    @property
    def window_s(self) -> float:
        """Seconds that a window lasts (2.992)."""
        return self.n_frames * self.hop_length / self.sr

    @property
    def shape(self) -> tuple[int, ...]:
        """(outputs of all networks,)."""
        return (sum(NETWORK_OUTPUTS.values()),)


@dataclass(frozen=True)
class RhythmView:
    """Tempo, beat, key, harmonic change and dynamics of a whole clip as 61 numbers (float32)."""

    name: ClassVar[str] = "rhythm"
    dtype: ClassVar[str] = "<f4"
    sr: int = 22_050
    n_fft: int = 2_048
    hop_length: int = 512

    def __post_init__(self) -> None:
        _require_defaults(self, "the choice of the tempo was fitted with it", "sr", "n_fft", "hop_length")

    @property
    def shape(self) -> tuple[int, ...]:
        """(columns,)."""
        return (61,)


NETWORK_OUTPUTS = {"msd_musicnn": 200, "msd_vgg": 256}
"""Outputs of each network in `features/networks`, in the order of the columns of the view `embedding`."""


@dataclass(frozen=True)
class TableView:
    """Columns of a table of precomputed features (float32), without audio."""

    name: ClassVar[str] = "table"
    dtype: ClassVar[str] = "<f4"
    columns: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """(columns,)."""
        return (len(self.columns),)


View = (
    StatisticsView
    | SamplesView
    | MelImageView
    | EmbeddingView
    | LogMelView
    | DescriptorsView
    | FramesView
    | RhythmView
    | TableView
)
VIEWS: dict[str, type[View]] = {view.name: view for view in get_args(View)}
PARQUET_VIEWS: tuple[str, ...] = ("statistics", "embedding", "rhythm", "table")
"""Views stored in `features.parquet`; the others are stored in shards."""
FIRST_CLIP_VIEWS: tuple[str, ...] = ("samples", "frames")
"""Views that use the first clip of a track only, however long it is, as the article's models do."""
DEFAULT_VIEWS: tuple[str, ...] = ("statistics", "samples", "mel_image", "embedding")
"""Views that the models of `--models all` read."""

FLAT_VIEWS: tuple[str, ...] = ("statistics", "table", "descriptors", "frames", "embedding", "rhythm")
"""Views that the classical models can read, each window as one row."""

SEED_LIMIT = 2**32
"""NumPy's legacy generator, which scikit-learn and Keras use, accepts seeds below this."""


def view_to_json(view: View) -> dict[str, Any]:
    """Settings of a view with its name, dtype and shape, as stored in `dataset.json` and `bundle.json`."""
    return {"name": view.name, "dtype": view.dtype, "shape": list(view.shape), **dataclasses.asdict(view)}


def view_from_json(stored: dict[str, Any]) -> View:
    """The inverse of `view_to_json`.

    Raises:
        SettingsError: an unknown view, an unknown setting, or a shape that does not follow from the settings.
    """
    numbers = {k: v for k, v in stored.items() if k not in ("name", "dtype", "shape")}
    cls = VIEWS.get(str(stored.get("name")))
    if cls is None:
        raise SettingsError(f"unknown view {stored.get('name')!r}: use one of {', '.join(VIEWS)}")
    numbers |= {k: tuple(v) for k, v in numbers.items() if isinstance(v, list)}
    try:
        view = cls(**numbers)
        fits = list(view.shape) == list(stored.get("shape", ())) and view.dtype == stored.get("dtype")
    except TypeError as e:
        raise SettingsError(f"view {cls.name}: {e}") from e
    if not fits:
        raise SettingsError(f"view {cls.name}: shape {stored.get('shape')} does not follow from its settings")
    return view


CLIP_CHOICE_KEY, CLIP_CHOICE = "clips_of_more", "first and middles"
"""Key and value in the settings for how clips of a track with more than `max_clips` are chosen (`clips.clip_starts`).
Earlier versions chose other clips and wrote no such key; these must not be mixed.
"""


@dataclass(frozen=True)
class PrepareSettings:
    """What `prepare` computes; the same settings and inputs give the same bytes."""

    views: tuple[View, ...] = field(default_factory=lambda: tuple(VIEWS[n]() for n in DEFAULT_VIEWS))
    clips: ClipSettings = field(default_factory=ClipSettings)
    shard_tracks: int = 250  # maximum number of tracks in a shard; the same tracks in every view

    def __post_init__(self) -> None:
        _require_positive(self, "shard_tracks")
        names = [v.name for v in self.views]
        if len(set(names)) < len(names):
            raise SettingsError(f"--views names a view twice: {', '.join(names)}")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; the order of the views does not matter."""
        return {
            "views": {v.name: view_to_json(v) for v in sorted(self.views, key=lambda v: v.name)},
            "clips": dataclasses.asdict(self.clips),
            CLIP_CHOICE_KEY: CLIP_CHOICE,
            "shard_tracks": self.shard_tracks,
        }


@dataclass(frozen=True)
class TrainSettings:
    """How models are trained: everything that changes a number in the leaderboard."""

    models: tuple[str, ...] = ()  # empty: all
    split: str = "auto"
    seed: int = 42
    epochs: int = 100
    patience: int = 10  # epochs without a better validation loss before training stops
    early_stopping: bool = True  # if not, networks run all `epochs`, as always with the preset `article`
    batch_size: int = 32  # on a TPU 16 per core
    preset: str = "default"  # or `article`
    view: str | None = None  # for the classical models; None: `statistics`
    pca: float | None = None  # below 1 a share of variance, else a number of components
    class_weight: str = "auto"  # `balanced`, `none`; auto balances where genre sizes differ by half or more
    imagenet_weights: str = "auto"
    fine_tune: int = 0  # the last N blocks of the frozen base
    strategy: str = "auto"
    strict: bool = False  # stop at the first corrupt record
    # Hyper-parameters by model, as in `hyperparameters.SPACES`; copied and validated, never changed afterwards.
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _require_positive(self, "epochs", "patience", "batch_size")
        _require_one_of("--preset", self.preset, ("default", "article"))
        _require_one_of("--class-weight", self.class_weight, ("auto", "balanced", "none"))
        _require_one_of("--strategy", self.strategy, ("auto", "cpu", "gpu", "tpu"))
        _require_one_of("--split", self.split, ("auto", "official", "artist", "random", "article"))
        _require_one_of("--view", self.view, (None, *FLAT_VIEWS))
        if len(set(self.models)) < len(self.models):
            raise SettingsError(f"--models names a model twice: {', '.join(self.models)}")
        if not 0 <= self.seed < SEED_LIMIT:
            raise SettingsError(f"--seed must be 0 or more and below {SEED_LIMIT}. Received: {self.seed}")
        if self.pca is not None and not 0 < self.pca < math.inf:
            raise SettingsError(
                "--pca must be above 0: a share of the variance below 1, or a number of components. Received: "
                f"{self.pca}"
            )
        if self.fine_tune < 0:
            raise SettingsError(f"--fine-tune must be 0 or more blocks. Received: {self.fine_tune}")
        object.__setattr__(self, "params", validated_params(self.params))

    @property
    def stops_early(self) -> bool:
        """Do networks stop before `epochs` where more of them do not help?"""
        return self.early_stopping and not self.uses_last_epoch

    @property
    def uses_last_epoch(self) -> bool:
        """Do networks use the weights of their last epoch, as the article did, instead of the best one's?"""
        return self.preset == "article"

    def of(self, model: str) -> TrainSettings:
        """The settings for one model: its own hyper-parameters override the options of the same name."""
        own = self.params.get(model, {})
        return dataclasses.replace(self, **{name: own[name] for name in SHARED if name in own})

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return dataclasses.asdict(self)
