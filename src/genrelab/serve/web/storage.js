// What the browser keeps for us. It may refuse to (blocked cookies, no room): then nothing is kept, and all else works.
const PREFIX = "genrelab.";

/** @param where "local": until it is cleared; "session": as long as the tab is open. */
const storage = (where) => window[`${where}Storage`]; // even to name it may be forbidden

export function keep(where, key, value) {
  try {
    storage(where).setItem(PREFIX + key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

export function recall(where, key) {
  try {
    return JSON.parse(storage(where).getItem(PREFIX + key));
  } catch {
    return null;
  }
}

export function forget(where, key) {
  try {
    storage(where).removeItem(PREFIX + key);
  } catch {
    // nothing is kept there
  }
}
