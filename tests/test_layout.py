"""The layout shows the road: rooms in one order, imports one way, no room or file that has outgrown its place."""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import PACKAGE, PROJECT, STARTER

ORDER = (
    ("core",),
    ("identity",),
    ("audio", "evaluation"),
    ("datasets", "features"),
    ("splits",),
    ("records",),
    ("models", "leakage"),
    ("bundle", "prepare"),
    ("predict", "report"),
    ("export", "serve", "tagging", "doctor"),
    ("training", "bench"),
    ("tune", "studies"),
    ("runs",),
    ("cli",),
)
"""Rooms, lowest first: a room imports lower ones, and none that stands beside it."""

TRAIN_ONLY = (
    "tensorflow", "keras", "sklearn", "pandas", "pyarrow", "librosa", "numba", "matplotlib", "jinja2", "optuna",
)  # fmt: skip

MAX_FILES, MAX_LINES = 16, 300


def modules(package: Path) -> dict[str, Path]:
    """Full name → file of every module in the package."""
    named = {".".join(("genrelab", *p.relative_to(package).with_suffix("").parts)): p for p in package.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


def imports(path: Path, known: set[str]) -> set[str]:
    """Modules of genrelab that a file imports: at the top, in functions, for type checkers, or named in a string.

    `genrelab` itself is the public face, or any module where the name is put together at run time.
    """
    tree = ast.parse(path.read_text())
    docstrings = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.split(".")[0] == "genrelab"}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            inner = {f"{node.module}.{a.name}": str(node.module) for a in node.names if a.name != "__version__"}
            found |= {full if full in known else module for full, module in inner.items() if "genrelab" in module}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            found |= {"genrelab"} if node.value == "genrelab." else set()
            for word in re.findall(r"genrelab(?:\.\w+)+", node.value):
                parts = word.split(".")
                found |= set([n for k in range(len(parts), 1, -1) if (n := ".".join(parts[:k])) in known][:1])
    return found


def wrong_imports(package: Path) -> Iterator[str]:
    """Every import against the order, as a sentence."""
    place = {room: i for i, rooms in enumerate(ORDER) for room in rooms}
    known = modules(package)
    for name, path in sorted(known.items()):
        room = name.split(".")[1] if "." in name else None
        for other in sorted(imports(path, set(known))) if room is not None and room != "__main__" else ():
            if other == "genrelab":
                yield f"{name} imports genrelab: the public face is for users"
                continue
            there = other.split(".")[1]
            if there != room and place[there] >= place[room]:
                yield f"{name} imports {other}: {room} stands below or beside {there}"


def cycle(package: Path) -> set[str]:
    """Files that import each other, and what lies behind them; empty where there is no cycle."""
    known = modules(package)
    waiting = {name: imports(path, set(known)) & set(known) - {name} for name, path in known.items()}
    while free := {name for name, needed in waiting.items() if not needed & set(waiting)}:
        waiting = {name: needed for name, needed in waiting.items() if name not in free}
    return set(waiting)


def test_imports_go_one_way() -> None:
    assert list(wrong_imports(PACKAGE)) == []


def test_no_files_import_each_other() -> None:
    assert cycle(PACKAGE) == set()


def with_planted(code: str, tmp_path: Path) -> Path:
    """A copy of the package with this code at the end of `core/text.py`."""
    copy = tmp_path / "genrelab"
    shutil.copytree(PACKAGE, copy, ignore=lambda _, names: [n for n in names if n == "__pycache__" or n == "vendor"])
    with (copy / "core" / "text.py").open("a") as f:
        f.write(code)
    return copy


MAIN_PLANTED = [
    "from genrelab.cli.main import app\n",
    "def late():\n    from genrelab.cli import main\n    return main\n",
    "def late():\n    import genrelab.cli.main\n",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from genrelab.cli.main import app\n",
    "from importlib import import_module\nmain = import_module('genrelab.cli.main')\n",
    "CODE = 'from genrelab.cli.main import app; app()'\n",
    "main = 'genrelab.cli.main.app'\n",
]
"""Ways to import `genrelab.cli.main`."""

FACE_PLANTED = [
    "from genrelab import load_bundle\n",
    "def late():\n    import genrelab\n    return genrelab.load_bundle()\n",
    "def late(room):\n    return __import__('genrelab.' + room)\n",
    "def late(room):\n    return __import__(f'genrelab.{room}.main')\n",
]
"""Ways to import the public face, or any room."""


