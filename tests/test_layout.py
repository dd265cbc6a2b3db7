"""The layout shows the road: every file says its place, and imports only what lies before it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import PACKAGE

MODULES = {
    ".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p
    for p in sorted(PACKAGE.rglob("*.py"))
    if p.name not in ("__main__.py",)
}
TRAIN_ONLY = (
    "tensorflow", "keras", "sklearn", "pandas", "pyarrow", "librosa", "numba", "matplotlib", "jinja2", "optuna",
)  # fmt: skip
CONTRACTS = {
    "genrelab.datasets.registry": {"genrelab.datasets.base"},
    "genrelab.models.registry": {"genrelab.models.base", "genrelab.models.keras_base", "genrelab.records.examples"},
}
"""What a shelf file may import besides leaves."""


def _place(path: Path) -> str:
    """First word of the docstring: a number on the road, `Leaf:` or `Program:`."""
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    match = re.match(r"(\d|Leaf:|Program:)", doc)
    return match[1].rstrip(":") if match else ""


def _imports(path: Path) -> set[str]:
    """Modules of genrelab that a file imports anywhere, at the top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if a.name.startswith("genrelab")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genrelab"):
            inner = {f"{node.module}.{a.name}" for a in node.names}
            found |= {i for i in inner if i in MODULES} or {str(node.module)}
    return found


def _shelf(name: str) -> str | None:
    return next((s for s in CONTRACTS if name.startswith(f"{s}.")), None)


PLACES = {name.removesuffix(".__init__"): _place(path) for name, path in MODULES.items()}
NAMES = {name.removesuffix(".__init__"): path for name, path in MODULES.items()}


@pytest.mark.parametrize("name", [n for n in NAMES if n != "genrelab" and _shelf(n) is None and n not in CONTRACTS])
def test_every_file_says_its_place(name: str) -> None:
    assert PLACES[name], f"{name}: the docstring begins with its number, `Leaf:` or `Program:`"


@pytest.mark.parametrize("name", NAMES)
def test_imports_go_one_way(name: str) -> None:
    imported = _imports(NAMES[name]) - {"genrelab", name}
    place, shelf = PLACES[name], _shelf(name)
    for other in imported:
        there = PLACES.get(other, "")
        if shelf is not None:
            leaf_of_shelf = other in CONTRACTS[shelf] or there == "Leaf"
            assert leaf_of_shelf, f"{name} is on a shelf and imports {other}"
        elif place == "Leaf":
            assert there == "Leaf", f"{name} is a leaf and imports {other}"
        elif place.isdigit():
            allowed = there == "Leaf" or (there.isdigit() and there <= place)
            assert allowed, f"{name} ({place}) imports {other} ({there})"
            assert _shelf(other) is None and other not in CONTRACTS, f"{name} is no program and imports a shelf"


def test_there_is_no_cycle() -> None:
    graph = {n: _top_imports(p) & set(NAMES) for n, p in NAMES.items()}
    done: set[str] = set()
    while len(done) < len(graph):
        free = {n for n, needs in graph.items() if n not in done and needs <= done | {n}}
        assert free, f"these import each other: {sorted(set(graph) - done)}"
        done |= free


def _top_imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genrelab."):
            inner = {f"{node.module}.{a.name}" for a in node.names}
            found |= {i for i in inner if i in NAMES} or {str(node.module)}
        elif isinstance(node, ast.ImportFrom) and node.module == "genrelab":
            found |= {f"genrelab.{a.name}" for a in node.names if f"genrelab.{a.name}" in NAMES}
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import genrelab",
        "import genrelab.cli.main; genrelab.cli.main.app",
        "import genrelab.predict.classifier; genrelab.load_bundle",
        "import genrelab.prepare.work_unit",
        "import genrelab.cli.doctor_output",
        "import genrelab.serve.server, genrelab.serve.workers.worker, genrelab.serve.stream.worker",
    ],
)
def test_the_use_half_loads_nothing_of_the_train_half(code: str) -> None:
    look = f"{code}\nimport sys\nprint(*[m for m in {TRAIN_ONLY!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_help_loads_nothing_of_the_train_half() -> None:
    look = (
        "import sys\nfrom genrelab.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print(*[m for m in {(*TRAIN_ONLY, 'numpy', 'onnxruntime')!r} if m in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert result.stderr.split() == []
    assert "predict" in result.stdout
