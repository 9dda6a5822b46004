// Recent public jobs: requests and answers on the relay, joined by the request's id.

import { tagOf } from "./event.js";
import { element, excerpt, fill } from "./elements.js";
import * as texts from "./texts.json";

const MAX_JOBS = 12;
const MAX_UNMATCHED = 100;
const EXCERPT = 140;

/** Follows the jobs of these kinds that an agent answers. */
export function followRecentJobs(relay, list, { agent, kinds }) {
  list.replaceChildren(note(texts.recentNone));
  const jobs = new Map();
  const answers = new Map();

  function receive(event) {
    if (kinds.has(event.kind)) {
      if (!jobs.has(event.id)) add(event);
    } else if (event.pubkey === agent) {
      const [, id] = tagOf(event, "e");
      const known = answers.get(id);
      if (known && !isNewer(event, known)) return;
      answers.set(id, event);
      if (answers.size > MAX_UNMATCHED) answers.delete([...answers.keys()].find((key) => !jobs.has(key)) ?? id);
      if (jobs.has(id)) jobs.get(id).row.replaceWith((jobs.get(id).row = row(jobs.get(id).request, event, kinds)));
    }
  }

  function add(request) {
    const others = [...jobs.values()];
    const next = others.filter((job) => job.request.created_at <= request.created_at);
    const job = { request, row: row(request, answers.get(request.id), kinds) };
    const before = next.sort((a, b) => b.request.created_at - a.request.created_at)[0];
    if (jobs.size === 0) list.replaceChildren();
    list.insertBefore(job.row, before?.row ?? null);
    jobs.set(request.id, job);
    if (jobs.size > MAX_JOBS) {
      const oldest = [...jobs.values()].reduce((a, b) => (b.request.created_at < a.request.created_at ? b : a));
      oldest.row.remove();
      jobs.delete(oldest.request.id);
      answers.delete(oldest.request.id);
    }
  }

  const all = [...kinds.keys()];
  relay.subscribe(
    [
      { kinds: all, limit: MAX_JOBS },
      { kinds: [7000, ...all.map((kind) => kind + 1000)], authors: [agent], limit: 4 * MAX_JOBS },
    ],
    receive,
    { closed: (reason) => jobs.size === 0 && list.replaceChildren(note(fill(texts.recentClosed, { reason }))) },
  );
  setInterval(() => list.querySelectorAll("time").forEach(tellAge), 30_000);
}

const note = (text) => element("li", { class: "empty" }, text);

/** A result replaces feedback, and later feedback what was before. */
function isNewer(event, known) {
  if (known.kind !== 7000) return false;
  return event.kind !== 7000 || event.created_at >= known.created_at;
}

function row(request, answer, kinds) {
  const isEncrypted = request.tags.some(([name]) => name === "encrypted");
  const [, input = ""] = tagOf(request, "i");
  const [state, label] = stateOf(answer);
  const asked = isEncrypted ? texts.rowEncrypted : excerpt(input, EXCERPT) || texts.rowNoInput;
  return element(
    "li",
    { class: "recent", "data-state": state },
    element("span", { class: "what" }, element("b", {}, kinds.get(request.kind)), ` ${request.kind}`),
    element("span", { class: "asked" }, asked),
    element("span", { class: "answered" }, answerText(answer)),
    element("span", { class: "when" }, element("span", { class: "dot" }), label, " · ", age(request.created_at)),
  );
}

function stateOf(answer) {
  if (!answer) return ["waiting", texts.rowWaiting];
  if (answer.kind !== 7000) return ["done", texts.rowDone];
  switch (tagOf(answer, "status")[1]) {
    case "error":
      return ["failed", texts.rowFailed];
    case "payment-required":
      return ["payment", texts.rowPayment];
    default:
      return ["working", texts.rowWorking];
  }
}

function answerText(answer) {
  if (!answer) return "";
  if (answer.tags.some(([name]) => name === "encrypted")) return texts.rowEncrypted;
  if (answer.kind !== 7000) return excerpt(answer.content, EXCERPT) || texts.rowEmpty;
  return excerpt(tagOf(answer, "status")[2] ?? answer.content, EXCERPT);
}

const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

function age(timestamp) {
  const time = element("time", { datetime: new Date(timestamp * 1000).toISOString() });
  tellAge(time);
  return time;
}

function tellAge(time) {
  const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  time.textContent = format.format(Math.min(0, Math.ceil(seconds / length)), unit);
}
