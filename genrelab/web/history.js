// Answers of before, kept in this browser and nowhere else: what was said, never the music.
import { showAnswer } from "./answer.js";
import { announce, byId, make, show } from "./dom.js";
import { genresOf } from "./models.js";
import { swatch } from "./ribbon.js";
import { takeStage } from "./stage.js";
import { forget, keep, recall } from "./storage.js";
import { best } from "./timeline.js";
import { genreName, probability, say, sure, when } from "./words.js";

const MOST = 30;

let entries = recall("local", "history") ?? [];

export function remember(answer, name) {
  const slim = { ...answer, timeline: (answer.timeline ?? []).map(slimmer) };
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

function item({ name, at, answer }) {
  const [guess, p] = best(answer.probabilities)[0];
  const confidence = answer.genre === "unknown" ? say("best_guess", { genre: genreName(guess), percent: probability(p) }) : sure(p);
  const words = make(
    "span",
    { className: "past-words" },
    make("span", { className: "past-name", textContent: name }),
    make("span", { className: "soft", textContent: `${when(at)} · ${answer.model}` }),
  );
  const said = make(
    "span",
    { className: "past-said" },
    make("span", { className: "past-genre" }, swatch(answer.genre, genresOf(answer)), genreName(answer.genre)),
    make("span", { className: "soft", textContent: confidence }),
  );
  const button = make("button", { type: "button", className: "row" }, words, said);
  button.addEventListener("click", () => {
    takeStage(name);
    showAnswer(answer, name, { remark: "kept_answer" });
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
for (const event of ["language", "model"]) document.addEventListener(event, draw);
