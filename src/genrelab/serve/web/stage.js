// The place where one answer is shown at a time: whoever takes it drops what was there before.
import { hideAnswer } from "./answer.js";
import { byId, nameOf, show } from "./dom.js";
import { closePlayer } from "./player.js";
import { moveCursor } from "./ribbon.js";
import { hideTrouble } from "./trouble.js";

let occupant = () => {};

/**
 * @param name what will be heard, for people: a text, or a function that says it in the language of the moment
 * @param onLeave called once another takes the place, or it is cleared
 */
export function takeStage(name, onLeave = () => {}) {
  clearStage();
  occupant = onLeave;
  document.body.classList.add("has-heard"); // the greeting makes room
  byId("heard-name").textContent = nameOf(name);
  show(byId("heard"));
  byId("heard-name").focus({ preventScroll: true });
  byId("heard").scrollIntoView({ block: "start" });
}

export function clearStage() {
  const leave = occupant;
  occupant = () => {};
  leave();
  hideTrouble();
  hideAnswer();
  closePlayer();
  moveCursor(0);
  idle();
  show(byId("live"), false);
  show(byId("heard"), false);
}

/**
 * Says what is being done.
 * @param share that is done; undefined: nobody knows; null: it has no end
 */
export function work(text, share) {
  show(byId("work"));
  byId("heard").classList.add("waiting");
  byId("work-text").textContent = text;
  show(byId("work-bar"), share !== null);
  if (share === undefined) byId("work-bar").removeAttribute("value");
  else byId("work-bar").value = share;
}

export function idle() {
  byId("heard").classList.remove("waiting");
  show(byId("work"), false);
}

let stop = () => {};

/** What the button beside the work does. */
export function onStop(action) {
  stop = action;
}

byId("work-stop").addEventListener("click", () => stop());
