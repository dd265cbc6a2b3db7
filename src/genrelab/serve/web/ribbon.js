// The ribbon: which genre, when. A slider for those who cannot point, a table for those who cannot see colours.
import { colour, dark, fullness } from "./colours.js";
import { byId, make, show } from "./dom.js";
import { best, indexAt, runs, shares, stretches } from "./timeline.js";
import { clock, genreName, listed, percent, probability, say } from "./words.js";

const [bar, canvas, marks, legend, here] = ["ribbon", "ribbon-canvas", "marks", "legend", "here"].map(byId);
const LEAPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

let parts = [];
let genres = [];
let duration = 0;
let cursor = 0;
let listeners = { onJump: () => {}, onToggle: () => {} };

/** @param given onJump(seconds): the reader wants to be there; onToggle(): to play or pause */
export function listenToRibbon(given) {
  listeners = given;
}

/**
 * @param timeline what was said of each window
 * @param seconds that the ribbon stands for
 * @param known the genres of the model, in its order
 */
export function drawRibbon(timeline, seconds, known) {
  [parts, duration, genres] = [stretches(timeline), seconds, known];
  bar.setAttribute("aria-valuemax", Math.round(duration));
  paint();
  drawMarks();
  drawLegend();
  if (byId("as-text").open) drawTable();
  moveCursor(Math.min(cursor, duration));
}

/** Moves the cursor, without telling the listeners. */
export function moveCursor(seconds) {
  cursor = seconds;
  byId("playhead").style.left = `${duration ? Math.min(100, (100 * seconds) / duration) : 0}%`;
  byId("now").textContent = clock(seconds);
  const text = textAt(seconds);
  if (here.textContent !== text) here.textContent = text;
  bar.setAttribute("aria-valuenow", Math.round(seconds));
  bar.setAttribute("aria-valuetext", valueText(seconds));
}

function partAt(seconds) {
  const part = parts[indexAt(parts, seconds)];
  return part && (seconds <= part.to || seconds >= duration) ? part : null;
}

function valueText(seconds) {
  const part = partAt(seconds);
  const time = clock(seconds);
  return part
    ? say("ribbon_value", { time, genre: genreName(part.genre), percent: probability(part.p) })
    : say("ribbon_gap", { time });
}

function textAt(seconds) {
  const part = partAt(seconds);
  if (!part) return parts.length ? valueText(seconds) : "";
  const others = best(part.probabilities, 3).slice(1).filter(([, p]) => p >= 0.1);
  const also = others.map(([genre, p]) => `${genreName(genre)} ${probability(p)}`);
  return also.length ? `${valueText(seconds)} · ${say("also", { genres: listed(also) })}` : valueText(seconds);
}

// --- how it is drawn ---

function paint() {
  const { width, height } = bar.getBoundingClientRect();
  const sharp = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(width * sharp), Math.round(height * sharp)];
  const pen = canvas.getContext("2d");
  const scale = duration ? canvas.width / duration : 0;
  const ground = getComputedStyle(document.body).backgroundColor; // else the hatching of gaps would shine through
  for (const { from, to, genre, p } of parts) {
    const left = Math.round(from * scale);
    for (const fill of [ground, colour(genre, genres, fullness(p, genres))]) {
      pen.fillStyle = fill;
      pen.fillRect(left, 0, Math.max(1, Math.round(to * scale) - left), canvas.height);
    }
  }
}

/** Names below those runs that are wide enough for theirs, where the genre is another one: as chords stand above a song. */
function drawMarks() {
  const width = bar.clientWidth;
  let [free, before] = [0, null];
  marks.replaceChildren();
  for (const { from, to, genre } of runs(parts)) {
    const left = (from / duration) * width;
    if (left < free || genre === before) continue;
    const mark = make("span", { textContent: genreName(genre) });
    mark.style.left = `${(100 * from) / duration}%`;
    mark.style.borderColor = colour(genre, genres);
    marks.append(mark);
    if (mark.offsetWidth > ((to - from) / duration) * width) mark.remove();
    else [free, before] = [left + mark.offsetWidth, genre];
  }
}

/** A little of a genre's colour; grey for what is none. */
export function swatch(genre, known) {
  const dot = make("span", { className: "swatch", "aria-hidden": "true" });
  dot.style.background = colour(genre, known);
  return dot;
}

function drawLegend() {
  const items = shares(parts).map(([genre, share], i) =>
    make("li", {}, swatch(genre, genres), say(i ? "legend_item" : "legend_first", { genre: genreName(genre), percent: share < 0.005 ? `<${percent(0.01)}` : percent(share) })),
  );
  legend.replaceChildren(...items);
  show(legend, items.length > 0);
}

function drawTable() {
  const head = ["from", "to", "genre", "confidence"].map((key) => make("th", { scope: "col", textContent: say(key) }));
  const rows = runs(parts).map(({ from, to, genre, p }) => {
    const cells = [clock(from), clock(to), genreName(genre), probability(p)];
    return make("tr", {}, ...cells.map((text) => make("td", { textContent: text })));
  });
  byId("spans").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

byId("as-text").addEventListener("toggle", () => byId("as-text").open && drawTable());

/** All again: the width, the colours or the language are others. */
export function redrawRibbon() {
  if (!bar.clientWidth) return;
  paint();
  drawMarks();
  drawLegend();
  if (byId("as-text").open) drawTable();
  moveCursor(cursor);
}

new ResizeObserver(redrawRibbon).observe(bar);
dark.addEventListener("change", redrawRibbon);
document.addEventListener("language", redrawRibbon);

// --- how it is used ---

function jump(seconds) {
  const to = Math.min(duration, Math.max(0, seconds));
  moveCursor(to);
  listeners.onJump(to);
}

bar.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  bar.setPointerCapture(event.pointerId);
  jumpTo(event);
});
bar.addEventListener("pointermove", (event) => bar.hasPointerCapture(event.pointerId) && jumpTo(event));

function jumpTo(event) {
  const { left, width } = bar.getBoundingClientRect();
  jump(((event.clientX - left) / width) * duration);
}

bar.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in LEAPS) leap(LEAPS[event.key]);
  else if (event.key === "Home") jump(0);
  else if (event.key === "End") jump(duration);
  else if (event.key === " ") listeners.onToggle();
  else return;
  event.preventDefault(); // the page does not scroll, too
});

/** By windows: that is as fine as anything is known. By five seconds where nothing is. */
function leap(windows) {
  const to = parts[Math.min(parts.length - 1, Math.max(0, indexAt(parts, cursor) + windows))];
  if (to) jump(to.from);
  else jump(cursor + 5 * windows);
}
