// One file: check the limits, upload it, and meanwhile open it in the player.
import { retryWhileBusy, upload } from "./api.js";
import { awaitAnswer, showAnswer } from "./answer.js";
import { announce, byId } from "./dom.js";
import { remember } from "./history.js";
import { percent, t } from "./i18n.js";
import { current, served } from "./models.js";
import { inspect, openPlayer } from "./player.js";
import { showProblem, tooLarge, tooLong } from "./problem.js";
import { closeResult, hideProgress, onStop, openResult, showProgress } from "./result-panel.js";
import { drawTimeline } from "./timeline-strip.js";

/**
 * Classifies a file and shows the result.
 * @param anyway even if the browser says that it is too long, which may be an estimate
 */
export async function classifyFile(file, { anyway = false } = {}) {
  const control = new AbortController();
  openResult(file.name, () => control.abort());
  onStop(() => {
    closeResult();
    byId("choose-file").focus();
  });
  try {
    refuseTooLarge(file);
    const known = await inspect(file);
    control.signal.throwIfAborted();
    if (!anyway) refuseTooLong(known.seconds);
    awaitAnswer();
    openPlayer(file, known);
    drawTimeline([], known.seconds ?? 0, []); // it can be played already
    const model = current();
    const query = { tags: true, describe: true, ...(model && { model: model.name }) };
    const { answer, remark } = await withTimelineIfFast((more) => send(file, { ...query, ...more }, control.signal));
    hideProgress();
    showAnswer(answer, file.name, { remark, onAgain: () => classifyFile(file, { anyway }) });
    remember(answer, file.name);
  } catch (problem) {
    if (control.signal.aborted) return; // another result has taken the panel
    closeResult();
    showProblem(problem, { name: file.name, ...actionsFor(problem, file) });
  }
}

function actionsFor(problem, file) {
  const measuredHere = typeof problem.detail === "function";
  if (problem.kind === "too-long" && measuredHere) return { onAnyway: () => classifyFile(file, { anyway: true }) };
  if (problem.temporary || problem.kind === "network") return { onAgain: () => classifyFile(file) };
  return {};
}

/** Throws if the file is larger than the service accepts. */
export function refuseTooLarge(file) {
  const { upload_bytes } = served.limits;
  if (upload_bytes && file.size > upload_bytes) throw tooLarge(file.size, upload_bytes);
}

function refuseTooLong(seconds) {
  const { audio_s } = served.limits;
  if (seconds !== null && audio_s && seconds > audio_s) throw tooLong(seconds, audio_s);
}

/** The answer is the same without the timeline, which takes longer because it needs all windows. */
async function withTimelineIfFast(attempt) {
  try {
    return { answer: await attempt({ timeline: true }), remark: null };
  } catch (problem) {
    if (problem.kind !== "took-too-long") throw problem;
    return { answer: await attempt({}), remark: "no_timeline" };
  }
}

function send(file, query, signal) {
  showProgress(t("classifying"));
  announce(t("classifying"));
  const onProgress = (share) => (share < 1 ? showProgress(t("sending", { percent: percent(share) }), share) : showProgress(t("classifying")));
  const onWait = (seconds) => showProgress(t("waiting", { seconds }));
  return retryWhileBusy(() => upload(file, query, { onProgress, signal }), { signal, onWait });
}
