// What went wrong, in words for people: the kind in the reader's language, and what the service says of it.
import { Problem } from "./api.js";
import { byId, show } from "./dom.js";
import { say } from "./words.js";

const [box, title, detail, again, anyway] = ["trouble", "trouble-title", "trouble-detail", "trouble-again", "trouble-anyway"].map(byId);

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
  detail.textContent = problem.message;
  detail.lang = problem.ours ? document.documentElement.lang : "en"; // the service speaks English
}

for (const [button, name] of [[again, "onAgain"], [anyway, "onAnyway"]])
  button.addEventListener("click", () => {
    hideTrouble();
    actions[name]?.();
  });
document.addEventListener("language", () => shown && draw());

export const tooLarge = (detailValues) => new Problem("too-large", say("too_large_detail", detailValues), { ours: true });
export const tooLong = (detailValues) => new Problem("too-long", say("too_long_detail", detailValues), { ours: true });
