// Values kept by the browser. If it refuses (blocked cookies, no space), nothing is kept and the page still works.
const PREFIX = "genrelab.";

/** @param where "local": until cleared; "session": while the tab is open */
const storage = (where) => window[`${where}Storage`]; // reading this property may throw

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
    // nothing was kept
  }
}
