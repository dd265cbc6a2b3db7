// Many files: a table with a row for each, filled as the answers come.
import { Problem, retryWhileBusy, upload } from "./api.js";
import { classifyFile, refuseTooLarge } from "./classify.js";
import { confidenceText } from "./confidence.js";
import { decided, isNotMusic, reasonOf, titleOf } from "./decision.js";
import { announce, byId, download, make, show } from "./dom.js";
import { csv, genresIn, listable, m3u8, UNSURE } from "./export.js";
import { genreName, languageTag, paragraph, t } from "./i18n.js";
import { current, genresOf, served } from "./models.js";
import { explanation, hideProblem, showProblem } from "./problem.js";
import { swatch } from "./timeline-strip.js";

const PARALLEL = 2;
const AUDIO = /\.(aac|aif|aifc|aiff|alac|amr|ape|au|caf|flac|m4a|m4b|mka|mp2|mp3|mp4|mpc|oga|ogg|opus|spx|tta|wav|wave|weba|webm|wma|wv)$/i;

/** What each column is sorted by; null comes last. */
const SORT_VALUES = {
  file: ({ path }) => path,
  genre: ({ answer }) => answer && titleOf(decided(answer)),
  confidence: ({ answer }) => (answer && !isNotMusic(decided(answer)) ? answer.confidence : null),
};

const table = byId("files-table");

let folder = null; // its name, if the files are those of one folder
let rows = []; // {path, file, row, answer, problem, busy}
let skipped = 0;
let model = null; // the model for all rows
let control = new AbortController();
let order = { column: "file", descending: false };

/** Hidden by the system or the user, as the command line decides it. */
const hidden = ({ path }) => path.split("/").slice(1).some((part) => part.startsWith("."));

/** @param all [{path, file}], in any order; @param title name of their folder, or null */
export async function classifyFolder(all, title) {
  control.abort();
  hideProblem();
  const found = all.filter((each) => !hidden(each));
  const audio = found.filter(({ path, file }) => AUDIO.test(path) || file.type.startsWith("audio/"));
  if (!audio.length) return showProblem(new Problem("files_none", () => t("files_none_detail")), { name: title ?? "" });
  rows = audio.map((each) => ({ ...each, row: make("tr", { role: "row" }) }));
  [folder, skipped, order] = [title, found.length - audio.length, { column: "file", descending: false }];
  table.tBodies[0].replaceChildren();
  show(byId("files"));
  document.body.classList.add("has-result");
  byId("files").scrollIntoView({ block: "start" });
  await classifyAgain();
}

/** All rows, with the model that is chosen now. */
async function classifyAgain() {
  for (const each of rows) Object.assign(each, { answer: null, problem: null });
  model = current();
  await classifyRows();
}

/** The rows without an answer. */
async function classifyRows() {
  control.abort();
  control = new AbortController();
  const { signal } = control;
  drawAll();
  const waiting = rows.filter((each) => !each.answer && !each.problem);
  const work = async () => {
    for (let next = waiting.shift(); next && !signal.aborted; next = waiting.shift()) await classifyRow(next, signal);
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  if (signal.aborted) return;
  sortRows();
  announce(byId("files-count").textContent);
}

async function classifyRow(each, signal) {
  const query = model ? { model: model.name } : {};
  each.busy = true;
  drawRow(each);
  let found;
  try {
    refuseTooLarge(each.file);
    const answer = await retryWhileBusy(() => upload(each.file, query, { signal }), { signal, times: Infinity });
    found = { answer };
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem("page", String(error));
    found = error.name === "AbortError" ? {} : { problem };
  }
  if (signal !== control.signal) return; // the table was started again
  Object.assign(each, found, { busy: false });
  drawRow(each);
  drawHead();
}

// --- drawing ---

function drawAll() {
  rows.forEach(drawRow);
  sortRows();
  drawHead();
}

function drawRow(each) {
  const { row, path, answer, problem, busy } = each;
  const title = make("th", { scope: "row", role: "rowheader" }, opener(each));
  if (answer) row.replaceChildren(title, ...answerCells(each));
  else row.replaceChildren(title, problem ? problemCell(problem) : wide({ className: "soft", textContent: t(waitingKey(busy)) }));
  row.title = path;
}

function waitingKey(busy) {
  if (control.signal.aborted) return "not_classified";
  return busy ? "classifying" : "pending";
}

// Explicit roles, because on a narrow screen CSS takes the layout of a table away, and with it the implicit roles.
const cell = (properties, ...children) => make("td", { role: "cell", ...properties }, ...children);
const wide = (properties, ...children) => cell({ colSpan: 2, "aria-colspan": 2, ...properties }, ...children);

const problemCell = (problem) =>
  wide({}, make("span", { className: "bad", textContent: problem.title }), make("p", { className: "fine", textContent: explanation(problem) }));

function opener({ path, file }) {
  const shown = path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : path;
  const button = make("button", { type: "button", className: "plain", textContent: shown, "aria-label": t("open_file", { name: shown }) });
  button.addEventListener("click", () => classifyFile(file));
  return button;
}

function answerCells({ answer: given }) {
  const answer = decided(given);
  const genre = cell({ className: "genre-cell" }, swatch(answer.genre, genresOf(answer)), titleOf(answer));
  return [genre, cell({ className: reasonOf(answer) ? "soft" : "", textContent: confidenceText(answer) })];
}

function sortRows() {
  const { compare } = new Intl.Collator(languageTag(), { numeric: true });
  const [value, sign] = [SORT_VALUES[order.column], order.descending ? -1 : 1];
  rows.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    const difference = typeof x === "number" ? x - y : compare(x, y);
    return (x === null) - (y === null) || sign * difference || compare(a.path, b.path);
  });
  const focused = document.activeElement;
  table.tBodies[0].append(...rows.map((each) => each.row));
  focused.focus({ preventScroll: true }); // a row loses the focus when it is moved
  for (const button of table.tHead.querySelectorAll("button")) {
    const direction = order.descending ? "descending" : "ascending";
    button.closest("th").ariaSort = button.dataset.text === order.column ? direction : "none";
  }
}

