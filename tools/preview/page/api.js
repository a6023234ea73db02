// The HTTP API (docs/control.md), beside the page: a proxy may have put both below another path.

/** Whether the page's address has a token that this run does not know: the right one becomes a cookie, and leaves the address. */
export const cameWithWrongToken = new URLSearchParams(location.search).has("token");
if (cameWithWrongToken) history.replaceState(null, "", location.pathname);  // nor must a reload count as one more wrong token

/** Address of `path`, relative to the page. */
export function address(path, parameters = {}) {
  const url = new URL(path, new URL(".", location.href));
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url;
}

/** The pictures' WebSocket. */
export function socketAddress() {
  const url = address("ws");
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

/** A refusal: `status` (0: no answer came), `message` in one line, `errors` by key as the server sent them. */
export class Refused extends Error {
  constructor(status, message, errors = []) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

const LONGEST_WAIT_MS = 15000;

/** The answer's JSON. Raises Refused. */
export async function call(method, path, body) {
  const headers = { Accept: "application/json", "Livemef-Client": "page" };
  if (method !== "GET") headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address(`api/v1/${path}`), {
      method, headers, cache: "no-store", body: method === "GET" ? undefined : JSON.stringify(body ?? {}),
      signal: AbortSignal.timeout(LONGEST_WAIT_MS),
    });
  } catch (error) {
    throw new Refused(0, error.name === "TimeoutError" ? "The camera did not answer in time." : "The camera cannot be reached.");
  }
  let answer = null;
  try {
    answer = await response.json();
  } catch { /* not JSON: a proxy's page, or an empty answer */ }
  if (response.ok) return answer;
  const errors = answer?.errors ?? [];
  const words = errors.map(one => one.message).filter(Boolean).join("; ") || answer?.detail || answer?.title;
  throw new Refused(response.status, words || `The camera answered ${response.status}.`, errors);
}
