// The connection to the relay (NIP-01), opened again when it breaks; it authenticates (NIP-42) only for a job.

import { isVerified } from "./event.js";
import { sign } from "./signer.js";
import * as texts from "./texts.json";

const ANSWER_TIMEOUT_MS = 15_000;
const PUBLISH_ATTEMPTS = 3;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;
const AUTH_REQUIRED = "auth-required:";

/** The relay's URL: that of this page, as a WebSocket. */
export const relayUrl = new URL(".", location.href).href.replace(/^http/, "ws");

/** A refusal by the relay, with its reason. */
export class Refused extends Error {}

/** There is no connection. */
export class Disconnected extends Error {}

export class Relay {
  #socket;
  #pause = FIRST_PAUSE_MS;
  #challenge;
  #authentication;
  #subscriptions = new Map();
  #answers = new Map();
  #listener;
  #count = 0;

  /** `listener` is told `connecting`, `connected` or `disconnected`. */
  constructor(listener) {
    this.#listener = listener;
    this.#open();
    addEventListener("online", () => this.#openNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.#openNow());
  }

  /**
   * Calls `receive` for each event with a valid signature, also after reconnecting, and `closed` with the reason if the
   * relay refuses. With `authenticates`, a relay that wants to know who asks is told.
   */
  subscribe(filters, receive, { authenticates = false, closed = () => {} } = {}) {
    const id = String(++this.#count);
    this.#subscriptions.set(id, { filters, receive, authenticates, closed });
    this.#send(["REQ", id, ...filters]);
    return () => {
      if (this.#subscriptions.delete(id)) this.#send(["CLOSE", id]);
    };
  }

  /** Publishes an event; resolves when the relay has it. Sent again, it is the same event, which the relay keeps once. */
  async publish(event) {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#connected();
        return await this.#ask(["EVENT", event], event.id);
      } catch (error) {
        if (attempt === PUBLISH_ATTEMPTS) throw error;
        if (error instanceof Disconnected) await new Promise((resolve) => setTimeout(resolve, attempt * FIRST_PAUSE_MS));
        else if (error.message.startsWith(AUTH_REQUIRED)) await this.#authenticate();
        else throw error;
      }
    }
  }

  /** Answers the relay's challenge, once for all that wait for it. */
  #authenticate() {
    this.#authentication ??= this.#answerChallenge().finally(() => (this.#authentication = undefined));
    return this.#authentication;
  }

  async #answerChallenge() {
    const tags = [["relay", relayUrl], ["challenge", this.#challenge ?? ""]];
    const event = await sign({ kind: 22242, tags });
    await this.#ask(["AUTH", event], event.id);
  }

  /** Sends a message and waits for its `OK`. */
  #ask(message, eventId) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#answers.get(eventId)?.(new Refused(texts.failedTimeout)), ANSWER_TIMEOUT_MS);
      this.#answers.set(eventId, (error) => {
        clearTimeout(timer);
        this.#answers.delete(eventId);
        error ? reject(error) : resolve();
      });
      if (!this.#send(message)) this.#answers.get(eventId)(new Disconnected());
    });
  }

  #send(message) {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Waits a short time for a connection that is being opened. */
  async #connected() {
    this.#openNow();
    const socket = this.#socket;
    if (socket.readyState === WebSocket.OPEN) return;
    await new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve, { once: true });
      socket.addEventListener("close", () => reject(new Disconnected()), { once: true });
    });
  }

  #openNow() {
    if (this.#socket.readyState === WebSocket.CLOSED) this.#open();
  }

  #open() {
    this.#listener("connecting");
    const socket = new WebSocket(relayUrl);
    this.#socket = socket;
    socket.addEventListener("open", () => {
      this.#pause = FIRST_PAUSE_MS;
      this.#listener("connected");
      for (const [id, { filters }] of this.#subscriptions) this.#send(["REQ", id, ...filters]);
    });
    socket.addEventListener("message", ({ data }) => this.#receive(data));
    socket.addEventListener("close", () => {
      if (socket !== this.#socket) return;
      this.#challenge = undefined;
      this.#listener("disconnected");
      for (const answer of [...this.#answers.values()]) answer(new Disconnected());
      setTimeout(() => socket === this.#socket && this.#openNow(), this.#pause);
      this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS);
    });
  }

  #receive(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (!Array.isArray(message)) return;
    const [type, id, ...rest] = message;
    if (type === "EVENT") {
      if (this.#subscriptions.has(id) && isVerified(rest[0])) this.#subscriptions.get(id).receive(rest[0]);
    } else if (type === "OK") {
      const [isAccepted, reason] = rest;
      this.#answers.get(id)?.(isAccepted ? undefined : new Refused(String(reason)));
    } else if (type === "AUTH") {
      this.#challenge = id;
    } else if (type === "CLOSED") {
      this.#closed(id, String(rest[0]));
    }
  }

  /** The relay has ended a subscription. On each connection, one that belongs to a job is worth a signature. */
  async #closed(id, reason) {
    const subscription = this.#subscriptions.get(id);
    if (!subscription) return;
    const isWorthIt = subscription.authenticates && subscription.authenticatedOn !== this.#socket;
    if (!isWorthIt || !reason.startsWith(AUTH_REQUIRED)) return subscription.closed(reason);
    subscription.authenticatedOn = this.#socket;
    try {
      await this.#authenticate();
      this.#send(["REQ", id, ...subscription.filters]);
    } catch {
      subscription.closed(reason);
    }
  }
}
