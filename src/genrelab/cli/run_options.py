"""Groups of options for preparing and training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from genrelab.cli.options import Jobs, Models, flag, value_option


@dataclass(frozen=True)
class PrepareOptions:
    """What `prepare` computes, and with how many workers."""

    views: Annotated[
        str | None,
        value_option(
            "NAMES",
            "Views (kinds of features) to compute: statistics, samples, mel_image, embedding, log_mel, descriptors, "
            "frames, rhythm or all.  [default: the first four]",
        ),
    ] = None
    fma_exact: Annotated[bool, flag("--fma-exact", "Compute `statistics` exactly as in FMA's features.csv.")] = False
    view_option: Annotated[
        list[str] | None,
        value_option(
            "VIEW.SETTING=VALUE", "Change a setting of a view, such as samples.n_samples=5000; can be repeated."
        ),
    ] = None
    clip_s: Annotated[
        float,
        typer.Option("--clip-s", min=0.5, max=600.0, metavar="SECONDS", help="Cut longer tracks into clips this long."),
    ] = 30.0
    jobs: Jobs = None


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a model is trained."""

    split: Annotated[
        str,
        value_option(
            "NAME",
            "auto, official, artist, random, or article (as in Hermez et al. 2020: an artist may be in the training "
            "and the test set).",
        ),
    ] = "auto"
    epochs: Annotated[
        int,
        value_option(
            "N",
            "Maximum for a network; it stops earlier if the validation tracks show no further gain, except with "
            "--no-early-stopping.",
        ),
    ] = 100
    no_early_stopping: Annotated[
        bool,
        flag(
            "--no-early-stopping",
            "Networks run all --epochs; the weights of the epoch that is best on the validation tracks are used.",
        ),
    ] = False
    seed: Annotated[int, value_option("N", "The same seed gives the same results.")] = 42
    preset: Annotated[
        str,
        value_option(
            "NAME",
            "default, or article: as Hermez et al. 2020, with two SVMs, unclipped features, and networks that run all "
            "--epochs and keep the weights of the last one.",
        ),
    ] = "default"
    view: Annotated[
        str | None,
        value_option(
            "NAME",
            "Prepared features that classical models train on: statistics, table, descriptors, embedding, frames "
            "(with --pca) or rhythm (tempo, beat, key and dynamics).",
        ),
    ] = None
    pca: Annotated[
        float | None,
        value_option(
            "X",
            "PCA for classical models: below 1, the share of the variance to keep; otherwise the number of components.",
        ),
    ] = None
    class_weight: Annotated[str, value_option("NAME", "auto, balanced or none.")] = "auto"
    imagenet_weights: Annotated[
        str, value_option("FILE", "mobilenet_v2: auto, a file, or none (random initialisation).")
    ] = "auto"
    fine_tune: Annotated[int, value_option("N", "mobilenet_v2: also train the last N blocks of the base.")] = 0
    strategy: Annotated[str, value_option("NAME", "Device: auto, cpu, gpu or tpu.")] = "auto"


@dataclass(frozen=True, kw_only=True)
class TrainOptions(FitOptions):
    """Which models are trained, and how."""

    models: Models = "all"
    strict: Annotated[
        bool, flag("--strict", "Stop at a damaged file in PREPARED; otherwise its tracks are left out.")
    ] = False
    from_study: Annotated[
        str | None, value_option("RUN", "Use the best hyper-parameters that `tune` found in RUN.")
    ] = None


@dataclass(frozen=True)
class RunOptions:
    """Further options for training: what to do with earlier results, and studies of its models."""

    resume: Annotated[bool, flag("--resume", "Continue interrupted training in RUN.")] = False
    overwrite: Annotated[bool, flag("--overwrite", "Replace the results in RUN.")] = False
    allow_leaks: Annotated[
        bool, flag("--allow-leaks", "Train even if copies of a recording are in the training and test sets.")
    ] = False
    honesty: Annotated[
        bool, flag("--honesty", "Also train under every split: how much of the accuracy is leakage?")
    ] = False
    learning_curve: Annotated[
        bool, flag("--learning-curve", "Also train on 10, 25 and 50 % of the tracks: would more help?")
    ] = False
    robustness: Annotated[
        bool, flag("--robustness", "Also classify altered test tracks: MP3 at 64 kbit/s, clipped, noisy and others.")
    ] = False
    summary: Annotated[bool, flag("--summary", "Also print Keras' summary of each network, on stderr.")] = False
    doubts: Annotated[bool, flag("--doubts", "Write RUN/doubts.csv: tracks whose label may be wrong.")] = False

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the requested studies."""
        names = ("honesty", "learning_curve", "robustness", "doubts")
        return tuple(n.replace("_", "-") for n in names if getattr(self, n))
