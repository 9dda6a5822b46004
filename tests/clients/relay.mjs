// Uses a relay as nostr-tools does:  node relay.mjs ws://127.0.0.1:PORT
// Exits with 0 if everything follows NIP-01, otherwise prints what does not.

import assert from "node:assert/strict";
import { load } from "../worker/tools.mjs";

const { finalizeEvent, generateSecretKey, getPublicKey, verifyEvent } = load("nostr-tools/pure");
const { Relay } = load("nostr-tools/relay");
const { SimplePool } = load("nostr-tools/pool");

const [url] = process.argv.slice(2);
const secret = generateSecretKey();
const author = getPublicKey(secret);
const now = Math.floor(Date.now() / 1000);
const signed = (template) => finalizeEvent({ created_at: now, tags: [], content: "", ...template }, secret);

const relay = await Relay.connect(url);

/** The stored events for these filters, each verified by nostr-tools. */
const query = (filters) =>
  new Promise((resolve, reject) => {
    const events = [];
    const subscription = relay.subscribe(filters, {
      onevent: (event) => events.push(event),
      oneose: () => {
        resolve(events);
        subscription.close();
      },
      onclose: (reason) => reject(new Error(`closed: ${reason}`)),
    });
  });

/** A live subscription; `next()` is its next event. */
const listen = (filters) =>
  new Promise((resolve) => {
    const heard = [];
    const waiting = [];
    const subscription = relay.subscribe(filters, {
      onevent: (event) => (waiting.length > 0 ? waiting.shift()(event) : heard.push(event)),
      oneose: () =>
        resolve({
          next: () => (heard.length > 0 ? heard.shift() : new Promise((found) => waiting.push(found))),
          close: () => subscription.close(),
        }),
    });
  });

const ids = (events) => events.map((event) => event.id);

// Publish, receive it live, query it.
const live = await listen([{ authors: [author] }]);
const note = signed({ kind: 1, tags: [["t", "nostr-tools"]], content: "é 漢字 🦀 \"\\\n" });
await relay.publish(note);
const heard = await live.next();
assert.deepEqual(ids([heard]), [note.id]);
assert.ok(verifyEvent(heard));
assert.deepEqual(ids(await query([{ ids: [note.id] }])), [note.id]);
assert.deepEqual(ids(await query([{ authors: [author], "#t": ["nostr-tools"] }])), [note.id]);

// Replaceable and addressable: the newer one stays.
for (const template of [{ kind: 0 }, { kind: 30023, tags: [["d", "page"]] }]) {
  const older = signed({ ...template, created_at: now - 10, content: "older" });
  const newer = signed({ ...template, content: "newer" });
  await relay.publish(older);
  await relay.publish(newer);
  assert.deepEqual(ids(await query([{ authors: [author], kinds: [template.kind] }])), [newer.id]);
  assert.deepEqual(ids([await live.next(), await live.next()]), [older.id, newer.id]);
}

// Ephemeral: received live, not stored.
const ephemeral = signed({ kind: 20001 });
await relay.publish(ephemeral);
assert.deepEqual(ids([await live.next()]), [ephemeral.id]);
assert.deepEqual(await query([{ ids: [ephemeral.id] }]), []);
live.close();

// Forgeries are rejected, and nostr-tools gets the reason.
await assert.rejects(relay.publish({ ...note, id: "ab".repeat(32) }), /invalid: /);
await assert.rejects(relay.publish({ ...signed({ kind: 1, content: "x" }), sig: note.sig }), /invalid: /);

// The pool returns the same.
const pool = new SimplePool();
assert.equal((await pool.get([url], { ids: [note.id] })).id, note.id);
assert.equal((await pool.querySync([url], { authors: [author] })).length, 3);
pool.close([url]);
relay.close();
console.log("as NIP-01 has it");
process.exit(0);
