// Which models are served, what is known of them, and which of them the reader chose.
import { get } from "./api.js";
import { byId, make, show } from "./dom.js";
import { lasting, percent, say, size } from "./words.js";

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

/** Genres in the order of the model that gave an answer; of one that is not served any more, as the answer names them. */
export function genresOf(answer) {
  const model = served.models.find((m) => m.name === answer.model);
  return model?.genres ?? Object.keys(answer.probabilities).sort();
}

export const aboutInShort = (model) =>
  model.metrics?.accuracy === undefined
    ? say("about_plain", { name: model.name })
    : say("about_button", { name: model.name, percent: percent(model.metrics.accuracy) });

function drawModels() {
  for (const option of choice.options) option.textContent = aboutInShort(served.models.find((m) => m.name === option.value));
  const { upload_bytes, audio_s } = served.limits;
  byId("limits").textContent = upload_bytes ? say("limits", { size: size(upload_bytes), time: lasting(audio_s) }) : "";
}

choice.addEventListener("change", () => document.dispatchEvent(new Event("model")));
document.addEventListener("language", drawModels);
