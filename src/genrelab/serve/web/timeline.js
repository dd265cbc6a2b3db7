// Calculations on a timeline, without the page.

/**
 * The windows of an answer as segments that do not overlap: two windows that overlap meet in the middle of the overlap. Silence,
 * which has no windows, stays a gap.
 *
 * @param timeline [{start_s, end_s, probabilities}]
 * @returns [{from, to, genre, p, probabilities}], in seconds
 */
export function segments(timeline) {
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

/** [genre, probability], the most probable first. (Objects cannot keep this order: keys like "80" always come first.) */
export function best(probabilities, n = Infinity) {
  return Object.entries(probabilities)
    .sort((a, b) => b[1] - a[1])
    .slice(0, n);
}

/** Merges neighbouring segments of one genre, with their mean probability. */
export function merged(segments) {
  const found = [];
  for (const segment of segments) {
    const last = found.at(-1);
    const seconds = segment.to - segment.from;
    if (last && last.genre === segment.genre && segment.from - last.to < 0.05) {
      last.p = (last.p * (last.to - last.from) + segment.p * seconds) / (last.to - last.from + seconds);
      last.to = segment.to;
    } else {
      found.push({ from: segment.from, to: segment.to, genre: segment.genre, p: segment.p });
    }
  }
  return found;
}

/** [genre, share of the time], the largest first. */
export function shares(segments) {
  const seconds = {};
  for (const { genre, from, to } of segments) seconds[genre] = (seconds[genre] ?? 0) + to - from;
  const all = Object.values(seconds).reduce((sum, s) => sum + s, 0);
  return best(seconds).map(([genre, s]) => [genre, s / all]);
}

/** Index of the last segment that starts at or before a time; -1 if there is none. */
export const indexAt = (segments, seconds) => segments.findLastIndex(({ from }) => from <= seconds + 1e-6);

/** The answer for a whole recording: the service's if it came, else the mean over the windows. */
export function recordingAnswer(timeline, duration_s, model, answer = null) {
  const last = timeline.at(-1);
  if (duration_s - last.end_s < 1) last.end_s = duration_s; // answers come once a second
  return { ...(answer ?? meanAnswer(timeline, model)), duration_s, timeline };
}

/** The mean over the windows, as the service calculates it; unknown if most windows are, for their most frequent reason. */
function meanAnswer(timeline, model) {
  const sums = {};
  for (const { probabilities } of timeline)
    for (const [genre, p] of Object.entries(probabilities)) sums[genre] = (sums[genre] ?? 0) + p / timeline.length;
  const probabilities = Object.fromEntries(best(sums));
  const [guess, confidence] = best(probabilities)[0];
  const unknown = timeline.filter((w) => w.genre === "unknown");
  if (unknown.length <= timeline.length / 2) return { genre: guess, confidence, probabilities, unknown_because: null, model };
  const notMusic = unknown.filter((w) => w.unknown_because === "not_music").length > unknown.length / 2;
  return { genre: "unknown", confidence, probabilities, unknown_because: notMusic ? "not_music" : "unsure", model };
}
