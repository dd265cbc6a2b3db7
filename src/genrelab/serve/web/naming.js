// What an answer is called: its genre, or why it has none; and the switch that has a genre named in any case.
import { best } from "./timeline.js";
import { genreName, say } from "./words.js";

const boxes = [...document.querySelectorAll(".any input")];
let any = false;

/** Why an answer has no genre; those that an earlier version kept do not say. */
export const reasonOf = (answer) => (answer.genre === "unknown" ? (answer.unknown_because ?? "unsure") : null);

export const isNoMusic = (answer) => reasonOf(answer) === "not_music";

/** An answer as it is shown. With the switch on it has a genre in any case, as with `any=true`; `anyway` is why it had none. */
export function named(answer) {
  const anyway = any && reasonOf(answer);
  return anyway ? { ...answer, genre: best(answer.probabilities)[0][0], unknown_because: null, anyway } : answer;
}

export const titleOf = (answer) => (reasonOf(answer) ? say(reasonOf(answer)) : genreName(answer.genre));

for (const box of boxes)
  box.addEventListener("change", () => {
    any = box.checked;
    for (const each of boxes) each.checked = any;
    document.dispatchEvent(new Event("any"));
  });
