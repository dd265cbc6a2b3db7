// The Markdown of model cards: headings, paragraphs, lists, tables, code blocks, **strong**, `code` and [links](…). Text never becomes
// HTML, because a bundle may come from anywhere.
import { make } from "./dom.js";

const INLINE = /(\*\*.+?\*\*|`[^`]+`|\[[^\]]+\]\(https?:[^\s)]+\))/;

export function markdown(text) {
  return blocks(text).map(element);
}

/** Groups of lines: separated by blank lines; a heading and a code block are a group each. */
function blocks(text) {
  const found = [[]];
  let fenced = false;
  for (const line of text.split(/\r?\n/)) {
    const fence = line.startsWith("```");
    if (!fenced && (!line.trim() || /^#{1,6} /.test(line) || fence)) found.push([]);
    if (fenced || line.trim()) found.at(-1).push(line);
    if (fence) fenced = !fenced;
    if (!fenced && (fence || /^#{1,6} /.test(line))) found.push([]);
  }
  return found.filter((lines) => lines.length);
}

function element(lines) {
  const [first] = lines;
  const heading = /^(#{1,6}) (.*)/.exec(first);
  // Below the h1 and h2 of the page.
  if (heading) return make(`h${Math.min(6, heading[1].length + 2)}`, {}, ...inline(heading[2]));
  if (first.startsWith("```")) return make("pre", { tabIndex: 0 }, make("code", { textContent: lines.slice(1, -1).join("\n") }));
  if (first.startsWith("|")) return table(lines);
  if (/^[-*] /.test(first)) return list(lines);
  return make("p", {}, ...inline(lines.join(" ")));
}

function list(lines) {
  const items = [];
  for (const line of lines) {
    if (/^[-*] /.test(line)) items.push(line.slice(2));
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return make("ul", {}, ...items.map((item) => make("li", {}, ...inline(item))));
}

function table(lines) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const row = (tag, line) => make("tr", {}, ...cells(line).map((cell) => make(tag, tag === "th" ? { scope: "col" } : {}, ...inline(cell))));
  const [head, , ...body] = lines;
  const made = make("table", {}, make("thead", {}, row("th", head)), make("tbody", {}, ...body.map((line) => row("td", line))));
  return make("div", { className: "scroll", tabIndex: 0 }, made);
}

function inline(text) {
  return text.split(INLINE).filter(Boolean).map((piece) => {
    if (/^\*\*.+\*\*$/.test(piece)) return make("strong", { textContent: piece.slice(2, -2) });
    if (/^`.+`$/.test(piece)) return make("code", { textContent: piece.slice(1, -1) });
    const link = /^\[(.+)\]\((.+)\)$/.exec(piece);
    return link ? make("a", { href: link[2], textContent: link[1], rel: "noreferrer", target: "_blank" }) : piece;
  });
}
