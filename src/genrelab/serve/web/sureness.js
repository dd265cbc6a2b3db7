// How sure an answer is: in words that were measured, not promised. How often were answers as sure as this one right?
import { modelOf } from "./models.js";
import { best } from "./timeline.js";
import { number, percent, probability, say } from "./words.js";

const LEAST = 20; // of fewer tracks nothing is said
const WIDEST = 0.34; // answers that are further apart are not as sure as each other

/**
 * The bin that a confidence is in, with its nearest neighbours until there are tracks enough.
 *
 * @param bins [{low, high, n, accuracy}], low < confidence <= high; or undefined
 * @returns {low, high, n, right}, or null where nobody measured it
 */
export function evidence(bins, confidence) {
  const all = [...(bins ?? [])].sort((a, b) => a.low - b.low);
  let first = all.findIndex(({ low, high }) => low < confidence && confidence <= high);
  if (first < 0) return null;
  let last = first;
  const sum = (of) => all.slice(first, last + 1).reduce((total, bin) => total + of(bin), 0);
  while (sum(({ n }) => n) < LEAST) {
    const below = first > 0 ? confidence - all[first - 1].high : Infinity;
    const above = last + 1 < all.length ? all[last + 1].low - confidence : Infinity;
    if (below === above) return null; // there is neither
    if (below < above) first -= 1;
    else last += 1;
  }
  const [low, high] = [all[first].low, all[last].high];
  return high - low > WIDEST ? null : { low, high, n: sum(({ n }) => n), right: sum(({ n, accuracy }) => Math.round(n * accuracy)) };
}

const confidenceOf = (answer) => best(answer.probabilities)[0][1];
const measured = (answer) => evidence(modelOf(answer)?.metrics?.reliability, confidenceOf(answer));

/** In a word, where that was measured, and in per cent. */
export function sure(answer) {
  const found = measured(answer);
  const share = probability(confidenceOf(answer));
  return found ? say("sure", { sureness: word(found.right / found.n), percent: share }) : share;
}

function word(accuracy) {
  const step = [0.9, 0.75, 0.5, 1 / 3].findIndex((bound) => accuracy >= bound);
  return say(`sure_${step < 0 ? 1 : 5 - step}`);
}

/** The same where there is room to say so: [how sure, what that rests on, or null]. */
export function surely(answer) {
  const found = measured(answer);
  if (!found) return [say("unmeasured", { percent: probability(confidenceOf(answer)) }), null];
  const range = `${number(100 * found.low)}–${percent(found.high)}`;
  return [sure(answer), say("evidence", { n: found.n, right: found.right, range })];
}
