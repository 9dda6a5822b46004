// NDK subscribes to an author and is silent past its keepalive:
//   node ndk-idle.mjs ws://127.0.0.1:PORT AUTHOR_PUBLIC_KEY KEEPALIVE_MS IDLE_MS
// After KEEPALIVE_MS without a message (120,000 in NDK 3.0, and no option), NDK asks for an event of a kind that
// cannot exist. Unless the relay answers with EOSE, EVENT or NOTICE within 5 s, NDK closes the connection.
// Prints `subscribed`, after IDLE_MS `asked N times`, and then the id of the first event. Exits with 1 if NDK has
// disconnected, and with 2 if nothing comes.

import assert from "node:assert/strict";
import { load } from "../worker/tools.mjs";

const { default: NDK } = load("@nostr-dev-kit/ndk");

const [url, author, keepalive, idle] = process.argv.slice(2);

const end = (code, why) => {
  console.error(why);
  process.exit(code);
};

let asked = 0;
const ndk = new NDK({
  explicitRelayUrls: [url],
  enableOutboxModel: false,
  netDebug: (message, _relay, direction) => {
    if (direction === "send" && `${message}`.startsWith('["REQ","probe-')) asked += 1;
  },
});
const [relay] = ndk.pool.relays.values();
// NDK has no option for this, so its private field is shortened.
const timer = relay.connectivity.keepalive;
assert.equal(timer.timeout, 120_000, "NDK's keepalive has changed");
timer.timeout = Number(keepalive);
await ndk.connect(5000);
relay.on("disconnect", () => end(1, `NDK has disconnected, having asked ${asked} times`));

ndk.subscribe(
  { authors: [author] },
  {
    closeOnEose: false,
    groupable: false,
    onEose: () => console.log("subscribed"),
    onEvent: (event) => {
      console.log(`event ${event.id}`);
      process.exit(0);
    },
  },
);
setTimeout(() => console.log(`asked ${asked} times`), Number(idle));
setTimeout(() => end(2, "no event"), Number(idle) + 30_000);
