// The figures of a model, and its whole card.
import { get, Problem } from "./api.js";
import { byId, make, show } from "./dom.js";
import { markdown } from "./markdown.js";
import { accuracyOf, current, narrowness, testedOnFew } from "./models.js";
import { genreName, languageTag, listed, number, percent, say } from "./words.js";

const SPLITS = { official: "split_official", artist: "split_artist", random: "split_random", article: "split_article" };

const card = byId("card");

let carded = null; // the model whose card is shown

export function drawFacts(model) {
  const rows = facts(model).map(([key, text, lang = languageTag()]) =>
    make("div", {}, make("dt", { textContent: say(key) }), make("dd", { textContent: text, lang })),
  );
  byId("about-facts").replaceChildren(...rows);
  byId("card-note").textContent = say("card_note");
  drawCard(model);
}

function facts(model) {
  const found = [...scores(model)];
  found.push(["chance", percent(1 / model.genres.length)]);
  const genres = say("genres_value", { n: model.genres.length, genres: listed(model.genres.map(genreName)) });
  found.push(["genres", `${genres} ${narrowness(model.genres.length, model)}`]);
  found.push(["data", dataset(model.dataset)], ["split", split(model.split)], licence(model.licence));
  if (model.window_s) found.push(["window", windows(model)]);
  if (model.min_precision) found.push(["min_precision", say("min_precision_value", { percent: percent(model.min_precision) })]);
  if (model.created_by) found.push(["made_by", model.created_by]);
  return found;
}

function scores(model) {
  const { accuracy, interval_over, n_groups, n, top3 } = model.metrics ?? {};
  if (accuracy === undefined) return [];
  const remarks = [accuracyOf(model)];
  if (interval_over === "artists") remarks.push(say("accuracy_over", { n: n_groups }));
  if (testedOnFew(model)) remarks.push(say("accuracy_few", { n }));
  const found = [["accuracy", remarks.join(" ")]];
  if (top3 !== undefined && !testedOnFew(model)) found.push(["top3", percent(top3, 1)]);
  return found;
}

function windows({ window_s, max_windows, stops_early }) {
  const each = say("window_value", { seconds: number(window_s, 1) });
  return max_windows ? `${each} ${say(stops_early ? "window_early" : "window_number", { n: max_windows })}` : each;
}

// What bundles say is written in English by `genrelab train`: what it writes itself is put in the reader's words.

function dataset(text) {
  const part = /^(.+) \((\S+) of its (\S+) tracks\)$/.exec(text);
  if (part) return say("data_part", { name: part[1], some: part[2], all: part[3] });
  const whole = /^(.+) \((\S+) tracks\)$/.exec(text);
  return whole ? say("data_all", { name: whole[1], all: whole[2] }) : text;
}

function split(text) {
  const [policy] = /^\w*/.exec(text ?? "");
  if (!Object.hasOwn(SPLITS, policy)) return text;
  const folds = /(\d+)-fold cross-validation/.exec(text);
  return say(SPLITS[policy]) + (folds ? ` ${say("split_folds", { n: Number(folds[1]) })}` : "");
}

function licence(text) {
  if (!text) return ["licence", say("no_licence")];
  return text.startsWith("none: ") ? ["licence", say("licence_none", { why: text.slice(6) })] : ["licence", text, "en"];
}

async function drawCard({ name }) {
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
  show(byId("card-note"), current()?.name === name);
}
