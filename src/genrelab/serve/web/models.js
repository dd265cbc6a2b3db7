// Which models are served, what is known of them, and which of them the reader chose.
import { get } from "./api.js";
import { byId, make, show } from "./dom.js";
import { genreName, lasting, listed, percent, say, size } from "./words.js";

const FEW_TRACKS = 20; // a share of fewer says nothing
const MOST_NAMED = 24;

/** The answer of GET /v1/models. */
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

/** The model that is asked. */
export const current = () => served.models.find((m) => m.name === choice.value) ?? null;

/** The model that gave an answer, where it is still served and still the same. */
export const modelOf = ({ model, fingerprint }) =>
  served.models.find((m) => m.name === model && (fingerprint ?? m.fingerprint) === m.fingerprint);

/** Genres in the order of the model that gave an answer; of one that is not served any more, as the answer names them. */
export const genresOf = (answer) => modelOf(answer)?.genres ?? Object.keys(answer.probabilities).sort();

/** Was it tested on so few tracks that the share of right answers says nothing? */
export const testedOnFew = (model) => model.metrics?.n < FEW_TRACKS;

export function aboutInShort(model) {
  const { accuracy, n } = model.metrics ?? {};
  if (accuracy === undefined) return model.name;
  return testedOnFew(model) ? say("about_few", { name: model.name, n }) : say("about_button", { name: model.name, percent: percent(accuracy) });
}

/** How good it is, with the interval. */
export function accuracyOf({ metrics }) {
  const { n, accuracy, accuracy_low = null, accuracy_high = null } = metrics ?? {};
  if (accuracy === undefined) return "";
  const found = { n, percent: percent(accuracy, 1) };
  if (accuracy_low === null || accuracy_high === null) return say("accuracy_plain", found);
  return say("accuracy_value", { ...found, low: percent(accuracy_low, 1), high: percent(accuracy_high, 1) });
}

/** That it has no other words: the same genres for whatever it hears, or for all that sounds like music. */
export function narrowness(n, model) {
  if (model?.gate) return say(model.min_precision ? "gate_unknown" : "gate", { n });
  return say(model?.min_precision ? "whatever_unknown" : "whatever", { n });
}

function drawModels() {
  for (const option of choice.options) option.textContent = aboutInShort(served.models.find((m) => m.name === option.value));
  const { upload_bytes, audio_s } = served.limits;
  byId("limits").textContent = upload_bytes ? say("limits", { size: size(upload_bytes), time: lasting(audio_s) }) : "";
  const model = current();
  if (!model) return;
  const names = model.genres.slice(0, MOST_NAMED).map(genreName);
  const genres = names.length < model.genres.length ? say("and_more", { genres: listed(names) }) : listed(names);
  byId("knows").textContent = `${say("knows", { genres })} ${narrowness(model.genres.length, model)}`;
}

choice.addEventListener("change", () => document.dispatchEvent(new Event("model")));
for (const event of ["language", "model"]) document.addEventListener(event, drawModels);