function drawHead() {
  const [classified, failed, n] = [rows.filter((each) => each.answer).length, rows.filter((each) => each.problem).length, rows.length];
  const stopped = control.signal.aborted && classified + failed < n;
  const running = !stopped && classified + failed < n;
  byId("files-title").textContent = folder ?? t("several");
  const texts = [running ? t("files_count", { done: classified + failed, n }) : t(classified === n ? "files_done" : "files_part", { classified, n })];
  if (failed) texts.push(t("files_failed", { n: failed }));
  if (skipped) texts.push(t("files_skipped", { n: skipped }));
  if (stopped) texts.push(t("files_stopped"));
  if (served.models.length > 1 && model) texts.push(t("by_model", { name: model.name }));
  byId("files-count").textContent = texts.join(" · ");
  byId("files-bar").value = (classified + failed) / n;
  for (const id of ["files-bar", "files-stop"]) show(byId(id), running);
  show(byId("files-more"), stopped);
  show(byId("files-any"), rows.some((each) => each.answer && reasonOf(each.answer)));
  drawAgain();
  drawPlaylistChoice();
}

function drawAgain() {
  const other = current()?.name !== model?.name;
  show(byId("files-again"), other);
  if (other) byId("files-again").textContent = t("rerun", { name: current().name });
}

function drawPlaylistChoice() {
  const choice = byId("files-genre");
  const before = choice.value;
  const counts = genresIn(decidedRows());
  const n = counts.reduce((sum, [, count]) => sum + count, 0);
  const options = counts.map(([genre, count]) => [genre, genre === UNSURE ? t("playlist_unsure", { n: count }) : t("playlist_genre", { genre: genreName(genre), n: count })]);
  choice.replaceChildren(...[["", t("playlist_all", { n })], ...options].map(([value, textContent]) => make("option", { value, textContent })));
  choice.value = counts.some(([genre]) => genre === before) ? before : "";
  byId("files-csv").disabled = !rows.some((each) => each.answer || each.problem);
  for (const id of ["files-m3u8", "files-genre"]) byId(id).disabled = n === 0;
  byId("files-hint").textContent = hint();
}

function hint() {
  const without = rows.filter(({ answer, path }) => answer && !listable(path)).length;
  const place = folder !== null ? t("playlist_hint", { name: folder }) : t("playlist_loose");
  return without ? paragraph([place, t("playlist_without", { n: without })]) : place;
}

// --- actions ---

table.tHead.addEventListener("click", ({ target }) => {
  const column = target.closest("button")?.dataset.text;
  if (!column) return;
  order = { column, descending: column === order.column ? !order.descending : column === "confidence" };
  sortRows();
});
byId("files-stop").addEventListener("click", () => {
  control.abort();
  drawAll();
  byId("files-more").focus();
});
byId("files-more").addEventListener("click", () => {
  classifyRows();
  byId("files-stop").focus();
});
byId("files-again").addEventListener("click", () => {
  classifyAgain();
  byId("files-stop").focus();
});
byId("files-csv").addEventListener("click", () => {
  const genres = served.models.find((m) => rows.some((each) => each.answer?.model === m.name))?.genres ?? [];
  download(`${fileName()}.csv`, csv(decidedRows(), genres), "text/csv;charset=utf-8");
});
byId("files-m3u8").addEventListener("click", () => {
  const genre = byId("files-genre").value;
  const ending = genre ? ` ${genre === UNSURE ? "unsure" : genre}` : "";
  download(`${fileName()}${ending}.m3u8`.replace(/[\\/:*?"<>|]/g, "_"), m3u8(decidedRows(), genre || null, served.version), "audio/x-mpegurl;charset=utf-8");
});
for (const event of ["language", "any"]) document.addEventListener(event, () => rows.length && drawAll());
document.addEventListener("model", () => rows.length && drawAgain());

/** The rows as they are shown. */
const decidedRows = () => rows.map((each) => (each.answer ? { ...each, answer: decided(each.answer) } : each));

const fileName = () => folder ?? "genrelab";
