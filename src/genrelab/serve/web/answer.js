// One answer: the genre in large, how sure in words, the most probable ones as bars, and the ribbon.
import { colour, dark } from "./colours.js";
import { announce, byId, make, nameOf, show } from "./dom.js";
import { current, genresOf, modelOf, narrowness, served } from "./models.js";
import { isNoMusic, named, reasonOf, titleOf } from "./naming.js";
import { drawRibbon } from "./ribbon.js";
import { sure, surely } from "./sureness.js";
import { best } from "./timeline.js";
import { clock, genreName, listed, percent, probability, say } from "./words.js";

const FEW = 5;
const LEAST_TAG = 0.1; // tags that are less likely are not shown

let shown = null; // {answer, name, remark, onAgain}
let all = false;

/**
 * @param answer the object of POST /v1/predict, with its timeline
 * @param name what was heard, for people: a text, or a function that says it in the language of the moment
 * @param remark key of a sentence to say with it, or null
 * @param onAgain hears it once more, with the model that is chosen then; null where that cannot be
 */
export function showAnswer(answer, name, { remark = null, quiet = false, onAgain = null } = {}) {
  shown = { answer, name, remark, onAgain };
  show(byId("heard"));
  show(byId("verdict"));
  byId("verdict").classList.remove("pending");
  byId("verdict").removeAttribute("aria-hidden");
  show(byId("player"));
  draw();
  if (!quiet) announceAnswer();
}

/** Room for an answer that is still to come, so that nothing jumps when it does. */
export function awaitAnswer() {
  hideAnswer();
  const verdict = byId("verdict");
  verdict.classList.add("pending");
  verdict.setAttribute("aria-hidden", "true"); // there is nothing to be read
  [byId("genre").textContent, byId("sureness").textContent] = ["…", "\u00a0"];
  byId("bars").replaceChildren(...Array.from({ length: FEW }, emptyBar));
  show(byId("bars"));
  byId("evidence").textContent = "\u00a0";
  show(byId("evidence"));
  for (const id of ["remark", "all-genres", "whose", "any", "tags"]) show(byId(id), false);
  const model = current();
  byId("whatever").textContent = model ? narrowness(model.genres.length, model) : "";
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
  const { name, remark } = shown;
  const answer = named(shown.answer);
  byId("heard-name").textContent = nameOf(name);
  drawVerdict(answer, remark);
  show(byId("any"), reasonOf(shown.answer) !== null);
  drawTags(answer);
  drawWhose();
  drawBars(answer);
  byId("length").textContent = clock(answer.duration_s ?? 0);
  for (const id of ["ribbon-help", "as-text"]) show(byId(id), !isNoMusic(answer));
  drawRibbon(isNoMusic(answer) ? [] : (answer.timeline ?? []), answer.duration_s ?? 0, genresOf(answer));
}

function drawVerdict(answer, remark) {
  byId("genre").textContent = titleOf(answer);
  byId("genre").style.setProperty("--letters", Math.max(...titleOf(answer).split(/[\s/&-]+/).map((word) => word.length)));
  byId("genre").classList.toggle("unknown", reasonOf(answer) !== null);
  const [words, grounds] = surely(answer);
  byId("sureness").textContent = words;
  byId("evidence").textContent = grounds ?? "";
  show(byId("evidence"), grounds !== null);
  byId("whatever").textContent = narrowness(genresOf(answer).length, modelOf(answer));
  const remarks = [why(answer), answer.set && !isNoMusic(answer) && say("one_of", { genres: listed(answer.set.map(genreName)) }), remark && say(remark)];
  const text = remarks.filter(Boolean).join(" ");
  byId("remark").textContent = text;
  show(byId("remark"), text !== "");
}

/** Which model said it, where that could be asked; another one that is chosen meanwhile may hear it, too. */
function drawWhose() {
  const { answer, onAgain } = shown;
  const chosen = current();
  const other = chosen !== null && chosen.name !== answer.model;
  byId("by").textContent = say("by_model", { name: answer.model });
  byId("hear-again").textContent = chosen ? say("hear_again", { name: chosen.name }) : "";
  show(byId("hear-again"), other && onAgain !== null);
  show(byId("whose"), other || served.models.length > 1);
}

/** Why it has no genre, or had none. */
function why(answer) {
  if (answer.anyway) return say(answer.anyway === "unsure" ? "anyway_unsure" : "anyway_not_music");
  if (isNoMusic(answer)) return say("not_music_why");
  const precision = reasonOf(answer) && modelOf(answer)?.min_precision;
  return precision ? say("unknown_why", { percent: percent(precision) }) : null;
}

function drawTags(answer) {
  const found = isNoMusic(answer) ? [] : best(answer.tags ?? {}, FEW).filter(([, p]) => p >= LEAST_TAG);
  byId("tag-names").textContent = listed(found.map(([tag, p]) => `${tag} ${probability(p)}`));
  show(byId("tags"), found.length > 0);
}

function drawBars(answer) {
  const known = genresOf(answer);
  const order = best(answer.probabilities);
  const list = byId("bars");
  show(list, !isNoMusic(answer));
  const n = all ? order.length : Math.min(FEW, order.length);
  while (list.children.length < n) list.append(emptyBar());
  while (list.children.length > n) list.lastChild.remove();
  order.slice(0, n).forEach(([genre, p], i) => fillBar(list.children[i], genre, p, known));
  const button = byId("all-genres");
  show(button, order.length > FEW && !isNoMusic(answer));
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

function announceAnswer() {
  const answer = named(shown.answer);
  const said = [titleOf(answer), sure(answer)].filter(Boolean);
  announce(say("heard", { name: nameOf(shown.name), answer: listed(said) }));
}

byId("all-genres").addEventListener("click", () => {
  all = !all;
  drawBars(named(shown.answer));
});
byId("hear-again").addEventListener("click", () => shown?.onAgain());
document.addEventListener("language", () => shown && draw());
document.addEventListener("model", () => shown && drawWhose());
document.addEventListener("any", () => {
  if (!shown) return;
  draw();
  announceAnswer();
});
dark.addEventListener("change", () => shown && draw());
