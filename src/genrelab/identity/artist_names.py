"""Names of artists as people write them: one key for all spellings, and the people in a credit such as `X feat. Y`."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

_SURE_SEPARATOR = re.compile(
    r"\s*[;|·•／、\0\n\\]+\s*"
    r"|\s*[(\[]?\s*\b(?:feat|ft|featuring|pres|presents|prod(?:uced|\.)? by|prod|vs|versus|meets)\b\.?\s*"
    r"|\s+w/\s*",
    re.IGNORECASE,
)
_POSSIBLE_SEPARATOR = re.compile(
    r"\s*[&+]\s*|\s+(?:and|with|con|mit|avec|und|et|y|e|x|×)\s+|\s+/\s+|(?<=\w{3})/(?=\w{3})"
    r"|\s*[(\[]\s*(?:and|with)\s+",
    re.IGNORECASE,
)
_COMMA = re.compile(r",\s+|(?<!\d),(?!\d)")
_ARTICLE_BEHIND = re.compile(r"^(?P<name>.+),\s*(?P<article>the)$", re.IGNORECASE)
_ACCENTS = re.compile("[\u0300-\u036f]")
_OTHER_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ı": "i", "&": " and ", "+": " and "}
)

_GENERIC_PARTS_TEXT = (
    "band bands choir chorus co combo company crew dj ensemble family friend friends guest guests her herband "
    "herfriends herorchestra his hisband hisfriends hisorchestra i ii iii inc jr junior many mc more orchestra "
    "orchester orquesta others quartet quintet singers soloists sons sr strings trio"
)
GENERIC_PARTS = frozenset(_GENERIC_PARTS_TEXT.split())
"""Parts of a credit that many artists have (`Duke Ellington & His Orchestra`): they make nobody the same."""


@lru_cache(maxsize=1 << 16)
def name_key(name: str) -> str:
    """A text that is equal for all spellings of one artist's name; it's for comparing, not for showing.

    Case, accents, spaces, punctuation, an article (`The X`, `X, The`) and the form of Unicode don't count.
    """
    folded = _ACCENTS.sub("", unicodedata.normalize("NFKD", _article_first(name))).casefold()
    words = " ".join(folded.translate(_OTHER_LETTERS).split())
    kept = "".join(c for c in words.removeprefix("the ") if unicodedata.category(c)[0] in "LMN")
    return kept or words.replace(" ", "")


NO_ARTIST_IDS = frozenset(
    (
        "89ad4ac3-39f7-470e-963a-56509c546377",  # Various Artists
        "125ec42a-7229-4250-afc5-e057484327fe",  # [unknown]
        "9be7f096-97ec-4615-8957-8d40b5dcbc41",  # [traditional]
        "f731ccc4-e22a-43af-a747-64213329e088",  # [anonymous]
        "eec63d3c-3b81-4ad4-b1e4-7c147d4d2b61",  # [no artist]
    )
)
"""MusicBrainz' ids for that (musicbrainz.org/doc/Style/Unknown_and_untitled/Special_purpose_artist)."""


def _article_first(name: str) -> str:
    """`Beatles, The` → `The Beatles`."""
    found = _ARTICLE_BEHIND.match(name.strip())
    return f"{found['article']} {found['name']}" if found else name


NO_ARTIST = frozenset(
    map(
        name_key,
        (
            "", "various artists", "various artist", "various", "various performers", "va", "v.a.", "v/a", "unknown",
            "unknown artist", "[unknown]", "n/a", "none", "null", "nan", "no artist", "anonymous", "anon",
            "traditional", "trad", "soundtrack", "original soundtrack", "ost", "compilation", "verschiedene",
            "verschiedene interpreten", "verschiedene künstler", "diverse", "diverse interpreten", "unbekannt",
            "unbekannter künstler", "unbekannter interpret", "artistes divers", "divers", "inconnu",
            "artiste inconnu", "varios artistas", "varios", "artista desconocido", "desconocido", "artisti vari",
            "aa.vv.", "aavv", "autori vari", "artista sconosciuto", "vários artistas", "diverse artiesten",
            "onbekende artiest",
        ),
    )
)  # fmt: skip
"""What people and players write where no single artist is meant, by `name_key`: it joins no tracks."""


def is_no_artist(name: str) -> bool:
    """Does a text name no single artist: `Various Artists`, `Unknown`, nothing?"""
    return name_key(name) in NO_ARTIST


def people_in(texts: Iterable[str]) -> tuple[str, ...]:
    """The names in the values of an artist's tag, each once, in order; those that name nobody are left out.

    `X feat. Y`, `X & Y`, `Y with X` are two names. A band such as `Simon & Garfunkel` gives two names as well, which
    does no harm: its tracks all have both. Parts that many credits share, such as `Friends`, are no names.
    """
    found: dict[str, str] = {}
    for text in texts:
        parts = _parts(text)
        names = [p for p in parts if len(parts) == 1 or name_key(p) not in GENERIC_PARTS]
        for name in names or [text]:
            if not is_no_artist(name):
                found.setdefault(name_key(name), name)
    return tuple(found.values())


@lru_cache(maxsize=1 << 16)
def _parts(text: str) -> list[str]:
    parts: list[str] = []
    for credited in _SURE_SEPARATOR.split(html.unescape(text)):
        for name in _POSSIBLE_SEPARATOR.split(credited):
            single = _article_first(name)
            parts += [single] if single != name else _COMMA.split(name)
    clean = (" ".join(_without_open_bracket(part).split()) for part in parts)
    return [part for part in clean if part]


def _without_open_bracket(part: str) -> str:
    """`X (` and `Y)` of `X (feat. Y)` without their half of the brackets."""
    for opened, closed in ("()", "[]"):
        if part.count(opened) != part.count(closed):
            part = part.strip().removesuffix(closed).removesuffix(opened).removeprefix(opened)
    return part
