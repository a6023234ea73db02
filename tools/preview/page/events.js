// Server-sent events of the API: what others change, how stills, recordings and processes go, and a field session's state.

import { address } from "./api.js";

export const EVENTS = ["hello", "settings", "plan", "process", "still", "recording", "session", "session_event"];
const RETRY_MS = 3000;

/** Calls `heard(name, data)` for each event while the page can be seen, `lost()` when the line breaks; comes back by itself. */
export function follow(heard, lost) {
  let source = null, timer = null;

  function open() {
    clearTimeout(timer);
    if (source || document.hidden) return;
    source = new EventSource(address("api/v1/events"));
    for (const name of EVENTS) source.addEventListener(name, event => heard(name, JSON.parse(event.data)));
    source.onerror = () => {
      lost();
      if (source.readyState !== EventSource.CLOSED) return;  // the browser tries again by itself
      close();
      timer = setTimeout(open, RETRY_MS);
    };
  }

  function close() {
    source?.close();
    source = null;
  }

  // A browser allows six connections to a server: tabs that nobody looks at must not take them.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else open();
  });
  open();
}
