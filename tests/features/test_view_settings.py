"""Settings of views from the command line: converted, checked, tried on noise, or refused with the choices."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from genrelab.core.config import (
    VIEWS,
    EmbeddingView,
    FramesView,
    LogMelView,
    MelImageView,
    SamplesView,
    StatisticsView,
    TableView,
    View,
)
from genrelab.core.errors import SettingsError
from genrelab.features.view_settings import MAX_WINDOW_VALUES, check_numbers, view_options, with_view_options
from genrelab.features.views import compute

ALL = tuple(view() for view in get_args(View) if view.name != "table")


def test_options_change_the_named_settings_and_nothing_else() -> None:
    options = ["samples.n_samples=5000", " samples.sr=22050 ", "mel_image.size=96"]
    options += ["statistics.fma_exact=True", "log_mel.window_s=2.5", "embedding.max_windows=3"]
    changed = {
        "samples": SamplesView(sr=22_050, n_samples=5_000), "mel_image": MelImageView(size=96),
        "statistics": StatisticsView(fma_exact=True), "log_mel": LogMelView(window_s=2.5),
        "embedding": EmbeddingView(max_windows=3),
    }  # fmt: skip
    assert with_view_options(ALL, options) == tuple(changed.get(view.name, view) for view in ALL)
    assert with_view_options(ALL, ()) == ALL


def test_every_number_of_every_view_has_a_limit() -> None:
    for view in ALL:
        for name, value in vars(view).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                for wrong in (-1, 0, 10**9):
                    with pytest.raises(SettingsError, match=rf"{name} (cannot be {wrong}|must be)"):
                        with_view_options(ALL, [f"{view.name}.{name}={wrong}"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("samples", r"samples: give VIEW\.SETTING=VALUE, such as samples\.n_samples=5000"),
        ("samples.sr", r"give VIEW\.SETTING=VALUE"),
        ("sample.sr=8000", r"unknown view 'sample': use statistics, samples, mel_image, "),
        ("samples.rate=8000", r"the view samples has no setting 'rate': use sr, n_samples"),
        ("samples.sr=8 kHz", r"sr must be a whole number\. Received: '8 kHz'"),
        ("samples.sr=8000.5", r"sr must be a whole number"),
        ("mel_image.top_db=loud", r"top_db must be a number\. Received: 'loud'"),
        ("mel_image.top_db=nan", r"top_db cannot be nan"),
        ("mel_image.top_db=10000000", r"top_db cannot be 10000000\.0: it must be above 0 and at most 1,000$"),
        ("log_mel.top_db=65505", r"top_db cannot be 65505\.0: it must be above 0 and at most 1,000$"),
        ("statistics.sr=192001", r"sr cannot be 192001: it must be above 0 and at most 192,000$"),
        ("embedding.depth=3", r"has no setting 'depth': use sr, n_fft, hop_length, n_mels, n_frames and 1 more$"),
        ("statistics.fma_exact=1", r"fma_exact must be true or false"),
        ("log_mel.hop_length=1", r"hop_length must be at least n_fft / 100"),
        ("statistics.hop_length=500", r"features of frames need a hop_length of 64, 128"),
        ("statistics.sr=8000", r"at least 12,800 Hz"),
        ("statistics.n_mfcc=13", r"view statistics: n_mfcc must be 20: FMA's 518 columns are computed with it"),
        ("descriptors.n_mels=64", r"view descriptors: n_mels must be 128"),
        ("embedding.sr=22050", r"its networks were trained with their own settings, of which only max_windows"),
        ("embedding.networks=vgg", r"its networks were trained with their own settings"),
        ("table.columns=a", r"the columns of a table are those of its file; --drop leaves some out"),
        ("frames.n_frames=1000000", rf"one window would have 35,000,000 numbers, and at most {MAX_WINDOW_VALUES:,}"),
        ("log_mel.window_s=0.001", r"one window would have 0 numbers"),
        ("samples.sr=\x1b[2J", r"--view-option samples\.sr=\\x1b\[2J"),
    ],
)
def test_unusable_option_is_refused_by_name(option: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as e:
        with_view_options(ALL, [option])
    assert str(e.value).startswith("--view-option ") and str(e.value).isprintable()


def test_errors_show_the_options_as_they_were_typed() -> None:
    for option in ("mel_image.top_db=1e9", "statistics.sr=+8_000", "statistics.fma_exact=TRUE"):
        others = ["statistics.hop_length=500"] if option.endswith("TRUE") else []
        with pytest.raises(SettingsError) as e:
            with_view_options(ALL, [option, *others])
        given = " ".join(f"--view-option {text}" for text in [option, *others])
        assert str(e.value).startswith(f"{given}: ")


def test_options_of_views_give_these_views_again() -> None:
    changed = (SamplesView(n_samples=5_000, sr=22_050), StatisticsView(fma_exact=True), LogMelView(window_s=2.5))
    words = view_options(changed)
    assert words.startswith(" --view-option samples.sr=22050 --view-option samples.n_samples=5000 --view-option stat")
    options = words.split(" --view-option ")[1:]
    assert with_view_options((SamplesView(), StatisticsView(), LogMelView()), options) == changed
    assert view_options(ALL) == "" and view_options([TableView(columns=("a",))]) == ""


@pytest.mark.parametrize("view", [MelImageView(size=16), LogMelView(n_mels=8)], ids=lambda view: str(view.name))
def test_decibels_at_the_limit_are_finite_numbers(view: View) -> None:
    (changed,) = with_view_options((view,), [f"{view.name}.top_db=1000"])
    silence_and_click = np.zeros(44_100, np.float32)
    silence_and_click[-400:] = 1
    windows = [window.x for window in compute(changed, silence_and_click, 22_050)]
    assert np.isfinite(windows).all() and np.min(windows) < -80


def test_option_for_a_view_that_is_not_prepared_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"the view frames is not prepared: name it in --views, too \(now: samples"):
        with_view_options((SamplesView(), StatisticsView()), ["frames.n_frames=100"])


def test_one_setting_cannot_have_two_values() -> None:
    with pytest.raises(SettingsError, match=r"samples\.sr is given twice, with different values"):
        with_view_options(ALL, ["samples.sr=8000", "samples.sr=9000"])
    changed = dict(zip(VIEWS, with_view_options(ALL, ["samples.sr=8000", "samples.sr=8000"]), strict=False))
    assert changed["samples"] == SamplesView(sr=8_000)


def test_a_view_that_is_listed_twice_stays_listed_twice() -> None:
    assert with_view_options((SamplesView(), SamplesView()), ()) == (SamplesView(), SamplesView())


def test_a_failure_of_the_computation_is_an_error_of_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise IndexError("index 5 is out of bounds")

    monkeypatch.setattr("genrelab.features.views.compute", fail)
    with pytest.raises(SettingsError, match=r"frames cannot be computed with these settings \(index 5 is out of"):
        with_view_options((FramesView(),), ["frames.n_fft=1024"])


def test_numbers_of_a_file_must_be_complete() -> None:
    with pytest.raises(SettingsError, match="n_samples is missing"):
        check_numbers(SamplesView, {"sr": 8_000})
