// A table of answers as a file: the CSV of `genrelab predict --csv`, and extended M3U8. For spreadsheets, this CSV starts with a
// byte order mark (else Excel misreads UTF-8) and its numbers have four decimals.
export const UNSURE = "\0unsure"; // cannot be the name of a genre

/** @param rows [{path, answer, problem}]; @param genres one column each */
export function csv(rows, genres) {
  const done = rows.filter((each) => each.answer || each.problem);
  const sets = done.some((each) => each.answer?.set);
  const head = ["path", "genre", "confidence", ...(sets ? ["set"] : []), "unknown_because", "duration_s", "model", "error", ...genres.map((genre) => `p_${genre}`), "notes"];
  const lines = done.map(({ path, answer, problem }) => {
    const { genre, confidence, set, unknown_because, duration_s, model, probabilities = {}, notes = [] } = answer ?? {};
    const error = problem ? `${problem.kind}: ${problem.message}` : null;
    return [path, genre, confidence, ...(sets ? [(set ?? []).join("; ")] : []), unknown_because, duration_s, model, error, ...genres.map((name) => probabilities[name]), notes.join("; ")];
  });
  return `\ufeff${[head, ...lines].map((values) => `${values.map(cell).join(",")}\n`).join("")}`;
}

/** A text that starts like a formula gets an apostrophe: a spreadsheet would run it. */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(Math.round(1e4 * value) / 1e4);
  const text = /^[=+\-@\t\r\n＝＋－＠]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** [genre, number of tracks] in alphabetical order; UNSURE, for tracks without a genre, comes last. */
export function genresIn(rows) {
  const counts = new Map();
  for (const { answer, path } of rows) {
    if (!answer || !listable(path)) continue;
    const genre = listOf(answer);
    counts.set(genre, (counts.get(genre) ?? 0) + 1);
  }
  return [...counts].sort(([a], [b]) => (a === UNSURE) - (b === UNSURE) || (a < b ? -1 : 1));
}

const listOf = (answer) => (answer.genre === "unknown" ? UNSURE : answer.genre);
export const listable = (path) => !/[\r\n]/.test(path); // a playlist has one line per file

/** @param genre null: all, genre by genre. Within a genre the highest confidence comes first, as in `genrelab playlists`. */
export function m3u8(rows, genre, version) {
  const lines = ["#EXTM3U", `# Written by genrelab ${version}`];
  for (const [one] of genresIn(rows).filter(([name]) => genre === null || name === genre)) {
    const title = one === UNSURE ? "unsure" : one;
    lines.push(genre === null ? `#EXTGRP:${title}` : `#PLAYLIST:${title}`);
    const tracks = rows.filter(({ answer, path }) => answer && listable(path) && listOf(answer) === one);
    tracks.sort((a, b) => b.answer.confidence - a.answer.confidence);
    for (const { path, answer } of tracks) lines.push(`#EXTINF:${Math.round(answer.duration_s ?? -1)},${titleOf(path)}`, inList(path));
  }
  return `${lines.join("\n")}\n`;
}

const titleOf = (path) => path.split("/").pop().replace(/\.[^.]+$/, "");
const inList = (path) => (/^[# ]/.test(path) ? `./${path}` : path); // else it would be a comment, or players would strip the space
