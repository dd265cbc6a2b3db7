"""One person is one person however credited; who shares a track is one group; ids come before names."""

from __future__ import annotations

import unicodedata

import pytest

from genrelab.identity.artist_names import is_no_artist, name_key, people_in
from genrelab.identity.artists import ArtistGroups, Credit, link_artists

VARIOUS = "89ad4ac3-39f7-470e-963a-56509c546377"


def by(*names: str, **more: object) -> Credit:
    return Credit(names=names, **more)  # type: ignore[arg-type]


def linked(*credited: Credit, others: int = 30) -> ArtistGroups:
    """These credits among tracks of unrelated artists, so that no name is frequent."""
    found = link_artists([*credited, *(by(f"Other{'abcdefghij'[i % 10]}{i}") for i in range(others))])
    assert len({*found.artists[len(credited) :]}) == others, "strangers stay apart"
    return ArtistGroups(found.artists[: len(credited)], found.notes)


@pytest.mark.parametrize(
    "spellings",
    [
        ("Björk", "BJORK", "bjo\u0308rk", " Björk ", "ｂｊöｒｋ"),
        ("The Beatles", "Beatles, The", "beatles", "THE  BEATLES"),
        ("Jay-Z", "JAY Z", "Jay‐Z", "jayz"),
        ("Guns N' Roses", "Guns N’ Roses", "guns n roses"),
        ("Simon & Garfunkel", "Simon and Garfunkel", "simon + garfunkel"),
        ("Mø", "MO"),
        ("Straße", "STRASSE"),
        ("!!!", " !!! "),
        ("Кино", "КИНО"),
    ],
)
def test_spellings_of_a_name_are_one(spellings: tuple[str, ...]) -> None:
    assert len(set(map(name_key, spellings))) == 1
    assert len(set(linked(*map(by, spellings)).artists)) == 1


@pytest.mark.parametrize(("a", "b"), [("!!!", "???"), ("U2", "U96"), ("Bach", "Bache"), ("हिन्दी", "हिन्द"), ("1", "2")])
def test_different_names_stay_different(a: str, b: str) -> None:
    assert name_key(a) != name_key(b)
    assert len(set(linked(by(a), by(b)).artists)) == 2


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Anna feat. Ben", ("Anna", "Ben")),
        ("Anna (ft Ben & Cleo)", ("Anna", "Ben", "Cleo")),
        ("Anna [featuring Ben]", ("Anna", "Ben")),
        ("Anna; Ben;Cleo", ("Anna", "Ben", "Cleo")),
        ("Anna with Ben", ("Anna", "Ben")),
        ("Anna, Ben and Cleo", ("Anna", "Ben", "Cleo")),
        ("Anna vs. Ben", ("Anna", "Ben")),
        ("Anna / Ben", ("Anna", "Ben")),
        ("Anna &amp; Ben", ("Anna", "Ben")),
        ("Beatles, The & Ben", ("The Beatles", "Ben")),
        ("Anna feat. Various Artists", ("Anna",)),
        ("Duke & His Orchestra", ("Duke",)),
        ("Anna and Friends", ("Anna",)),
        ("Sammy Davis, Jr.", ("Sammy Davis",)),
        ("AC/DC", ("AC/DC",)),
        ("10,000 Maniacs", ("10,000 Maniacs",)),
        ("Andy Feather", ("Andy Feather",)),
        ("Malcolm X", ("Malcolm X",)),
        ("Band", ("Band",)),
        ("Various Artists", ()),
        ("", ()),
    ],
)
def test_the_people_of_a_credit(text: str, people: tuple[str, ...]) -> None:
    assert people_in([text]) == people


def test_whoever_shares_a_track_is_one_group() -> None:
    artists = linked(by("Anna feat. Ben"), by("Ben"), by("Cleo & Ben"), by("cleo"), by("Dora")).artists
    assert len(set(artists[:4])) == 1 and artists[4] == "Dora"


def test_several_values_of_a_tag_are_several_people() -> None:
    artists = linked(by("Anna", "Ben"), by("Ben"), by("Anna")).artists
    assert len(set(artists)) == 1


