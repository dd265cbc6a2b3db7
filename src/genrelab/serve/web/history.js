// Answers of before, kept in this browser and nowhere else: what was said, never the music.
import { showAnswer } from "./answer.js";
import { announce, byId, make, nameOf, show } from "./dom.js";
import { genresOf, modelOf } from "./models.js";
import { named, titleOf } from "./naming.js";
import { swatch } from "./ribbon.js";
import { takeStage } from "./stage.js";
import { forget, keep, recall } from "./storage.js";
import { sure } from "./sureness.js";
import { best } from "./timeline.js";
import { say, when } from "./words.js";

const MOST = 30;

let entries = recall("local", "history") ?? [];

/** @param name of a file; null: a recording, which is called by its time */
export function remember(answer, name) {
  // A model of the same name that was trained anew is another one: the figures of that say nothing of this answer.
  const slim = { ...answer, fingerprint: modelOf(answer)?.fingerprint, timeline: (answer.timeline ?? []).map(slimmer) };
  if (answer.tags) slim.tags = Object.fromEntries(best(answer.tags, 5)); // those that are shown
  entries = [{ name, at: Date.now(), answer: slim }, ...entries].slice(0, MOST);
  while (entries.length && !keep("local", "history", entries)) entries.pop(); // the oldest make room
  draw();
}

/** The best three of a window say enough of it, and a long recording has thousands. */
function slimmer({ start_s, end_s, probabilities }) {
  const few = best(probabilities, 3).map(([genre, p]) => [genre, Math.round(1000 * p) / 1000]);
  return { start_s, end_s, probabilities: Object.fromEntries(few) };
}

function draw() {
  show(byId("past"), entries.length > 0);
  byId("past-list").replaceChildren(...entries.map(item));
}

/** What recordings of the microphone are called, in the language of the moment. */
export const recordingOf = (at) => () => say("mic_name", { when: when(at) });

function item({ name: file, at, answer: kept }) {
  const name = file ?? recordingOf(at);
  const answer = named(kept);
  const words = make(
    "span",
    { className: "past-words" },
    make("span", { className: "past-name", textContent: nameOf(name) }),
    make("span", { className: "soft", textContent: `${when(at)} · ${answer.model}` }),
  );
  const said = make(
    "span",
    { className: "past-said" },
    make("span", { className: "past-genre" }, swatch(answer.genre, genresOf(answer)), titleOf(answer)),
    make("span", { className: "soft", textContent: sure(answer) }),
  );
  const button = make("button", { type: "button", className: "row" }, words, said);
  button.addEventListener("click", () => {
    takeStage(name);
    showAnswer(kept, name, { remark: "kept_answer" });
  });
  return make("li", {}, button);
}

byId("past-clear").addEventListener("click", () => {
  entries = [];
  forget("local", "history");
  draw();
  announce(say("cleared"));
  byId("choose-file").focus();
});
for (const event of ["language", "model", "any"]) document.addEventListener(event, draw);
