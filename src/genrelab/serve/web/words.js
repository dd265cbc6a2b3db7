// Everything that the page says, in the language of its reader: texts, numbers, times, names of genres.
import { recall, keep } from "./storage.js";

const TAGS = { en: "en", zh: "zh-CN" };
const NAMES = { en: "English", zh: "中文" }; // as each calls itself
const SOURCES = { en: () => import("./english.js"), zh: () => import("./chinese.js") }; // only what is read is fetched

let language = chosen();
let { default: texts, genreNames = {} } = await SOURCES[language]();

/** The language that was switched to before, else the first of the reader's that there is. */
function chosen() {
  const before = recall("local", "language");
  if (Object.hasOwn(TAGS, before)) return before;
  const read = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]);
  return read.find((name) => Object.hasOwn(TAGS, name)) ?? "en";
}

/** The text of a key, with {values} put in; where there is a form for one and for many, `n` chooses. */
export function say(key, values = {}) {
  let text = texts[key] ?? key;
  if (typeof text === "object") {
    const form = new Intl.PluralRules(TAGS[language]).select(values.n);
    text = text[form] ?? text.other;
  }
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number(values[name]) : values[name]));
}

export const knows = (key) => Object.hasOwn(texts, key);

export const languageTag = () => TAGS[language];

/** Puts the texts into the page, and tells those who draw that they have to draw anew. */
export async function speak(name = language) {
  ({ default: texts, genreNames = {} } = await SOURCES[name]());
  language = name;
  document.documentElement.lang = TAGS[name];
  for (const each of document.querySelectorAll("[data-say]")) each.textContent = say(each.dataset.say);
  for (const each of document.querySelectorAll("[data-say-label]")) each.setAttribute("aria-label", say(each.dataset.sayLabel));
  drawSwitch();
  document.title = `genrelab – ${say("title")}`;
  document.dispatchEvent(new Event("language"));
}

/** The switch is called as the other language calls itself. */
function drawSwitch() {
  const other = Object.keys(TAGS).find((name) => name !== language);
  const button = document.getElementById("other-language");
  [button.textContent, button.lang] = [NAMES[other], TAGS[other]];
  button.onclick = () => {
    keep("local", "language", other);
    speak(other);
  };
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(TAGS[language], { maximumFractionDigits: digits }).format(value);
}

export function percent(share, digits = 0) {
  return new Intl.NumberFormat(TAGS[language], { style: "percent", maximumFractionDigits: digits }).format(share);
}

/** In whole per cent; nothing is wholly certain or impossible, whatever rounding says. */
export const probability = (p) => percent(Math.min(0.99, Math.max(0.01, p)));

/** Seconds as 1:02 or 1:02:03, as players show them in both languages. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  const two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** How long, in words: 20 minutes, 45 seconds, 24 hours. */
export function lasting(seconds) {
  const [value, unit] = seconds < 60 ? [seconds, "second"] : seconds < 7200 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
  const form = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: unit === "second" ? 0 : 1 };
  return new Intl.NumberFormat(TAGS[language], form).format(value);
}

export function size(bytes) {
  const [value, unit] = bytes < 1e6 ? [bytes / 1e3, "kB"] : [bytes / 1e6, "MB"];
  return `${number(value, value < 10 ? 1 : 0)} ${unit}`;
}

export function when(time) {
  return new Intl.DateTimeFormat(TAGS[language], { dateStyle: "medium", timeStyle: "short" }).format(time);
}

/** A genre as its model calls it, or in the reader's language where that has a word for it. */
export function genreName(genre) {
  if (genre === "unknown") return say("unknown");
  const name = genre.toLowerCase();
  return Object.hasOwn(genreNames, name) ? genreNames[name] : genre;
}

export const listed = (names) => names.join(say("between"));
