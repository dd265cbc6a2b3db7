// One answer: the genre, its confidence, the most probable genres as bars, and the timeline.
import { colour, dark } from "./colours.js";
import { confidenceText, evidenceText } from "./confidence.js";
import { decided, isNotMusic, reasonOf, titleOf } from "./decision.js";
import { announce, byId, make, nameOf, show } from "./dom.js";
import { clock, genreName, joined, paragraph, percent, probability, t } from "./i18n.js";
import { current, genresOf, modelOf, served, unknownRule } from "./models.js";
import { best } from "./timeline.js";
import { drawTimeline } from "./timeline-strip.js";

const N_BARS = 5;
const N_TAGS = 5;
const MIN_TAG_PROBABILITY = 0.1;

let shown = null; // {answer, name, remark, onAgain}
let all = false;

/**
 * @param answer the object of POST /v1/predict
 * @param name of the file: a text, or a function that returns one in the reader's language
 * @param remark key of a sentence to add, or null
 * @param onAgain classifies it again with the chosen model; null if that is not possible
 */
export function showAnswer(answer, name, { remark = null, quiet = false, onAgain = null } = {}) {
  shown = { answer, name, remark, onAgain };
  show(byId("result"));
  show(byId("verdict"));
  byId("verdict").classList.remove("pending");
  byId("verdict").removeAttribute("aria-hidden");
  show(byId("player"));
  draw();
  if (!quiet) announceAnswer();
}

/** Reserves the space of an answer, so that nothing moves when it comes. */
export function awaitAnswer() {
  hideAnswer();
  const verdict = byId("verdict");
  verdict.classList.add("pending");
  verdict.setAttribute("aria-hidden", "true");
  [byId("genre").textContent, byId("confidence").textContent, byId("evidence").textContent] = ["…", "\u00a0", "\u00a0"];
  byId("bars").replaceChildren(...Array.from({ length: N_BARS }, emptyBar));
  for (const id of ["bars", "evidence"]) show(byId(id));
  for (const id of ["remark", "all-genres", "model-line", "any", "tempo-key", "tags"]) show(byId(id), false);
  byId("unknown-rule").textContent = current() ? unknownRule(current()) : "";
  show(verdict);
}

export function hideAnswer() {
  shown = null;
  all = false;
  show(byId("verdict"), false);
  show(byId("player"), false);
  drawTimeline([], 0, []);
}

function draw() {
  const { name, remark } = shown;
  const answer = decided(shown.answer);
  byId("result-name").textContent = nameOf(name);
  drawVerdict(answer, remark);
  show(byId("any"), reasonOf(shown.answer) !== null);
  drawTempoAndKey(answer);
  drawTags(answer);
  drawModelLine();
  drawBars(answer);
  byId("length").textContent = clock(answer.duration_s ?? 0);
  const timeline = isNotMusic(answer) ? [] : (answer.timeline ?? []);
  for (const id of ["timeline-help", "as-table"]) show(byId(id), timeline.length > 0);
  drawTimeline(timeline, answer.duration_s ?? 0, genresOf(answer));
}

function drawVerdict(answer, remark) {
  const title = titleOf(answer);
  byId("genre").textContent = title;
  byId("genre").style.setProperty("--letters", Math.max(...title.split(/[\s/&-]+/).map((word) => word.length)));
  byId("genre").classList.toggle("unknown", reasonOf(answer) !== null);
  byId("confidence").textContent = confidenceText(answer, (p) => t("confidence_of", { percent: probability(p) }));
  setOrHide(byId("evidence"), evidenceText(answer));
  const set = answer.set && !isNotMusic(answer) && t("one_of", { genres: joined(answer.set.map(genreName)) });
  setOrHide(byId("remark"), paragraph([unknownText(answer), set, remark && t(remark)].filter(Boolean)));
  byId("unknown-rule").textContent = unknownRule(modelOf(answer));
}

function setOrHide(element, text) {
  element.textContent = text ?? "";
  show(element, Boolean(text));
}

