// A customer with nostr-tools, which has signatures, relays and encryption, but nothing for NIP-90, so the
// tags are written here. customer.mjs shows how it is started.

import assert from "node:assert/strict";
import { load } from "../worker/tools.mjs";
import { give, order, scheme } from "./customer.mjs";

const { finalizeEvent, generateSecretKey, verifyEvent } = load("nostr-tools/pure");
const { Relay } = load("nostr-tools/relay");
const nip04 = load("nostr-tools/nip04");
const nip44 = load("nostr-tools/nip44");

const secret = generateSecretKey();
const sign = (template) =>
  finalizeEvent({ created_at: Math.floor(Date.now() / 1000), tags: [], content: "", ...template }, secret);
const tag = (event, name) => event.tags.find(([found]) => found === name) ?? [];

const sealing = {
  nip04: {
    encrypt: (to, text) => nip04.encrypt(secret, to, text),
    decrypt: (from, payload) => nip04.decrypt(secret, from, payload),
  },
  nip44: {
    encrypt: (to, text) => nip44.encrypt(text, nip44.getConversationKey(secret, to)),
    decrypt: (from, payload) => nip44.decrypt(payload, nip44.getConversationKey(secret, from)),
  },
};

function signedRequest() {
  const { kind, input, params, encryption, sealedFor } = order;
  const job = [["i", input, "text"], ...Object.entries(params).map((param) => ["param", ...param])];
  const provider = ["p", order.agent];
  if (!encryption) return sign({ kind, tags: [...job, provider] });
  const content = sealing[encryption].encrypt(sealedFor, JSON.stringify(job));
  return sign({ kind, tags: [provider, ["encrypted"]], content });
}

const request = signedRequest();
const relay = await Relay.connect(order.url);

await give({
  listen: (take) =>
    new Promise((resolve, reject) => {
      relay.subscribe([{ kinds: [7000, request.kind + 1000], "#e": [request.id] }], {
        onevent: take,
        oneose: () => resolve(request),
        onclose: (reason) => reject(new Error(`the subscription was closed: ${reason}`)),
      });
    }),
  publish: () => relay.publish(request),
  async cancel() {
    const tags = [["e", request.id], ["k", `${request.kind}`]];
    const cancellation = sign({ kind: 5, tags, content: "changed my mind" });
    await relay.publish(cancellation);
    return cancellation;
  },
  read(event) {
    assert.ok(verifyEvent(event), "nostr-tools does not verify the answer");
    assert.equal(event.pubkey, order.agent);
    assert.equal(tag(event, "e")[1], request.id);
    assert.equal(tag(event, "p")[1], request.pubkey);
    // Any content in the answer to an encrypted request is encrypted.
    const { decrypt } = order.encryption && event.content ? sealing[scheme(event.content)] : {};
    const plaintext = decrypt ? decrypt(event.pubkey, event.content) : event.content;
    return { status: tag(event, "status")[1], plaintext };
  },
});
