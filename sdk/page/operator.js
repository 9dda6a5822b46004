// The operator's view: the agent's jobs, payments and schedules, read with requests that the extension signs (NIP-98).

import { npub } from "./event.js";
import { element, fill, satoshis } from "./elements.js";
import { signWithExtension } from "./signer.js";
import * as texts from "./texts.json";

const HTTP_AUTH = 27235;
const MAX_ENTRIES = 30;
/** SHA-256 of the empty body. */
const NO_BODY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** Offers the view in a section of the page. Its key decides whether the agent shows anything. */
export function offerOperatorView(section, agent) {
  const [button, content] = section.querySelectorAll("button, [data-records]");
  section.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const { jobs } = await read(agent, `history?limit=${MAX_ENTRIES}`);
      const { payments } = await read(agent, `payments?limit=${MAX_ENTRIES}`);
      const { schedules } = await read(agent, `schedules?limit=${MAX_ENTRIES}`);
      content.replaceChildren(jobTable(jobs, agent), paymentTable(payments), scheduleTable(schedules, agent));
      button.textContent = texts.operatorAgain;
    } catch (error) {
      content.replaceChildren(element("p", { role: "alert" }, error?.message ?? String(error)));
    }
    button.disabled = false;
  });
}

const address = (agent, path) => new URL(`agent/${npub(agent)}/${path}`, new URL(".", location.href)).href;

/** A record as JSON. An error has the agent's own words. */
async function read(agent, path) {
  const response = await request("GET", address(agent, path));
  return response.json();
}

async function request(method, url) {
  const tags = [["u", url], ["method", method]];
  if (method === "POST") tags.push(["payload", NO_BODY]);
  const event = await signWithExtension({ kind: HTTP_AUTH, tags });
  const authorization = `Nostr ${btoa(JSON.stringify(event))}`;
  const response = await fetch(url, { method, headers: { authorization }, signal: AbortSignal.timeout(15_000) });
  if (!response.ok) throw new Error((await response.text()).trim());
  return response;
}

function jobTable(jobs, agent) {
  const rows = jobs.map((job) => {
    const details = element("button", { type: "button", class: "quiet" }, texts.operatorDetails);
    const row = element("tr", {}, ...cells(time(job.received_at), String(job.kind), job.state, person(job.customer)), element("td", {}, details));
    details.addEventListener("click", async () => {
      details.disabled = true;
      const text = await read(agent, `history/${job.id}.json`).then((record) => JSON.stringify(record, null, 2), String);
      row.after(element("tr", {}, element("td", { colspan: "5" }, element("pre", { tabindex: "0" }, text))));
    });
    return row;
  });
  return table(texts.operatorJobs, [texts.columnReceived, texts.columnKind, texts.columnState, texts.columnCustomer, ""], rows);
}

function paymentTable(payments) {
  const rows = payments.map(({ noted_at, movement, msat, kind, customer }) => {
    const amount = fill(texts.paymentAmount, { amount: satoshis(msat) });
    return element("tr", {}, ...cells(time(noted_at), String(kind), movement, customer ? person(customer) : texts.unknownYet, amount));
  });
  const columns = [texts.columnNoted, texts.columnKind, texts.columnMovement, texts.columnCustomer, texts.columnAmount];
  return table(texts.operatorPayments, columns, rows);
}

function scheduleTable(schedules, agent) {
  const rows = schedules.map(({ name, rule, key, due, ran_at }) => {
    const run = element("button", { type: "button", class: "quiet" }, texts.operatorRun);
    run.addEventListener("click", async () => {
      run.disabled = true;
      const query = key ? `?key=${encodeURIComponent(key)}` : "";
      try {
        await request("POST", address(agent, `schedules/${encodeURIComponent(name)}${query}`));
        run.textContent = texts.operatorDue;
      } catch (error) {
        run.replaceWith(error?.message ?? String(error));
      }
    });
    const title = key ? `${name} · ${key}` : name;
    return element("tr", {}, ...cells(title, rule, time(ran_at), time(due)), element("td", {}, run));
  });
  return table(texts.operatorSchedules, [texts.columnName, texts.columnRule, texts.columnRan, texts.columnDue, ""], rows);
}

function table(title, columns, rows) {
  if (rows.length === 0) return element("p", { class: "empty" }, fill(texts.operatorNone, { title }));
  const head = element("tr", {}, ...columns.map((column) => element(column ? "th" : "td", column ? { scope: "col" } : {}, column)));
  const caption = element("caption", {}, title);
  return element("div", { class: "table", tabindex: "0", role: "region", "aria-label": title }, element("table", {}, caption, element("thead", {}, head), element("tbody", {}, ...rows)));
}

const cells = (...contents) => contents.map((content) => element("td", {}, content));

const person = (publicKey) => element("code", { title: npub(publicKey) }, `${npub(publicKey).slice(0, 12)}…`);

function time(seconds) {
  if (seconds === null || seconds === undefined) return texts.unknownYet;
  const date = new Date(seconds * 1000);
  return element("time", { datetime: date.toISOString() }, date.toLocaleString("sv-SE"));
}
