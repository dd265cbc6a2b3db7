// The panel of one result. Opening it for another closes the one before.
import { hideAnswer } from "./answer.js";
import { byId, nameOf, show } from "./dom.js";
import { closePlayer } from "./player.js";
import { hideProblem } from "./problem.js";
import { moveCursor } from "./timeline-strip.js";

let onClose = () => {};
let stop = () => {};

/**
 * @param name of the file: a text, or a function that returns one in the reader's language
 * @param closed called when the panel is closed or another result opens it
 */
export function openResult(name, closed = () => {}) {
  closeResult();
  onClose = closed;
  document.body.classList.add("has-result"); // the introduction makes room
  byId("result-name").textContent = nameOf(name);
  show(byId("result"));
  byId("result-name").focus({ preventScroll: true });
  byId("result").scrollIntoView({ block: "start" });
}

export function closeResult() {
  const closed = onClose;
  onClose = () => {};
  closed();
  hideProblem();
  hideAnswer();
  closePlayer();
  moveCursor(0);
  hideProgress();
  show(byId("live"), false);
  show(byId("result"), false);
}

/** @param share that is done; undefined: not known; null: no progress bar */
export function showProgress(text, share) {
  show(byId("work"));
  byId("result").classList.add("waiting");
  byId("work-text").textContent = text;
  show(byId("work-bar"), share !== null);
  if (share === undefined) byId("work-bar").removeAttribute("value");
  else byId("work-bar").value = share;
}

export function hideProgress() {
  byId("result").classList.remove("waiting");
  show(byId("work"), false);
}

/** Sets what the Stop button does. */
export function onStop(action) {
  stop = action;
}

byId("work-stop").addEventListener("click", () => stop());
