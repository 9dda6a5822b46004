// A customer with NDK and its classes for NIP-90. How it is started is in customer.mjs.
//
// What NDK 3.0 wants of an agent, and how it is used here:
// - A feedback with an `encrypted` tag is decrypted by NDK, which then takes the plaintext for a JSON array
//   of tags and adds them to the event's own. Anything else, an empty content included, is thrown at
//   the customer. A feedback without that tag is left alone, and its content may be decrypted.
// - A sealed request has its `output`, `relays` and `bid` sealed as well, not only what NIP-90 names.
// - `encryption()` seals with NIP-44 and gives no choice. Up to 2.10 it was NIP-04, and those customers are
//   still about: here one level below, `encrypt` is told to do the same.
// - A publication counts as failed when the relay has not confirmed it within 2.5 s.

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

/** The result as NDK sees it, which has to find the request in it. */
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
    // NDK works on the tags that it is given.
    const event = new NDKEvent(ndk, structuredClone(raw));
    assert.ok(event.verifySignature(false), "NDK does not verify the answer");
    assert.equal(event.pubkey, order.agent);
    const answer = raw.kind === 7000 ? await NDKDVMJobFeedback.from(event) : result(event);
    // A feedback with the tag has been decrypted by `from`; whatever other content there is is sealed, too.
    const decrypted = raw.kind === 7000 && answer.encrypted;
    if (order.encryption && raw.content && !decrypted) await answer.decrypt(agent);
    return { status: answer.status, plaintext: answer.content };
  },
});
