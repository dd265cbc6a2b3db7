// The microphone: what it hears goes to the service as it comes, and the answers come back once a second.
import { Problem, network, socketAddress } from "./api.js";
import { awaitAnswer, showAnswer } from "./answer.js";
import { announce, byId, show } from "./dom.js";
import { recordingOf, remember } from "./history.js";
import { drawLevel } from "./level.js";
import { current } from "./models.js";
import { named, titleOf } from "./naming.js";
import { openPlayer } from "./player.js";
import { moveCursor } from "./ribbon.js";
import { clearStage, idle, onStop, takeStage, work } from "./stage.js";
import { whole } from "./timeline.js";
import { askForToken, token } from "./token.js";
import { showTrouble } from "./trouble.js";
import { hear } from "./upload.js";
import { clock, say } from "./words.js";

const CHUNK_MS = 250;
const END_MS = 10_000; // that the last answers may take after the end
const LEAST_RIBBON_S = 30; // so that the ribbon grows, instead of shrinking from the first second on
const FORMATS = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
const AS_IT_IS = { echoCancellation: false, noiseSuppression: false, autoGainControl: false }; // all made for speech: they would mar music

/** Records until it is stopped, then shows the recording with its ribbon. */
export async function useMicrophone() {
  const session = new Session(recordingOf(Date.now()));
  takeStage(session.name, () => session.drop());
  onStop(() => session.stop());
  work(say("mic_asking"));
  try {
    await session.begin();
  } catch (problem) {
    session.fail(problem);
  }
}

class Session {
  constructor(name) {
    Object.assign(this, { name, chunks: [], timeline: [], last: null, heard_s: 0, needs_s: 0, over: false, microphone: null });
  }

  async begin() {
    this.microphone = await openMicrophone();
    if (this.over) return this.close();
    this.socket = await openSocket();
    if (this.over) return this.close();
    this.socket.onmessage = ({ data }) => this.hear(JSON.parse(data));
    this.socket.onclose = () => this.over || this.fail(network());
    this.record();
  }

  record() {
    const mimeType = FORMATS.find((format) => MediaRecorder.isTypeSupported(format));
    this.recorder = new MediaRecorder(this.microphone, { mimeType });
    this.recorder.ondataavailable = ({ data }) => this.send(data);
    this.recorder.onstop = () => this.lastSent();
    const start = { type: "start", format: "webm", model: current()?.name, token: token() ?? undefined, tags: true };
    this.socket.send(JSON.stringify(start));
    this.recorder.start(CHUNK_MS);
    this.started = performance.now();
    awaitAnswer();
    show(byId("live"));
    this.stopLevel = drawLevel(this.microphone, byId("level"));
    this.ticking = setInterval(() => this.tick(), 250);
    announce(say("mic_listening"));
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
    const first = this.last ? "" : ` ${say("mic_first", { seconds: Math.ceil(this.needs_s || 1) })}`;
    work(say("recording", { time: clock(this.elapsed()) }) + first, null);
    if (this.last) this.draw();
  }

  /** One message of the service. */
  hear(message) {
    if (message.type === "ready") this.needs_s = Math.min(message.window_s, current()?.window_s ?? message.window_s);
    else if (message.type === "prediction") this.take(message);
    else if (message.type === "end") this.finish(message.audio_s, message.recording);
    else if (message.type === "problem") this.fail(problemOf(message));
  }

  take(prediction) {
    this.heard_s = prediction.end_s;
    if (prediction.genre === null) return void announce(say("mic_silent"));
    const { start_s, end_s, genre, unknown_because, probabilities } = prediction;
    if (!this.last || titleOf(this.last) !== titleOf(prediction)) announce(titleOf(named(prediction)));
    this.timeline.push({ start_s, end_s, genre, unknown_because, probabilities });
    this.last = { ...prediction, tags: null }; // they would change every second: those of the whole are shown
    this.draw();
  }

  draw() {
    const duration_s = Math.max(LEAST_RIBBON_S, this.elapsed());
    showAnswer({ ...this.last, timeline: this.timeline, duration_s }, this.name, { quiet: true });
    moveCursor(this.last.end_s);
  }

  /** The reader has heard enough: what is recorded is sent to its end, and what is still said of it is awaited. */
  stop() {
    if (this.over || !this.recorder || this.recorder.state === "inactive") return this.recorder ? undefined : clearStage();
    this.recorder.stop();
    clearInterval(this.ticking);
    work(say("hearing"));
  }

  lastSent() {
    if (this.over) return;
    this.seconds = this.elapsed();
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "stop" }));
    this.lateEnd = setTimeout(() => this.finish(this.seconds), END_MS);
  }

  /** @param recording what the service says of all of it; null where that did not come */
  finish(seconds, recording = null) {
    if (this.over) return;
    this.close();
    idle();
    show(byId("live"), false);
    announce(say("mic_done", { time: clock(seconds) }));
    if (!this.timeline.length) {
      clearStage();
      const detail = () => say("mic_nothing_detail", { seconds: Math.ceil(this.needs_s || 1) });
      return void showTrouble(ownProblem("mic_nothing", detail));
    }
    const file = new File(this.chunks, this.name(), { type: this.recorder.mimeType });
    const answer = whole(this.timeline, seconds, this.last.model, recording);
    showAnswer(answer, this.name, { remark: "average", onAgain: () => hear(file, { anyway: true }) });
    openPlayer(file, { plays: true, seconds });
    remember(answer, null);
  }

  /** What was said until then stays, where there is something. */
  async fail(problem) {
    if (this.over) return;
    if (this.recorder && this.timeline.length) this.finish(this.elapsed());
    else {
      this.close();
      clearStage();
    }
    if (problem.kind === "unauthorized" && (await askForToken(token()))) return void useMicrophone();
    showTrouble(problem, { onAgain: useMicrophone });
  }

  /** Another took the place. */
  drop() {
    if (!this.over) this.close();
  }

  close() {
    this.over = true;
    clearInterval(this.ticking);
    clearTimeout(this.lateEnd);
    this.stopLevel?.();
    if (this.recorder?.state === "recording") this.recorder.stop();
    for (const track of this.microphone?.getTracks() ?? []) track.stop(); // the browser's red light goes out
    this.socket?.close();
  }
}

const ownProblem = (key, detail = () => say(`${key}_detail`)) => new Problem(key, detail, { ours: true });

/** Here `type` says that it is a problem, and `problem` of which kind. */
function problemOf({ problem, detail, title, status, ...extra }) {
  if (problem === "too-long") return ownProblem("mic_long"); // of streams: a limit of their own
  return new Problem(problem, detail || title, { status, extra });
}

async function openMicrophone() {
  if (!navigator.mediaDevices || !window.MediaRecorder) throw ownProblem("mic_insecure");
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS });
  } catch (error) {
    throw ownProblem(error.name === "NotAllowedError" || error.name === "SecurityError" ? "mic_refused" : "mic_none");
  }
}

function openSocket() {
  const socket = new WebSocket(socketAddress("v1/stream"));
  return new Promise((resolve, reject) => {
    socket.onopen = () => resolve(socket);
    socket.onclose = () => reject(network());
  });
}
