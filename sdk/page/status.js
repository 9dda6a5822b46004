// The state of relay (NIP-11), agent (`/health`) and blob server (`/metrics`), read when the page opens and after each job.

import { fill } from "./elements.js";
import * as texts from "./texts.json";

const place = (name) => document.querySelector(`[data-status="${name}"]`);

function show(name, text) {
  const found = place(name);
  if (found) found.textContent = text;
}

const CONNECTION = {
  connecting: texts.connecting,
  connected: texts.connected,
  disconnected: texts.disconnected,
};

/** Shows the state of the connection. */
export function showConnection(state) {
  const found = place("connection");
  found.dataset.state = state;
  found.textContent = CONNECTION[state];
}

export async function showStatus() {
  await Promise.all([showRelay(), showAgent(), showBlobs()]);
}

async function showRelay() {
  const document = await read("./", "application/nostr+json", (response) => response.json());
  if (!document) return;
  const nips = Array.isArray(document.supported_nips) ? document.supported_nips.length : 0;
  show("relay", fill(texts.relayOf, { name: document.name ?? location.host, nips }));
}

async function showAgent() {
  const health = await read("health", "application/json", (response) => response.json());
  const unfinished = health?.unfinished_jobs;
  if (!health || health.status !== "ok") return show("agent", texts.agentFailing);
  show("agent", unfinished > 0 ? fill(texts.agentBusy, { count: unfinished }) : texts.agentIdle);
}

async function showBlobs() {
  const metrics = (await read("metrics", "text/plain", (response) => response.text())) ?? "";
  const sample = (name) => metrics.match(new RegExp(`^${name} (\\d+)$`, "m"))?.[1];
  const [count, bytes] = [sample("openagents_blobs"), sample("openagents_blob_bytes")];
  if (count !== undefined) show("blobs", fill(texts.blobsStored, { count, size: size(Number(bytes)) }));
}

/** The answer at a path of this deployment, also with an error status; nothing if there is none. */
async function read(path, accept, parse) {
  try {
    return await parse(await fetch(path, { headers: { accept }, signal: AbortSignal.timeout(10_000) }));
  } catch {
    return undefined;
  }
}

function size(bytes) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let index = 0;
  for (; bytes >= 1000 && index < units.length - 1; index++) bytes /= 1000;
  return `${bytes.toLocaleString("en", { maximumFractionDigits: index > 0 ? 1 : 0 })} ${units[index]}`;
}
