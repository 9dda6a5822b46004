// Elements of the page. Text becomes text nodes and never HTML.

import * as texts from "./texts.json";

/** A text with its `{placeholders}` filled in. */
export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

/** An element with attributes and children; a string is a text node. */
export function element(name, attributes = {}, ...children) {
  return furnished(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function svg(name, attributes = {}, ...children) {
  return furnished(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function furnished(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

/** A button that copies a text. */
export function copyButton(label, text) {
  const button = element("button", { type: "button", class: "quiet" }, label);
  button.addEventListener("click", () => copy(button, text));
  return button;
}

/** Copies a text and says so on the button for a moment. */
export async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    return;
  }
  button.textContent = texts.copied;
  setTimeout(() => (button.textContent = label), 1_500);
}

/** A long text cut off at a number of characters. */
export function excerpt(text, length) {
  const characters = [...text.slice(0, 4 * length).replace(/\s+/g, " ").trim()];
  return characters.length > length ? characters.slice(0, length - 1).join("") + "…" : characters.join("");
}

/** Millisatoshis as satoshis, with thousands separated. */
export const satoshis = (msat) => (msat / 1000).toLocaleString("en", { maximumFractionDigits: 3 });
