// A customer, independent of the library. ndk.mjs and nostr-tools.mjs are started as
//   node LIBRARY.mjs ws://127.0.0.1:PORT AGENT_PUBLIC_KEY ORDER
// where ORDER is JSON:
//   kind, input   the job and its one text input
//   params        its parameters by name, if any
//   encryption    "nip04" or "nip44": encrypts inputs and parameters
//   sealedFor     the public key they are encrypted for, if not the agent's
//   cancel        whether to cancel the job while it is processed
//   listen        how long to listen, in milliseconds (after the cancellation, if there is one);
//                 without it, until a result or an error
// Prints one line of JSON: the `request` and the `cancellation` as sent, and the `answers` in the order of
// arrival: each the `event`, its `status` and the `plaintext` of its content, both as read by the library.
// Exits with 0, or prints an error: 1 for an answer that the library cannot read or that is not about the
// request, 2 for no answer.

const [url, agent, json] = process.argv.slice(2);

export const order = { url, agent, sealedFor: agent, params: {}, ...JSON.parse(json) };

const PATIENCE = 30_000;

/** The encryption scheme of a payload, by its form. */
export const scheme = (payload) => (payload.includes("?iv=") ? "nip04" : "nip44");

/**
 * Sends the order with a library's customer, which has these functions:
 *   listen(take)  signs the request, subscribes to its answers and returns the request
 *   publish()     sends the request
 *   cancel()      sends the cancellation and returns it
 *   read(event)   returns the status and the plaintext of an answer
 */
export async function give(customer) {
  const heard = { request: null, cancellation: null, answers: [] };
  const end = (code, why) => {
    if (code === 0) console.log(JSON.stringify(heard));
    else console.error(`${why}\nup to then: ${JSON.stringify(heard)}`);
    process.exit(code);
  };
  const listenOn = () => setTimeout(() => end(0), order.listen);
  setTimeout(() => end(2, `not over within ${PATIENCE} ms`), PATIENCE + (order.listen ?? 0));

  const answer = async (event) => {
    const { status, plaintext } = await customer.read(event);
    heard.answers.push({ event, status, plaintext });
    if (order.cancel && status === "processing" && !heard.cancellation) {
      heard.cancellation = await customer.cancel();
      if (order.listen) listenOn();
    }
    if (!order.listen && (event.kind !== 7000 || status === "error")) end(0);
  };

  // One answer after another, in order of arrival, although reading is asynchronous.
  let reading = Promise.resolve();
  const take = (event) => {
    reading = reading
      .then(() => answer(event))
      .catch((error) => end(1, `${error.stack}\nreading ${JSON.stringify(event)}`));
  };
  try {
    heard.request = await customer.listen(take);
    await customer.publish();
    if (order.listen && !order.cancel) listenOn();
  } catch (error) {
    end(1, error.stack);
  }
}
