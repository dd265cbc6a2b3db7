// The models that are served, and the one that the reader chose.
import { get } from "./api.js";
import { byId, make, show } from "./dom.js";
import { duration, genreName, joined, paragraph, percent, size, t } from "./i18n.js";

const MIN_TRACKS = 20; // an accuracy on fewer test tracks is not shown in short
const MAX_GENRES = 24;

/** The response of GET /v1/models. */
export const served = { default: null, models: [], limits: {} };

const choice = byId("model");

export async function loadModels() {
  Object.assign(served, await get("v1/models"));
  choice.replaceChildren(...served.models.map((m) => make("option", { value: m.name })));
  choice.value = served.default;
  show(byId("model-choice"), served.models.length > 1);
  drawModels();
  document.dispatchEvent(new Event("model"));
}

/** The chosen model, or null before the models are loaded. */
export const current = () => served.models.find((m) => m.name === choice.value) ?? null;

/** The model of an answer, if it is still served and has not changed. */
export const modelOf = ({ model, fingerprint }) =>
  served.models.find((m) => m.name === model && (fingerprint ?? m.fingerprint) === m.fingerprint);

/** Genres in the order of the answer's model, or sorted by name if it is no longer served. */
export const genresOf = (answer) => modelOf(answer)?.genres ?? Object.keys(answer.probabilities).sort();

export const hasFewTestTracks = (model) => model.metrics?.n < MIN_TRACKS;

export function nameWithAccuracy(model) {
  const { accuracy, n } = model.metrics ?? {};
  if (accuracy === undefined) return model.name;
  return hasFewTestTracks(model) ? t("about_few", { name: model.name, n }) : t("about_button", { name: model.name, percent: percent(accuracy) });
}

/** The accuracy with its interval, as a sentence; "" if the model has none. */
export function accuracyText({ metrics }) {
  const { n, accuracy, accuracy_low = null, accuracy_high = null } = metrics ?? {};
  if (accuracy === undefined) return "";
  const found = { n, percent: percent(accuracy, 1) };
  if (accuracy_low === null || accuracy_high === null) return t("accuracy_plain", found);
  return t("accuracy_value", { ...found, low: percent(accuracy_low, 1), high: percent(accuracy_high, 1) });
}

/** When there is no genre. */
export function unknownRule(model) {
  if (model?.gate) return t(model.min_precision ? "unknown_if_not_music_or_unsure" : "unknown_if_not_music");
  return t(model?.min_precision ? "unknown_if_unsure" : "always_genre");
}

function drawModels() {
  for (const option of choice.options) option.textContent = nameWithAccuracy(served.models.find((m) => m.name === option.value));
  const { upload_bytes, audio_s } = served.limits;
  byId("limits").textContent = upload_bytes ? t("limits", { size: size(upload_bytes), time: duration(audio_s) }) : "";
  const model = current();
  if (!model) return;
  const names = joined(model.genres.slice(0, MAX_GENRES).map(genreName));
  const genres = model.genres.length > MAX_GENRES ? t("and_more", { genres: names }) : names;
  byId("model-genres").textContent = paragraph([t("known_genres", { genres }), unknownRule(model)]);
}

choice.addEventListener("change", () => document.dispatchEvent(new Event("model")));
for (const event of ["language", "model"]) document.addEventListener(event, drawModels);
