// Earlier answers, kept in this browser only: the answers, never the music.
import { showAnswer } from "./answer.js";
import { confidenceText } from "./confidence.js";
import { decided, titleOf } from "./decision.js";
import { announce, byId, make, nameOf, show } from "./dom.js";
import { t, when } from "./i18n.js";
import { genresOf, modelOf } from "./models.js";
import { openResult } from "./result-panel.js";
import { forget, keep, recall } from "./storage.js";
import { swatch } from "./timeline-strip.js";
import { best } from "./timeline.js";

const MAX_ENTRIES = 30;

let entries = recall("local", "history") ?? [];

/** @param name of a file; null: a recording, which is named by its time */
export function remember(answer, name) {
  // The fingerprint tells this model from a later one of the same name, whose evidence does not apply.
  const slim = { ...answer, fingerprint: modelOf(answer)?.fingerprint, timeline: (answer.timeline ?? []).map(slimWindow) };
  if (answer.tags) slim.tags = Object.fromEntries(best(answer.tags, 5));
  entries = [{ name, at: Date.now(), answer: slim }, ...entries].slice(0, MAX_ENTRIES);
  while (entries.length && !keep("local", "history", entries)) entries.pop(); // the oldest make room
  draw();
}

/** Three genres of a window are enough, and long recordings have thousands of windows. */
function slimWindow({ start_s, end_s, probabilities }) {
  const few = best(probabilities, 3).map(([genre, p]) => [genre, Math.round(1000 * p) / 1000]);
  return { start_s, end_s, probabilities: Object.fromEntries(few) };
}

function draw() {
  show(byId("history"), entries.length > 0);
  byId("history-list").replaceChildren(...entries.map(item));
}

/** The name of a microphone recording, in the reader's language. */
export const recordingName = (at) => () => t("mic_name", { when: when(at) });

function item({ name: file, at, answer: kept }) {
  const name = file ?? recordingName(at);
  const answer = decided(kept);
  const left = make(
    "span",
    { className: "history-file" },
    make("span", { className: "history-name", textContent: nameOf(name) }),
    make("span", { className: "soft", textContent: `${when(at)} · ${answer.model}` }),
  );
  const right = make(
    "span",
    { className: "history-result" },
    make("span", { className: "history-genre" }, swatch(answer.genre, genresOf(answer)), titleOf(answer)),
    make("span", { className: "soft", textContent: confidenceText(answer) }),
  );
  const button = make("button", { type: "button", className: "row" }, left, right);
  button.addEventListener("click", () => {
    openResult(name);
    showAnswer(kept, name, { remark: "kept_answer" });
  });
  return make("li", {}, button);
}

byId("history-clear").addEventListener("click", () => {
  entries = [];
  forget("local", "history");
  draw();
  announce(t("cleared"));
  byId("choose-file").focus();
});
for (const event of ["language", "model", "any"]) document.addEventListener(event, draw);
