// A wallet service of Nostr Wallet Connect (NIP-47), with a book in place of a Lightning node:
//   node wallet-service.mjs ws://127.0.0.1:RELAY_PORT
// Its invoices (BOLT 11) are signed, and payments between its accounts settle or are held.
//
// Over HTTP, for the scenarios:
//   POST /accounts {"msat", "library"} makes an account, and returns {"id", "uri"}: its connection URI. With `library` it
//                                    is served by the `NWCWalletService` of @getalby/sdk, which has no hold invoices
//   GET /accounts/ID                 {"msat"}: its balance
//   POST /accounts/ID/pay {"invoice"} pays an invoice, and returns {"state"}, or status 409 with the reason
//   POST /offline, POST /online      leaves the relay, and returns to it

import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { load } from "../worker/tools.mjs";

const { finalizeEvent, generateSecretKey, getPublicKey } = load("nostr-tools/pure");
const { Relay, useWebSocketImplementation } = load("nostr-tools/relay");
const nip04 = load("nostr-tools/nip04");
const nip44 = load("nostr-tools/nip44");
const { NWCWalletService, NWCWalletServiceKeyPair } = load("@getalby/sdk/nwc");
// What nostr-tools itself is built of.
const { secp256k1 } = load("@noble/curves/secp256k1.js");
const { bech32 } = load("@scure/base");

useWebSocketImplementation(load("ws").WebSocket);

const INFO = 13194;
const REQUEST = 23194;
const RESPONSE = 23195;

const relayUrl = process.argv[2];
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
const now = () => Math.floor(Date.now() / 1000);

// --- The book --------------------------------------------------------------------------------------

/** Accounts by their id, and invoices by their payment hash. */
const accounts = new Map();
const invoices = new Map();
const node = generateSecretKey();

class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** A signed invoice (BOLT 11) on regtest. */
function bolt11(msat, paymentHash, description, expiry) {
  const amount = msat % 100 === 0 ? `${msat / 100}n` : `${msat * 10}p`;
  const prefix = `lnbcrt${amount}`;
  const number = (value, length) => Array.from({ length }, (_, place) => Math.floor(value / 32 ** (length - 1 - place)) % 32);
  const field = (letter, words) => ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".indexOf(letter), ...number(words.length, 2), ...words];
  const words = [
    ...number(now(), 7),
    ...field("p", bech32.toWords(paymentHash)),
    ...field("s", bech32.toWords(randomBytes(32))),
    ...field("d", bech32.toWords(Buffer.from(description))),
    ...field("x", number(expiry, 4)),
    // The features of the field `s`: bits 8 and 14.
    ...field("9", [16, 8, 0]),
  ];
  const bits = words.map((word) => word.toString(2).padStart(5, "0")).join("");
  const bytes = bits.match(/.{1,8}/g).map((byte) => Number.parseInt(byte.padEnd(8, "0"), 2));
  const digest = sha256(Buffer.concat([Buffer.from(prefix), Buffer.from(bytes)]));
  const [recovery, ...signature] = secp256k1.sign(digest, node, { prehash: false, format: "recovered" });
  words.push(...bech32.toWords(Uint8Array.from([...signature, recovery])));
  return bech32.encode(prefix, words, false);
}

function makeInvoice(account, { amount, description = "", expiry = 3600 }, paymentHash, preimage) {
  if (invoices.has(paymentHash)) throw new Refusal("OTHER", "there is an invoice with this payment hash");
  const invoice = {
    account,
    amount,
    preimage,
    paymentHash,
    state: "pending",
    createdAt: now(),
    expiresAt: now() + expiry,
    bolt11: bolt11(amount, Buffer.from(paymentHash, "hex"), description, expiry),
  };
  invoices.set(paymentHash, invoice);
  return transaction(invoice);
}

function transaction(invoice) {
  const hasExpired = invoice.state === "pending" && invoice.expiresAt <= now();
  const isSettled = invoice.state === "settled";
  return {
    type: "incoming",
    state: hasExpired ? "expired" : invoice.state,
    invoice: invoice.bolt11,
    payment_hash: invoice.paymentHash,
    preimage: isSettled ? invoice.preimage : undefined,
    amount: invoice.amount,
    fees_paid: 0,
    created_at: invoice.createdAt,
    expires_at: invoice.expiresAt,
    settled_at: invoice.settledAt,
  };
}

function find(account, { payment_hash: hash, invoice: text }) {
  const invoice = invoices.get(hash) ?? [...invoices.values()].find(({ bolt11 }) => bolt11 === text);
  if (invoice?.account !== account) throw new Refusal("NOT_FOUND", "there is no such invoice");
  return invoice;
}

function settle(invoice) {
  invoice.account.msat += invoice.amount;
  invoice.state = "settled";
  invoice.settledAt = now();
}

function pay(account, text) {
  const invoice = [...invoices.values()].find(({ bolt11 }) => bolt11 === text);
  if (invoice === undefined || transaction(invoice).state !== "pending") {
    throw new Refusal("PAYMENT_FAILED", "this invoice cannot be paid");
  }
  if (account.msat < invoice.amount) throw new Refusal("INSUFFICIENT_BALANCE", "the balance is too low");
  account.msat -= invoice.amount;
  invoice.payer = account;
  // Of a hold invoice only the payee knows the preimage.
  if (invoice.preimage === undefined) invoice.state = "accepted";
  else settle(invoice);
  return invoice;
}

