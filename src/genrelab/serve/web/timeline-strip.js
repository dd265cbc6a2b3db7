// The timeline as a strip of colours: a slider for keyboards and screen readers, a table for readers who cannot see the colours.
import { colour, dark, opacity } from "./colours.js";
import { byId, make, show } from "./dom.js";
import { clock, genreName, joined, percent, probability, t } from "./i18n.js";
import { best, indexAt, merged, segments, shares } from "./timeline.js";

const [strip, canvas, marks, legend, here] = ["timeline", "timeline-canvas", "marks", "legend", "here"].map(byId);
const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

let parts = [];
let genres = [];
let duration = 0;
let cursor = 0;
let actions = { onJump: () => {}, onToggle: () => {} };

/** @param given onJump(seconds) and onToggle(), which plays or pauses */
export function setTimelineActions(given) {
  actions = given;
}

/**
 * @param timeline the windows of an answer
 * @param seconds that the strip spans
 * @param known all genres of the model, in its order
 */
export function drawTimeline(timeline, seconds, known) {
  [parts, duration, genres] = [segments(timeline), seconds, known];
  strip.setAttribute("aria-valuemax", Math.round(duration));
  draw();
  moveCursor(Math.min(cursor, duration));
}

/** Moves the cursor without an action. */
export function moveCursor(seconds) {
  cursor = seconds;
  byId("playhead").style.left = `${duration ? Math.min(100, (100 * seconds) / duration) : 0}%`;
  byId("now").textContent = clock(seconds);
  const text = textAt(seconds);
  if (here.textContent !== text) here.textContent = text;
  strip.setAttribute("aria-valuenow", Math.round(seconds));
  strip.setAttribute("aria-valuetext", valueText(seconds));
}

function partAt(seconds) {
  const part = parts[indexAt(parts, seconds)];
  return part && (seconds <= part.to || seconds >= duration) ? part : null;
}

function valueText(seconds) {
  const part = partAt(seconds);
  const time = clock(seconds);
  return part
    ? t("timeline_value", { time, genre: genreName(part.genre), percent: probability(part.p) })
    : t("timeline_gap", { time });
}

function textAt(seconds) {
  const part = partAt(seconds);
  if (!part) return parts.length ? valueText(seconds) : "";
  const others = best(part.probabilities, 3).slice(1).filter(([, p]) => p >= 0.1);
  const also = others.map(([genre, p]) => `${genreName(genre)} ${probability(p)}`);
  return also.length ? `${valueText(seconds)} · ${t("also", { genres: joined(also) })}` : valueText(seconds);
}

// --- drawing ---

function draw() {
  paint();
  drawMarks();
  drawLegend();
  if (byId("as-table").open) drawTable();
}

function paint() {
  const { width, height } = strip.getBoundingClientRect();
  const sharp = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(width * sharp), Math.round(height * sharp)];
  const pen = canvas.getContext("2d");
  const scale = duration ? canvas.width / duration : 0;
  const background = getComputedStyle(document.body).backgroundColor; // hides the hatching of gaps
  for (const { from, to, genre, p } of parts) {
    const left = Math.round(from * scale);
    for (const fill of [background, colour(genre, genres, opacity(p, genres))]) {
      pen.fillStyle = fill;
      pen.fillRect(left, 0, Math.max(1, Math.round(to * scale) - left), canvas.height);
    }
  }
}

/** Names of genres below the segments that are wide enough for them, wherever the genre changes. */
function drawMarks() {
  const width = strip.clientWidth;
  let [free, before] = [0, null];
  marks.replaceChildren();
  for (const { from, to, genre } of merged(parts)) {
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

/** A small square in the colour of a genre; grey if it is unknown. */
export function swatch(genre, known) {
  const dot = make("span", { className: "swatch", "aria-hidden": "true" });
  dot.style.background = colour(genre, known);
  return dot;
}

function drawLegend() {
  const items = shares(parts).map(([genre, share], i) =>
    make("li", {}, swatch(genre, genres), t(i ? "legend_item" : "legend_first", { genre: genreName(genre), percent: share < 0.005 ? `<${percent(0.01)}` : percent(share) })),
  );
  legend.replaceChildren(...items);
  show(legend, items.length > 0);
}

function drawTable() {
  const head = ["from", "to", "genre", "confidence"].map((key) => make("th", { scope: "col", textContent: t(key) }));
  const rows = merged(parts).map(({ from, to, genre, p }) => {
    const cells = [clock(from), clock(to), genreName(genre), probability(p)];
    return make("tr", {}, ...cells.map((text) => make("td", { textContent: text })));
  });
  byId("timeline-table").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

byId("as-table").addEventListener("toggle", () => byId("as-table").open && drawTable());

/** After a change of width, colours or language. */
function redraw() {
  if (!strip.clientWidth) return;
  draw();
  moveCursor(cursor);
}

new ResizeObserver(redraw).observe(strip);
dark.addEventListener("change", redraw);
document.addEventListener("language", redraw);

// --- mouse, touch and keyboard ---

function jump(seconds) {
  const to = Math.min(duration, Math.max(0, seconds));
  moveCursor(to);
  actions.onJump(to);
}

strip.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  strip.setPointerCapture(event.pointerId);
  jumpTo(event);
});
strip.addEventListener("pointermove", (event) => strip.hasPointerCapture(event.pointerId) && jumpTo(event));

function jumpTo(event) {
  const { left, width } = strip.getBoundingClientRect();
  jump(((event.clientX - left) / width) * duration);
}

strip.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in STEPS) step(STEPS[event.key]);
  else if (event.key === "Home") jump(0);
  else if (event.key === "End") jump(duration);
  else if (event.key === " ") actions.onToggle();
  else return;
  event.preventDefault(); // the page must not scroll
});

/** Moves by windows; by five seconds each if there are none. */
function step(windows) {
  const to = parts[Math.min(parts.length - 1, Math.max(0, indexAt(parts, cursor) + windows))];
  if (to) jump(to.from);
  else jump(cursor + 5 * windows);
}
