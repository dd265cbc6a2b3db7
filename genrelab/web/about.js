// What answers here and how good it is, one click away: the figures, and the whole card of the model.
import { get, Problem } from "./api.js";
import { byId, make } from "./dom.js";
import { markdown } from "./markdown.js";
import { aboutInShort, current } from "./models.js";
import { genreName, listed, number, percent, say } from "./words.js";

const [box, button, card] = ["about", "about-button", "card"].map(byId);

let carded = null; // the model whose card is shown

function draw() {
  const model = current();
  if (!model) return;
  button.textContent = aboutInShort(model);
  const { accuracy, n } = model.metrics ?? {};
  byId("about-brief").textContent = accuracy === undefined ? model.name : say("about_brief", { name: model.name, percent: percent(accuracy), n });
  const rows = facts(model).map(([key, text]) => make("div", {}, make("dt", { textContent: say(key) }), make("dd", { textContent: text })));
  byId("about-facts").replaceChildren(...rows);
  if (box.open) drawCard();
}

function facts(model) {
  const found = [...scores(model.metrics ?? {})];
  found.push(["chance", percent(1 / model.genres.length)]);
  found.push(["genres", `${number(model.genres.length)}: ${listed(model.genres.map(genreName))}`]);
  found.push(["data", model.dataset], ["split", model.split], ["licence", model.licence ?? say("no_licence")]);
  if (model.window_s) found.push(["window", say("window_value", { seconds: number(model.window_s, 1) })]);
  if (model.min_precision) found.push(["min_precision", say("min_precision_value", { percent: percent(model.min_precision) })]);
  if (model.created_by) found.push(["made_by", model.created_by]);
  return found;
}

function scores(metrics) {
  if (metrics.accuracy === undefined) return [];
  const { n, accuracy, accuracy_low, accuracy_high, interval_over, n_groups, top3 } = metrics;
  const interval = { percent: percent(accuracy, 1), n, low: percent(accuracy_low, 1), high: percent(accuracy_high, 1) };
  const over = interval_over === "artists" ? ` ${say("accuracy_over", { n: n_groups })}` : "";
  const found = [["accuracy", say("accuracy_value", interval) + over]];
  if (top3 !== undefined) found.push(["top3", percent(top3, 1)]);
  return found;
}

async function drawCard() {
  const { name } = current();
  if (carded === name) return;
  carded = name;
  try {
    const { card: text } = await get(`v1/models/${encodeURIComponent(name)}`);
    if (carded === name) card.replaceChildren(...markdown(text));
  } catch (problem) {
    carded = null;
    if (!(problem instanceof Problem)) throw problem;
    card.replaceChildren(make("p", { className: "fine", textContent: `${problem.title}. ${problem.message}` }));
  }
}

box.addEventListener("toggle", () => box.open && current() && drawCard());
button.addEventListener("click", () => {
  box.open = true;
  box.scrollIntoView({ block: "start" });
  box.querySelector("summary").focus({ preventScroll: true });
});
for (const event of ["language", "model"]) document.addEventListener(event, draw);
