// How sure an answer is: in words that were measured, not promised. How often were answers with its genre, as sure as this one, right?
import { modelOf } from "./models.js";
import { isNoMusic } from "./naming.js";
import { best } from "./timeline.js";
import { genreName, number, percent, probability, say } from "./words.js";

const LEAST = 10; // of fewer tracks nothing is said
const WIDEST = 0.351; // answers that are further apart are not as sure as each other

/**
 * The step that a confidence is in, with its nearest neighbours until there are tracks enough.
 *
 * @param counts {n, right} of one genre: tracks in equal steps of confidence; or undefined
 * @returns {low, high, n, right}, or null where too few were tested
 */
export function evidence(counts, confidence) {
  if (!counts) return null;
  const steps = counts.n.length;
  let first = Math.min(steps - 1, Math.floor(confidence * steps));
  let last = first;
  const sum = (of) => of.slice(first, last + 1).reduce((total, one) => total + one, 0);
  while (sum(counts.n) < LEAST) {
    if (first === 0 && last === steps - 1) return null;
    const below = first > 0 ? confidence - first / steps : Infinity;
    const above = last + 1 < steps ? (last + 1) / steps - confidence : Infinity;
    if (below < above) first -= 1;
    else last += 1;
  }
  const [low, high] = [first / steps, (last + 1) / steps];
  return high - low > WIDEST ? null : { low, high, n: sum(counts.n), right: sum(counts.right) };
}

/** Of its own genre only; what it is for music says nothing of other sounds. */
function measured(answer) {
  if (answer.anyway === "not_music") return null;
  const [genre, confidence] = best(answer.probabilities)[0];
  return evidence(modelOf(answer)?.evidence?.[genre], confidence);
}

/** In a word, where that was measured, and in per cent; without a genre what it would guess, or nothing of what is no music. */
export function sure(answer) {
  const [guess, p] = best(answer.probabilities)[0];
  if (isNoMusic(answer)) return "";
  if (answer.genre === "unknown") return say("best_guess", { genre: genreName(guess), percent: probability(p) });
  const found = measured(answer);
  return found ? say("sure", { sureness: word(found), percent: probability(p) }) : probability(p);
}

/** By the share that Laplace's rule of succession expects: of few tracks it says less. */
function word({ n, right }) {
  const step = [0.9, 0.75, 0.5, 1 / 3].findIndex((bound) => (right + 1) / (n + 2) >= bound);
  return say(`sure_${step < 0 ? 1 : 5 - step}`);
}

/** The same where there is room to say so: [how sure, what that rests on, or null]. */
export function surely(answer) {
  if (answer.genre === "unknown" || answer.anyway === "not_music") return [sure(answer), null];
  const found = measured(answer);
  const [guess, p] = best(answer.probabilities)[0];
  const genre = genreName(guess);
  if (!found) return [say(modelOf(answer)?.evidence ? "too_few" : "unmeasured", { genre, percent: probability(p) }), null];
  const range = `${number(100 * found.low)}–${percent(found.high)}`;
  return [sure(answer), say("evidence", { n: found.n, right: found.right, genre, range })];
}