/** Which model gave the answer, if there are several, and a button for the one that is chosen now. */
function drawModelLine() {
  const { answer, onAgain } = shown;
  const chosen = current();
  const other = chosen !== null && chosen.name !== answer.model;
  byId("by-model").textContent = t("by_model", { name: answer.model });
  byId("rerun").textContent = chosen ? t("rerun", { name: chosen.name }) : "";
  show(byId("rerun"), other && onAgain !== null);
  show(byId("model-line"), other || served.models.length > 1);
}

/** Why it has no genre, or had none before the switch. */
function unknownText(answer) {
  if (answer.anyway) return t(answer.anyway === "unsure" ? "anyway_unsure" : "anyway_not_music");
  if (isNotMusic(answer)) return t("not_music_why");
  const precision = reasonOf(answer) && modelOf(answer)?.min_precision;
  return precision ? t("unknown_why", { percent: percent(precision) }) : null;
}

/** With their confidence; an answer of the microphone, or one kept by an earlier version, has none. */
function drawTempoAndKey(answer) {
  const { tempo_bpm: bpm, tempo_confidence, key, key_confidence } = answer;
  const described = typeof tempo_confidence === "number" && !isNotMusic(answer);
  show(byId("tempo-key"), described);
  if (!described) return;
  const tempo = bpm === null ? t("no_tempo") : t("tempo", { bpm: Math.round(bpm), percent: probability(tempo_confidence) });
  const tonality = key === null ? t("no_key") : t("key", { key: keyName(key), percent: probability(key_confidence) });
  byId("tempo-key-values").textContent = joined([tempo, tonality]);
}

/** "C major" in the reader's language. */
function keyName(key) {
  const [tonic, mode] = key.split(" ");
  return t(mode === "minor" ? "key_minor" : "key_major", { tonic: tonic.replace("#", "♯").replace("b", "♭") });
}

function drawTags(answer) {
  const found = isNotMusic(answer) ? [] : best(answer.tags ?? {}, N_TAGS).filter(([, p]) => p >= MIN_TAG_PROBABILITY);
  byId("tag-names").textContent = joined(found.map(([tag, p]) => `${tag} ${probability(p)}`));
  show(byId("tags"), found.length > 0);
}

function drawBars(answer) {
  const known = genresOf(answer);
  const order = best(answer.probabilities);
  const list = byId("bars");
  show(list, !isNotMusic(answer));
  const n = all ? order.length : Math.min(N_BARS, order.length);
  while (list.children.length < n) list.append(emptyBar());
  while (list.children.length > n) list.lastChild.remove();
  order.slice(0, n).forEach(([genre, p], i) => fillBar(list.children[i], genre, p, known));
  const button = byId("all-genres");
  show(button, order.length > N_BARS && !isNotMusic(answer));
  button.textContent = all ? t("fewer_genres") : t("all_genres", { n: order.length });
  button.setAttribute("aria-expanded", all);
}

const emptyBar = () =>
  make("li", {}, make("span", { className: "bar-name", textContent: "\u00a0" }), make("span", { className: "bar", "aria-hidden": "true" }, make("span")), make("span", { className: "bar-share" }));

/** Bars are reused, so that those of a microphone move smoothly. */
function fillBar(item, genre, p, known) {
  const [name, bar, share] = item.children;
  name.textContent = genreName(genre);
  bar.firstChild.style.width = `${Math.max(0.5, 100 * p)}%`;
  bar.firstChild.style.background = colour(genre, known);
  share.textContent = probability(p);
}

function announceAnswer() {
  const answer = decided(shown.answer);
  const texts = [titleOf(answer), confidenceText(answer)].filter(Boolean);
  announce(t("result", { name: nameOf(shown.name), answer: joined(texts) }));
}

byId("all-genres").addEventListener("click", () => {
  all = !all;
  drawBars(decided(shown.answer));
});
byId("rerun").addEventListener("click", () => shown?.onAgain());
document.addEventListener("language", () => shown && draw());
document.addEventListener("model", () => shown && drawModelLine());
document.addEventListener("any", () => {
  if (!shown) return;
  draw();
  announceAnswer();
});
dark.addEventListener("change", () => shown && draw());
