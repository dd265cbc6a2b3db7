// Plays the file and draws its waveform and spectrogram with wavesurfer.js, which is loaded with the first file.
import { dark } from "./colours.js";
import { byId, show } from "./dom.js";
import { clock, t } from "./i18n.js";
import { moveCursor } from "./timeline-strip.js";

const WAVE_PX = 96; // pages.py allows the style sheet that wavesurfer.js injects for this height only
const SPECTROGRAM_PX = 88;
const LONG_S = 360; // longer music is drawn at a lower rate: decoded, a minute in stereo at 16 kHz is 8 MB

const LOOK = {
  height: WAVE_PX,
  normalize: true,
  dragToSeek: true,
  cursorWidth: 0, // #playhead is the cursor of waveform, spectrogram and timeline
  barWidth: 2,
  barGap: 1,
  barRadius: 2,
  hideScrollbar: true,
};

const [button, wave, spectrogram, note] = ["play", "wave", "spectrogram", "playback-note"].map(byId);

let audio = new Audio(); // a new one for each file, because old sources keep sending events
let drawn = null; // the wavesurfer
let opened = null; // {file, seconds} of the open file

const canPlay = () => opened !== null && audio.error === null && audio.readyState > 0;

/**
 * Opens and draws a file or recording, with a note if the browser cannot.
 * @param seconds its duration, or null if unknown; @param plays false: the browser cannot play it
 */
export async function openPlayer(file, { plays, seconds }) {
  closePlayer();
  const mine = (opened = { file, seconds });
  show(byId("player"));
  show(byId("transport"), plays);
  if (!plays) return showNote("cannot_play");
  audio = newAudio();
  const drew = await draw(file, seconds ?? LONG_S);
  if (opened !== mine) return;
  if (!drew) showWave(false);
  showNote(drew ? null : canPlay() ? "cannot_draw" : "cannot_play");
  show(byId("transport"), canPlay());
}

export function closePlayer() {
  opened = null;
  audio.pause();
  unload(audio);
  drawn?.destroy();
  drawn = null;
  showNote(null);
  showWave(false);
  show(byId("transport"), false);
}

export function seek(seconds) {
  if (canPlay()) audio.currentTime = seconds;
}

export function toggle() {
  if (!canPlay()) return;
  if (audio.paused) audio.play().catch(() => showNote("cannot_play"));
  else audio.pause();
}

/** Whether the browser can play a file, and its duration in seconds (null: unknown). */
export async function inspect(file) {
  const probe = new Audio();
  const source = URL.createObjectURL(file);
  probe.preload = "metadata";
  probe.src = source;
  const found = await Promise.race([event(probe, "loadedmetadata"), event(probe, "error"), after(1500)]);
  const seconds = Number.isFinite(probe.duration) ? probe.duration : null;
  unload(probe);
  URL.revokeObjectURL(source);
  return { plays: found !== "error", seconds };
}

/** Without `load` it would go on reading, and fail when the URL of its file is revoked. */
function unload(player) {
  player.removeAttribute("src");
  player.load();
}

const event = (target, name) => new Promise((resolve) => target.addEventListener(name, () => resolve(name), { once: true }));
const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms, "late"));

function newAudio() {
  const made = new Audio();
  const on = (name, action) => made.addEventListener(name, () => made === audio && opened && action());
  for (const name of ["play", "pause", "ended"]) on(name, showState);
  on("seeked", () => moveCursor(audio.currentTime));
  on("durationchange", showLength);
  on("loadedmetadata", findEnd);
  return made;
}

/** Files of MediaRecorder have no duration in their header; seeking far beyond the end makes the browser find it. */
async function findEnd() {
  if (audio.duration !== Infinity) return;
  audio.currentTime = 1e7;
  await Promise.race([event(audio, "seeked"), after(3000)]);
  audio.currentTime = 0;
}

/** Returns whether it was drawn; the file is loaded into `audio` in any case. */
async function draw(file, seconds) {
  const [{ default: WaveSurfer }, { default: Spectrogram }] = await Promise.all([
    import("./vendor/wavesurfer.esm.js"),
    import("./vendor/spectrogram.esm.js"),
  ]);
  if (opened?.file !== file) return false;
  showWave(true);
  const rate = seconds > LONG_S ? 8000 : 16_000;
  const look = { ...LOOK, ...waveColours(), container: wave, media: audio, sampleRate: rate };
  drawn = WaveSurfer.create({ ...look, plugins: [newSpectrogram(Spectrogram, rate)] });
  try {
    await drawn.loadBlob(file);
    return true;
  } catch {
    return false; // it could not be decoded as a whole, but may play
  }
}

function showWave(shown) {
  show(wave, shown);
  show(spectrogram, shown);
}

function waveColours() {
  const style = getComputedStyle(document.documentElement);
  return { waveColor: style.getPropertyValue("--wave"), progressColor: style.getPropertyValue("--accent") };
}

function newSpectrogram(Spectrogram, rate) {
  const [r, g, b] = dark.matches ? [0.45, 0.9, 0.76] : [0, 0.3, 0.26];
  return Spectrogram.create({
    container: spectrogram,
    height: SPECTROGRAM_PX,
    fftSamples: 1024,
    scale: "mel",
    frequencyMax: rate / 2,
    autoGain: true,
    rangeDB: 60,
    colorMap: Array.from({ length: 256 }, (_, i) => [r, g, b, (i / 255) ** 1.1]), // transparent where it is quiet, for any background
    useWebWorker: true,
  });
}

function showNote(key) {
  note.dataset.text = key ?? "";
  note.textContent = key ? t(key) : "";
  show(note, key !== null);
}

function showLength() {
  byId("length").textContent = clock(Number.isFinite(audio.duration) ? audio.duration : 0);
}

function showState() {
  const playing = !audio.paused;
  button.dataset.textLabel = playing ? "pause" : "play";
  button.setAttribute("aria-label", t(button.dataset.textLabel));
  button.classList.toggle("playing", playing);
  if (playing) follow();
}

/** Moves the cursor at each frame; `timeupdate` comes only four times a second. */
function follow() {
  moveCursor(audio.currentTime);
  if (!audio.paused) requestAnimationFrame(follow);
}

button.addEventListener("click", toggle);
dark.addEventListener("change", async () => {
  if (!drawn || !opened) return;
  const [{ file, seconds }, at] = [opened, audio.currentTime];
  await openPlayer(file, { plays: true, seconds }); // a drawn spectrogram keeps its colours
  seek(at);
});
