// The microphone: its audio goes to the service while it is recorded, and an answer comes back every second.
import { networkProblem, Problem, socketAddress } from "./api.js";
import { awaitAnswer, showAnswer } from "./answer.js";
import { classifyFile } from "./classify.js";
import { decided, titleOf } from "./decision.js";
import { announce, byId, show } from "./dom.js";
import { recordingName, remember } from "./history.js";
import { clock, t } from "./i18n.js";
import { drawLevel } from "./level-meter.js";
import { current } from "./models.js";
import { openPlayer } from "./player.js";
import { showProblem } from "./problem.js";
import { closeResult, hideProgress, onStop, openResult, showProgress } from "./result-panel.js";
import { recordingAnswer } from "./timeline.js";
import { moveCursor } from "./timeline-strip.js";
import { askForToken, token } from "./token.js";

const CHUNK_MS = 250;
const END_MS = 10_000; // wait for the last answers after the end
const MIN_TIMELINE_S = 30; // until then the timeline grows instead of being rescaled
const FORMATS = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
const UNPROCESSED = { echoCancellation: false, noiseSuppression: false, autoGainControl: false }; // made for speech, bad for music

/** Records until it is stopped, then shows the recording with its timeline. */
export async function useMicrophone() {
  const recording = new Recording(recordingName(Date.now()));
  openResult(recording.name, () => recording.drop());
  onStop(() => recording.stop());
  showProgress(t("mic_asking"));
  try {
    await recording.start();
  } catch (problem) {
    recording.fail(problem);
  }
}

class Recording {
  constructor(name) {
    Object.assign(this, { name, chunks: [], timeline: [], last: null, needs_s: 0, over: false, microphone: null });
  }

  async start() {
    this.microphone = await openMicrophone();
    if (this.over) return this.close();
    this.socket = await openSocket();
    if (this.over) return this.close();
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.socket.onclose = () => this.over || this.fail(networkProblem());
    this.record();
  }

  record() {
    const mimeType = FORMATS.find((format) => MediaRecorder.isTypeSupported(format));
    this.recorder = new MediaRecorder(this.microphone, { mimeType });
    this.recorder.ondataavailable = ({ data }) => this.send(data);
    this.recorder.onstop = () => this.allSent();
    const start = { type: "start", format: "webm", model: current()?.name, token: token() ?? undefined, tags: true };
    this.socket.send(JSON.stringify(start));
    this.recorder.start(CHUNK_MS);
    this.started = performance.now();
    awaitAnswer();
    show(byId("live"));
    this.stopLevel = drawLevel(this.microphone, byId("level"));
    this.ticking = setInterval(() => this.tick(), 250);
    announce(t("mic_listening"));
    byId("work-stop").focus();
  }

  send(data) {
    if (!data.size) return;
    this.chunks.push(data);
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
  }

  elapsed() {
    return (performance.now() - this.started) / 1000;
  }

  tick() {
    const first = this.last ? "" : ` · ${t("mic_first", { seconds: this.minSeconds() })}`;
    showProgress(t("recording", { time: clock(this.elapsed()) }) + first, null);
    if (this.last) this.draw();
  }

  minSeconds() {
    return Math.ceil(this.needs_s || 1);
  }

  /** A message of the service. */
  receive(message) {
    if (message.type === "ready") this.needs_s = message.first_answer_s ?? message.window_s;
    else if (message.type === "prediction") this.add(message);
    else if (message.type === "end") this.finish(message.audio_s, message.recording);
    else if (message.type === "problem") this.fail(problemOf(message));
  }

  add(prediction) {
    if (prediction.genre === null) return void announce(t("mic_silent"));
    const { start_s, end_s, genre, unknown_because, probabilities } = prediction;
    if (!this.last || titleOf(this.last) !== titleOf(prediction)) announce(titleOf(decided(prediction)));
    this.timeline.push({ start_s, end_s, genre, unknown_because, probabilities });
    this.last = { ...prediction, tags: null }; // tags would change every second; those of the whole recording are shown
    this.draw();
  }

  draw() {
    const duration_s = Math.max(MIN_TIMELINE_S, this.elapsed());
    showAnswer({ ...this.last, timeline: this.timeline, duration_s }, this.name, { quiet: true });
    moveCursor(this.last.end_s);
  }

  /** Stops recording, and waits for the remaining answers. */
  stop() {
    if (this.over || !this.recorder || this.recorder.state === "inactive") return this.recorder ? undefined : closeResult();
    this.recorder.stop();
    clearInterval(this.ticking);
    showProgress(t("classifying"));
  }

  allSent() {
    if (this.over) return;
    this.seconds = this.elapsed();
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "stop" }));
    this.lateEnd = setTimeout(() => this.finish(this.seconds), END_MS);
  }

  /** @param answer the service's answer for the whole recording; null if it did not come */
  finish(seconds, answer = null) {
    if (this.over) return;
    this.close();
    hideProgress();
    show(byId("live"), false);
    announce(t("mic_done", { time: clock(seconds) }));
    if (!this.timeline.length) {
      closeResult();
      const detail = () => t("mic_nothing_detail", { seconds: this.minSeconds() });
      return void showProblem(micProblem("mic_nothing", detail));
    }
    const file = new File(this.chunks, this.name(), { type: this.recorder.mimeType });
    const whole = recordingAnswer(this.timeline, seconds, this.last.model, answer);
    showAnswer(whole, this.name, { remark: "average", onAgain: () => classifyFile(file, { anyway: true }) });
    openPlayer(file, { plays: true, seconds });
    remember(whole, null);
  }

  /** Keeps the answers received so far. */
  async fail(problem) {
    if (this.over) return;
    if (this.recorder && this.timeline.length) this.finish(this.elapsed());
    else {
      this.close();
      closeResult();
    }
    if (problem.kind === "unauthorized" && (await askForToken(token()))) return void useMicrophone();
    showProblem(problem, { onAgain: useMicrophone });
  }

  /** Another result has taken the panel. */
  drop() {
    if (!this.over) this.close();
  }

  close() {
    this.over = true;
    clearInterval(this.ticking);
    clearTimeout(this.lateEnd);
    this.stopLevel?.();
    if (this.recorder?.state === "recording") this.recorder.stop();
    for (const track of this.microphone?.getTracks() ?? []) track.stop(); // turns off the browser's recording sign
    this.socket?.close();
  }
}

const micProblem = (key, detail = () => t(`${key}_detail`)) => new Problem(key, detail);

/** In a message, `type` is "problem" and `problem` its kind. */
function problemOf({ problem, detail, title, status, ...extra }) {
  if (problem === "too-long") return micProblem("mic_long"); // streams have a limit of their own
  return new Problem(problem, detail || title, { status, extra });
}

async function openMicrophone() {
  if (!navigator.mediaDevices || !window.MediaRecorder) throw micProblem("mic_insecure");
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: UNPROCESSED });
  } catch (error) {
    throw micProblem(error.name === "NotAllowedError" || error.name === "SecurityError" ? "mic_refused" : "mic_none");
  }
}

function openSocket() {
  const socket = new WebSocket(socketAddress("v1/stream"));
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve(socket);
    socket.onclose = () => reject(networkProblem());
  });
}
