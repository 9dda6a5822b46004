// A job from this page: its request is signed and sent, and what the agent answers is shown as it arrives.

import { tagOf } from "./event.js";
import { element, fill } from "./elements.js";
import { requestTags } from "./job_request.js";
import { paymentPanel } from "./payment.js";
import { Disconnected } from "./relay.js";
import { outputPanel } from "./result.js";
import { hasExtension, sign } from "./signer.js";
import * as texts from "./texts.json";

const DELETION = 5;
const FEEDBACK = 7000;

/** Sends the job of a form and follows it. Resolves when the relay has it or it failed. */
export async function sendJob(form, relay, { agent, whenSigned, whenEnded }) {
  const kind = Number(form.dataset.kind);
  const view = new JobView(form.parentElement.querySelector(".run"), whenEnded);
  const isExtension = hasExtension();
  let request;
  try {
    request = await sign({ kind, tags: requestTags(form, agent) });
  } catch (error) {
    return view.fail(fill(texts.failedSigning, { reason: reasonOf(error) }));
  }
  whenSigned(request.pubkey);
  view.step(isExtension ? texts.stepSignedExtension : texts.stepSigned);
  view.keep(request);
  view.state("sending", texts.stateSending);
  const answers = { kinds: [FEEDBACK, kind + 1000], authors: [agent], "#e": [request.id] };
  const close = relay.subscribe(
    [answers],
    (event) => {
      const isAnswer = event.pubkey === agent && answers.kinds.includes(event.kind);
      if (isAnswer && event.tags.some(([name, id]) => name === "e" && id === request.id)) view.receive(event);
    },
    { authenticates: true, closed: (reason) => view.fail(fill(texts.failedListening, { reason })) },
  );
  view.whenOver(close);
  try {
    await relay.publish(request);
    view.accepted(() => cancel(request, relay, agent));
  } catch (error) {
    const isLost = error instanceof Disconnected;
    view.fail(isLost ? texts.failedConnection : fill(texts.failedSending, { reason: reasonOf(error) }));
  }
}

/** Cancels a job: a deletion of its request (NIP-09). The agent confirms it with feedback. */
async function cancel(request, relay, agent) {
  const tags = [["e", request.id], ["k", String(request.kind)], ["p", agent]];
  await relay.publish(await sign({ kind: DELETION, tags }));
}

/** Extensions also reject with texts. */
const reasonOf = (error) => error?.message ?? String(error);

/** What is shown of one job. */
class JobView {
  #began = performance.now();
  #seen = new Set();
  #isOver = false;
  #latest = -1;
  #close = () => {};
  #whenEnded;
  #state = element("p", { class: "state", role: "status" });
  #cancel = element("button", { type: "button", class: "quiet", hidden: true }, texts.cancel);
  #steps = element("ol", { class: "steps" });
  #payment = element("div");
  #output = element("div", { "aria-live": "polite" });
  #events = element("pre", { tabindex: "0", "aria-label": texts.events });

  constructor(place, whenEnded) {
    this.#whenEnded = whenEnded;
    const bar = element("div", { class: "bar" }, this.#state, this.#cancel);
    const events = element("details", { class: "events" }, element("summary", {}, texts.events), this.#events);
    place.replaceChildren(bar, this.#steps, this.#payment, this.#output, events);
    place.hidden = false;
    this.state("signing", texts.stateSigning);
  }

  whenOver(close) {
    this.#close = close;
  }

  state(name, label) {
    this.#state.dataset.state = name;
    this.#state.textContent = label;
  }

  step(text, detail = "") {
    const seconds = ((performance.now() - this.#began) / 1000).toFixed(2);
    const item = element("li", {}, element("time", {}, `${seconds} s`), element("span", {}, text));
    if (detail) item.append(element("span", { class: "detail" }, detail));
    // Output that comes in parts is one step.
    const last = this.#steps.lastElementChild;
    if (text === texts.stepPartial && last?.lastElementChild.textContent === text) last.replaceWith(item);
    else this.#steps.append(item);
  }

  keep(event) {
    this.#events.append(this.#events.hasChildNodes() ? "\n\n" : "", JSON.stringify(event, null, 2));
  }

  accepted(cancel) {
    this.step(texts.stepAccepted);
    if (this.#isOver) return;
    if (this.#latest < 0) this.state("sent", texts.stateSent);
    this.#cancel.hidden = false;
    this.#cancel.addEventListener("click", async () => {
      this.#cancel.disabled = true;
      try {
        await cancel();
        this.step(texts.stepCancelled);
      } catch (error) {
        this.step(texts.stepNotCancelled, reasonOf(error));
        this.#cancel.disabled = false;
      }
    });
  }

  fail(reason) {
    if (this.#isOver) return;
    this.#show(texts.problem, reason || texts.noDetails);
    this.#end("failed", texts.stateFailed);
  }

  receive(event) {
    if (this.#isOver || this.#seen.has(event.id)) return;
    this.#seen.add(event.id);
    if (event.kind === FEEDBACK) this.#receiveFeedback(event);
    else this.#receiveResult(event);
  }

  #receiveResult(event) {
    this.keep(event);
    this.step(texts.stepResult);
    if (event.content === "") this.#output.replaceChildren(element("p", { class: "empty" }, texts.resultEmpty));
    else this.#show(texts.result, event.content);
    this.#end("done", texts.stateDone);
  }

  #receiveFeedback(event) {
    const [, status = "", message = ""] = tagOf(event, "status");
    // Feedback may arrive in another order than it was written.
    const isLatest = event.created_at >= this.#latest;
    this.#latest = Math.max(this.#latest, event.created_at);
    switch (status) {
      case "processing":
        this.step(message || texts.stepProcessing);
        if (!isLatest) break;
        this.#payment.replaceChildren();
        this.state("processing", texts.stateProcessing);
        break;
      case "partial":
        this.step(texts.stepPartial);
        if (!isLatest) break;
        this.state("processing", texts.statePartial);
        this.#show(texts.partial, event.content);
        break;
      case "payment-required":
        this.keep(event);
        this.step(texts.stepPayment, message);
        if (!isLatest) break;
        this.#payment.replaceChildren(paymentPanel(tagOf(event, "amount")));
        this.state("payment", texts.statePayment);
        break;
      case "error":
        this.keep(event);
        this.step(texts.stepError);
        this.fail(message || event.content);
        break;
      case "success":
        this.step(texts.stepSuccess, message);
        break;
      default:
        this.step(fill(texts.stepOther, { status }), message);
    }
  }

  #show(title, text) {
    this.#output.replaceChildren(outputPanel(title, text));
  }

  #end(name, label) {
    this.#isOver = true;
    this.#cancel.remove();
    this.#payment.replaceChildren();
    this.state(name, label);
    this.#close();
    this.#whenEnded();
  }
}
