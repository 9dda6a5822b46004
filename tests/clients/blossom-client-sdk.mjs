// A user of blossom-client-sdk:
//   node blossom-client-sdk.mjs http://SERVER http://SECOND_SERVER
// It signs only what a server asks for, as the library does by default.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { load } from "../worker/tools.mjs";

// The package has no entry for `require`.
const library = new URL("../../.tools/npm/node_modules/blossom-client-sdk/lib/index.js", import.meta.url);
const { Actions, createDeleteAuth, createListAuth, createMirrorAuth, createUploadAuth } = await import(library);
const { finalizeEvent, generateSecretKey, getPublicKey } = load("nostr-tools/pure");

const [server, second] = process.argv.slice(2);
const secret = generateSecretKey();
const signer = async (draft) => finalizeEvent(draft, secret);

const bytes = randomBytes(300_000);
const blob = new File([bytes], "picture.png", { type: "image/png" });
let signed = 0;
const descriptor = await Actions.uploadBlob(server, blob, {
  onAuth: (to, hash) => (signed++, createUploadAuth(signer, hash, { servers: to })),
});
assert.equal(signed, 1, "HEAD /upload said that a signature is needed");
assert.equal(descriptor.size, bytes.length);
assert.equal(descriptor.type, "image/png");
assert.ok(descriptor.url.endsWith(`/${descriptor.sha256}.png`));

assert.ok(await Actions.hasBlob(server, descriptor.sha256));
const read = await Actions.downloadBlob(server, descriptor.sha256);
assert.deepEqual(Buffer.from(await read.arrayBuffer()), bytes);
const part = await fetch(descriptor.url, { headers: { range: "bytes=100-199" } });
assert.equal(part.status, 206);
assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(100, 200));

const owner = getPublicKey(secret);
const listed = await Actions.listBlobs(server, owner, { onAuth: () => createListAuth(signer) });
assert.deepEqual(listed.map((found) => found.sha256), [descriptor.sha256]);

const mirrored = await Actions.mirrorBlob(second, descriptor, {
  onAuth: (to, hash) => createMirrorAuth(signer, hash),
});
assert.equal(mirrored.sha256, descriptor.sha256);
assert.equal(mirrored.type, "image/png");
const copy = await Actions.downloadBlob(second, descriptor.sha256);
assert.deepEqual(Buffer.from(await copy.arrayBuffer()), bytes);

for (const from of [server, second]) {
  await Actions.deleteBlob(from, descriptor.sha256, { onAuth: (to, hash) => createDeleteAuth(signer, hash) });
  assert.equal(await Actions.hasBlob(from, descriptor.sha256), false);
}
