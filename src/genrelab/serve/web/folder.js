// Many files at once: a row for each, filled as the answers come.
import { patiently, Problem, upload } from "./api.js";
import { announce, byId, download, make, show } from "./dom.js";
import { current, genresOf, served } from "./models.js";
import { named, reasonOf, titleOf } from "./naming.js";
import { swatch } from "./ribbon.js";
import { sure } from "./sureness.js";
import { csv, genresIn, listable, m3u8, UNSURE } from "./tables.js";
import { explained, hideTrouble, showTrouble } from "./trouble.js";
import { hear, refuseTooLarge, wholeOrSome } from "./upload.js";
import { genreName, languageTag, say } from "./words.js";

const AT_ONCE = 2;
const MUSIC = /\.(aac|aif|aifc|aiff|alac|amr|ape|au|caf|flac|m4a|m4b|mka|mp2|mp3|mp4|mpc|oga|ogg|opus|spx|tta|wav|wave|weba|webm|wma|wv)$/i;

let name = null; // of the folder, where it is one
let rows = []; // {path, file, row, answer, sampled, problem}
let leftOut = 0;
let asked = null; // the model that hears them, from the first to the last
let control = new AbortController();

/** Below a folder, as for the command line: what its system or its owner hides is nobody's music. */
const hidden = ({ path }) => path.split("/").slice(1).some((part) => part.startsWith("."));

/** @param all [{path, file}], in any order; @param title name of the folder that they are in, or null */
export async function hearAll(all, title) {
  control.abort();
  hideTrouble();
  const found = all.filter((each) => !hidden(each));
  const music = found.filter(({ path, file }) => MUSIC.test(path) || file.type.startsWith("audio/"));
  if (!music.length) return showTrouble(new Problem("files_none", () => say("files_none_detail"), { ours: true }), { name: title ?? "" });
  const { compare } = new Intl.Collator(languageTag(), { numeric: true });
  rows = music.sort((a, b) => compare(a.path, b.path)).map((each) => ({ ...each, row: make("tr", { role: "row" }) }));
  [name, leftOut] = [title, found.length - music.length];
  byId("files-table").tBodies[0].replaceChildren(...rows.map((each) => each.row));
  show(byId("files"));
  document.body.classList.add("has-heard");
  byId("files").scrollIntoView({ block: "start" });
  await hearAnew();
}

/** All of them, by the model that is chosen now. */
async function hearAnew() {
  for (const each of rows) Object.assign(each, { answer: null, problem: null, sampled: false });
  asked = current();
  await hearRows();
}

