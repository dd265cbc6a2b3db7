// The token of a service that asks for one: kept as long as the tab is open, never longer, and never left in the address.
import { byId } from "./dom.js";
import { forget, keep, recall } from "./storage.js";
import { say } from "./words.js";

let known = recall("session", "token");
let asking = null;

export const token = () => known;

/** Takes `#token=…` out of the address, where it would be seen, copied and bookmarked. */
export function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  remember(given);
  history.replaceState(null, "", location.pathname + location.search);
}

/**
 * Asks for it, once for all who need it at the same time.
 * @param tried the token that was refused, or null
 * @returns is there another one now?
 */
export async function askForToken(tried) {
  if (known !== null && known !== tried) return true; // it was given while that answer was on its way
  known = null;
  forget("session", "token");
  byId("token-note").textContent = say(tried === null ? "token_note" : "token_wrong");
  asking ??= dialog().finally(() => {
    asking = null;
  });
  return asking;
}

function dialog() {
  const [box, field] = [byId("token-dialog"), byId("token")];
  field.value = "";
  box.returnValue = "";
  box.showModal();
  return new Promise((resolve) => {
    box.addEventListener(
      "close",
      () => {
        const given = box.returnValue === "ok" && field.value.trim();
        if (given) remember(given);
        field.value = "";
        resolve(Boolean(given));
      },
      { once: true },
    );
  });
}

function remember(given) {
  known = given;
  keep("session", "token", given);
}
