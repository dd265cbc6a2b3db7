// The service, as docs describes it: every answer is JSON, every refusal a problem (RFC 9457) with a kind and a detail.
import { askForToken, token } from "./token.js";
import { say, knows } from "./words.js";

const WAIT_AT_MOST_S = 30;

/** A refusal: of the service, of the network, or of ours before anything was sent. */
export class Problem extends Error {
  /**
   * @param kind what the service calls it, or "network"
   * @param detail a sentence; the service's are in English, those of ours in the reader's language (a function of no values then)
   * @param extra what else the service says of it: numbers
   */
  constructor(kind, detail, { status = 0, wait = null, ours = false, extra = {} } = {}) {
    super();
    Object.assign(this, { kind, detail, status, wait, ours, extra });
  }

  get message() {
    return typeof this.detail === "function" ? this.detail() : this.detail;
  }

  /** What happened, in the reader's words. */
  get title() {
    return say([`problem_${this.kind}`, this.kind, "problem_other"].find(knows));
  }

  /** Is it likely to go well a little later? */
  get passes() {
    return this.status === 429 || this.status === 503;
  }
}

export const network = () => new Problem("network", () => say("network_detail"), { ours: true });

/** @param body text of a refusal, which a proxy between us may have written, too */
function refusal(status, body, retryAfter) {
  const wait = Number(retryAfter) > 0 ? Number(retryAfter) : null;
  try {
    const { type, detail, title, ...extra } = JSON.parse(body);
    return new Problem(String(type).split(":").pop(), detail || title || "", { status, wait, extra });
  } catch {
    return new Problem("other", `HTTP ${status}`, { status, wait });
  }
}

/** Addresses are below that of the page, wherever a proxy has put it. */
export const address = (path) => new URL(path, document.baseURI);

export function socketAddress(path) {
  const url = address(path);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}

const authorization = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

/** JSON of GET; asks for a token where one is needed. */
export async function get(path) {
  const tried = token();
  let response;
  try {
    response = await fetch(address(path), { headers: authorization(), cache: "no-store" });
  } catch {
    throw network();
  }
  if (response.ok) return response.json();
  const problem = refusal(response.status, await response.text(), response.headers.get("Retry-After"));
  if (response.status === 401 && (await askForToken(tried))) return get(path);
  throw problem;
}

/** POST of a file; XMLHttpRequest, since fetch does not tell how much of it is sent. */
export async function upload(file, query, { onProgress = () => {}, signal } = {}) {
  const url = address("v1/predict");
  url.search = new URLSearchParams(query);
  const tried = token();
  try {
    return await send(url, file, onProgress, signal);
  } catch (problem) {
    if (problem.status === 401 && (await askForToken(tried))) return upload(file, query, { onProgress, signal });
    throw problem;
  }
}

function send(url, file, onProgress, signal) {
  const body = new FormData();
  body.append("file", file, file.name || "recording");
  const request = new XMLHttpRequest();
  const stop = () => request.abort();
  const done = new Promise((resolve, reject) => {
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () => {
      if (request.status === 200) resolve(JSON.parse(request.responseText));
      else reject(refusal(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => reject(network());
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
  });
  signal?.throwIfAborted();
  signal?.addEventListener("abort", stop);
  request.open("POST", url);
  for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
  request.send(body);
  return done.finally(() => signal?.removeEventListener("abort", stop));
}

/** Tries again, as long as the service asks to be asked later. */
export async function patiently(attempt, { signal, onWait = () => {}, times = 20 } = {}) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await attempt();
    } catch (problem) {
      if (!problem.passes || tried >= times) throw problem;
      const seconds = Math.min(WAIT_AT_MOST_S, problem.wait ?? Math.min(10, tried));
      onWait(seconds);
      await pause(seconds, signal);
    }
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
