// How reliable a confidence is: how often held-out tracks that got this genre with about this confidence were right.
import { isNotMusic } from "./decision.js";
import { genreName, number, percent, probability, t } from "./i18n.js";
import { modelOf } from "./models.js";
import { best } from "./timeline.js";

const MIN_TRACKS = 10;
const MAX_RANGE = 0.351; // of confidence that counts as about the same
const RELIABLE = [0.9, 0.75, 0.5, 1 / 3]; // least share of right answers for the words reliability_5 to reliability_2

/**
 * The step of a confidence, widened to its nearest neighbours until it has enough tracks.
 * @param counts {n, right} of one genre: tracks in equal steps of confidence; or undefined
 * @returns {low, high, n, right}, or null if there are too few tracks
 */
export function evidence(counts, confidence) {
  if (!counts) return null;
  const steps = counts.n.length;
  let first = Math.min(steps - 1, Math.floor(confidence * steps));
  let last = first;
  const sum = (values) => values.slice(first, last + 1).reduce((total, one) => total + one, 0);
  while (sum(counts.n) < MIN_TRACKS) {
    if (first === 0 && last === steps - 1) return null;
    const below = first > 0 ? confidence - first / steps : Infinity;
    const above = last + 1 < steps ? (last + 1) / steps - confidence : Infinity;
    if (below < above) first -= 1;
    else last += 1;
  }
  const [low, high] = [first / steps, (last + 1) / steps];
  return high - low > MAX_RANGE ? null : { low, high, n: sum(counts.n), right: sum(counts.right) };
}

/** Of the genre of an answer; null also for sound that is not music, because the tracks were music. */
function evidenceOf(answer) {
  if (answer.anyway === "not_music") return null;
  const [genre, confidence] = best(answer.probabilities)[0];
  return evidence(modelOf(answer)?.evidence?.[genre], confidence);
}

/**
 * In one line: the confidence, and how reliable it is if that was tested; the best guess if there is no genre.
 * @param percentText of the probability
 */
export function confidenceText(answer, percentText = probability) {
  if (isNotMusic(answer)) return "";
  const [guess, p] = best(answer.probabilities)[0];
  if (answer.genre === "unknown") return t("best_guess", { genre: genreName(guess), percent: probability(p) });
  const found = evidenceOf(answer);
  return found ? `${percentText(p)} · ${reliability(found)}` : percentText(p);
}

/** By the share expected from Laplace's rule of succession, which is more cautious about few tracks. */
function reliability({ n, right }) {
  const step = RELIABLE.findIndex((share) => (right + 1) / (n + 2) >= share);
  return t(`reliability_${step < 0 ? 1 : 5 - step}`);
}

/** A sentence with the counts behind it, or why there are none; null if the answer has no genre. */
export function evidenceText(answer) {
  if (answer.genre === "unknown" || answer.anyway === "not_music") return null;
  const found = evidenceOf(answer);
  const genre = genreName(best(answer.probabilities)[0][0]);
  if (!found) return t(modelOf(answer)?.evidence ? "too_few" : "unmeasured", { genre });
  const range = `${number(100 * found.low)}–${percent(found.high)}`;
  return t("evidence", { n: found.n, right: found.right, genre, range });
}