const methods = {
  get_balance: (account) => ({ balance: account.msat }),
  make_invoice(account, params) {
    const preimage = randomBytes(32);
    return makeInvoice(account, params, hex(sha256(preimage)), hex(preimage));
  },
  make_hold_invoice: (account, params) => makeInvoice(account, params, params.payment_hash, undefined),
  settle_hold_invoice(account, { preimage }) {
    const invoice = find(account, { payment_hash: hex(sha256(Buffer.from(preimage, "hex"))) });
    if (invoice.state !== "accepted") throw new Refusal("OTHER", `the invoice is ${invoice.state}`);
    invoice.preimage = preimage;
    settle(invoice);
    return {};
  },
  cancel_hold_invoice(account, params) {
    const invoice = find(account, params);
    if (!["accepted", "pending"].includes(invoice.state)) throw new Refusal("OTHER", `the invoice is ${invoice.state}`);
    if (invoice.state === "accepted") invoice.payer.msat += invoice.amount;
    invoice.state = "failed";
    return {};
  },
  lookup_invoice: (account, params) => transaction(find(account, params)),
  pay_invoice: (account, { invoice }) => ({ preimage: pay(account, invoice).preimage, fees_paid: 0 }),
};

// --- Nostr -----------------------------------------------------------------------------------------

let relay = await Relay.connect(relayUrl);

async function answer(account, request) {
  const tag = (name) => request.tags.find(([found]) => found === name)?.[1];
  if (Number(tag("expiration") ?? Infinity) < now()) return;
  const conversation = nip44.getConversationKey(account.secret, request.pubkey);
  const isNip44 = tag("encryption") === "nip44_v2";
  const body = isNip44
    ? nip44.decrypt(request.content, conversation)
    : await nip04.decrypt(account.secret, request.pubkey, request.content);
  const { method, params } = JSON.parse(body);
  const response = { result_type: method, error: null, result: null };
  try {
    if (methods[method] === undefined) throw new Refusal("NOT_IMPLEMENTED", `there is no ${method}`);
    response.result = methods[method](account, params);
  } catch (error) {
    response.error = { code: error.code ?? "INTERNAL", message: error.message };
  }
  const text = JSON.stringify(response);
  const content = isNip44
    ? nip44.encrypt(text, conversation)
    : await nip04.encrypt(account.secret, request.pubkey, text);
  const tags = [["e", request.id], ["p", request.pubkey]];
  // The client may have gone away.
  await relay
    .publish(finalizeEvent({ kind: RESPONSE, created_at: now(), tags, content }, account.secret))
    .catch(() => {});
}

/** Listens to the requests of an account. Resolves when the relay has the subscription. */
function listen(account) {
  return new Promise((resolve) => {
    relay.subscribe([{ kinds: [REQUEST], "#p": [account.id], authors: [account.client] }], {
      onevent: (request) => answer(account, request).catch((error) => console.error(error)),
      oneose: resolve,
    });
  });
}

/** Lets the library serve an account. */
async function serveByLibrary(account) {
  const handler = (method) => async (params) => {
    try {
      return { result: methods[method](account, params), error: undefined };
    } catch (error) {
      return { result: undefined, error: { code: error.code ?? "INTERNAL", message: error.message } };
    }
  };
  const service = new NWCWalletService({ relayUrls: [relayUrl] });
  const names = ["get_balance", "make_invoice", "pay_invoice", "lookup_invoice"];
  await service.publishWalletServiceInfoEvent(hex(account.secret), names, []);
  await service.subscribe(new NWCWalletServiceKeyPair(hex(account.secret), account.client), {
    getBalance: handler("get_balance"),
    makeInvoice: handler("make_invoice"),
    payInvoice: handler("pay_invoice"),
    lookupInvoice: handler("lookup_invoice"),
  });
}

/** Serves an account. */
async function serve(account) {
  const tags = [["encryption", "nip44_v2 nip04"]];
  const content = Object.keys(methods).join(" ");
  await relay.publish(finalizeEvent({ kind: INFO, created_at: now(), tags, content }, account.secret));
  await listen(account);
}

async function open(msat, library) {
  const secret = generateSecretKey();
  const client = generateSecretKey();
  const account = { id: getPublicKey(secret), secret, client: getPublicKey(client), msat, library };
  accounts.set(account.id, account);
  await (library ? serveByLibrary(account) : serve(account));
  const relayName = encodeURIComponent(relayUrl);
  return { id: account.id, uri: `nostr+walletconnect://${account.id}?relay=${relayName}&secret=${hex(client)}` };
}

// --- HTTP ------------------------------------------------------------------------------------------

async function handle(method, path, body) {
  const [, , id] = path.split("/");
  switch (`${method} ${path.replace(id, "ID")}`) {
    case "POST /accounts":
      return open(body.msat, body.library ?? false);
    case "GET /accounts/ID":
      return { msat: accounts.get(id).msat };
    case "POST /accounts/ID/pay":
      return { state: pay(accounts.get(id), body.invoice).state };
    case "POST /offline":
      relay.close();
      return {};
    case "POST /online":
      relay = await Relay.connect(relayUrl);
      await Promise.all([...accounts.values()].filter(({ library }) => !library).map(listen));
      return {};
    default:
      throw new Refusal("NOT_FOUND", "there is no such route");
  }
}

const server = createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  try {
    const answered = await handle(request.method, request.url, JSON.parse(body || "{}"));
    response.end(JSON.stringify(answered));
  } catch (error) {
    response.statusCode = 409;
    response.end(error.message);
  }
});
server.listen(0, "127.0.0.1", () => console.log(`wallet service at http://127.0.0.1:${server.address().port}`));
