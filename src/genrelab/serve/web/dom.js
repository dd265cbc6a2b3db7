// Small helpers for the page's elements.
export const byId = (id) => document.getElementById(id);

/** An element with properties, attributes (names with a hyphen, and `role`) and children; text is never read as HTML. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** A name that depends on the language is a function. */
export const nameOf = (name) => (typeof name === "function" ? name() : name);

export function show(element, shown = true) {
  element.hidden = !shown;
}

/** Has a screen reader read a text. */
export function announce(text) {
  byId("status").textContent = text;
}

/** Saves a text as a file. */
export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