/** Those that have no answer yet. */
async function hearRows() {
  control.abort();
  control = new AbortController();
  const { signal } = control;
  drawAll();
  const waiting = rows.filter((each) => !each.answer && !each.problem);
  const one = async () => {
    for (let next = waiting.shift(); next && !signal.aborted; next = waiting.shift()) await hearRow(next, signal);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  if (signal.aborted) return;
  drawHead();
  announce(byId("files-count").textContent);
}

async function hearRow(each, signal) {
  const query = asked ? { model: asked.name } : {};
  each.busy = true;
  drawRow(each);
  let found;
  try {
    refuseTooLarge(each.file);
    const ask = (more) => patiently(() => upload(each.file, { ...query, ...more }, { signal }), { signal, times: Infinity });
    found = await wholeOrSome(ask);
  } catch (problem) {
    found = problem.name === "AbortError" ? {} : { problem };
  }
  if (signal !== control.signal) return; // all is asked anew meanwhile
  Object.assign(each, found, { busy: false });
  drawRow(each);
  drawHead();
}

// --- how it is drawn ---

function drawAll() {
  rows.forEach(drawRow);
  drawHead();
}

function drawRow(each) {
  const { row, path, answer, problem, busy } = each;
  const title = make("th", { scope: "row", role: "rowheader" }, opener(each));
  if (answer) row.replaceChildren(title, ...answerCells(each));
  else row.replaceChildren(title, problem ? problemCell(problem) : wide({ className: "soft", textContent: say(waitingWord(busy)) }));
  row.title = path;
}

function waitingWord(busy) {
  if (control.signal.aborted) return "not_heard";
  return busy ? "hearing" : "pending";
}

// Roles are said outright, because on a narrow screen the rows are no table's rows any more (page.css).
const cell = (properties, ...children) => make("td", { role: "cell", ...properties }, ...children);
const wide = (properties, ...children) => cell({ colSpan: 2, "aria-colspan": 2, ...properties }, ...children);

function problemCell(problem) {
  const title = problem.title ?? say("problem_other"); // a fault of the page has none
  const detail = problem instanceof Problem ? explained(problem, "fine") : [make("p", { className: "fine", textContent: problem.message })];
  return wide({}, make("span", { className: "bad", textContent: title }), ...detail);
}

function opener({ path, file }) {
  const shown = path.startsWith(`${name}/`) ? path.slice(name.length + 1) : path;
  const button = make("button", { type: "button", className: "plain", textContent: shown, "aria-label": say("open_file", { name: shown }) });
  button.addEventListener("click", () => hear(file));
  return button;
}

function answerCells({ answer: given, sampled }) {
  const answer = named(given);
  const genre = cell({ className: "genre-cell" }, swatch(answer.genre, genresOf(answer)), titleOf(answer));
  const words = [sure(answer), sampled && say("files_sampled")].filter(Boolean).join(" · ");
  return [genre, cell({ className: reasonOf(answer) ? "soft" : "", textContent: words })];
}

function drawHead() {
  const [heard, failed, n] = [rows.filter((each) => each.answer).length, rows.filter((each) => each.problem).length, rows.length];
  const stopped = control.signal.aborted && heard + failed < n;
  const running = !stopped && heard + failed < n;
  byId("files-title").textContent = name ?? say("several");
  const said = [running ? say("files_count", { done: heard + failed, n }) : say(heard === n ? "files_done" : "files_part", { heard, n })];
  if (failed) said.push(say("files_failed", { n: failed }));
  if (leftOut) said.push(say("files_left_out", { n: leftOut }));
  if (stopped) said.push(say("files_stopped"));
  if (served.models.length > 1 && asked) said.push(say("by_model", { name: asked.name }));
  byId("files-count").textContent = said.join(" · ");
  byId("files-bar").value = (heard + failed) / n;
  for (const id of ["files-bar", "files-stop"]) show(byId(id), running);
  show(byId("files-more"), stopped);
  show(byId("files-any"), rows.some((each) => each.answer && reasonOf(each.answer)));
  drawAgain();
  drawPlaylistChoice();
}

function drawAgain() {
  const other = current()?.name !== asked?.name;
  show(byId("files-again"), other);
  if (other) byId("files-again").textContent = say("hear_again", { name: current().name });
}

function drawPlaylistChoice() {
  const choice = byId("files-genre");
  const before = choice.value;
  const counts = genresIn(namedRows());
  const n = counts.reduce((sum, [, count]) => sum + count, 0);
  const options = counts.map(([genre, count]) => [genre, genre === UNSURE ? say("playlist_unsure", { n: count }) : say("playlist_genre", { genre: genreName(genre), n: count })]);
  choice.replaceChildren(...[["", say("playlist_all", { n })], ...options].map(([value, textContent]) => make("option", { value, textContent })));
  choice.value = counts.some(([genre]) => genre === before) ? before : "";
  byId("files-csv").disabled = !rows.some((each) => each.answer || each.problem);
  for (const id of ["files-m3u8", "files-genre"]) byId(id).disabled = n === 0;
  byId("files-hint").textContent = hint();
}

function hint() {
  const without = rows.filter(({ answer, path }) => answer && !listable(path)).length;
  const place = name !== null ? say("playlist_hint", { name }) : say("playlist_loose");
  return without ? `${place} ${say("playlist_without", { n: without })}` : place;
}

// --- what is done with it ---

byId("files-stop").addEventListener("click", () => {
  control.abort();
  drawAll();
  byId("files-more").focus();
});
byId("files-more").addEventListener("click", () => {
  hearRows();
  byId("files-stop").focus();
});
byId("files-again").addEventListener("click", () => {
  hearAnew();
  byId("files-stop").focus();
});
byId("files-csv").addEventListener("click", () => {
  const genres = served.models.find((m) => rows.some((each) => each.answer?.model === m.name))?.genres ?? [];
  download(`${fileName()}.csv`, csv(namedRows(), genres), "text/csv;charset=utf-8");
});
byId("files-m3u8").addEventListener("click", () => {
  const genre = byId("files-genre").value;
  const ending = genre ? ` ${genre === UNSURE ? "unsure" : genre}` : "";
  download(`${fileName()}${ending}.m3u8`.replace(/[\\/:*?"<>|]/g, "_"), m3u8(namedRows(), genre || null, served.version), "audio/x-mpegurl;charset=utf-8");
});
for (const event of ["language", "any"]) document.addEventListener(event, () => rows.length && drawAll());
document.addEventListener("model", () => rows.length && drawAgain());

/** The rows as they are shown. */
const namedRows = () => rows.map((each) => (each.answer ? { ...each, answer: named(each.answer) } : each));

const fileName = () => name ?? "genrelab";
