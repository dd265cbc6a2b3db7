"""The usual name of a genre, whatever a model or a tag calls it: `hiphop` and `Hip Hop` are both `Hip-Hop`.

Names are those of MusicBrainz with capitals, and those of FMA for its top genres.
"""

from __future__ import annotations

import re
import unicodedata

_NAMES_TEXT = (
    "Acid Jazz; Acoustic; Afrobeat; Big Band; Bluegrass; Bossa Nova; Britpop; Dancehall; Death Metal; Disco; "
    "Downtempo; Dub; Dubstep; Easy Listening; Electro; Flamenco; Folk Rock; Funk; Grunge; Hard Rock; Hardcore; "
    "Heavy Metal; Indie Pop; Indie Rock; Industrial; International; Lo-Fi; New Wave; Noise; Opera; Pop Rock; "
    "Post-Punk; Post-Rock; Punk; Punk Rock; Reggae; Reggaeton; Rockabilly; Salsa; Samba; Shoegaze; Ska; Swing; "
    "Synth-Pop; Tango; Techno; Thrash Metal; Trance; Trap; Trip-Hop"
)
_MUSIC_TEXT = (
    "Alternative; Ambient; Blues; Christian; Country; Dance; Experimental; Folk; Gospel; Hip-Hop; House; Indie; "
    "Jazz; Latin; Metal; New Age; Pop; Rap; Rock; Soul; World"
)
"""Genres whose name is also written with `music` behind it."""

_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "A Cappella": ("acapella",),
    "Alternative Rock": ("alt rock", "alternrock"),
    "Audiobook": ("audiobooks",),
    "Breakbeat": ("breakbeats",),
    "Children's Music": ("children", "children's", "kids", "kids music"),
    "Chiptune": ("chiptunes", "8-bit"),
    "Classical": ("classical music", "klassik"),
    "Comedy": ("humour", "humor"),
    "Drum and Bass": ("dnb", "d&b", "drum 'n' bass"),
    "EDM": ("electronic dance music",),
    "Electronic": ("electronica", "electronic music", "elektronik"),
    "Field Recordings": ("field recording",),
    "Hip-Hop/Rap": ("rap and hip-hop", "rap/hip hop", "hip hop and rap"),
    "IDM": ("intelligent dance music",),
    "Instrumental": ("instrumentals",),
    "J-Pop": ("japanese pop",),
    "K-Pop": ("korean pop",),
    "Musical": ("musicals", "show tunes"),
    "Old-Time / Historic": ("old-time", "historic"),
    "Podcast": ("podcasts",),
    "Progressive Rock": ("prog rock",),
    "Psychedelic": ("psychedelia",),
    "R&B": ("rnb", "rhythm and blues"),
    "Rock and Roll": ("rock 'n' roll",),
    "Singer-Songwriter": ("singer and songwriter",),
    "Soul-RnB": ("soul/r&b", "r&b/soul", "soul and r&b", "r&b and soul"),
    "Soundtrack": ("soundtracks", "ost", "original soundtrack", "film score"),
    "Spoken": ("spoken word", "speech"),
}
USUAL_NAMES = (
    dict.fromkeys(_NAMES_TEXT.split("; "), tuple[str, ...]())
    | {name: (f"{name} music".casefold(),) for name in _MUSIC_TEXT.split("; ")}
    | _OTHER_NAMES
)
"""Usual name → other names of the same genre. What differs in case, spaces and punctuation only isn't listed."""

_AND = re.compile(r"[&+]|\band\b", re.IGNORECASE)
_ACCENTS = re.compile("[\u0300-\u036f]")
_LOOKALIKES = str.maketrans("\u2010\u2011\u2012\u2013\u2212\u266f", "-----#")
_ENDS = re.compile(r"(?P<before>[+-]*)(?P<name>.*?)(?P<behind>[+-]*)", re.DOTALL)
_LOOSE_SIGNS = re.compile(r"\s+[+-]+$|^[+-]+\s+(?!\d)")
_NUMBER = re.compile(r"(?P<sign>[+-]?)0*(?P<whole>\d*?)(?:[.,](?P<part>\d*?)0*)?", re.ASCII)
_BETWEEN_DIGITS = re.compile(r"(?<=\d)(?:\s*[^\w\s]+\s*|[\s_]+)(?=\d)")


def _plain(name: str) -> str:
    """Lower case without spaces, punctuation and accents; `&` and `+` count as `and`.

    Signs that tell names apart stay: `#` and a flat, `+` and `-` at the ends, and what stands between two digits.
    Numbers are told apart by their value.
    """
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", name)).translate(_LOOKALIKES).strip()
    number = _NUMBER.fullmatch(text)
    if number is not None and any(c.isdigit() for c in text):
        value = f"{number['whole'] or '0'}.{number['part'] or ''}".rstrip(".")
        return f"-{value}" if number["sign"] == "-" and value != "0" else value
    ends = _ENDS.fullmatch(_LOOSE_SIGNS.sub("", text))
    assert ends is not None
    folded = _AND.sub(" and ", ends["name"]).casefold()
    parts = _BETWEEN_DIGITS.split(folded)
    signs = [" ".join(sign.split()) or " " for sign in _BETWEEN_DIGITS.findall(folded)]
    kept = "".join(_letters(part) + sign for part, sign in zip(parts, [*signs, ""], strict=True))
    # a name of nothing but signs, such as ♥ or ???, is told apart by its signs
    return f"{ends['before']}{kept}{ends['behind']}" if kept else " ".join(text.casefold().split())


def _letters(text: str) -> str:
    return "".join(c for c in text if c in "#\u266d" or unicodedata.category(c)[0] in "LMN")


_USUAL_OF_PLAIN = {_plain(spelling): usual for usual, others in USUAL_NAMES.items() for spelling in (usual, *others)}


def usual_name(name: str) -> str:
    """The usual name of a genre; a name that isn't known is returned as it is.

    >>> usual_name("hiphop"), usual_name("Dark Polka")
    ('Hip-Hop', 'Dark Polka')
    """
    return _USUAL_OF_PLAIN.get(_plain(name), name)


def spelling_key(name: str) -> str:
    """A text that is equal for all spellings of one genre; it's for comparing, not for showing.

    >>> len({spelling_key(name) for name in ("hiphop", "Hip Hop", "HIP-HOP", "Hip Hop music")})
    1
    """
    return _plain(usual_name(name))
