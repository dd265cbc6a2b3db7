// Short words for what every module does with the page.
export const byId = (id) => document.getElementById(id);

/** An element with properties, attributes (whose names have a hyphen, or are `role`), and children; text is never taken for HTML. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Names that depend on the language are functions. */
export const nameOf = (name) => (typeof name === "function" ? name() : name);

export function show(element, shown = true) {
  element.hidden = !shown;
}

/** Says something to those who do not see the page change. */
export function announce(text) {
  byId("status").textContent = text;
}

/** A file that the browser saves. */
export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = make("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
