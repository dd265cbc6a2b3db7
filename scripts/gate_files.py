"""Which files of unpacked Debian packages `scripts/gate.py` reads: recordings of what is no music, and music."""

from __future__ import annotations

import re
from pathlib import Path

RECORDED = {
    "speech: English": ("speech", r"asterisk-core-sounds-en-wav/.*\.wav"),
    "speech: Spanish": ("speech", r"asterisk-core-sounds-es-wav/.*\.wav"),
    "speech: French": ("speech", r"asterisk-core-sounds-fr-wav/.*\.wav"),
    "speech: Italian": ("speech", r"asterisk-core-sounds-it-wav/.*\.wav"),
    "speech: Russian": ("speech", r"asterisk-core-sounds-ru-wav/.*\.wav"),
    "speech: Mandarin syllables": ("speech", r"gcin-voice/.*\.ogg"),
    "speech: klettres": ("speech", r"klettres-data/.*\.ogg"),
    "speech: ktuberling": ("speech", r"ktuberling-data/.*\.(ogg|wav)"),
    "speech: tuxpaint": ("speech", r"tuxpaint-stamps-default/.*_desc.*\.ogg"),
    "speech: hedgewars": ("speech", r"hedgewars-data/.*/voices/(?!Singer).*\.ogg"),
    "speech: unknown-horizons": ("speech", r"unknown-horizons/.*/voice/.*\.ogg"),
    "speech: megaglest": ("speech", r"megaglest-data/.*(_select|_ack)\d+\.wav"),
    "birds": (
        "animals",
        r"(tuxpaint.*/birds/\w+\.ogg|widelands.*/(bird|duck)\w*\.ogg|wesnoth.*/birds\d\.ogg"
        r"|megaglest.*/(owl|hawk|rooster|chicken)\.(ogg|wav))",
    ),
    "mammals": (
        "animals",
        r"(tuxpaint.*/(mammals|marsupials)/(?!aquatic).*\.ogg|widelands.*/(boar|moose|stag|wolf|coyote|ox|sheep|horse"
        r"|donkey|farm_animal)\w*\.ogg|megaglest.*/(wolf|(sheep|ele|cow_\w+|pig_\w+)\d+)\.wav|wesnoth.*/wolf-\w+-\d\.ogg)",
    ),
    "water animals": ("animals", r"tuxpaint.*/aquatic/\w+\.ogg"),
    "frogs and insects": (
        "animals",
        r"(tuxpaint.*/(amphibians|insects|lizards)/\w+\.ogg|widelands.*/(crickets|frog)\w*\.ogg"
        r"|hyperrogue.*/seen-frog\d\.ogg|hedgewars.*/bee\.ogg)",
    ),
    "outdoors": (
        "surroundings",
        r"(megaglest.*/tilesets/.*(day|night|nightime|desertday)\.ogg|wesnoth.*/ambient/(morning|night)\.ogg)",
    ),
    "wind, rain and thunder": (
        "surroundings",
        r"(megaglest.*/(wind|rain)\.(ogg|wav)|searchandrescue.*/thunder\w+\.wav|wesnoth.*/lightning\.ogg"
        r"|hyperrogue.*/storm\.ogg)",
    ),
    "water": (
        "surroundings",
        r"(minetest.*/\w*water\w*\.\d\.ogg|megaglest.*/water\d\.wav|lincity.*/(Water|Harbor)\d\.wav)",
    ),
    "fire": ("surroundings", r"(minetest.*/(fire_\w+|\w*lava|default_furnace)[\w.]*\.ogg|wesnoth.*/campfire\.ogg)"),
    "crowds": ("surroundings", r"(etw-data/.*/crowd/\w+\.wav|lincity.*/(SportsCroud|Market\w+)\d\.wav)"),
    "city": (
        "surroundings",
        r"lincity.*/(Residential\w+|Trafic\w+|DirtTrack|Health|Shanty|University|Green|Farm)\d\.wav",
    ),
    "industry": (
        "machines",
        r"lincity.*/(Industry\w+|Power\w+|Recycle|RailTrain|Rocket\w*|Substation\w*|\w*Mine|Mill|WindMill\w*|Tip)\d?\.wav",
    ),
    "engines": (
        "machines",
        r"(searchandrescue.*/(\w*engine\w*|gear_\w+|flap_\w+|overspeed\w*|stall)\.wav|crrcsim.*/(electric|glider|fan)\.wav"
        r"|hedgewars.*/(plane|rcplane|blowtorch|flamethrower)\.ogg|tuxpaint.*/(vacuum_cleaner|Washing-machine)\.ogg)",
    ),
    "tools": (
        "machines",
        r"widelands.*/(hammering|smiths|mill|woodcutting|metal|sawmill|stonecutting|saw|cutting)/\w+\.ogg",
    ),
    "keyboard": ("machines", r"bucklespring-data/.*\.wav"),
    "steps, doors and blows": (
        "objects",
        r"(minetest.*/(default_(?!furnace)|doors_|xpanes_|carts_)[\w.]*\.ogg|megaglest.*/(arrow_hit|tech_building_fall"
        r"|catapult_\w+|\w+_attack)\d+\.wav|widelands.*/other/\w+\.ogg|searchandrescue.*/(thud|land|crash|splash)\w+\.wav)",
    ),
    "household": ("objects", r"tuxpaint.*/(household/(?!vacuum|Washing).*|camera_35mm)\.ogg"),
    "cries and growls": ("objects", r"(wesnoth.*/\w+-(die|hit|growl|shriek)[\w-]*\.ogg|megaglest.*_die\d+\.wav)"),
    "game effects": (
        "objects",
        r"(colobot.*/sounds/sound\d+\.wav|hedgewars.*/Sounds/(?!ride|hogchant|olymp|hell|suddendeath)\w+\.ogg)",
    ),
}
"""Kind -> its family and the files, below the folder of unpacked packages; `_desc` are tuxpaint's spoken words."""

