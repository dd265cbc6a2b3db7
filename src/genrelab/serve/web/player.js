// The music as the browser hears it: waveform and spectrogram by wavesurfer.js, fetched only now, when there is a file to draw.
import { dark } from "./colours.js";
import { byId, show } from "./dom.js";
import { moveCursor } from "./ribbon.js";
import { clock, say } from "./words.js";

const WAVE_PX = 96; // pages.py allows the style sheet that wavesurfer.js writes at this height, and no other
const SPECTROGRAM_PX = 88;
const LONG_S = 360; // longer music is drawn from fewer samples: decoded, a minute in stereo at 16 kHz is 8 MB

const LOOK = {
  height: WAVE_PX,
  normalize: true,
  dragToSeek: true,
  cursorWidth: 0, // the line across wave, spectrogram and ribbon is ours
  barWidth: 2,
  barGap: 1,
  barRadius: 2,
  hideScrollbar: true,
};

const [button, wave, spectrogram, silent] = ["play", "wave", "spectrogram", "silent"].map(byId);

let audio = new Audio(); // another for each file: one that had a source never quite forgets it
let drawn = null; // the wavesurfer
let opened = null; // {file, seconds}: what is open now

/** Can the music be heard here? */
const canPlay = () => opened !== null && audio.error === null && audio.readyState > 0;

/**
 * Opens a file or a recording, draws it, and says where that cannot be.
 * @param seconds that it lasts, or null where nobody knows; @param plays false: the browser cannot play it
 */
export async function openPlayer(file, { plays, seconds }) {
  closePlayer();
  const mine = (opened = { file, seconds });
  show(byId("player"));
  show(byId("transport"), plays);
  if (!plays) return tellWhatIsMissing("silent");
  audio = newAudio();
  const drew = await draw(file, seconds ?? LONG_S);
  if (opened !== mine) return;
  if (!drew) showWave(false);
  tellWhatIsMissing(drew ? null : canPlay() ? "no_wave" : "silent");
  show(byId("transport"), canPlay());
}

export function closePlayer() {
  opened = null;
  audio.pause();
  letGo(audio);
  drawn?.destroy();
  drawn = null;
  tellWhatIsMissing(null);
  showWave(false);
  show(byId("transport"), false);
}

export function seek(seconds) {
  if (canPlay()) audio.currentTime = seconds;
}

export function toggle() {
  if (!canPlay()) return;
  if (audio.paused) audio.play().catch(() => tellWhatIsMissing("silent"));
  else audio.pause();
}

/** What the browser soon knows of a file: can it be played, and how many seconds does it last (null: not known). */
export async function inspect(file) {
  const probe = new Audio();
  const source = URL.createObjectURL(file);
  probe.preload = "metadata";
  probe.src = source;
  const found = await Promise.race([event(probe, "loadedmetadata"), event(probe, "error"), after(1500)]);
  const seconds = Number.isFinite(probe.duration) ? probe.duration : null;
  letGo(probe);
  URL.revokeObjectURL(source);
  return { plays: found !== "error", seconds };
}

/** Without `load` it would go on reading, and fail as soon as the address of its file is revoked. */
function letGo(player) {
  player.removeAttribute("src");
  player.load();
}

const event = (target, name) => new Promise((resolve) => target.addEventListener(name, () => resolve(name), { once: true }));
const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms, "late"));

function newAudio() {
  const made = new Audio();
  const listen = (name, action) => made.addEventListener(name, () => made === audio && opened && action());
  for (const name of ["play", "pause", "ended"]) listen(name, showState);
  listen("seeked", () => moveCursor(audio.currentTime));
  listen("durationchange", showLength);
  listen("loadedmetadata", findEnd);
  return made;
}

/** What MediaRecorder writes has no length in its head: the end is looked for once. */
async function findEnd() {
  if (audio.duration !== Infinity) return;
  audio.currentTime = 1e7;
  await Promise.race([event(audio, "seeked"), after(3000)]);
  audio.currentTime = 0;
}

/** Was it drawn? In any case the file is in `audio` afterwards. */
async function draw(file, seconds) {
  const [{ default: WaveSurfer }, { default: Spectrogram }] = await Promise.all([
    import("./vendor/wavesurfer.esm.js"),
    import("./vendor/spectrogram.esm.js"),
  ]);
  if (opened?.file !== file) return false;
  showWave(true);
  const rate = seconds > LONG_S ? 8000 : 16_000;
  const look = { ...LOOK, ...waveColours(), container: wave, media: audio, sampleRate: rate };
  drawn = WaveSurfer.create({ ...look, plugins: [spectrogramOf(Spectrogram, rate)] });
  try {
    await drawn.loadBlob(file);
    return true;
  } catch {
    return false; // what failed is to decode it as a whole: perhaps it can be played all the same
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

function spectrogramOf(Spectrogram, rate) {
  const [r, g, b] = dark.matches ? [0.45, 0.9, 0.76] : [0, 0.3, 0.26];
  return Spectrogram.create({
    container: spectrogram,
    height: SPECTROGRAM_PX,
    fftSamples: 1024,
    scale: "mel",
    frequencyMax: rate / 2,
    autoGain: true,
    rangeDB: 60,
    colorMap: Array.from({ length: 256 }, (_, i) => [r, g, b, (i / 255) ** 1.1]), // clear where it is quiet: any ground will do
    useWebWorker: true,
  });
}

function tellWhatIsMissing(key) {
  silent.dataset.say = key ?? "";
  silent.textContent = key ? say(key) : "";
  show(silent, key !== null);
}

function showLength() {
  byId("length").textContent = clock(Number.isFinite(audio.duration) ? audio.duration : 0);
}

function showState() {
  const playing = !audio.paused;
  button.dataset.sayLabel = playing ? "pause" : "play";
  button.setAttribute("aria-label", say(button.dataset.sayLabel));
  button.classList.toggle("playing", playing);
  if (playing) follow();
}

/** The cursor goes with the music, frame by frame: `timeupdate` comes four times a second only. */
function follow() {
  moveCursor(audio.currentTime);
  if (!audio.paused) requestAnimationFrame(follow);
}

button.addEventListener("click", toggle);
dark.addEventListener("change", async () => {
  if (!drawn || !opened) return;
  const [{ file, seconds }, at] = [opened, audio.currentTime];
  await openPlayer(file, { plays: true, seconds }); // a spectrogram keeps the colours that it was drawn in
  seek(at);
});
