// What a table of answers is saved as: the CSV of `genrelab predict --csv`, and extended M3U8. Nothing here knows the page.
// Unlike that CSV, which programs read, this one is for spreadsheets: it begins with a byte order mark, without which Excel
// takes it for another encoding, and has four digits.
import { best } from "./timeline.js";

export const UNSURE = "\0unsure"; // no genre of a model is called so

/** @param rows [{path, answer, problem}]; @param genres a column for each */
export function csv(rows, genres) {
  const answered = rows.filter((each) => each.answer || each.problem);
  const sets = answered.some((each) => each.answer?.set);
  const head = ["path", "genre", "confidence", ...(sets ? ["set"] : []), "unknown_because", "duration_s", "model", "error", ...genres.map((genre) => `p_${genre}`), "notes"];
  const lines = answered.map(({ path, answer, problem }) => {
    const { genre, confidence, set, unknown_because, duration_s, model, probabilities = {}, notes = [] } = answer ?? {};
    const error = problem ? `${problem.kind}: ${problem.message}` : null;
    return [path, genre, confidence, ...(sets ? [(set ?? []).join("; ")] : []), unknown_because, duration_s, model, error, ...genres.map((name) => probabilities[name]), notes.join("; ")];
  });
  return `\ufeff${[head, ...lines].map((values) => `${values.map(cell).join(",")}\n`).join("")}`;
}

/** A name that begins like a formula would be one in a spreadsheet, and could send away what stands beside it: an apostrophe defuses it. */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(Math.round(1e4 * value) / 1e4);
  const text = /^[=+\-@\t\r\n＝＋－＠]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Genres that tracks of the table have, with how many, in alphabetical order; `UNSURE` last: those that the model declined. */
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
export const listable = (path) => !/[\r\n]/.test(path); // a playlist has one line for each

/** @param genre of which; null: all, genre by genre. The surest tracks come first, as in `genrelab playlists`. */
export function m3u8(rows, genre, version) {
  const lines = ["#EXTM3U", `# Written by genrelab ${version}`];
  for (const [one] of genresIn(rows).filter(([name]) => genre === null || name === genre)) {
    const title = one === UNSURE ? "unsure" : one;
    lines.push(genre === null ? `#EXTGRP:${title}` : `#PLAYLIST:${title}`);
    const tracks = rows.filter(({ answer, path }) => answer && listable(path) && listOf(answer) === one);
    tracks.sort((a, b) => best(b.answer.probabilities)[0][1] - best(a.answer.probabilities)[0][1]);
    for (const { path, answer } of tracks) lines.push(`#EXTINF:${Math.round(answer.duration_s ?? -1)},${titleOf(path)}`, inList(path));
  }
  return `${lines.join("\n")}\n`;
}

const titleOf = (path) => path.split("/").pop().replace(/\.[^.]+$/, "");
const inList = (path) => (/^[# ]/.test(path) ? `./${path}` : path); // else a comment, or what players strip
