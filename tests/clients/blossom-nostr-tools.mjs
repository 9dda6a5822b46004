// A user of nostr-tools' Blossom client (nipb7):
//   node blossom-nostr-tools.mjs http://SERVER http://SECOND_SERVER

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { load } from "../worker/tools.mjs";

const { BlossomClient } = load("nostr-tools/nipb7");
const { PlainKeySigner } = load("nostr-tools/signer");
const { generateSecretKey } = load("nostr-tools/pure");

const [server, second] = process.argv.slice(2);
const signer = new PlainKeySigner(generateSecretKey());
const client = new BlossomClient(server, signer);

const bytes = randomBytes(100_000);
const descriptor = await client.uploadBlob(new Blob([bytes], { type: "audio/mpeg" }), "audio/mpeg");
assert.equal(descriptor.size, bytes.length);
assert.equal(descriptor.type, "audio/mpeg");
await client.check(descriptor.sha256);
assert.deepEqual(Buffer.from(await client.download(descriptor.sha256)), bytes);
assert.deepEqual((await client.list()).map((found) => found.sha256), [descriptor.sha256]);

const copies = new BlossomClient(second, signer);
const mirrored = await copies.mirror(descriptor.url);
assert.equal(mirrored.sha256, descriptor.sha256);
assert.deepEqual(Buffer.from(await copies.download(descriptor.sha256)), bytes);

for (const from of [client, copies]) {
  await from.delete(descriptor.sha256);
  await assert.rejects(from.check(descriptor.sha256));
}