def test_a_group_is_named_by_the_credit_that_all_its_tracks_have_else_by_its_people() -> None:
    assert linked(by("Earth, Wind & Fire"), by("Earth, Wind and Fire")).artists[0] == "Earth, Wind & Fire"
    assert linked(by("Ben"), by("Ben"), by("Anna feat. Ben")).artists == ("Ben, Anna",) * 3
    many = linked(*(by(f"Ben feat. {name}") for name in ("Anna", "Cleo", "Dora", "Emil")))
    assert many.artists[0] == "Ben, Anna, Cleo and 2 more"


def test_ids_come_before_names() -> None:
    two = linked(by("Nirvana", ids=("a",)), by("Nirvana", ids=("b",)))
    assert two.artists == ("Nirvana", "Nirvana [2]"), "two bands of one name"
    one = linked(by("Prince", ids=("p",)), by("The Artist", ids=("p",)), by("O(+>", ids=("P",)))
    assert len(set(one.artists)) == 1


def test_a_name_without_an_id_is_everybody_who_is_known_by_it() -> None:
    assert len(set(linked(by("Nirvana", ids=("a",)), by("nirvana")).artists)) == 1
    assert len(set(linked(by("Nirvana", ids=("a",)), by("Nirvana", ids=("b",)), by("Nirvana")).artists)) == 1


@pytest.mark.parametrize("ids", [("a", "b"), ("a/b",), ("a;b",), ("A; B",)])
def test_ids_are_those_of_the_people_in_their_order(ids: tuple[str, ...]) -> None:
    artists = linked(by("Anna feat. Ben", ids=ids), by("Ben"), by("Bennie", ids=("b",)), by("Anna", ids=("a",))).artists
    assert len(set(artists)) == 1


def test_members_of_a_band_are_linked_though_the_band_has_an_id() -> None:
    found = linked(by("Bob Marley & The Wailers", ids=("w",)), by("Bob Marley", ids=("m",)), by("Marley", ids=("x",)))
    assert len(set(found.artists[:2])) == 1 != len(set(found.artists))


def test_the_albums_artist_counts_except_on_compilations() -> None:
    a, b, c, d = linked(
        by("Anna", album_names=("Boss",)), by("Ben", album_names=("boss",)),
        by("Cleo", album_names=("Boss",), compilation=True), by("Dora", album_names=("Boss", "Various Artists")),
    ).artists  # fmt: skip
    assert a == b and len({a, c, d}) == 3
    assert linked(Credit(album_names=("Anna",)), by("Anna")).artists == ("Anna", "Anna")


@pytest.mark.parametrize(
    "name",
    ["Various Artists", "VARIOUS", "V.A.", "va", "V/A", "[unknown]", "Unknown Artist", "", "Verschiedene Interpreten",
     "Artistes divers", "AA.VV.", "<Unknown>", "Vários artistas"],
)  # fmt: skip
def test_names_that_mean_nobody_link_nobody(name: str) -> None:
    assert is_no_artist(name)
    found = linked(by(name), by(name), by("Anna", album_names=(name,)))
    assert found.artists[:2] == (None, None) and found.artists[2] == "Anna"


def test_nobody_is_counted_and_their_id_links_nobody_either() -> None:
    found = linked(by("Various Artists"), by("Diverse", ids=(VARIOUS,)), by("Anna", "Unknown"))
    assert found.artists == (None, None, "Anna")
    assert "2 tracks by Various Artists or the like: the artist counts as unknown" in found.notes


def test_a_name_on_over_a_fifth_of_the_tracks_links_nobody_and_that_is_said() -> None:
    guests = [by(f"Guest{name} feat. Host") for name in "ABCDEFGH"]
    alone = [by(f"Guest{name}") for name in "ABCDEFGH"]
    found = linked(*guests, *alone, others=20)
    assert len(set(found.artists)) == 8 and found.artists[:8] == found.artists[8:]
    note = next(
        note
        for note in found.notes
        if note.startswith("not used to join artists, because they are credited on more than 20 %")
    )
    assert "Host (22 %)" in note


def test_tracks_that_a_frequent_artist_leads_stay_with_that_artist() -> None:
    found = linked(*[by("Star")] * 9, by("Star feat. Guest"), by("Star & Star Band"), others=20)
    assert len(set(found.artists)) == 1


def test_every_artist_of_a_small_collection_is_kept_together() -> None:
    artists = link_artists([by("Anna")] * 4 + [by("Ben")] * 4 + [by("ANNA")]).artists
    assert artists == ("Anna",) * 4 + ("Ben",) * 4 + ("Anna",)


