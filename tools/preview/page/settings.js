// The live settings: what they are, and changes on their way. One change of a table at a time; the newest value wins.

import { call } from "./api.js";
import { toast } from "./dom.js";

const SHORTEST_INTERVAL_MS = 100;

export class Settings {
  /** changed(): called whenever values, revision or rights have changed. */
  constructor(changed) {
    this._changed = changed;
    this._pending = new Map();
    this._busy = new Set();
    this.answer = null;
    this.status = null;
  }

  /** Whether this page may change anything. */
  get mayControl() {
    return this.status?.control === true && this.status.role === "control";
  }

  /** The value of "fusion.gamma", or that which is on its way. */
  value(key) {
    const [table, name] = key.split(".");
    return this._pending.get(table)?.[name] ?? this.answer?.values[table]?.[name];
  }

  /** Read settings and status anew. Raises Refused. */
  async read() {
    [this.answer, this.status] = await Promise.all([call("GET", "settings"), call("GET", "status")]);
    this._changed();
  }

  async readStatus() {
    this.status = await call("GET", "status");
    this._changed();
  }

  /** Ask for a value: sent at once, or after the change that is under way. */
  set(key, value) {
    const [table, name] = key.split(".");
    this._pending.set(table, { ...this._pending.get(table), [name]: value });
    this._send(table);
  }

  /** POST or PUT something else, then read all anew; a refusal is shown. Resolves to the answer, or null. */
  async act(method, path, body, done = "") {
    try {
      const answer = await call(method, path, body);
      if (done) toast(done, "good");
      await this.read();
      return answer;
    } catch (error) {
      toast(error.message);
      return null;
    }
  }

  async _send(table) {
    if (this._busy.has(table) || !this._pending.has(table)) return;
    this._busy.add(table);
    const body = this._pending.get(table), began = performance.now();
    try {
      const answer = await call("PATCH", `settings/${table}`, body);
      Object.assign(this.answer.values[table], answer.values);
      this.answer.revision = answer.revision;
    } catch (error) {
      toast(error.message);
    }
    if (this._pending.get(table) === body) this._pending.delete(table);
    this._changed();
    await new Promise(resolve => setTimeout(resolve, SHORTEST_INTERVAL_MS - (performance.now() - began)));
    this._busy.delete(table);
    this._send(table);
  }
}
