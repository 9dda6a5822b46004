// The page of a deployment at `/`: what the server has written comes alive.

import { npub } from "./event.js";
import { copy } from "./elements.js";
import { sendJob } from "./job.js";
import { offerOperatorView } from "./operator.js";
import { followRecentJobs } from "./recent_jobs.js";
import { Relay } from "./relay.js";
import { hasExtension, throwawayPublicKey } from "./signer.js";
import { showConnection, showStatus } from "./status.js";
import * as texts from "./texts.json";

const { agent } = document.body.dataset;

const relay = new Relay(showConnection);
showStatus();

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button, button.dataset.copy));
}

const signer = document.querySelector("[data-signer]");

/** Says who signs; `publicKey` only if it is known. */
function showSigner(publicKey) {
  const [about, key] = signer.children;
  const isKnown = publicKey !== undefined;
  about.textContent = hasExtension() ? texts.youExtension : isKnown ? texts.youThrowaway : texts.youNone;
  key.textContent = isKnown ? npub(publicKey) : "";
}

const operator = document.querySelector("[data-operator]");
if (operator) addEventListener("load", () => hasExtension() && offerOperatorView(operator, agent));

if (signer) {
  const show = () => showSigner(hasExtension() ? undefined : throwawayPublicKey());
  show();
  addEventListener("load", show);
}

const forms = [...document.querySelectorAll("form[data-kind]")];

for (const form of forms) {
  const button = form.querySelector("button[type=submit]");
  button.disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    await sendJob(form, relay, { agent, whenSigned: showSigner, whenEnded: showStatus });
    button.disabled = false;
    button.textContent = texts.sendAgain;
  });
  // Control and Enter send from a field with several lines.
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}

const recent = document.querySelector("[data-recent]");
if (recent) {
  const kinds = new Map(forms.map((form) => [Number(form.dataset.kind), form.dataset.name]));
  followRecentJobs(relay, recent, { agent, kinds });
}