MUSIC = {
    "wesnoth": r"wesnoth-1.16-music/.*/music/.*\.ogg",
    "singularity": r"singularity-music/.*\.ogg",
    "hyperrogue": r"hyperrogue-music/.*/music/.*\.ogg",
    "planetblupi": r"planetblupi-music-ogg/.*\.ogg",
    "asterisk": r"asterisk-moh-opsound-wav/.*\.wav",
    "asc": r"asc-music/.*\.mp3",
    "colobot": r"colobot.*/music/(?!music0)\w+\.ogg",
    "unknown-horizons": r"unknown-horizons/.*/music/.*\.ogg",
    "widelands": r"widelands-data/.*/music/.*\.ogg",
    "lincity": r"lincity.*/music/.*\.ogg",
    "megaglest": r"megaglest.*/(?!menu/)\w+/music/.*\.ogg",
    "hedgewars": r"hedgewars.*/Music/.*\.ogg",
    "fretsonfire": r"fretsonfire.*/(song|guitar)\.ogg",
    "fillets": r"fillets-ng-data/.*/music/(rybky\d+|menu)\.ogg",
    "sonic-pi loops": r"sonic-pi-samples/.*/loop_(?!safari|3d)\w+\.flac",
}
"""Package -> its music."""

PACKAGES = (
    "asc-music",
    "asterisk-core-sounds-en-wav",
    "asterisk-core-sounds-es-wav",
    "asterisk-core-sounds-fr-wav",
    "asterisk-core-sounds-it-wav",
    "asterisk-core-sounds-ru-wav",
    "asterisk-moh-opsound-wav",
    "bucklespring-data",
    "colobot-common-sounds",
    "crrcsim-data",
    "etw-data",
    "fillets-ng-data",
    "fluid-soundfont-gm",
    "fretsonfire-songs-muldjord",
    "fretsonfire-songs-sectoid",
    "gcin-voice",
    "hedgewars-data",
    "hyperrogue-music",
    "klettres-data",
    "ktuberling-data",
    "lincity-ng-data",
    "megaglest-data",
    "minetest-data",
    "planetblupi-music-ogg",
    "searchandrescue-data",
    "singularity-music",
    "sonic-pi-samples",
    "tuxpaint-stamps-default",
    "unknown-horizons",
    "wesnoth-1.16-data",
    "wesnoth-1.16-music",
    "widelands-data",
)
"""Debian packages that are read; each stands unpacked in a folder of its name."""

LEAST_BYTES = 4096  # shorter files hold next to nothing


def audio_files(folder: Path) -> list[Path]:
    """All audio files of the packages below `folder`, sorted.

    Raises:
        SystemExit: a package is not there.
    """
    if missing := [name for name in PACKAGES if not (folder / name).is_dir()]:
        raise SystemExit(f"{folder} lacks {', '.join(missing)}: see the top of scripts/gate.py")
    found = (
        p for name in PACKAGES for p in (folder / name).rglob("*") if p.suffix in {".ogg", ".wav", ".mp3", ".flac"}
    )
    return sorted(p for p in found if p.is_file() and not p.is_symlink() and p.stat().st_size >= LEAST_BYTES)


def matching(paths: list[Path], folder: Path, pattern: str) -> list[Path]:
    """Those whose path below `folder` fits; tuxpaint's spoken words (`_desc`) only where the pattern names them."""
    chosen = [p for p in paths if re.fullmatch(pattern, p.relative_to(folder).as_posix())]
    return [p for p in chosen if "_desc" in pattern or "_desc" not in p.name]


if __name__ == "__main__":
    print(*PACKAGES)
