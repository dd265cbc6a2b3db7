"""Contradictions in the outputs of one run: between the files' numbers, the page, the Markdown and the terminal."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Any

import typer.main

from genrelab.cli.main import app

ALPHA, MIN_RANKED, MAX_CAUTIONS, MAX_WORDS = 0.05, 10, 3, 25
NOUNS = r"track|model|genre|artist|pair|row|window|note|file|epoch|album|label|trial|fold|section|caution|run|second"
RANKING = r"\b(best|winner|wins|ranked|ranking|is first|significant|significantly|better|worse|recommended)\b"
NEGATIVE_ZERO = r"(?<![\w.])[-−]0(?:\.0+)?(?![\d.]|[a-z])"
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def contradictions(run: Path, terminal: str = "") -> list[str]:
    """What contradicts itself in RUN and in what `genrelab report RUN` printed; empty if nothing does."""
    outputs = Outputs(run, terminal)
    checks = (
        _numbers_of_models, _order_and_tables, _charts, _figures_and_their_tables, _verdict, _names_of_the_best,
        _significance, _ranking_of_few_tracks, _sets_and_counts, _figures_in_sentences, _zeros, _plurals, _commands,
        _cautions, _stars, _counts_and_names_in_sentences,
    )  # fmt: skip
    return [f"{check.__name__.strip('_').replace('_', ' ')}: {found}" for check in checks for found in check(outputs)]


@dataclass
class Outputs:
    """The files of a run, and the texts that people read."""

    run: Path
    terminal: str
    board: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.board = self.json("leaderboard.json")

    def json(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run / name).read_text())
        return found

    @cached_property
    def metrics(self) -> dict[str, dict[str, Any]]:
        return {row["folder"]: self.json(f"{row['folder']}/metrics.json") for row in self.board["rows"]}

    @cached_property
    def html(self) -> str:
        return (self.run / "report.html").read_text()

    @cached_property
    def markdown(self) -> str:
        return re.sub(r"\\(.)", r"\1", (self.run / "leaderboard.md").read_text())

    def section(self, name: str) -> str:
        """HTML of a section of the page; empty if it has none of this name."""
        start = self.html.find(f'<section id="{name}"')
        return "" if start < 0 else self.html[start : (self.html + "<section id").index("<section id", start + 1)]

    @cached_property
    def head(self) -> str:
        """HTML of the first screen."""
        return self.html[self.html.index("<main") :].partition("</section>")[0]

    @cached_property
    def texts(self) -> dict[str, str]:
        """The texts about the ranking, by their place."""
        page = text_of(self.head) + "\n" + text_of(self.section("comparisons"))
        return {"report.html": page, "leaderboard.md": self.markdown, "terminal": self.terminal}

    @cached_property
    def all_texts(self) -> dict[str, str]:
        return self.texts | {"report.html": text_of(self.html[self.html.index("<main") :])}

    @property
    def learners(self) -> list[dict[str, Any]]:
        return [row for row in self.board["rows"] if row["folder"] != "majority"]

    def display(self, folder: str) -> str:
        return next(row["model"] for row in self.board["rows"] if row["folder"] == folder)

    def accuracy_cell(self, row: Mapping[str, Any]) -> str:
        value, low, high = (f"{100 * row[k] + 0.0:.1f}" for k in ("accuracy", "accuracy_low", "accuracy_high"))
        return f"{value} [{low}, {high}]"


def text_of(html: str) -> str:
    """The text of HTML, a line per element, without scripts."""
    html = re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)
    html = re.sub(r"</?(code|strong|span)\b[^>]*>", "", html)
    lines = (" ".join(unescape(line).split()) for line in re.sub(r"<[^>]*>", "\n", html).splitlines())
    return "\n".join(line for line in lines if line)


def table_rows(html: str) -> list[dict[str, str]]:
    """Every row of every table, by the names of its columns."""
    found = []
    for table in re.findall(r"<table\b.*?</table>", html, re.DOTALL):
        head, *rows = re.findall(r"<tr\b.*?</tr>", table, re.DOTALL)
        cells = [[text_of(c) for c in re.findall(r"<t[hd]\b.*?</t[hd]>", row, re.DOTALL)] for row in (head, *rows)]
        found += [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]
    return found


def charts(html: str) -> list[list[dict[str, Any]]]:
    """The values of every chart."""
    specs = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    return [json.loads(spec)["data"]["values"] for spec in specs]


def _numbers_of_models(o: Outputs) -> Iterator[str]:
    facts = o.json("run.json")
    for row in o.board["rows"]:
        scores = o.metrics[row["folder"]]["scores"]
        for name in ("accuracy", "accuracy_low", "accuracy_high", "macro_f1", "top3", "log_loss", "ece", "n"):
            if abs(row[name] - scores[name]) > 1e-6:
                yield f"{name} of {row['model']}: {row[name]} in leaderboard.json, {scores[name]} in metrics.json"
        if row["part"] != o.board["part"] or o.metrics[row["folder"]]["part"] != o.board["part"]:
            yield f"{row['model']} was scored on another set than {o.board['part']}"
        if row["folder"] == "majority" and abs(row["accuracy"] - facts["majority"]) > 1e-6:
            yield f"the majority baseline has two accuracies, {row['accuracy']} and {facts['majority']}"
    if o.board["n"] != max(row["n"] for row in o.board["rows"]):
        yield f"n is {o.board['n']}, which is no model's"


def _order_and_tables(o: Outputs) -> Iterator[str]:
    rows = o.board["rows"]
    ranked = sorted(rows, key=lambda r: (-r["accuracy"], r["log_loss"], r["folder"]))
    expected = ranked if o.board["n"] >= MIN_RANKED else sorted(rows, key=lambda r: r["folder"])
    if [r["folder"] for r in rows] != [r["folder"] for r in expected]:
        yield f"rows are in the order {[r['folder'] for r in rows]}"
    column = "accuracy % [95 % interval]"
    shown = {row["model"]: row for row in table_rows(o.section("leaderboard")) if column in row}
    in_markdown = [line.strip("| ").split(" | ") for line in o.markdown.splitlines() if line.startswith("| ")][2:]
    for row in rows:
        cell = o.accuracy_cell(row)
        if (at := shown.get(row["model"])) is None or at[column].removesuffix(" *") != cell:
            yield f"the page's table has {at and at[column]} of {row['model']}, leaderboard.json {cell}"
        if not any(cell in line for cells in in_markdown for line in [" | ".join(cells)] if cells[0] in row["model"]):
            yield f"leaderboard.md lacks {cell} of {row['model']}"
        if o.terminal and not any(cell in line for line in o.terminal.splitlines() if row["model"] in line):
            yield f"the terminal lacks {cell} of {row['model']}"


def _charts(o: Outputs) -> Iterator[str]:
    drawn = charts(o.section("leaderboard"))
    for value in drawn[0] if drawn else ():
        name = value["name"].partition("  ·  ")[0]
        row = next((r for r in o.board["rows"] if r["model"] == name), None)
        if row is None:
            yield f"the chart shows {name}, which is no model"
            continue
        for drawn_as, key in {"value": "accuracy", "low": "accuracy_low", "high": "accuracy_high"}.items():
            if abs(value[drawn_as] - 100 * row[key]) > 0.001:
                yield f"{key} of {name}: {value[drawn_as]} in the chart, {100 * row[key]} in leaderboard.json"
        found = o.accuracy_cell(row)
        if " ".join(value["figures"].split()) != found:
            yield f"the chart prints {value['figures']} of {name}, the table {found}"
        if value["strong"] != (not _best(o) or row["folder"] in (*_best(o), *_similar(o))):
            yield f"the colour of {name} in the chart contradicts its adjusted p-value"
    first = o.learners[0]["folder"] if o.learners else ""
    pairs = {o.display(c["b"]): c for c in o.board["comparisons"] if c["a"] == first}
    for value in next(iter(charts(o.section("comparisons"))), ()):
        pair = pairs[value["name"]]
        if abs(value["value"] - 100 * pair["difference"]) > 0.001 or value["strong"] != pair["separable"]:
            yield f"the chart of differences shows {value['name']} {value['value']}"
        if value["strong"] != (pair["p_adjusted"] < ALPHA):
            yield f"the colour of the difference to {value['name']} contradicts its adjusted p-value"


STUDIES = ("leaderboard", "comparisons", "honesty", "more-data", "robustness", "tuning")


def _figures_and_their_tables(o: Outputs) -> Iterator[str]:
    """Every value that a chart draws is in the table of its figure, to one decimal."""
    for name in STUDIES:
        for figure in re.findall(r"<figure\b.*?</figure>", o.section(name), re.DOTALL):
            cells = " ".join(cell for row in table_rows(figure) for cell in row.values()).replace("−", "-")
            printed = set(re.findall(r"-?\d+\.\d", cells.replace(",", "")))
            for values in charts(figure) if printed else ():
                drawn = [v[key] for v in values for key in ("value", "y") if isinstance(v.get(key), float)]
                missing = {f"{x + 0.0:.1f}" for x in drawn} - printed
                yield from (f"{name}: {x} is in the chart, not in its table" for x in sorted(missing))


def _best(o: Outputs) -> tuple[str, ...]:
    return tuple(o.board["conclusion"]["best"])


def _similar(o: Outputs) -> list[str]:
    """Models that are not significantly different from the first one, by the adjusted p-values."""
    pairs = [c for c in o.board["comparisons"] if _best(o) and c["a"] == _best(o)[0]]
    return [c["b"] for c in pairs if c["p_adjusted"] >= ALPHA and c["difference"] != 0]


def _verdict(o: Outputs) -> Iterator[str]:
    found, board = o.board["conclusion"], o.board
    sentence = found["sentence"]
    if not board["verdict"] == board["winner"]["sentence"] == sentence:
        yield "leaderboard.json has two verdicts"
    bold = [text_of(p) for p in re.findall(r'<p class="verdict">.*?</p>', o.html, re.DOTALL)]
    places = {"report.html": bold, "leaderboard.md": re.findall(r"^\*\*(.*)\*\*$", o.markdown, re.MULTILINE)}
    if o.terminal:
        places["terminal"] = o.terminal.splitlines()[:1]
    for place, said in places.items():
        if said != [sentence]:
            yield f"the verdict of {place} is {said}, that of leaderboard.json {sentence!r}"
    if (board["to_use"] or None) != found["recommended"]:
        yield f"recommended are both {board['to_use']} and {found['recommended']}"
    if (found["n"], found["part"]) != (board["n"], board["part"]):
        yield f"the verdict is of {found['n']} {found['part']} tracks"
    commands = re.findall(r"--model (\S+)/bundle", o.terminal)
    if commands and [Path(c).name for c in commands] != [found["recommended"]]:
        yield f"the terminal recommends {commands}, the verdict {found['recommended']}"


def _names_of_the_best(o: Outputs) -> Iterator[str]:
    found = o.board["conclusion"]
    allowed = {o.display(folder) for folder in found["best"]}
    top = max((r["accuracy"] for r in o.learners), default=0)
    for folder in found["best"]:
        if next(r["accuracy"] for r in o.board["rows"] if r["folder"] == folder) != top:
            yield f"{folder} is called best, and another model has a higher accuracy"
    if found["recommended"] and found["best"] and found["recommended"] not in found["best"]:
        yield f"{found['recommended']} is recommended, {found['best']} called best"
    for place, text in o.all_texts.items():
        for row in o.board["rows"]:
            name = re.escape(row["model"])
            if row["model"] not in allowed and re.search(rf"(?<!\w){name} (is best|is first|wins)", text):
                yield f"{place} calls {row['model']} the best"
            if re.search(rf"(best|winner) (model )?is {name}(?!\w)", text) and row["model"] not in allowed:
                yield f"{place} calls {row['model']} the best"


def _significance(o: Outputs) -> Iterator[str]:
    found = o.board["conclusion"]
    similar = _similar(o)
    if found["best"] and sorted(found["similar"]) != sorted(similar):
        yield f"not significantly different are {similar}, and not {found['similar']}"
    for pair in o.board["comparisons"]:
        if pair["separable"] != (pair["p_adjusted"] < ALPHA):
            yield f"{pair['a']} and {pair['b']}: separable contradicts the adjusted p-value {pair['p_adjusted']}"
    not_better = r"not significantly better than(?! always| chance| the majority baseline)"
    models = [o.display(folder) for folder in similar]
    for place, text in o.texts.items():
        if found["best"] and not similar and re.search(not_better, text):
            yield f"{place}: not significantly better, but all adjusted p-values are below {ALPHA}"
        better = re.search(r"(?<!not )significantly better than (?!always |chance|the majority baseline)(.*)", text)
        if better and (similar or not found["best"]):
            yield f"{place}: significantly better than {better[1]}, but not than {models}"
        counted = re.search(r"(\d+|None) of (\d+) pairs? of models? differs? significantly", text)
        n = sum(p["p_adjusted"] < ALPHA for p in o.board["comparisons"])
        if counted and counted.groups() != (str(n or "None"), str(len(o.board["comparisons"]))):
            yield f"{place}: {counted[0]}, by the p-values {n}"
    rows = [row for row in table_rows(o.section("comparisons")) if "significant" in row]
    for row, pair in zip(rows, o.board["comparisons"], strict=False):
        if (row["significant"] == "yes") != (pair["p_adjusted"] < ALPHA):
            yield f"the table of pairs contradicts p = {pair['p_adjusted']}"


def _ranking_of_few_tracks(o: Outputs) -> Iterator[str]:
    if o.board["n"] >= MIN_RANKED:
        return
    found = o.board["conclusion"]
    if found["best"] or found["recommended"] or o.board["winner"]["folder"]:
        yield "leaderboard.json has a best model"
    for place, text in o.texts.items():
        for word in re.finditer(RANKING, text):
            yield f"{place}: {text[max(0, word.start() - 30) : word.end() + 30]!r}"
        if re.search(r"\] \*", text):
            yield f"{place} has a star"
    if re.search(r"genrelab predict", o.terminal):
        yield "the terminal has a command for predictions"


def _sets_and_counts(o: Outputs) -> Iterator[str]:
    n, part = o.board["n"], o.board["part"]
    counts = {k: {v} for k, v in o.board["split_counts"].items()}
    counts[part] = {n}
    for place, text in o.texts.items():
        if not re.search(rf"(?<![\d,]){n:,} {part} tracks?\b", text):
            yield f"{place} does not name its {n} {part} tracks" if text else ""
        for found in re.finditer(
            r"(?<![Ff]ewer than )(?<![\d,.])(\d[\d,]*) (test|validation|training) tracks?\b", text
        ):
            if int(found[1].replace(",", "")) not in counts.get(found[2], set()):
                yield f"{place}: {found[0]}, by the split {counts.get(found[2])}"
    if part == "validation":
        for place, text in o.all_texts.items():
            for found in re.finditer(r"(?<![\d,.])[1-9][\d,]* test tracks?\b|\b(on|of|the) test tracks?\b", text):
                yield f"{place}: {found[0]!r}, but there is no test set"


def _figures_in_sentences(o: Outputs) -> Iterator[str]:
    """`svm (47.6 %)`, `svm 47.6 %` and `svm is best on … : 47.6 %` are accuracies of that model."""
    for row in o.board["rows"]:
        stored = o.metrics[row["folder"]]
        known = [stored["scores"], *(stored[k] for k in ("training", "validation", "segments") if stored.get(k))]
        figures = {f"{100 * k['accuracy']:.1f}" for k in known}
        name, other = re.escape(row["model"]), r"(\d+\.\d) %"
        for place, text in o.texts.items():
            for found in re.finditer(rf"(?<![\w-]){name}(?: \(|: | ){other}", text):
                if found[1] not in figures:
                    yield f"{place}: {found[0]}, by metrics.json {sorted(figures)}"
            for found in re.finditer(rf"(?<![\w-]){name} (?:is best|is right)[^%:]*(?:: | on ){other}", text):
                if found[1] != f"{100 * row['accuracy']:.1f}":
                    yield f"{place}: {found[0]}, by leaderboard.json {100 * row['accuracy']:.1f}"
    facts = o.board
    for place, text in o.texts.items():
        for found in re.finditer(r"always guessing .*? \(?(\d+\.\d)(?: %|\))", text):
            if found[1] != f"{100 * facts['majority']:.1f}":
                yield f"{place}: {found[0]}, by leaderboard.json {100 * facts['majority']:.1f}"


def _zeros(o: Outputs) -> Iterator[str]:
    for place, text in o.all_texts.items():
        yield from (f"{place}: {text[max(0, m.start() - 20) : m.end()]!r}" for m in re.finditer(NEGATIVE_ZERO, text))
    files = ["leaderboard.json", *(f"{row['folder']}/metrics.json" for row in o.board["rows"])]
    for name in (*files, "leaderboard.csv"):
        if re.search(r"(?<![\w.])-0(\.0+)?(?![\d.])", (o.run / name).read_text()):
            yield f"{name} has a negative zero"
    for values in charts(o.html):
        figures = [v for value in values for v in value.values() if isinstance(v, str)]
        yield from (f"a chart prints {v}" for v in figures if re.search(NEGATIVE_ZERO, v))


def _plurals(o: Outputs) -> Iterator[str]:
    for place, text in o.all_texts.items():
        for found in re.finditer(rf"(?<![\d.,\w/])1 (?:\w+ )?(?:{NOUNS})s\b|\ball 1\b|\b0 of 0\b", text):
            yield f"{place}: {found[0]!r}"
        for found in re.finditer(
            rf"(?<![\d.,\w/-])(?:[02-9]|\d\d+) (?:test |other |training )?(?:{NOUNS})\b(?![-'])", text
        ):
            yield f"{place}: {found[0]!r}"


def _commands(o: Outputs) -> Iterator[str]:
    """Every command that is printed exists, and so do its options."""
    known = {name: {s for p in c.params for s in (*p.opts, *p.secondary_opts)} for name, c in COMMANDS.items()}
    every = set().union(*known.values())
    codes = [unescape(code) for code in re.findall(r"<code>(.*?)</code>", o.html, re.DOTALL)]
    codes += re.findall(r"`([^`]+)`", o.markdown + o.terminal)
    codes += [
        line[line.index("genrelab ") :] for line in o.terminal.splitlines() if re.search(r"\bgenrelab [a-z]", line)
    ]
    for code in codes:
        words = shlex.split(code)
        if words[:1] == ["genrelab"]:
            if words[1] not in known:
                yield f"{code!r}: there is no such command"
                continue
            options = known[words[1]]
        else:
            options = every
        for word in words:
            if word.startswith("--") and word.partition("=")[0] not in options:
                yield f"{code!r}: there is no option {word}"


def _cautions(o: Outputs) -> Iterator[str]:
    block = re.search(r'<div class="cautions">.*?</div>', o.head, re.DOTALL)
    shown = re.sub(r"<details\b.*?</details>", "", block[0], flags=re.DOTALL) if block else ""
    sentences = [text_of(li) for li in re.findall(r"<li>.*?</li>", shown, re.DOTALL)]
    if len(sentences) > MAX_CAUTIONS:
        yield f"{len(sentences)} are not folded"
    stored = [c["sentence"] for c in o.board["cautions"]][: len(sentences)]
    if [s.rstrip(".").lower() for s in sentences] != [s.replace("`", "").rstrip(".").lower() for s in stored]:
        yield f"the page shows {sentences}, leaderboard.json {stored}"
    yield from (f"too long: {s}" for s in sentences if len(s.split()) > MAX_WORDS or ";" in s)
    rules = [c["rule"] for c in o.board["cautions"]]
    if len(set(rules)) < len(rules):
        yield f"a rule is there twice: {rules}"
    if ("leaks" in rules) != (o.board["conclusion"]["kind"] == "leaks") and o.board["n"] >= MIN_RANKED:
        yield "the cautions and the verdict disagree on leaks"


def _stars(o: Outputs) -> Iterator[str]:
    """A star marks the models whose interval includes the baseline, in every table."""
    line = max(o.board["majority"], o.board["chance"])
    for row in o.learners if o.board["n"] >= MIN_RANKED else ():
        starred, cell = row["accuracy_low"] <= line, o.accuracy_cell(row)
        for place, text in o.texts.items():
            for name in re.finditer(
                rf"(?<![\w-]){re.escape(row['model'])}(?![\w-])[^%]{{0,60}}?{re.escape(cell)}( \*)?", text
            ):
                if bool(name[1]) != starred:
                    yield f"{place}: {row['model']} has {'a' if name[1] else 'no'} star, its interval is {cell}"


def _counts_and_names_in_sentences(o: Outputs) -> Iterator[str]:
    """The number of other models, the genre of the baseline, and the models that a caution names."""
    line, n_similar = max(o.board["majority"], o.board["chance"]), len(o.board["conclusion"]["similar"])
    below = {row["model"] for row in o.learners if row["accuracy_low"] <= line}
    for place, text in o.texts.items():
        for found in re.finditer(r"not significantly better than [^\n]*? and (\d+) other models?", text):
            if int(found[1]) != n_similar - 1:
                yield f"{place}: {found[0]!r}, by the p-values {n_similar - 1}"
        for found in re.finditer(r"always guessing (.+?) \(?\d", text):
            if found[1] != o.board["majority_genre"]:
                yield f"{place}: {found[0]!r}, but the most frequent genre is {o.board['majority_genre']}"
        for found in re.finditer(r"ot significantly better than always guessing [^\n]*?: ([^\n.]+)", text):
            named = set(re.split(r", | and ", found[1]))
            if named <= {row["model"] for row in o.learners} and named != below:
                yield f"{place}: {found[0]!r}, by the intervals {sorted(below)}"
