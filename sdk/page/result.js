// The output of a job, shown as what it is: text as text, JSON indented, a file of this deployment as link or image.

import { copyButton, element } from "./elements.js";
import * as texts from "./texts.json";

const IMAGE = /\.(png|jpe?g|gif|webp|avif|svg)$/i;
const AUDIO = /\.(mp3|ogg|oga|opus|wav|flac|m4a)$/i;
const VIDEO = /\.(mp4|webm|ogv|mov)$/i;
const BLOB = /^\/[0-9a-f]{64}(\.[0-9a-z]{1,12})?$/i;
const BLOSSOM_URI = /^blossom:([0-9a-f]{64}(\.[0-9a-z]{1,12})?)(\?\S*)?$/i;

/** The panel with an output. Only files of this deployment are loaded; others are links. */
export function outputPanel(title, text) {
  const url = fileUrl(text.trim());
  const shown = url ? file(url) : element("pre", { tabindex: "0", "aria-label": title }, pretty(text));
  return element(
    "div",
    { class: "output" },
    element("div", { class: "bar" }, element("h4", {}, title), copyButton(texts.copy, text)),
    shown,
  );
}

/** The address of a file, if the text is nothing else. An agent that does not know where it is names blobs by BUD-10. */
function fileUrl(text) {
  const [, blob] = BLOSSOM_URI.exec(text) ?? [];
  if (blob) return new URL(blob, new URL(".", location.href));
  return text.length <= 2_000 && /^https?:\/\/\S+$/.test(text) && URL.canParse(text) ? new URL(text) : undefined;
}

function file(url) {
  const link = element("a", { href: url.href, rel: "noreferrer noopener", target: "_blank" }, url.href);
  // A blob server may be known by several names; the path of a blob is its hash.
  const isOwn = url.origin === location.origin || (BLOB.test(url.pathname) && url.hostname === location.hostname);
  const panel = element("div", { class: "file" }, link);
  if (!isOwn) return panel;
  const source = url.pathname + url.search;
  if (IMAGE.test(url.pathname)) panel.prepend(element("img", { src: source, alt: texts.imageAlt }));
  if (AUDIO.test(url.pathname)) panel.prepend(element("audio", { src: source, controls: true, preload: "none" }));
  if (VIDEO.test(url.pathname)) panel.prepend(element("video", { src: source, controls: true, preload: "metadata" }));
  return panel;
}

/** JSON is indented if that changes none of its values, as it would with a long number. */
function pretty(text) {
  if (!/^[[{]/.test(text)) return text;
  try {
    const value = JSON.parse(text);
    return JSON.stringify(value) === text ? JSON.stringify(value, null, 2) : text;
  } catch {
    return text;
  }
}
