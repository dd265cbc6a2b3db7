// The figures of a model, and its model card.
import { get, Problem } from "./api.js";
import { byId, make } from "./dom.js";
import { genreName, joined, languageTag, number, paragraph, percent, t } from "./i18n.js";
import { markdown } from "./markdown.js";
import { accuracyText, current, hasFewTestTracks, unknownRule } from "./models.js";
import { explanation } from "./problem.js";

const SPLITS = { official: "split_official", artist: "split_artist", random: "split_random", article: "split_article" };

const [card, cardBox] = ["card", "card-box"].map(byId);

let cardModel = null; // the model whose card is shown

export function drawDetails(model) {
  const rows = details(model).map(([key, text, lang = languageTag()]) =>
    make("div", {}, make("dt", { textContent: t(key) }), make("dd", { textContent: text, lang })),
  );
  byId("about-facts").replaceChildren(...rows);
  drawCard();
}

/** [key, text, language of the text if it is not the page's] */
function details(model) {
  const found = [...scores(model)];
  found.push(["chance", percent(1 / model.genres.length, 1)]);
  const genres = t("genres_value", { n: model.genres.length, genres: joined(model.genres.map(genreName)) });
  found.push(["genres", paragraph([genres, unknownRule(model)])]);
  found.push(["data", dataset(model.dataset)], ["split", split(model.split)], licence(model.licence));
  if (model.window_s) found.push(["window", windows(model)]);
  if (model.min_precision) found.push(["min_precision", t("min_precision_value", { percent: percent(model.min_precision) })]);
  if (model.created_by) found.push(["made_by", model.created_by]);
  return found;
}

function scores(model) {
  const { accuracy, interval_over, n_groups, n, top3 } = model.metrics ?? {};
  if (accuracy === undefined) return [];
  const sentences = [accuracyText(model)];
  if (interval_over === "artists") sentences.push(t("accuracy_over", { n: n_groups }));
  if (hasFewTestTracks(model)) sentences.push(t("accuracy_few"));
  const found = [["accuracy", paragraph(sentences)]];
  if (top3 !== undefined && !hasFewTestTracks(model)) found.push(["top3", percent(top3, 1)]);
  return found;
}

function windows({ window_s, max_windows, stops_early }) {
  const each = t("window_value", { seconds: number(window_s, 1) });
  return max_windows ? paragraph([each, t(stops_early ? "window_early" : "window_number", { n: max_windows })]) : each;
}

// Texts of a bundle are English. Those that genrelab itself writes are translated.

function dataset(text) {
  const part = /^(.+) \((\S+) of its (\S+) tracks\)$/.exec(text);
  if (part) return t("data_part", { name: part[1], some: part[2], all: part[3] });
  const whole = /^(.+) \((\S+) tracks\)$/.exec(text);
  return whole ? t("data_all", { name: whole[1], all: whole[2] }) : text;
}

function split(text) {
  const [policy] = /^\w*/.exec(text ?? "");
  if (!Object.hasOwn(SPLITS, policy)) return text;
  const folds = /(\d+)-fold cross-validation/.exec(text);
  return paragraph([t(SPLITS[policy]), ...(folds ? [t("split_folds", { n: Number(folds[1]) })] : [])]);
}

function licence(text) {
  if (!text) return ["licence", t("no_licence")];
  return text.startsWith("none: ") ? ["licence", t("licence_none", { why: text.slice(6) })] : ["licence", text, "en"];
}

async function drawCard() {
  const { name } = current();
  if (!cardBox.open || cardModel === name) return;
  cardModel = name;
  try {
    const { card: text } = await get(`v1/models/${encodeURIComponent(name)}`);
    if (cardModel === name) card.replaceChildren(...markdown(text));
  } catch (problem) {
    cardModel = null;
    if (!(problem instanceof Problem)) throw problem;
    card.replaceChildren(make("p", { className: "fine", lang: languageTag(), textContent: `${problem.title}. ${explanation(problem)}` }));
  }
}

cardBox.addEventListener("toggle", drawCard);