@pytest.mark.parametrize(
    ("planted", "imported"),
    [*((code, "genrelab.cli.main") for code in MAIN_PLANTED), *((code, "genrelab") for code in FACE_PLANTED)],
)
def test_a_planted_import_against_the_order_is_found(planted: str, imported: str, tmp_path: Path) -> None:
    copy = with_planted(planted, tmp_path)
    assert [sentence.partition(":")[0] for sentence in wrong_imports(copy)] == [
        f"genrelab.core.text imports {imported}"
    ]
    assert {"genrelab.core.text", imported} <= cycle(copy)


@pytest.mark.parametrize(
    ("room", "alike"),
    [
        ("datasets", ("fma", "gtzan", "table", "folder", "demo")),
        ("models", ("majority", "classical", "raw_cnn", "mobilenet")),
    ],
)
def test_modules_that_are_alike_do_not_know_each_other(room: str, alike: tuple[str, ...]) -> None:
    """So that one more costs a file and a line in `registry.py`."""
    known = modules(PACKAGE)
    names = {f"genrelab.{room}.{name}" for name in alike}
    assert {name: found for name in names if (found := imports(known[name], set(known)) & names - {name})} == {}


def test_the_top_holds_rooms_only() -> None:
    held = {p.name for p in PACKAGE.iterdir() if p.name != "__pycache__"}
    assert held == {room for rooms in ORDER for room in rooms} | {"__init__.py", "__main__.py", "py.typed"}


@pytest.mark.parametrize("room", sorted({p.parent for p in PACKAGE.rglob("*.py")} - {PACKAGE}), ids=lambda p: p.name)
def test_a_room_is_small_and_says_what_it_is_for(room: Path) -> None:
    assert len(list(room.glob("*.py"))) <= MAX_FILES
    tree = ast.parse((room / "__init__.py").read_text())
    doc = ast.get_docstring(tree)
    assert doc is not None and len(tree.body) == 1, "a room's __init__.py is a docstring: no code, no re-export"
    assert 2 <= len(doc.splitlines()) <= 6


def test_long_files_are_named_with_a_reason() -> None:
    long = {
        p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py") if len(p.read_text().splitlines()) > MAX_LINES
    }
    architecture = (PROJECT / "docs" / "architecture.md").read_text()
    section = architecture.partition("## Files over 300 lines")[2].partition("\n## ")[0]
    assert long == set(re.findall(r"^- `([\w/]+\.py)`: \S", section, re.MULTILINE))


def test_the_picture_shows_the_rooms_as_they_are() -> None:
    """`python scripts/room_graph.py` makes it again."""
    path = PROJECT / "scripts" / "room_graph.py"
    spec = importlib.util.spec_from_file_location("room_graph", path)
    assert spec is not None and spec.loader is not None
    room_graph = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(room_graph)
    drawn = re.findall(r"<title>(\w+)&#45;&gt;(\w+)</title>", (PROJECT / "docs" / "rooms.svg").read_text())
    assert set(drawn) == room_graph.room_edges(PACKAGE)


def test_one_meaning_a_class_name() -> None:
    homes: dict[str, list[str]] = {}
    for name, path in sorted(modules(PACKAGE).items()):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(name)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import genrelab",
        "import genrelab.cli.main; genrelab.cli.main.app",
        "import genrelab.predict.classifier; genrelab.load_bundle",
        "import genrelab.prepare.work_unit",
        "import genrelab.cli.output.doctor",
        "import genrelab.serve.server, genrelab.serve.workers.worker, genrelab.serve.stream.worker",
    ],
)
def test_modules_for_use_import_no_train_package(code: str) -> None:
    look = f"{code}\nimport sys\nprint(*[m for m in {TRAIN_ONLY!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_the_public_face_is_what_is_promised() -> None:
    """`views` is part of it: every model card names `genrelab.views.compute`."""
    import genrelab
    from genrelab.bundle.bundle import load_bundle
    from genrelab.core.errors import BundleError
    from genrelab.features.views import compute

    frames = ["read_fma_echonest", "read_fma_features", "read_fma_genres", "read_fma_tracks"]
    assert genrelab.__all__ == ["__version__", "errors", "load_bundle", "load_dataset", *frames, "views"]
    assert all(getattr(genrelab, name) for name in genrelab.__all__)
    assert genrelab.views.compute is compute and genrelab.errors.BundleError is BundleError
    assert "`genrelab.views.compute`" in (load_bundle(STARTER).path / "README.md").read_text()
    with pytest.raises(AttributeError, match="it has __version__, errors, load_bundle"):
        genrelab.nothing  # noqa: B018


def test_help_imports_no_train_package() -> None:
    look = (
        "import sys\nfrom genrelab.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print(*[m for m in {(*TRAIN_ONLY, 'numpy', 'onnxruntime')!r} if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert result.stderr.split() == []
    assert "predict" in result.stdout