def test_notes_count_names_and_people() -> None:
    found = linked(by("Anna"), by("ANNA"), by("Anna feat. Ben"), by("Ben"), others=20)
    assert found.notes[0] == "21 artists from 24 names: spellings of a name and artists of the same track are joined"
    assert link_artists([Credit(), Credit()]) == ArtistGroups((None, None), ())
    assert link_artists([]) == ArtistGroups((), ())


def test_the_order_of_tracks_does_not_change_who_is_together() -> None:
    names = ["Anna feat. Ben", "Ben", "Cleo", "cleo & Dora", "Dora", "Emil", unicodedata.normalize("NFD", "Zoé"), "Zoe"]
    credited = [by(name) for name in names]
    there, back = link_artists(credited).artists, link_artists(credited[::-1]).artists[::-1]
    assert [a == b for a in there for b in there] == [a == b for a in back for b in back]


def test_a_text_shows_what_was_written_once() -> None:
    assert by("Anna feat. Ben", "Anna", "Ben").text == "Anna feat. Ben"
    assert by("Anna", "Ben").text == "Anna; Ben"
    assert Credit(album_names=("Anna",)).text == "Anna" and Credit().text is None and by("").text is None
    assert len(set(linked(by("Anna feat. Ben", "Anna", "Ben", ids=("a", "b")), by("Bennie", ids=("b",))).artists)) == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Bach, Johann Sebastian", "Johann Sebastian Bach"),
        ("Ärzte, Die", "Die Ärzte"),
        ("Beatles (The)", "The Beatles"),
        ("Anna，Ben", "Ben"),
        ("Anna；Ben", "Ben"),
        ("Anna // Ben", "Ben"),
        ("A Tribe Called Quest", "Tribe Called Quest"),
        ("Guns N' Roses", "Guns 'n' Roses"),
    ],
)
def test_further_forms_of_one_person(a: str, b: str) -> None:
    assert len(set(linked(by(a), by(b)).artists)) == 1


def test_first_names_behind_a_comma_join_no_strangers() -> None:
    names = ["Bowie, David", "Gilmour, David", "Byrne, David", "Wagner, Richard", "Strauss, Richard"]
    found = link_artists([by(name) for name in names])
    assert found.artists == tuple(" ".join(name.split(", ")[::-1]) for name in names)
    together = link_artists([*(by(name) for name in names), by("David Bowie"), by("Anna, Ben"), by("Ben")]).artists
    assert together[0] == together[5] and together[6] == together[7] and len(set(together)) == 6


def test_placeholders_are_no_ids() -> None:
    found = linked(by("Anna", ids=("0",)), by("Ben", ids=("0",)), by("Anna", ids=("77",)), by("Ben", ids=("-1",)))
    assert found.artists == ("Anna", "Ben", "Anna", "Ben")


def test_a_band_called_like_nobody_is_somebody_if_its_id_is_known() -> None:
    found = linked(by("Various", ids=("aaaa",)), by("Various", ids=("aaaa",)))
    assert found.artists[0] == found.artists[1] and not is_no_artist(str(found.artists[0]))


def test_a_single_partner_is_linked_however_frequent_the_name_is() -> None:
    assert len(set(link_artists([by("Ann")] * 3 + [by("Ann & Bob"), by("Bob"), by("Cy"), by("Di")]).artists[:5])) == 1


def test_a_group_of_most_tracks_is_reported() -> None:
    chain = [by(f"P{a} & P{b}") for a, b in ("ab", "bc", "cd", "de", "ef", "fg")]
    found = linked(*chain, others=12)
    assert any(note.startswith("33 % of the tracks are by one group of 7 people") for note in found.notes)


def test_names_of_groups_do_not_depend_on_the_order_of_tracks() -> None:
    credited = [by("Anna & Ben"), by("Ben"), by("Anna"), by("Nirvana", ids=("a",)), by("Nirvana", ids=("b",))]
    assert link_artists(credited[::-1]).artists == link_artists(credited).artists[::-1]


def test_long_texts_take_no_time(no_waiting: None) -> None:
    for text in (" " * 5_000 + "x", "a " * 5_000, "(" * 5_000, "feat " * 2_000):
        assert len(linked(by(text)).artists) == 1
