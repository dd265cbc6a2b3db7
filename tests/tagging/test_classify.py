"""Which genres of a prediction count, and how they are called."""

from __future__ import annotations

import pytest

from genrelab.core.errors import SettingsError
from genrelab.identity.genre_map import GenreMap
from genrelab.predict.prediction import NOT_MUSIC, UNKNOWN, UNSURE, Decision, Prediction
from genrelab.tagging.classify import GenreChoice


def prediction(genre: str | None = None, because: str | None = None, **p: float) -> Prediction:
    best = max(p, key=lambda g: p[g])
    return Prediction("a.mp3", genre or best, p[best], p, 61.4, "svm", None, unknown_because=because)


def test_at_most_so_many_genres_count_the_most_probable_first() -> None:
    found = prediction(rock=0.2, hiphop=0.4, jazz=0.3, folk=0.1, disco=0.0)
    for n, expected in ((1, ("hiphop",)), (3, ("hiphop", "jazz", "rock")), (9, ("hiphop", "jazz", "rock", "folk"))):
        assert GenreChoice(0.0, n).genres(found) == expected
    assert GenreChoice(0.3, 3).genres(found) == ("hiphop", "jazz")
    assert GenreChoice(0.5, 3).genres(found) == ()


def test_further_genres_need_their_own_threshold() -> None:
    found = prediction(rock=0.2, hiphop=0.4, jazz=0.3, folk=0.1)
    decision = Decision({"rock": 0.2, "hiphop": 0.4, "jazz": None, "folk": 0.2})
    assert GenreChoice(0.0, 3, decision).genres(decision(found)) == ("hiphop", "rock")
    assert GenreChoice(0.25, 3, decision).genres(decision(found)) == ("hiphop",), "both limits count"
    too_high = Decision({"rock": 0.1, "hiphop": 0.5, "jazz": 0.1, "folk": 0.1})
    assert GenreChoice(0.0, 3, too_high).genres(too_high(found)) == (), "without the first none counts"


def test_names_are_usual_unless_they_are_the_owners_words() -> None:
    assert GenreChoice().names(["hiphop", "Dark Polka"]) == ("Hip-Hop", "Dark Polka")
    assert GenreChoice(own_names=True).names(["hiphop", "rock"]) == ("hiphop", "rock")
    mapped = GenreMap({"hiphop": ("rap", "Black Music"), "rock": ()})
    assert GenreChoice(genre_map=mapped).names(["hiphop", "rock", "metal"]) == ("rap", "Black Music", "Metal")
    assert GenreChoice(genre_map=mapped).names(["metal"], as_written=True) == ("metal",)
    assert GenreChoice(genre_map=mapped).names(["rock"]) == ()


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (prediction(rock=0.3), "perhaps Rock; confidence below 50 %"),
        (prediction(UNKNOWN, UNSURE, hiphop=0.3), "perhaps Hip-Hop; Hip-Hop needs a confidence of 83 %"),
        (prediction(UNKNOWN, UNSURE, rock=0.3), "perhaps Rock; Rock needs a confidence of 55 %"),
        (prediction(UNKNOWN, UNSURE, jazz=0.9), "perhaps Jazz; too few calibration tracks for Jazz at this precision"),
        (prediction(UNKNOWN, NOT_MUSIC, rock=0.9), "does not sound like music"),
    ],
)
def test_doubts_are_given_a_reason(found: Prediction, reason: str) -> None:
    assert GenreChoice().genres(found) == ()
    decision = Decision({"rock": 0.55, "hiphop": 0.823, "jazz": None})
    assert GenreChoice(decision=decision).doubt(found) == reason


def test_same_genre_in_another_spelling_is_the_same_unless_a_map_says_how_it_is_spelled() -> None:
    assert GenreChoice().same(("hip hop", "JAZZ"), ("Hip-Hop", "Jazz"))
    assert not GenreChoice().same(("Jazz", "Hip-Hop"), ("Hip-Hop", "Jazz"))
    mapped = GenreChoice(genre_map=GenreMap({}))
    assert mapped.same(("Jazz",), ("Jazz",)) and not mapped.same(("jazz",), ("Jazz",))


@pytest.mark.parametrize(("settings", "option"), [((1.1,), "--min-confidence"), ((0.5, 0), "--genres")])
def test_impossible_choices_are_refused(settings: tuple[float, ...], option: str) -> None:
    with pytest.raises(SettingsError, match=option):
        GenreChoice(*settings)  # type: ignore[arg-type]
