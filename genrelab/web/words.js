// Everything that the page says, in the language of its reader: texts, numbers, times, names of genres.
import chinese, { genreNames } from "./chinese.js";
import english from "./english.js";
import { recall, keep } from "./storage.js";

const TEXTS = { en: english, zh: chinese };
const TAGS = { en: "en", zh: "zh-CN" };
const GENRES = { en: {}, zh: genreNames };

let language = chosen();

/** The language that was switched to before, else the first of the reader's that there is. */
function chosen() {
  const before = recall("local", "language");
  if (before in TEXTS) return before;
  const read = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]);
  return read.find((name) => name in TEXTS) ?? "en";
}

/** The text of a key, with {values} put in; where there is a form for one and for many, `n` chooses. */
export function say(key, values = {}) {
  let text = TEXTS[language][key] ?? key;
  if (typeof text === "object") {
    const form = new Intl.PluralRules(TAGS[language]).select(values.n);
    text = text[form] ?? text.other;
  }
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number(values[name]) : values[name]));
}

export const knows = (key) => key in TEXTS[language];

export const languageTag = () => TAGS[language];

/** Puts the texts into the page, and tells those who draw that they have to draw anew. */
export function speak(name = language) {
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
  const other = Object.keys(TEXTS).find((name) => name !== language);
  const button = document.getElementById("other-language");
  [button.textContent, button.lang] = [TEXTS[other].own_name, TAGS[other]];
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

/** How long, in words: 20 minutes, 45 seconds. */
export function lasting(seconds) {
  const [value, unit] = seconds < 120 ? [seconds, "second"] : [seconds / 60, "minute"];
  const form = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: unit === "minute" ? 1 : 0 };
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
  return GENRES[language][genre.toLowerCase()] ?? genre;
}

export const listed = (names) => names.join(say("between"));

/** Sure in words and in per cent. */
export const sure = (confidence) => say("sure", { sureness: sureness(confidence), percent: probability(confidence) });

/** How sure an answer is: bounds in falling order, for readers who do not think in per cent. */
export function sureness(confidence) {
  const step = [0.9, 0.7, 0.5, 0.3].findIndex((bound) => confidence >= bound);
  return say(`sure_${step < 0 ? 1 : 5 - step}`);
}
