// Who signs: the visitor's extension (NIP-07) or else a throw-away key in the session storage of this tab.

import { isSecretKey, isVerified, newSecretKey, now, publicKeyOf, signEvent } from "./event.js";

const STORED = "openagents.throwaway-key";

/** Whether an extension offers to sign. It may appear after this page has loaded. */
export const hasExtension = () => typeof window.nostr?.signEvent === "function";

/** The public key of the throw-away key, if there is one already. */
export function throwawayPublicKey() {
  const secret = stored();
  return secret && publicKeyOf(secret);
}

/** Signs an event. */
export async function sign(template) {
  if (hasExtension()) return signWithExtension(template);
  return signEvent({ content: "", ...template, created_at: now() }, stored() ?? makeSecretKey());
}

/** Signs an event with the extension. What it returns is checked: it must be the event that it was given. */
export async function signWithExtension({ kind, tags, content = "" }) {
  const unsigned = { kind, tags, content, created_at: now() };
  const signed = await window.nostr.signEvent(unsigned);
  const isSame =
    isVerified(signed) && signed.kind === kind && signed.content === content && String(signed.tags) === String(tags);
  if (!isSame) throw new Error("invalid signature");
  return signed;
}

let secretInMemory;

function stored() {
  if (secretInMemory) return secretInMemory;
  try {
    const secret = sessionStorage.getItem(STORED);
    if (secret && isSecretKey(secret)) secretInMemory = secret;
  } catch {
    // Without storage the key lasts as long as the page.
  }
  return secretInMemory;
}

function makeSecretKey() {
  secretInMemory = newSecretKey();
  try {
    sessionStorage.setItem(STORED, secretInMemory);
  } catch {
    // As above.
  }
  return secretInMemory;
}
