// Uses the page at / as a visitor does, in headless Chromium:
//   node page.mjs CHECK http://127.0.0.1:PORT [AGENT_SECRET_KEY_HEX]
// CHECK is a name below. Exits with 0 if it holds; otherwise says what does not.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { load } from "../worker/tools.mjs";

const { chromium } = load("playwright-core");
const { finalizeEvent, generateSecretKey, getPublicKey } = load("nostr-tools/pure");
const { hexToBytes } = load("nostr-tools/utils");
const { Relay } = load("nostr-tools/relay");

const [check, url, agentSecret] = process.argv.slice(2);
const SIZES = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 900 } };
const SCHEMES = ["light", "dark"];
const HOSTILE = `<img src=x onerror="window.ran=1"><script>window.ran=1</script><svg onload="window.ran=1"> javascript:window.ran=1`;

const executablePath = new URL("../../.tools/bin/chromium", import.meta.url).pathname;
if (!existsSync(executablePath)) {
  console.error("There is no Chromium, so the page cannot be tested: run tests/bin/setup, which installs it with apt.");
  process.exit(1);
}
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

/** A fresh visitor's page. It must load without errors and without anything that its policy forbids. */
async function visit({ size = SIZES.desktop, scheme = "light", prepare = async () => {}, ...options } = {}) {
  const context = await browser.newContext({ viewport: size, colorScheme: scheme, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
  await prepare(page);
  await page.goto(url);
  return page;
}

/** Gives the page an extension (NIP-07) with this key. */
async function withExtension(page, secret) {
  await page.exposeFunction("signAsExtension", (event) => finalizeEvent(event, secret));
  await page.addInitScript(() => {
    window.nostr = { getPublicKey: async () => "", signEvent: (event) => window.signAsExtension(event) };
  });
}

/** Opens the entry of a job and fills in its fields, by their `i` type or parameter. */
async function fillIn(page, kind, values) {
  const entry = page.locator(`#kind-${kind}`);
  if ((await entry.getAttribute("open")) === null) await entry.locator("summary").first().click();
  for (const [name, value] of Object.entries(values)) {
    const field = entry.locator(`[data-input="${name}"], [data-param="${name}"]`).first();
    if ((await field.evaluate((found) => found.tagName)) === "SELECT") await field.selectOption(value);
    else await field.fill(value);
  }
  return entry;
}

async function sendJob(page, kind, values) {
  const entry = await fillIn(page, kind, values);
  await entry.getByRole("button", { name: /^Send/ }).click();
  return entry;
}

const stateOf = (entry) => entry.locator(".state");
const outputOf = (entry) => entry.locator(".output pre");
const waitForState = (entry, state) => entry.locator(`.state[data-state="${state}"]`).waitFor();

async function signAsAgent(relay, template) {
  await relay.publish(finalizeEvent({ created_at: Math.floor(Date.now() / 1000), content: "", ...template }, hexToBytes(agentSecret)));
}

/** The request that the page has sent: the first of its signed events. */
async function requestOf(entry) {
  const shown = await entry.locator(".events pre").textContent();
  return JSON.parse(shown.split("\n\n")[0]);
}

const checks = {
  /** A job is sent with a throw-away key, its result is shown, and the list of public jobs has it. */
  async job() {
    const page = await visit();
    const entry = await sendJob(page, 5050, { text: "Ada" });
    await waitForState(entry, "done");
    assert.match(await outputOf(entry).textContent(), /^Hello, Ada! You are number \d+\.$/);
    assert.match(await page.locator("[data-signer]").textContent(), /throw-away key.*npub1/);
    const recent = page.locator("[data-recent] li", { hasText: "Hello, Ada!" }).first();
    await recent.waitFor();
    // The same visitor keeps the key, another tab has its own.
    const npub = await page.locator("[data-signer] code").textContent();
    await page.reload();
    assert.equal(await page.locator("[data-signer] code").textContent(), npub);
    assert.deepEqual(page.problems, []);
  },

  /** With a NIP-07 extension it is the extension that signs. */
  async extension() {
    const secret = generateSecretKey();
    const page = await visit({ prepare: (page) => withExtension(page, secret) });
    const entry = await sendJob(page, 5050, { text: "Grace" });
    await waitForState(entry, "done");
    assert.match(await page.locator("[data-signer]").textContent(), /Your Nostr extension signs/);
    assert.equal((await requestOf(entry)).pubkey, getPublicKey(secret));
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  },

  /** Parts of an output and errors are shown while the job runs, and it can be cancelled. */
  async feedback() {
    const page = await visit();
    const partial = await sendJob(page, 5921, { text: "one two three four five six seven eight nine ten" });
    await partial.getByText("So far").waitFor();
    await waitForState(partial, "done");
    assert.equal(await outputOf(partial).textContent(), "one two three four five six seven eight nine ten ");
    const failing = await sendJob(page, 5901, { text: "this" });
    await waitForState(failing, "failed");
    assert.match(await outputOf(failing).textContent(), /cannot do: this/);
    const cancelled = await sendJob(page, 5904, { text: "never", milliseconds: "20000" });
    await cancelled.getByRole("button", { name: "Cancel" }).click();
    await waitForState(cancelled, "failed");
    assert.match(await outputOf(cancelled).textContent(), /cancelled/);
    assert.deepEqual(page.problems, []);
  },

  /** An amount, an invoice and its QR code are shown when the agent asks for a payment, until the job goes on. */
  async payment() {
    const page = await visit();
    // While the agent waits, what it says is said for it.
    const slow = await sendJob(page, 5904, { text: "a", milliseconds: "4000" });
    await waitForState(slow, "processing");
    const relay = await Relay.connect(url.replace(/^http/, "ws"));
    const request = await requestOf(slow);
    const invoice = "lnbc210n1" + "q".repeat(250);
    await signAsAgent(relay, {
      kind: 7000,
      tags: [["status", "payment-required", "21 sat, please"], ["amount", "21000", invoice], ["e", request.id], ["p", request.pubkey]],
    });
    await slow.locator(".amount", { hasText: "21 sat" }).waitFor();
    assert.equal(await slow.locator(".invoice").textContent(), invoice);
    assert.equal(await slow.locator(".payment a").getAttribute("href"), `lightning:${invoice}`);
    await slow.getByRole("img", { name: /QR code/ }).waitFor();
    await waitForState(slow, "done");
    assert.equal(await slow.locator(".payment").count(), 0);
    relay.close();
  },

  /** A paid job shows its invoice, which is printed here for somebody to pay, and then its result. */
  async paid() {
    const page = await visit();
    assert.match(await page.locator(".price").first().textContent(), /21 sat/);
    const entry = await sendJob(page, 5050, { text: "so much depends upon" });
    await waitForState(entry, "payment");
    await entry.locator(".amount", { hasText: "21 sat" }).waitFor();
    console.log(await entry.locator(".invoice").textContent());
    await waitForState(entry, "done");
    assert.equal(await outputOf(entry).textContent(), "words: 4, reading time: 2 s");
    assert.equal(await entry.locator(".payment").count(), 0);
    assert.deepEqual(page.problems, []);
  },

  /** A file of the deployment is a link, and an image is shown. */
  async file() {
    const page = await visit();
    const entry = await sendJob(page, 5934, { text: "# Notes" });
    await waitForState(entry, "done");
    const link = entry.locator(".file a");
    const address = await link.getAttribute("href");
    assert.match(address, /\/[0-9a-f]{64}\.md$/);
    assert.equal(await (await fetch(address)).text(), "# Notes");
    const image = await sendJob(page, 5900, { text: `${url}${"ab".repeat(32)}.png` });
    await waitForState(image, "done");
    assert.equal(await image.locator("img").getAttribute("src"), `/${"ab".repeat(32)}.png`);
    // What is elsewhere is not loaded.
    const elsewhere = await sendJob(page, 5900, { text: "https://example.com/picture.png" });
    await waitForState(elsewhere, "done");
    assert.equal(await elsewhere.locator("img").count(), 0);
    assert.equal(await elsewhere.locator(".file a").getAttribute("href"), "https://example.com/picture.png");
  },

  /** What others write is text, wherever it comes from. */
  async hostile() {
    const relay = await Relay.connect(url.replace(/^http/, "ws"));
    const stranger = generateSecretKey();
    const tags = [["i", HOSTILE, "text"], ["p", getPublicKey(hexToBytes(agentSecret))]];
    await relay.publish(finalizeEvent({ kind: 5900, created_at: Math.floor(Date.now() / 1000), tags, content: HOSTILE }, stranger));
    const page = await visit();
    await page.locator(".recent", { hasText: "onerror" }).first().waitFor();
    const entry = await sendJob(page, 5900, { text: HOSTILE });
    await waitForState(entry, "done");
    assert.equal(await outputOf(entry).textContent(), HOSTILE);
    const failing = await sendJob(page, 5901, { text: HOSTILE });
    await waitForState(failing, "failed");
    assert.ok((await outputOf(failing).textContent()).includes(HOSTILE));
    const slow = await sendJob(page, 5904, { text: "a", milliseconds: "8000" });
    await waitForState(slow, "processing");
    const request = await requestOf(slow);
    for (const status of [HOSTILE, "processing", "payment-required"]) {
      const amount = ["amount", HOSTILE, `lnbc1"><script>window.ran=1</script>`];
      await signAsAgent(relay, { kind: 7000, tags: [["status", status, HOSTILE], amount, ["e", request.id], ["p", request.pubkey]] });
    }
    await slow.locator(".payment").waitFor();
    await page.locator(`[data-status="relay"]`, { hasText: "<script>" }).waitFor();
    assert.equal(await page.evaluate(() => window.ran), undefined);
    assert.equal(await page.locator("img, iframe, object, embed, body script, [onerror], [onload]").count(), 0);
    assert.deepEqual(page.problems, []);
    relay.close();
  },

  /** What does not carry a valid signature of the agent is not shown. */
  async forged() {
    const page = await visit({
      prepare: (page) =>
        page.routeWebSocket(/.*/, (socket) => {
          const server = socket.connectToServer();
          server.onMessage((message) => socket.send(String(message).replaceAll("Hello, Eve!", "Hello, Mallory!")));
        }),
    });
    const entry = await sendJob(page, 5050, { text: "Eve" });
    await waitForState(entry, "sent");
    await page.waitForTimeout(1_500);
    assert.equal(await page.getByText("Mallory").count(), 0);
    assert.notEqual(await stateOf(entry).getAttribute("data-state"), "done");
  },

  /** axe finds nothing at all, in both schemes and sizes, also with a result; nothing scrolls sideways. */
  async accessible() {
    const axe = load("axe-core").source;
    for (const size of Object.values(SIZES)) {
      for (const scheme of SCHEMES) {
        const page = await visit({ size, scheme });
        const entry = await sendJob(page, 5050, { text: "Ada" });
        await waitForState(entry, "done");
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run());
        assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`), []);
        const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(wide <= window, `${wide} pixels on a screen of ${window}`);
        await page.context().close();
      }
    }
  },

  /** Whoever has the agent's key sees its jobs, with an extension that signs; anybody else is told why not. */
  async operator() {
    for (const [secret, expected] of [[hexToBytes(agentSecret), /Received/], [generateSecretKey(), /ADMIN_PUBKEYS may/]]) {
      const page = await visit({ prepare: (page) => withExtension(page, secret) });
      const entry = await sendJob(page, 5050, { text: "Ada" });
      await waitForState(entry, "done");
      await page.getByRole("button", { name: "Show records" }).click();
      const records = page.locator("[data-records]", { hasText: expected });
      await records.waitFor();
      if (expected.test("Received")) {
        await records.getByRole("button", { name: "Details" }).first().click();
        await records.locator("pre", { hasText: "Hello, Ada!" }).waitFor();
      }
    }
  },

  /** By keyboard alone, from the address bar to the result. */
  async keyboard() {
    const page = await visit();
    for (let presses = 0; presses < 12; presses++) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(() => document.activeElement.matches('[data-input="text"]'))) break;
    }
    await page.keyboard.type("Ada");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.locator(`.state[data-state="done"]`).waitFor();
  },

  /** Without JavaScript the page still says what the deployment is. */
  async scriptless() {
    const page = await visit({ javaScriptEnabled: false });
    const text = await page.locator("body").innerText();
    for (const part of ["hello-world", "Greets whoever asks.", "kind 5050", "npub1", "needs JavaScript"]) {
      assert.ok(text.includes(part), `${part} in ${text}`);
    }
    assert.deepEqual(page.problems, []);
  },

  /** Pictures to look at, in the folder that the third argument names. */
  async screenshots() {
    for (const [name, size] of Object.entries(SIZES)) {
      for (const scheme of SCHEMES) {
        const page = await visit({ size, scheme });
        await page.waitForTimeout(500);
        await page.screenshot({ path: `${agentSecret}/${name}-${scheme}-first.png` });
        const kinds = await page.locator("form[data-kind]").evaluateAll((forms) => forms.map((form) => form.dataset.kind));
        const entry = await sendJob(page, kinds[0], { text: "Ada Lovelace" });
        await waitForState(entry, "done");
        await page.waitForTimeout(500);
        await page.screenshot({ path: `${agentSecret}/${name}-${scheme}.png`, fullPage: true });
      }
    }
  },
};

try {
  assert.ok(checks[check], `there is no check ${check}`);
  await checks[check]();
} finally {
  await browser.close();
}
