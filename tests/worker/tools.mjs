// The npm packages that tests/bin/setup installed, for scripts that live outside node_modules:
//   import { load } from "../worker/tools.mjs";
//   const { WebSocket } = load("ws");

import { existsSync } from "node:fs";
import { createRequire } from "node:module";

const packages = new URL("../../.tools/npm/package.json", import.meta.url);

if (!existsSync(packages)) {
  console.error("The Worker's tools are not installed yet: run tests/bin/setup");
  process.exit(1);
}

export const load = createRequire(packages);
