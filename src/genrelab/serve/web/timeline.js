// What was said over time, as stretches that do not overlap. Nothing here knows the page.

/**
 * Stretches of the windows of an answer: where two windows overlap, each has the half that is nearer to its middle; where none
 * was heard (silence is left out) there is a gap.
 *
 * @param timeline [{start_s, end_s, probabilities}]
 * @returns [{from, to, genre, p, probabilities}], in seconds
 */
export function stretches(timeline) {
  const windows = timeline.filter((w) => Object.keys(w.probabilities).length).sort((a, b) => a.start_s - b.start_s);
  return windows.map((w, i) => {
    const [before, after] = [windows[i - 1], windows[i + 1]];
    const [genre, p] = best(w.probabilities)[0];
    return {
      from: before && before.end_s > w.start_s ? (before.end_s + w.start_s) / 2 : w.start_s,
      to: after && after.start_s < w.end_s ? (w.end_s + after.start_s) / 2 : w.end_s,
      genre,
      p,
      probabilities: w.probabilities,
    };
  });
}

/** Genres with their probabilities, the most probable first. An object is in no such order by itself: keys like "80" come first in it. */
export function best(probabilities, n = Infinity) {
  return Object.entries(probabilities)
    .sort((a, b) => b[1] - a[1])
    .slice(0, n);
}

/** Neighbouring stretches of one genre as one, with the mean probability. */
export function runs(parts) {
  const found = [];
  for (const part of parts) {
    const last = found.at(-1);
    const seconds = part.to - part.from;
    if (last && last.genre === part.genre && part.from - last.to < 0.05) {
      last.p = (last.p * (last.to - last.from) + part.p * seconds) / (last.to - last.from + seconds);
      last.to = part.to;
    } else {
      found.push({ from: part.from, to: part.to, genre: part.genre, p: part.p });
    }
  }
  return found;
}

/** Share of the heard time for each genre, the largest first. */
export function shares(parts) {
  const seconds = {};
  for (const { genre, from, to } of parts) seconds[genre] = (seconds[genre] ?? 0) + to - from;
  const all = Object.values(seconds).reduce((sum, s) => sum + s, 0);
  return best(seconds).map(([genre, s]) => [genre, s / all]);
}

/** Index of the stretch at a time, or of the last one before it; -1 before the first. */
export function indexAt(parts, seconds) {
  let [low, high] = [0, parts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (parts[middle].from <= seconds + 1e-6) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Of a whole recording that was heard in parts: what the service says of it, else the mean of its parts. */
export function whole(timeline, duration_s, model, recording = null) {
  const last = timeline.at(-1);
  if (duration_s - last.end_s < 1) last.end_s = duration_s; // an answer stands until the next one, a second later
  return { ...(recording ?? meanAnswer(timeline, model)), duration_s, timeline };
}

/** Unknown where the model declined more often than not, for the reason that it had more often. */
function meanAnswer(timeline, model) {
  const probabilities = mean(timeline);
  const [guess, confidence] = best(probabilities)[0];
  const declined = timeline.filter((w) => w.genre === "unknown");
  if (declined.length <= timeline.length / 2) return { genre: guess, confidence, probabilities, unknown_because: null, model };
  const noMusic = declined.filter((w) => w.unknown_because === "not_music").length > declined.length / 2;
  return { genre: "unknown", confidence, probabilities, unknown_because: noMusic ? "not_music" : "unsure", model };
}

/** The mean of what was said of windows, as the service pools them. */
export function mean(timeline) {
  const sums = {};
  for (const { probabilities } of timeline)
    for (const [genre, p] of Object.entries(probabilities)) sums[genre] = (sums[genre] ?? 0) + p / timeline.length;
  return Object.fromEntries(best(sums));
}
