// Many files at once: a row for each, filled as the answers come.
import { patiently, Problem, upload } from "./api.js";
import { announce, byId, download, make, show } from "./dom.js";
import { current, genresOf, served } from "./models.js";
import { swatch } from "./ribbon.js";
import { hideTrouble, showTrouble, tooLarge } from "./trouble.js";
import { csv, genresIn, m3u8, UNSURE } from "./tables.js";
import { best } from "./timeline.js";
import { hear } from "./upload.js";
import { genreName, languageTag, probability, say, size, sure } from "./words.js";

const AT_ONCE = 2;
const MUSIC = /\.(aac|aif|aifc|aiff|alac|amr|ape|au|caf|flac|m4a|m4b|mka|mp2|mp3|mp4|mpc|oga|ogg|opus|spx|tta|wav|wave|weba|webm|wma|wv)$/i;

let name = null;
let rows = []; // {path, file, row, answer, problem}
let leftOut = 0;
let control = new AbortController();

/** @param found [{path, file}], in any order; @param title of what they are */
export async function hearAll(found, title) {
  control.abort();
  control = new AbortController();
  hideTrouble();
  const music = found.filter(({ path, file }) => MUSIC.test(path) || file.type.startsWith("audio/"));
  if (!music.length) return showTrouble(new Problem("files_none", say("files_none_detail"), { ours: true }), { name: title });
  const { compare } = new Intl.Collator(languageTag(), { numeric: true });
  rows = music.sort((a, b) => compare(a.path, b.path)).map((each) => ({ ...each, row: make("tr", { role: "row" }), answer: null, problem: null }));
  [name, leftOut] = [title, found.length - music.length];
  byId("files-table").tBodies[0].replaceChildren(...rows.map((each) => each.row));
  show(byId("files"));
  document.body.classList.add("has-heard");
  drawAll();
  byId("files").scrollIntoView({ block: "start" });
  await hearRows(control.signal);
}

async function hearRows(signal) {
  const waiting = [...rows];
  const one = async () => {
    for (let next = waiting.shift(); next && !signal.aborted; next = waiting.shift()) await hearRow(next, signal);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  if (signal.aborted) return;
  drawHead();
  announce(byId("files-count").textContent);
}

async function hearRow(each, signal) {
  const { upload_bytes } = served.limits;
  each.busy = true;
  drawRow(each);
  try {
    if (upload_bytes && each.file.size > upload_bytes) throw tooLarge({ size: size(each.file.size), most: size(upload_bytes) });
    const query = current() ? { model: current().name } : {};
    each.answer = await patiently(() => upload(each.file, query, { signal }), { signal, times: Infinity });
  } catch (problem) {
    if (problem.name !== "AbortError") each.problem = problem;
  }
  each.busy = false;
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
  if (answer) row.replaceChildren(title, ...answerCells(answer));
  else row.replaceChildren(title, problem ? problemCell(problem) : wide({ className: "soft", textContent: say(busy ? "hearing" : "pending") }));
  row.title = path;
}

// Roles are said outright, because on a narrow screen the rows are no table's rows any more (page.css).
const cell = (properties, ...children) => make("td", { role: "cell", ...properties }, ...children);
const wide = (properties, ...children) => cell({ colSpan: 2, "aria-colspan": 2, ...properties }, ...children);

function problemCell({ title, message, ours }) {
  const lang = ours ? languageTag() : "en"; // the service speaks English
  return wide({}, make("span", { className: "bad", textContent: title ?? say("problem_other") }), make("p", { className: "fine", textContent: message, lang }));
}

function opener({ path, file }) {
  const shown = path.startsWith(`${name}/`) ? path.slice(name.length + 1) : path;
  const button = make("button", { type: "button", className: "plain", textContent: shown, "aria-label": say("open_file", { name: shown }) });
  button.addEventListener("click", () => hear(file));
  return button;
}

function answerCells(answer) {
  const [guess, p] = best(answer.probabilities)[0];
  const unknown = answer.genre === "unknown";
  const genre = cell({ className: "genre-cell" }, swatch(answer.genre, genresOf(answer)), genreName(answer.genre));
  const words = unknown ? say("best_guess", { genre: genreName(guess), percent: probability(p) }) : sure(p);
  const confidence = cell({ className: unknown ? "soft" : "", textContent: words });
  return [genre, confidence];
}

function drawHead() {
  const done = rows.filter((each) => each.answer || each.problem).length;
  const failed = rows.filter((each) => each.problem).length;
  const all = done === rows.length;
  byId("files-title").textContent = name ?? say("several");
  const said = [say(all ? "files_done" : "files_count", { done, n: rows.length })];
  if (failed) said.push(say("files_failed", { n: failed }));
  if (leftOut) said.push(say("files_left_out", { n: leftOut }));
  if (control.signal.aborted && !all) said.push(say("files_stopped"));
  byId("files-count").textContent = said.join(" · ");
  byId("files-bar").value = done / rows.length;
  const running = !all && !control.signal.aborted;
  show(byId("files-bar"), running);
  show(byId("files-stop"), running);
  drawPlaylistChoice();
}

function drawPlaylistChoice() {
  const choice = byId("files-genre");
  const before = choice.value;
  const counts = genresIn(rows);
  const n = counts.reduce((sum, [, count]) => sum + count, 0);
  const options = counts.map(([genre, count]) => [genre, genre === UNSURE ? say("playlist_unsure", { n: count }) : say("playlist_genre", { genre: genreName(genre), n: count })]);
  choice.replaceChildren(...[["", say("playlist_all", { n })], ...options].map(([value, textContent]) => make("option", { value, textContent })));
  choice.value = counts.some(([genre]) => genre === before) ? before : "";
  byId("files-csv").disabled = !rows.some((each) => each.answer || each.problem);
  for (const id of ["files-m3u8", "files-genre"]) byId(id).disabled = n === 0;
}

// --- what is done with it ---

byId("files-stop").addEventListener("click", () => {
  control.abort();
  drawAll();
  byId("files-csv").focus();
});
byId("files-csv").addEventListener("click", () => {
  const genres = served.models.find((m) => rows.some((each) => each.answer?.model === m.name))?.genres ?? [];
  download(`${fileName()}.csv`, csv(rows, genres), "text/csv;charset=utf-8");
});
byId("files-m3u8").addEventListener("click", () => {
  const genre = byId("files-genre").value;
  const ending = genre ? ` ${genre === UNSURE ? "unsure" : genre}` : "";
  download(`${fileName()}${ending}.m3u8`.replace(/[\\/:*?"<>|]/g, "_"), m3u8(rows, genre || null, served.version), "audio/x-mpegurl;charset=utf-8");
});
document.addEventListener("language", () => rows.length && drawAll());

const fileName = () => name ?? "genrelab";
