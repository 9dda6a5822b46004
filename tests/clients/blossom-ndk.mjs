// A user of NDK's Blossom client:
//   node blossom-ndk.mjs http://SERVER

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { load } from "../worker/tools.mjs";

// The package is made for bundlers: Node alone does not find its modules.
const folder = mkdtempSync(join(tmpdir(), "blossom-ndk-"));
const outfile = join(folder, "client.mjs");
load("esbuild").buildSync({
  stdin: {
    contents: `
      export { NDKBlossom } from "@nostr-dev-kit/blossom";
      export { default as NDK, NDKBlossomList, NDKPrivateKeySigner } from "@nostr-dev-kit/ndk";`,
    resolveDir: fileURLToPath(new URL("../../.tools/npm", import.meta.url)),
  },
  bundle: true,
  format: "esm",
  platform: "node",
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire('/');" },
  logLevel: "error",
  outfile,
});
const { NDK, NDKBlossom, NDKBlossomList, NDKPrivateKeySigner } = await import(outfile);
rmSync(folder, { recursive: true });

const [server] = process.argv.slice(2);
// Where somebody's blobs are is an event (BUD-03) on the relay, which is at the same address.
const ndk = new NDK({
  explicitRelayUrls: [server.replace("http", "ws")],
  enableOutboxModel: false,
  signer: NDKPrivateKeySigner.generate(),
});
await ndk.connect(2_000);
const client = new NDKBlossom(ndk);
const list = new NDKBlossomList(ndk);
list.servers = [server];
await list.publish();

// Without these two it never sends anything: it overrides its own defaults with `undefined`.
const patience = { maxRetries: 1, retryDelay: 100 };
const bytes = randomBytes(50_000);
const file = new File([bytes], "movie.mp4", { type: "video/mp4" });
const told = await client.upload(file, { server, ...patience });
const hash = told.x;
assert.equal(told.url, `${server}/${hash}`);

const read = await client.getBlob(told.url);
assert.deepEqual(Buffer.from(await read.arrayBuffer()), bytes);
const user = await ndk.signer.user();
const listed = await client.listBlobs(user);
assert.equal(listed.length, 1);
assert.equal(listed[0].x, hash);
assert.ok(await client.deleteBlob(hash));
assert.equal((await fetch(told.url)).status, 404);
process.exit(0);
