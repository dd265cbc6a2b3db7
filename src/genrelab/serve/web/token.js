// The token of a service that needs one. It is kept while the tab is open, and never left in the address.
import { byId } from "./dom.js";
import { t } from "./i18n.js";
import { forget, keep, recall } from "./storage.js";

let known = recall("session", "token");
let asking = null;

export const token = () => known;

/** Removes `#token=…` from the address, where it could be seen, copied and bookmarked. */
export function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  remember(given);
  history.replaceState(null, "", location.pathname + location.search);
}

/**
 * Asks the reader for the token; simultaneous requests share one dialog.
 * @param tried the token that was refused, or null
 * @returns true if there is a new token
 */
export async function askForToken(tried) {
  if (known !== null && known !== tried) return true; // entered while that request was running
  known = null;
  forget("session", "token");
  byId("token-note").textContent = t(tried === null ? "token_note" : "token_wrong");
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
    box.onclose = () => {
      const given = box.returnValue === "ok" && field.value.trim();
      if (given) remember(given);
      field.value = "";
      resolve(Boolean(given));
    };
  });
}

function remember(given) {
  known = given;
  keep("session", "token", given);
}
