"""Write docs/performance.md from benchmarks/figures/ and docs/performance-remarks.md.

python benchmarks/render_performance.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).with_name("figures")
DOCS = Path(__file__).resolve().parents[1] / "docs"

ORDER = (
    *("statistics", "log_mel", "record_librosa", "record_article", "record_floor", "windows"),
    *("cold", "record_write", "head_epoch", "input_pipeline_raw_cnn", "input_pipeline_short_chunk"),
    *("svm_fit", "worker_start", "prepare_memory", "prepare_workers"),
)

HEAD = """# Performance

`make bench` wrote this page: each row is a script of `benchmarks/` that does the same work in two ways, in turn, on the
same real clips (`$GENRELAB_DATA` is the folder of the data). Ratios are medians over medians; the spread is that of the
middle half of the pairs. CPU seconds on one core, unless a row says otherwise; other work on the machine (its load
stands beside) makes both sides slower.

"""

TABLE = """| row | against | ratio | spread | wanted | |
|---|---|---|---|---|---|
"""


def main() -> int:
    """Write the page."""
    render()
    return 0


def render() -> None:
    """Render the page from the rows that exist."""
    rows = [json.loads(path.read_text()) for name in ORDER if (path := FIGURES / f"{name}.json").exists()]
    text = HEAD + _machine_sentences(rows) + TABLE + "".join(map(_table_row, rows)) + "\n"
    text += "".join(map(_row_section, rows))
    remarks = DOCS / "performance-remarks.md"
    text += remarks.read_text() if remarks.exists() else ""
    DOCS.joinpath("performance.md").write_text(text.rstrip() + "\n")


def _machine_sentences(rows: list[dict[str, Any]]) -> str:
    lines = dict.fromkeys(_machine_sentence(row["machine"]) for row in rows)
    return "".join(f"{line}\n" for line in lines) + "\n" if lines else ""


def _machine_sentence(about: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    where = f"{about['processor']}, {about['cores']} cores, {about['memory_gb']} GB, {about['system']}"
    return f"Measured on {where}, Python {about['python']}, {packages}."


def _table_row(row: dict[str, Any]) -> str:
    low, high = row["quartiles"]
    met = "met" if row["met"] else "**missed**"
    return f"| {row['what']} | {row['against']} | {row['ratio']} | {low} – {high} | {row['wanted']} | {met} |\n"


def _row_section(row: dict[str, Any]) -> str:
    lines = [f"## {row['row']}", f"`{row['command']}` ({row['n']} pairs, load {row['machine']['load']})", ""]
    lines += ["| | |", "|---|---|"]
    figures = (*row["medians"].items(), *row["extra"].items())
    lines += [f"| {name} | {_format_value(value)} |" for name, value in figures]
    lines += [f"| {check} | {'yes' if holds else '**no**'} |" for check, holds in row["checks"].items()]
    return "\n".join(lines) + "\n\n"


def _format_value(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    raise SystemExit(main())
