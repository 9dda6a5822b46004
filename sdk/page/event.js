// Nostr events (NIP-01): their ids and signatures, and public keys as npub (NIP-19).

import { schnorr } from "@noble/curves/secp256k1.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";

/** The last second that a `Date` can hold. */
const LAST_SECOND = 8_640_000_000_000;

const HEX_32 = /^[0-9a-f]{64}$/;

/** The id: the hash of what is signed. */
export function eventId({ pubkey, created_at, kind, tags, content }) {
  return bytesToHex(sha256(utf8ToBytes(JSON.stringify([0, pubkey, created_at, kind, tags, content]))));
}

/** Whether id and signature are those of the event. Nothing else may be shown. */
export function isVerified(event) {
  try {
    return (
      HEX_32.test(event.pubkey) &&
      Number.isSafeInteger(event.created_at) &&
      event.created_at >= 0 &&
      event.created_at <= LAST_SECOND &&
      Number.isSafeInteger(event.kind) &&
      typeof event.content === "string" &&
      event.tags.every((tag) => tag.every((item) => typeof item === "string")) &&
      eventId(event) === event.id &&
      schnorr.verify(hexToBytes(event.sig), hexToBytes(event.id), hexToBytes(event.pubkey))
    );
  } catch {
    return false;
  }
}

/** Signs an event with a secret key, both as hex. */
export function signEvent(unsigned, secret) {
  const event = { ...unsigned, pubkey: publicKeyOf(secret) };
  event.id = eventId(event);
  event.sig = bytesToHex(schnorr.sign(hexToBytes(event.id), hexToBytes(secret)));
  return event;
}

export const publicKeyOf = (secret) => bytesToHex(schnorr.getPublicKey(hexToBytes(secret)));

export const newSecretKey = () => bytesToHex(schnorr.utils.randomSecretKey());

export function isSecretKey(secret) {
  try {
    return HEX_32.test(secret) && publicKeyOf(secret) !== "";
  } catch {
    return false;
  }
}

/** The first tag with this name, or an empty one. */
export const tagOf = (event, name) => event.tags.find(([found]) => found === name) ?? [];

export const now = () => Math.floor(Date.now() / 1000);

const BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/** A public key as npub (bech32, BIP-173). */
export function npub(publicKey) {
  const words = [];
  let [held, bits] = [0, 0];
  for (const byte of hexToBytes(publicKey)) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= 5) words.push((held >> (bits -= 5)) & 31);
    held &= (1 << bits) - 1;
  }
  if (bits > 0) words.push((held << (5 - bits)) & 31);
  const prefix = [..."npub"].map((letter) => letter.charCodeAt(0));
  const expanded = [...prefix.map((code) => code >> 5), 0, ...prefix.map((code) => code & 31)];
  const sum = polymod([...expanded, ...words, 0, 0, 0, 0, 0, 0]) ^ 1;
  const checksum = [5, 4, 3, 2, 1, 0].map((position) => (sum >> (5 * position)) & 31);
  return "npub1" + [...words, ...checksum].map((word) => BECH32[word]).join("");
}

function polymod(words) {
  const generators = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];
  let sum = 1;
  for (const word of words) {
    const top = sum >> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ word;
    generators.forEach((generator, bit) => {
      if ((top >> bit) & 1) sum ^= generator;
    });
  }
  return sum;
}
