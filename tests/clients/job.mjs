// Sends a job request with nostr-tools:
//   node job.mjs ws://127.0.0.1:PORT AGENT_PUBLIC_KEY INPUT [KIND]
// Prints one line for each answer. Exits with 0 on the result, 1 on error feedback.

import assert from "node:assert/strict";
import { load } from "../worker/tools.mjs";

const { finalizeEvent, generateSecretKey, getPublicKey, verifyEvent } = load("nostr-tools/pure");
const { Relay } = load("nostr-tools/relay");

const [url, agent, input, kind = "5050"] = process.argv.slice(2);
const secret = generateSecretKey();
const customer = getPublicKey(secret);
const request = finalizeEvent(
  {
    kind: Number(kind),
    created_at: Math.floor(Date.now() / 1000),
    tags: [["i", input, "text"], ["p", agent]],
    content: "",
  },
  secret,
);
const tag = (event, name) => event.tags.find(([found]) => found === name);

setTimeout(() => {
  console.error("no answer within 30 s");
  process.exit(2);
}, 30_000).unref();

const relay = await Relay.connect(url);
const over = new Promise((resolve) => {
  relay.subscribe([{ kinds: [7000, request.kind + 1000], "#e": [request.id] }], {
    onevent(event) {
      assert.ok(verifyEvent(event), "nostr-tools does not verify the answer");
      assert.equal(event.pubkey, agent);
      assert.equal(tag(event, "p")?.[1], customer);
      if (event.kind === 7000) {
        const [, status, text = ""] = tag(event, "status");
        console.log(`7000 ${status} ${text}`.trim());
        if (status === "error") resolve(1);
      } else {
        assert.equal(JSON.parse(tag(event, "request")[1]).id, request.id);
        console.log(`${event.kind} ${event.content}`);
        resolve(0);
      }
    },
  });
});
await relay.publish(request);
process.exit(await over);
