// The HTTP API: JSON answers, and errors as problem objects (RFC 9457) with a kind and a detail.
import { hasText, t } from "./i18n.js";
import { askForToken, token } from "./token.js";

const MAX_WAIT_S = 30;

/** An error of the service, of the network, or of this page before anything was sent. */
export class Problem extends Error {
  /**
   * @param kind the service's name for it, "network", or the key of its title
   * @param detail the service's sentence, in English; or a function that returns one in the reader's language
   * @param wait seconds after which the service may be asked again, or null
   * @param extra further fields of the problem object
   */
  constructor(kind, detail, { status = 0, wait = null, extra = {} } = {}) {
    super();
    Object.assign(this, { kind, detail, status, wait, extra });
  }

  get message() {
    return typeof this.detail === "function" ? this.detail() : this.detail;
  }

  /** In the reader's language. */
  get title() {
    return t([`problem_${this.kind}`, this.kind, "problem_other"].find(hasText));
  }

  /** The same request may succeed a little later. */
  get temporary() {
    return this.status === 429 || this.status === 503;
  }
}

export const networkProblem = () => new Problem("network", () => t("network_detail"));

/** @param body text of an error response; a proxy in between may have written it */
function problemFrom(status, body, retryAfter) {
  const wait = Number(retryAfter) > 0 ? Number(retryAfter) : null;
  try {
    const { type, detail, title, ...extra } = JSON.parse(body);
    return new Problem(String(type).split(":").pop(), detail || title || "", { status, wait, extra });
  } catch {
    return new Problem("other", `HTTP ${status}`, { status, wait });
  }
}

/** Relative to the page, which a proxy may serve below a path. */
export const address = (path) => new URL(path, document.baseURI);

export function socketAddress(path) {
  const url = address(path);
  url.protocol = url.protocol.replace("http", "ws");
  return url;
}

const authorization = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

/** GET of JSON; asks for a token if one is needed. */
export async function get(path) {
  const tried = token();
  let response;
  try {
    response = await fetch(address(path), { headers: authorization(), cache: "no-store" });
  } catch {
    throw networkProblem();
  }
  if (response.ok) return response.json();
  const problem = problemFrom(response.status, await response.text(), response.headers.get("Retry-After"));
  if (response.status === 401 && (await askForToken(tried))) return get(path);
  throw problem;
}

/** POST of a file; by XMLHttpRequest, because fetch reports no upload progress. */
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
      else reject(problemFrom(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => reject(networkProblem());
    request.onabort = () => reject(signal.reason);
  });
  signal.throwIfAborted();
  signal.addEventListener("abort", stop);
  request.open("POST", url);
  for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
  request.send(body);
  return done.finally(() => signal.removeEventListener("abort", stop));
}

/** Repeats an attempt while its problem is temporary. */
export async function retryWhileBusy(attempt, { signal, onWait = () => {}, times = 20 } = {}) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await attempt();
    } catch (problem) {
      if (!problem.temporary || tried >= times) throw problem;
      const seconds = Math.min(MAX_WAIT_S, problem.wait ?? Math.min(10, tried));
      onWait(seconds);
      await pause(seconds, signal);
    }
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    setTimeout(resolve, seconds * 1000);
  });
}
