// The genre of an answer or why it has none, and the switch that shows the best guess in any case.
import { genreName, t } from "./i18n.js";
import { best } from "./timeline.js";

const switches = [...document.querySelectorAll(".any input")];
let any = false;

/** Why an answer has no genre, or null. Answers kept by an earlier version have no reason. */
export const reasonOf = (answer) => (answer.genre === "unknown" ? (answer.unknown_because ?? "unsure") : null);

export const isNotMusic = (answer) => reasonOf(answer) === "not_music";

/** The answer to show: with the switch on it always has a genre, as with `any=true`, and `anyway` is why it had none. */
export function decided(answer) {
  const anyway = any && reasonOf(answer);
  return anyway ? { ...answer, genre: best(answer.probabilities)[0][0], unknown_because: null, anyway } : answer;
}

/** The genre, or why there is none. */
export const titleOf = (answer) => (reasonOf(answer) ? t(reasonOf(answer)) : genreName(answer.genre));

for (const box of switches)
  box.addEventListener("change", () => {
    any = box.checked;
    for (const each of switches) each.checked = any;
    document.dispatchEvent(new Event("any"));
  });
