// A payment request (NIP-90 `payment-required`): the amount, and the Lightning invoice as text, link and QR code.

import { encode } from "uqr";
import { copyButton, element, fill, satoshis, svg } from "./elements.js";
import * as texts from "./texts.json";

const INVOICE = /^ln[a-z0-9]{20,4000}$/;

/** What is to be paid, from an `amount` tag: millisatoshis and perhaps an invoice (BOLT-11). */
export function paymentPanel([, amount, invoice = ""]) {
  const msat = /^\d{1,15}$/.test(amount) ? Number(amount) : undefined;
  const panel = element(
    "div",
    { class: "payment" },
    element("p", { class: "amount" }, msat === undefined ? texts.paymentUnknown : fill(texts.paymentAmount, { amount: satoshis(msat) })),
  );
  const bolt11 = invoice.toLowerCase();
  if (!INVOICE.test(bolt11)) {
    panel.append(element("p", {}, texts.paymentWithoutInvoice));
    return panel;
  }
  panel.append(
    element("p", {}, texts.paymentHint),
    qrCode(bolt11),
    element("code", { class: "invoice", tabindex: "0", role: "textbox", "aria-readonly": "true", "aria-label": texts.paymentInvoice }, bolt11),
    element(
      "p",
      { class: "actions" },
      element("a", { class: "button", href: `lightning:${bolt11}` }, texts.paymentOpen),
      copyButton(texts.paymentCopy, bolt11),
    ),
  );
  return panel;
}

/** In capitals the invoice fits into a smaller code. */
function qrCode(bolt11) {
  const { data, size } = encode(`LIGHTNING:${bolt11}`.toUpperCase(), { border: 3, ecc: "L" });
  const path = data.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return svg(
    "svg",
    { class: "qr", viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": texts.paymentQr, "shape-rendering": "crispEdges" },
    svg("path", { d: path }),
  );
}
