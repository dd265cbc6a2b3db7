// One file: is it within the limits, then to the service with it, and meanwhile into the player.
import { patiently, upload } from "./api.js";
import { awaitAnswer, showAnswer } from "./answer.js";
import { announce, byId } from "./dom.js";
import { remember } from "./history.js";
import { current, served } from "./models.js";
import { inspect, openPlayer } from "./player.js";
import { drawRibbon } from "./ribbon.js";
import { clearStage, idle, onStop, takeStage, work } from "./stage.js";
import { showTrouble, tooLarge, tooLong } from "./trouble.js";
import { percent, say } from "./words.js";

/**
 * Hears one file, and shows what is said of it.
 * @param anyway also where it seems to be too long: what a browser says of a length may be a guess
 */
export async function hear(file, { anyway = false } = {}) {
  const control = new AbortController();
  takeStage(file.name, () => control.abort());
  onStop(() => {
    clearStage();
    byId("choose-file").focus();
  });
  try {
    refuseTooLarge(file);
    const known = await inspect(file);
    control.signal.throwIfAborted();
    if (!anyway) refuseTooLong(known.seconds);
    awaitAnswer();
    openPlayer(file, known);
    drawRibbon([], known.seconds ?? 0, []); // it can be played already
    const model = current();
    const query = { timeline: true, tags: true, ...(model && { model: model.name }) };
    const some = model?.stops_early ? { windows: model.max_windows } : {}; // without a number a timeline is of all
    const { answer, sampled } = await wholeOrSome((more) => ask(file, { ...query, ...more }, control.signal), some);
    idle();
    showAnswer(answer, file.name, { remark: sampled ? "sampled" : null, onAgain: () => hear(file, { anyway }) });
    remember(answer, file.name);
  } catch (problem) {
    if (control.signal.aborted) return; // another has the stage
    clearStage();
    showTrouble(problem, { name: file.name, ...ways(problem, file) });
  }
}

/** What the reader can do about it. */
function ways(problem, file) {
  if (problem.kind === "too-long" && problem.ours) return { onAnyway: () => hear(file, { anyway: true }) };
  if (problem.passes || problem.kind === "network") return { onAgain: () => hear(file) };
  return {};
}

/** Throws where the service would not take it. */
export function refuseTooLarge(file) {
  const { upload_bytes } = served.limits;
  if (upload_bytes && file.size > upload_bytes) throw tooLarge(file.size, upload_bytes);
}

function refuseTooLong(seconds) {
  const { audio_s } = served.limits;
  if (seconds !== null && audio_s && seconds > audio_s) throw tooLong(seconds, audio_s);
}

/**
 * Every window; where the service has no time for that, as many as the model listens to by itself.
 * @param attempt asks, with what it is given in the query
 * @param some what it is given then
 */
export async function wholeOrSome(attempt, some = {}) {
  try {
    return { answer: await attempt({ windows: "all" }), sampled: false };
  } catch (problem) {
    if (problem.kind !== "took-too-long") throw problem;
    return { answer: await attempt(some), sampled: true };
  }
}

function ask(file, query, signal) {
  work(say("hearing"));
  announce(say("hearing"));
  const onProgress = (share) => (share < 1 ? work(say("sending", { percent: percent(share) }), share) : work(say("hearing")));
  const onWait = (seconds) => work(say("waiting", { seconds }));
  return patiently(() => upload(file, query, { onProgress, signal }), { signal, onWait });
}
