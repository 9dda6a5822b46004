// Subscribes to an author, and reconnects when the relay was unreachable:
//   node reconnect.mjs ws://127.0.0.1:PORT AUTHOR_PUBLIC_KEY
// Prints `subscribed` whenever the relay has confirmed the subscription, and exits on the first event.

import { setTimeout as sleep } from "node:timers/promises";
import { load } from "../worker/tools.mjs";

const { Relay, useWebSocketImplementation } = load("nostr-tools/relay");

// With Node's own WebSocket, nostr-tools 2.25 closes a refused connection from within its error
// event, for ever. Browsers, and this one, raise no second error event for that.
useWebSocketImplementation(load("ws").WebSocket);

const [url, author] = process.argv.slice(2);

setTimeout(() => process.exit(2), 60_000).unref();

for (;;) {
  try {
    const relay = await Relay.connect(url);
    const gone = new Promise((resolve) => {
      relay.onclose = resolve;
    });
    relay.subscribe([{ authors: [author] }], {
      onevent(event) {
        console.log(`event ${event.id}`);
        process.exit(0);
      },
      oneose: () => console.log("subscribed"),
    });
    await gone;
  } catch {
    // Still unreachable.
  }
  await sleep(100);
}
