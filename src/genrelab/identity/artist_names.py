"""Names of artists as people write them: one key for all spellings, and the people in a credit such as `X feat. Y`."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import lru_cache

_SURE_SEPARATOR = re.compile(
    r"\s?[;|·•・、\0\n\\]+\s?|\s?//\s?"
    r"|\s?[(\[]?\s?\b(?:feat|ft|featuring|introducing|pres|presents|prod(?:uced|\.)? by|prod|vs|versus|meets)\b\.?\s?"
    r"|\s[wf]/\s?",
    re.IGNORECASE,
)
_POSSIBLE_SEPARATOR = re.compile(
    r"\s?[&+]\s?|\s(?:and|with|con|mit|avec|und|et|y|e|och|og|и|x|×)\s|\s/\s|(?<=\w{3})/(?=\w{3})"
    r"|\s?[(\[]\s?(?:and|with)\s",
    re.IGNORECASE,
)
_COMMA = re.compile(r",\s|(?<!\d),(?!\d)")
_ARTICLE = re.compile(r"^(?:the (?=\S)|an? (?=\S{3}))")
_ARTICLES = "the|die|der|das|los|las|les|la|le|el"
_ARTICLE_BEHIND = re.compile(rf"^(?P<name>.+?)(?:,\s?(?P<a>{_ARTICLES})|\s\((?P<b>{_ARTICLES})\))$", re.IGNORECASE)
_AND = re.compile(r"\s?(?:[&+]|\b'?n'?\b|\band\b)\s?")
MAX_TEXT = 1_000
"""Longer texts are not credits: they count as one name."""

_ACCENTS = re.compile("[\u0300-\u036f]")
_OTHER_LETTERS = str.maketrans(
    {"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "ı": "i", "’": "'", "‘": "'", "`": "'"}
)

_GENERIC_PARTS_TEXT = (
    "band bands choir chorus co combo company crew dj ensemble family friend friends guest guests her herband "
    "herfriends herorchestra his hisband hisfriends hisorchestra i ii iii inc jr junior many mc more orchestra "
    "orchester orquesta others quartet quintet singers soloists sons sr strings trio"
)
GENERIC_PARTS = frozenset(_GENERIC_PARTS_TEXT.split())
"""Parts of a credit that many artists share (`Duke Ellington & His Orchestra`): they link no persons."""


@lru_cache(maxsize=1 << 16)
def name_key(name: str) -> str:
    """A key that is equal for all spellings of an artist's name.

    Case, accents, spaces, punctuation, an article (`The X`, `X, The`), `&`, `and` and `'n'`, and the Unicode form are
    ignored.
    """
    folded = _ACCENTS.sub("", unicodedata.normalize("NFKD", _article_first(name))).casefold()
    words = " ".join(_AND.sub(" and ", folded.translate(_OTHER_LETTERS)).split())
    kept = "".join(c for c in _ARTICLE.sub("", words) if unicodedata.category(c)[0] in "LMN")
    return kept or words.replace(" ", "")


def _article_first(name: str) -> str:
    """`Beatles, The` → `The Beatles`."""
    found = _ARTICLE_BEHIND.match(" ".join(name[:MAX_TEXT].split()))
    return f"{found['a'] or found['b']} {found['name']}" if found else name


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
            "onbekende artiest", "vvaa", "artist unknown", "track artist", "diverse artister", "blandade artister",
            "群星", "オムニバス", "разные исполнители", "неизвестен", "неизвестный исполнитель",
        ),
    )
)  # fmt: skip
"""Names that mean no single artist, by `name_key`: they join no tracks."""

_MANY = tuple(map(name_key, ("various artists", "verschiedene interpreten", "artistes divers", "varios artistas")))
"""Also starts of names, such as `Various Artists - Now 100`."""

NO_ARTIST_IDS = frozenset(
    (
        "89ad4ac3-39f7-470e-963a-56509c546377",  # Various Artists
        "125ec42a-7229-4250-afc5-e057484327fe",  # [unknown]
        "9be7f096-97ec-4615-8957-8d40b5dcbc41",  # [traditional]
        "f731ccc4-e22a-43af-a747-64213329e088",  # [anonymous]
        "eec63d3c-3b81-4ad4-b1e4-7c147d4d2b61",  # [no artist]
    )
)
"""MusicBrainz' ids for these (musicbrainz.org/doc/Style/Unknown_and_untitled/Special_purpose_artist)."""

NO_IDS = frozenset(("", "0", "-1", "none", "nan", "null", "unknown", "n/a"))
"""Values for an unknown id of an artist in tables."""


def is_no_artist(name: str) -> bool:
    """Does a text mean no single artist: `Various Artists`, `Unknown`, empty?"""
    key = name_key(name)
    return key in NO_ARTIST or key.startswith(_MANY)


def people_in(texts: Iterable[str], known: Collection[str] = (), *, last_name_first: bool = False) -> tuple[str, ...]:
    """The names in the values of an artist's tag, each once, in order, without those that mean no single artist.

    `X feat. Y`, `X & Y`, `Y with X` are two names, and so are those of a band such as `Simon & Garfunkel`: its tracks
    have both. Parts that many credits share, such as `Friends`, are not names.

    Args:
        known: `name_key` of names that occur alone elsewhere: `Bowie, David` is one person if `David Bowie` is known,
            `Ann, Bob` are two if Ann is.
        last_name_first: does the collection write persons as `Bowie, David`?
    """
    found: dict[str, str] = {}
    for text in texts:
        parts = _parts(text) if len(text) <= MAX_TEXT else [text]
        names = [p for p in parts if len(parts) == 1 or name_key(p) not in GENERIC_PARTS]
        for written in names or [text]:
            for name in _around_comma(written, known, last_name_first):
                if not is_no_artist(name) and (len(parts) == 1 or name_key(name) not in GENERIC_PARTS):
                    found.setdefault(name_key(name), name)
    return tuple(found.values())


def is_last_name_first(text: str) -> bool:
    """Does a text look like `Bowie, David`: one comma, and no other sign of several people?"""
    return len(_parts(text)) == 1 and len(_COMMA.split(text)) == 2 and _article_first(text) == text


def _around_comma(name: str, known: Collection[str], last_name_first: bool) -> list[str]:
    parts = [part for part in (p.strip() for p in _COMMA.split(name)) if part]
    if len(parts) != 2:
        return parts or [name]
    generic = [part for part in parts if name_key(part) in GENERIC_PARTS]
    turned = f"{parts[1]} {parts[0]}"
    if generic or name_key(turned) in known:
        return [part for part in parts if part not in generic] if generic else [turned]
    alone = any(name_key(part) in known for part in parts)
    return [turned] if last_name_first and not alone else parts


@lru_cache(maxsize=1 << 16)
def _parts(text: str) -> list[str]:
    """The parts of a credit; it is not split at commas."""
    plain = " ".join(unicodedata.normalize("NFKC", html.unescape(text)).replace("\0", ";").split())
    parts = [_article_first(p) for c in _SURE_SEPARATOR.split(plain) for p in _POSSIBLE_SEPARATOR.split(c)]
    clean = (_without_open_bracket(part).strip(" ,") for part in parts)
    return [part for part in clean if part]


def _without_open_bracket(part: str) -> str:
    """`X (` and `Y)` of `X (feat. Y)` without their half of the brackets."""
    for opened, closed in ("()", "[]"):
        if part.count(opened) != part.count(closed):
            part = part.strip().removesuffix(closed).removesuffix(opened).removeprefix(opened)
    return part
