// One answer: the genre in large, how sure in words, the most probable ones as bars, and the ribbon.
import { colour, dark } from "./colours.js";
import { announce, byId, make, show } from "./dom.js";
import { genresOf, served } from "./models.js";
import { drawRibbon } from "./ribbon.js";
import { best } from "./timeline.js";
import { clock, genreName, listed, percent, probability, say, sure, sureness } from "./words.js";

const FEW = 5;

let shown = null; // {answer, name, remark}
let all = false;

/**
 * @param answer the object of POST /v1/predict, with its timeline
 * @param name what was heard, for people
 * @param remark key of a sentence to say with it, or null
 */
export function showAnswer(answer, name, { remark = null, quiet = false } = {}) {
  shown = { answer, name, remark };
  show(byId("heard"));
  show(byId("verdict"));
  byId("verdict").classList.remove("pending");
  byId("verdict").removeAttribute("aria-hidden");
  show(byId("player"));
  draw();
  if (!quiet) announce(inOneSentence(answer, name));
}

/** Room for an answer that is still to come, so that nothing jumps when it does. */
export function awaitAnswer() {
  hideAnswer();
  const verdict = byId("verdict");
  verdict.classList.add("pending");
  verdict.setAttribute("aria-hidden", "true"); // there is nothing to be read
  [byId("genre").textContent, byId("sureness").textContent] = ["…", "\u00a0"];
  byId("bars").replaceChildren(...Array.from({ length: FEW }, emptyBar));
  for (const id of ["remark", "all-genres"]) show(byId(id), false);
  show(verdict);
}

export function hideAnswer() {
  shown = null;
  all = false;
  show(byId("verdict"), false);
  show(byId("player"), false);
  drawRibbon([], 0, []);
}

function draw() {
  const { answer, name, remark } = shown;
  byId("heard-name").textContent = name;
  drawVerdict(answer, remark);
  drawBars(answer);
  byId("length").textContent = clock(answer.duration_s ?? 0);
  drawRibbon(answer.timeline ?? [], answer.duration_s ?? 0, genresOf(answer));
}

const guessOf = (answer) => best(answer.probabilities)[0];

function drawVerdict(answer, remark) {
  const [guess, p] = guessOf(answer);
  const unknown = answer.genre === "unknown";
  byId("genre").textContent = genreName(answer.genre);
  byId("genre").classList.toggle("unknown", unknown);
  byId("sureness").textContent = unknown ? say("best_guess", { genre: genreName(guess), percent: probability(p) }) : sure(p);
  const remarks = [unknown && why(answer), answer.set && say("one_of", { genres: listed(answer.set.map(genreName)) }), remark && say(remark)];
  const text = remarks.filter(Boolean).join(" ");
  byId("remark").textContent = text;
  show(byId("remark"), text !== "");
}

function why(answer) {
  const precision = served.models.find((m) => m.name === answer.model)?.min_precision;
  return precision ? say("unknown_why", { percent: percent(precision) }) : say("unknown_why_not");
}

function drawBars(answer) {
  const known = genresOf(answer);
  const order = best(answer.probabilities);
  const list = byId("bars");
  const n = all ? order.length : Math.min(FEW, order.length);
  while (list.children.length < n) list.append(emptyBar());
  while (list.children.length > n) list.lastChild.remove();
  order.slice(0, n).forEach(([genre, p], i) => fillBar(list.children[i], genre, p, known));
  const button = byId("all-genres");
  show(button, order.length > FEW);
  button.textContent = all ? say("fewer_genres") : say("all_genres", { n: order.length });
  button.setAttribute("aria-expanded", all);
}

const emptyBar = () =>
  make("li", {}, make("span", { className: "bar-name", textContent: "\u00a0" }), make("span", { className: "bar", "aria-hidden": "true" }, make("span")), make("span", { className: "bar-share" }));

/** The same bars again and again, so that those of a microphone move instead of jumping. */
function fillBar(item, genre, p, known) {
  const [name, bar, share] = item.children;
  name.textContent = genreName(genre);
  bar.firstChild.style.width = `${Math.max(0.5, 100 * p)}%`;
  bar.firstChild.style.background = colour(genre, known);
  share.textContent = probability(p);
}

function inOneSentence(answer, name) {
  const [guess, p] = guessOf(answer);
  if (answer.genre === "unknown") return say("heard_unknown", { name, genre: genreName(guess), percent: probability(p) });
  return say("heard", { name, genre: genreName(answer.genre), sureness: sureness(p), percent: probability(p) });
}

byId("all-genres").addEventListener("click", () => {
  all = !all;
  drawBars(shown.answer);
});
document.addEventListener("language", () => shown && draw());
dark.addEventListener("change", () => shown && draw());
