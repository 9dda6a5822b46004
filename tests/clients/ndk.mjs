// A customer with NDK and its classes for NIP-90. customer.mjs shows how it is started.
//
// What NDK 3.0 expects of an agent, and how it is used here:
// - Feedback with an `encrypted` tag is decrypted by NDK, which then parses the plaintext as a JSON array
//   of tags and adds them to the event's own. For anything else, including empty content, it throws.
//   Feedback without that tag is left unchanged, and its content may be decrypted.
// - An encrypted request also has its `output`, `relays` and `bid` encrypted, not only what NIP-90 names.
// - `encryption()` always uses NIP-44. Up to 2.10 it used NIP-04, and such customers still exist: here,
//   `encrypt` one level below does the same.
// - Publishing fails if the relay has not confirmed it within 2.5 s.

import assert from "node:assert/strict";
import { load } from "../worker/tools.mjs";
import { give, order } from "./customer.mjs";

const {
  default: NDK,
  NDKDVMJobFeedback,
  NDKDVMJobResult,
  NDKDVMRequest,
  NDKEvent,
  NDKPrivateKeySigner,
} = load("@nostr-dev-kit/ndk");

const CONFIRMED_WITHIN = 20_000;

const ndk = new NDK({
  explicitRelayUrls: [order.url],
  enableOutboxModel: false,
  signer: NDKPrivateKeySigner.generate(),
});
await ndk.connect(5000);
const agent = ndk.getUser({ pubkey: order.agent });

async function signedRequest() {
  const request = new NDKDVMRequest(ndk, { kind: order.kind });
  request.addInput(order.input, "text");
  for (const param of Object.entries(order.params)) request.addParam(...param);
  request.output = "text/plain";
  if (order.encryption) {
    const { encrypt } = request;
    request.encrypt = (to, signer) => encrypt(to, signer, order.encryption);
    await request.encryption(agent);
  } else {
    request.dvm = agent;
  }
  await request.sign();
  return request;
}

const request = await signedRequest();

/** The result as NDK reads it; it must contain the request. */
function result(event) {
  const result = NDKDVMJobResult.from(event);
  assert.equal(result.jobRequestId, request.id);
  assert.deepEqual(result.jobRequest.rawEvent(), request.rawEvent());
  return result;
}

await give({
  listen: (take) =>
    new Promise((resolve) => {
      ndk.subscribe(
        { kinds: [7000, request.kind + 1000], ...request.filter() },
        {
          closeOnEose: false,
          groupable: false,
          onEvent: (event) => take(event.rawEvent()),
          onEose: () => resolve(request.rawEvent()),
        },
      );
    }),
  publish: () => request.publish(undefined, CONFIRMED_WITHIN),
  async cancel() {
    const cancellation = await request.delete("changed my mind", false);
    await cancellation.publish(undefined, CONFIRMED_WITHIN);
    return cancellation.rawEvent();
  },
  async read(raw) {
    // NDK changes the tags that it is given.
    const event = new NDKEvent(ndk, structuredClone(raw));
    assert.ok(event.verifySignature(false), "NDK does not verify the answer");
    assert.equal(event.pubkey, order.agent);
    const answer = raw.kind === 7000 ? await NDKDVMJobFeedback.from(event) : result(event);
    // `from` has decrypted feedback with the tag; other content is encrypted too.
    const decrypted = raw.kind === 7000 && answer.encrypted;
    if (order.encryption && raw.content && !decrypted) await answer.decrypt(agent);
    return { status: answer.status, plaintext: answer.content };
  },
});
