// What went wrong, in words for people: by the kind in the reader's language, and what the service says of it one click away.
import { Problem } from "./api.js";
import { byId, make, show } from "./dom.js";
import { served } from "./models.js";
import { knows, languageTag, lasting, say, size } from "./words.js";

const [box, title, detail, again, anyway] = ["trouble", "trouble-title", "trouble-detail", "trouble-again", "trouble-anyway"].map(byId);

// To those who read English the service's own words say more than those of the kind, except for numbers of seconds and bytes, and
// what decoders say.
const IN_NUMBERS = new Set(["too-long", "too-large"]);
const JARGON = /soundfile|FFmpeg/;

let shown = null;
let actions = {};

/**
 * @param problem a Problem; anything else is a fault of the page, and is thrown on for the console
 * @param offered onAgain: what to do once more; onAnyway: what to do nevertheless
 */
export function showTrouble(problem, { onAgain = null, onAnyway = null, name = "" } = {}) {
  const known = problem instanceof Problem;
  shown = { problem: known ? problem : new Problem("other", String(problem?.message ?? problem)), name };
  actions = { onAgain, onAnyway };
  draw();
  show(box);
  show(again, onAgain !== null);
  show(anyway, onAnyway !== null);
  box.scrollIntoView({ block: "nearest" });
  if (!known) throw problem;
}

export function hideTrouble() {
  shown = null;
  show(box, false);
}

function draw() {
  const { problem, name } = shown;
  title.textContent = name ? `${name}: ${problem.title}` : problem.title;
  detail.replaceChildren(...explained(problem));
}

/** A problem's detail as elements: one that people understand, and what else the service said one click away. */
export function explained({ kind, message, ours, extra }, className = "") {
  const key = `${kind}_detail`;
  const lang = languageTag();
  const words = (textContent, tag) => make("p", { className, textContent, lang: tag });
  if (ours) return [words(message, lang)];
  const plain = !knows(key) || (lang === "en" && !IN_NUMBERS.has(kind) && !JARGON.test(message));
  const first = plain ? words(message, "en") : words(say(key, { most: mostOf(kind, extra) }), lang); // the service speaks English
  const rest = [plain ? "" : message, extra.decoders].filter(Boolean).join(" ");
  if (!rest) return [first];
  return [first, make("details", { className }, make("summary", { textContent: say("said_by_service") }), words(rest, "en"))];
}

function mostOf(kind, { limit, limit_s }) {
  if (kind === "too-long") return lasting(limit_s ?? served.limits.audio_s);
  return kind === "too-large" ? size(limit ?? served.limits.upload_bytes) : "";
}

for (const [button, name] of [[again, "onAgain"], [anyway, "onAnyway"]])
  button.addEventListener("click", () => {
    hideTrouble();
    actions[name]?.();
  });
document.addEventListener("language", () => shown && draw());

// Of ours: said anew in each language that the reader switches to.
export const tooLarge = (bytes, most) =>
  new Problem("too-large", () => say("too_large_detail", { size: size(bytes), most: size(most) }), { ours: true });
export const tooLong = (seconds, most) =>
  new Problem("too-long", () => say("too_long_detail", { time: lasting(seconds), most: lasting(most) }), { ours: true });
