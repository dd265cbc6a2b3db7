// Shows a problem: what happened, to which file, and what to do now.
import { Problem } from "./api.js";
import { byId, show } from "./dom.js";
import { served } from "./models.js";
import { duration, hasText, size, t } from "./i18n.js";

const [box, title, detail, again, anyway] = ["problem", "problem-title", "problem-detail", "problem-again", "problem-anyway"].map(byId);

let shown = null;
let actions = {};

/**
 * @param error a Problem; any other error is one of the page: it is shown as such, and thrown on to the console
 * @param name of the file
 * @param onAgain, onAnyway actions of the buttons; a button without an action is hidden
 */
export function showProblem(error, { name = "", onAgain = null, onAnyway = null } = {}) {
  shown = { problem: error instanceof Problem ? error : new Problem("page", ""), name };
  actions = { onAgain, onAnyway };
  draw();
  show(box);
  show(again, onAgain !== null);
  show(anyway, onAnyway !== null);
  box.scrollIntoView({ block: "nearest" });
  if (shown.problem !== error) throw error;
}

export function hideProblem() {
  shown = null;
  show(box, false);
}

function draw() {
  const { problem, name } = shown;
  title.textContent = name ? `${name}: ${problem.title}` : problem.title;
  detail.textContent = explanation(problem);
}

/** What is wrong and what to do, in the reader's language: the service's own sentence is English, and may quote a decoder. */
export function explanation({ kind, detail: own, status, extra }) {
  if (typeof own === "function") return own();
  const key = `${kind}_detail`;
  return hasText(key) ? t(key, { max: limitOf(kind, extra) }) : t("other_detail", { status });
}

function limitOf(kind, { limit, limit_s }) {
  if (kind === "too-long") return duration(limit_s ?? served.limits.audio_s);
  return kind === "too-large" ? size(limit ?? served.limits.upload_bytes) : "";
}

for (const [button, name] of [[again, "onAgain"], [anyway, "onAnyway"]])
  button.addEventListener("click", () => {
    hideProblem();
    actions[name]?.();
  });
document.addEventListener("language", () => shown && draw());

export const tooLarge = (bytes, max) => new Problem("too-large", () => t("too_large_detail", { size: size(bytes), max: size(max) }));
export const tooLong = (seconds, max) => new Problem("too-long", () => t("too_long_detail", { time: duration(seconds), max: duration(max) }));
