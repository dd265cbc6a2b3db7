// Texts, numbers, times and names of genres in the reader's language.
import { recall, keep } from "./storage.js";

const TAGS = { en: "en", zh: "zh-CN" };
const NAMES = { en: "English", zh: "中文" };
const SOURCES = { en: () => import("./english.js"), zh: () => import("./chinese.js") }; // the other language is not fetched

const touch = matchMedia("(hover: none), (pointer: coarse)").matches;

let language = preferred();
let { default: texts, genreNames = {} } = await SOURCES[language]();

/** The language chosen before, else the browser's first language that is available. */
function preferred() {
  const before = recall("local", "language");
  if (Object.hasOwn(TAGS, before)) return before;
  const accepted = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]);
  return accepted.find((name) => Object.hasOwn(TAGS, name)) ?? "en";
}

export const hasText = (key) => Object.hasOwn(texts, key);

/** The text of a key with its {values}; `n` chooses between singular and plural. */
export function t(key, values = {}) {
  let text = texts[touch && hasText(`${key}_touch`) ? `${key}_touch` : key] ?? key;
  if (typeof text === "object") {
    const form = new Intl.PluralRules(TAGS[language]).select(values.n);
    text = text[form] ?? text.other;
  }
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number(values[name]) : values[name]));
}

export const languageTag = () => TAGS[language];

/** Translates the page; modules that draw redraw on the event "language". */
export async function setLanguage(name = language) {
  ({ default: texts, genreNames = {} } = await SOURCES[name]());
  language = name;
  document.documentElement.lang = TAGS[name];
  for (const each of document.querySelectorAll("[data-text]")) each.textContent = t(each.dataset.text);
  for (const each of document.querySelectorAll("[data-text-label]")) each.setAttribute("aria-label", t(each.dataset.textLabel));
  drawLanguageButton();
  document.title = `genrelab – ${t("title")}`;
  document.dispatchEvent(new Event("language"));
}

function drawLanguageButton() {
  const other = Object.keys(TAGS).find((name) => name !== language);
  const button = document.getElementById("other-language");
  [button.textContent, button.lang] = [NAMES[other], TAGS[other]];
  button.onclick = () => {
    keep("local", "language", other);
    setLanguage(other);
  };
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(TAGS[language], { maximumFractionDigits: digits }).format(value);
}

export const percent = (share, digits = 0) => t("percent", { value: number(100 * share, digits) });

/** Whole percent, between 1 and 99: no probability is shown as certain. */
export const probability = (p) => percent(Math.min(0.99, Math.max(0.01, p)));

/** Seconds as 1:02 or 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  const two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A duration in words: 20 minutes, 45 seconds, 24 hours. */
export function duration(seconds) {
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

/** A genre in the reader's language if there is a name for it, else as the model calls it. */
export function genreName(genre) {
  if (genre === "unknown") return t("unknown");
  const name = genre.toLowerCase();
  return Object.hasOwn(genreNames, name) ? genreNames[name] : genre;
}

export const joined = (names) => names.join(t("between"));

export const paragraph = (sentences) => sentences.join(t("between_sentences"));
