// Serves a crate's built Worker in workerd on loopback. tests/bin/serve-worker builds it and calls this.
//
//   node serve.mjs CRATE_DIR --port PORT --data DIR [--var NAME=VALUE]… [--without BINDING]… [--control]
//
// The variable TEST_FAILING_PUTS=BINDING:PUTS is not passed on: of so many puts into that bucket, two fail.
//
// Prints `ready http://127.0.0.1:PORT` when it listens; everything else goes to stderr. PORT 0 means
// any free port. The Worker's port leads straight to it, not through miniflare's proxy.
//
// With --control, a line on stdin is a command, answered by one line, `ok …` or `error …`, in order;
// the process ends when stdin does:
//
//   evict CLASS NAME|id:HEX|* [hibernate|close]  drop the object's memory; its sockets sleep or close
//   abort                                        end every object at once, in the middle of whatever it does
//   restart                                      stop workerd, start it again: same data, same port
//   fetch CLASS NAME|id:HEX PATH                 ok {"status":200,"body":"…"} from the object itself
//   stop                                         end

import { spawn } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readConfig } from "./config.mjs";
import { load } from "./tools.mjs";

const { Log, LogLevel, Miniflare } = load("miniflare");

// Nothing that is asked of workerd takes longer, unless it hangs.
const PATIENCE_MS = 30_000;

const within = (promise, milliseconds, what) => {
  const timer = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what}: no answer within ${milliseconds / 1000} s`);
  });
  late.catch(() => {});
  return Promise.race([promise, late]).finally(() => timer.abort());
};

// workerd outlives a killed parent. A shell that waits for the end of a pipe from this process ends it.
subscribe("child_process", ({ process: child }) => {
  child.once("spawn", () => {
    if (!child.spawnfile.endsWith("workerd")) return;
    const guard = spawn("sh", ["-c", `cat >/dev/null; kill ${child.pid}`], {
      detached: true,
      stdio: ["pipe", "ignore", "ignore"],
    });
    guard.unref();
    child.once("exit", () => guard.kill("SIGKILL"));
  });
});

// An eviction waits for what an object is doing. This does not, as when a machine is lost.
const ABORTING_WORKER = {
  name: "aborting-worker",
  modules: true,
  script: `
    import unsafe from "workerd:unsafe";
    export default { async fetch() { await unsafe.abortAllDurableObjects(); return new Response("aborted"); } };
  `,
  compatibilityFlags: ["unsafe_module"],
};

// In place of a bucket: of PUTS puts, one fails before it does anything, and one after it has stored the object, as when a
// response is lost. Its class must be named as the real one.
const failingBucket = (binding, bucket, puts) => ({
  name: `failing-bucket-${binding.toLowerCase()}`,
  modules: true,
  script: `
    class R2Bucket {
      #bucket;
      #puts = 0;
      constructor(bucket) {
        this.#bucket = bucket;
      }
      async put(...args) {
        const turn = this.#puts++ % ${puts};
        if (turn === ${Math.floor(puts / 2)}) throw new Error("put: We encountered an internal error. (10001)");
        const object = await this.#bucket.put(...args);
        if (turn === ${puts - 1}) throw new Error("put: Network connection lost.");
        return object;
      }
      get(...args) { return this.#bucket.get(...args); }
      head(...args) { return this.#bucket.head(...args); }
      list(...args) { return this.#bucket.list(...args); }
      delete(...args) { return this.#bucket.delete(...args); }
    }
    export default (env) => new R2Bucket(env.BUCKET);
  `,
  r2Buckets: { BUCKET: bucket },
});

/** Logs to stderr: stdout belongs to `ready` and the answers. */
class StderrLog extends Log {
  log(message) {
    console.error(message);
  }
}

/** A Worker that can be restarted on its data and its port. */
class Server {
  #options;
  #name;
  #miniflare;
  port;

  constructor(worker, port, data, others = []) {
    this.#name = worker.name;
    this.port = port;
    this.#options = (port) => ({
      workers: [{ ...worker, unsafeDirectSockets: [{ host: "127.0.0.1", port }] }, ABORTING_WORKER, ...others],
      host: "127.0.0.1",
      port: 0,
      defaultPersistRoot: data,
      cf: false,
      log: new StderrLog(LogLevel.WARN),
      handleStructuredLogs: ({ level, message }) => console.error(`[${level}] ${message}`),
    });
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async start() {
    this.#miniflare = new Miniflare(this.#options(this.port));
    await within(this.#miniflare.ready, PATIENCE_MS, "starting workerd");
    this.port = Number((await this.#miniflare.unsafeGetDirectURL(this.#name)).port);
  }

  async stop() {
    const miniflare = this.#miniflare;
    this.#miniflare = undefined;
    if (miniflare) await within(miniflare.dispose(), 10_000, "stopping workerd");
  }

  async restart() {
    await this.stop();
    await this.start();
  }

  /** Drops one running object's memory, or that of every running object of the class. */
  async evict(className, which, webSockets) {
    const evict = (object) => within(
      this.#miniflare.unsafeEvictDurableObject(this.#name, className, { ...object, webSockets }),
      PATIENCE_MS, "evicting the object",
    );
    if (which !== "*") {
      await evict(identifier(which));
      return 1;
    }
    // Those that have stored something are known, but not which of them are running.
    let evicted = 0;
    for (const id of await this.#miniflare.listDurableObjectIds(className, this.#name)) {
      try {
        await evict({ id });
        evicted += 1;
      } catch (error) {
        if (!/not currently running/.test(error.message)) throw error;
      }
    }
    return evicted;
  }

  /** Ends every object of this workerd at once; those that sockets lead to lose them. */
  async abort() {
    const abort = async () => {
      const worker = await this.#miniflare.getWorker(ABORTING_WORKER.name);
      const response = await worker.fetch("http://aborting-worker/");
      if (!response.ok) throw new Error(`aborting: ${response.status} ${await response.text()}`);
    };
    await within(abort(), PATIENCE_MS, "aborting the objects");
  }

  async fetch(binding, which, path) {
    const namespace = await this.#miniflare.getDurableObjectNamespace(binding, this.#name);
    const { id, name } = identifier(which);
    const stub = namespace.get(id === undefined ? namespace.idFromName(name) : namespace.idFromString(id));
    const read = async () => {
      const response = await stub.fetch(new URL(path, "http://object"));
      return { status: response.status, body: await response.text() };
    };
    return within(read(), PATIENCE_MS, "fetching from the object");
  }
}

const identifier = (which) => (which.startsWith("id:") ? { id: which.slice(3) } : { name: which });

/** Carries out one command line; the text of its answer. */
async function command(server, classes, line) {
  const [verb, className, which, last, ...surplus] = line.split(/\s+/);
  const needsObject = () => {
    if (which === undefined || surplus.length > 0) throw new Error(`usage: ${USAGE[verb]}`);
    if (!classes.has(className)) throw new Error(`no class ${className}; there is ${[...classes.keys()].join(", ") || "none"}`);
  };
  switch (verb) {
    case "evict": {
      needsObject();
      const sockets = last ?? "hibernate";
      if (!["hibernate", "close"].includes(sockets)) throw new Error(`usage: ${USAGE.evict}`);
      return `evicted ${await server.evict(className, which, sockets)}`;
    }
    case "fetch": {
      needsObject();
      if (!last?.startsWith("/")) throw new Error(`usage: ${USAGE.fetch}`);
      const binding = classes.get(className);
      if (binding === undefined) throw new Error(`${className} has no binding in wrangler.toml to reach it by`);
      return JSON.stringify(await server.fetch(binding, which, last));
    }
    case "abort":
      await server.abort();
      return "aborted";
    case "restart":
      await server.restart();
      return server.url;
    default:
      throw new Error(`unknown command ${verb}; there is ${Object.values(USAGE).join("; ")}`);
  }
}

const USAGE = {
  evict: "evict CLASS NAME|id:HEX|* [hibernate|close]",
  abort: "abort",
  fetch: "fetch CLASS NAME|id:HEX PATH",
  restart: "restart",
  stop: "stop",
};

const oneLine = (error) => String(error?.message ?? error).replace(/\s+/g, " ").trim();

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      port: { type: "string" },
      data: { type: "string" },
      var: { type: "string", multiple: true, default: [] },
      without: { type: "string", multiple: true, default: [] },
      control: { type: "boolean", default: false },
    },
  });
  const port = Number(values.port);
  if (positionals.length !== 1) throw new Error("one crate folder is needed");
  if (!values.port || !Number.isInteger(port) || port < 0 || port > 65535) throw new Error("--port: a number from 0 to 65535 is needed");
  if (!values.data) throw new Error("--data: a folder is needed");
  const variables = Object.fromEntries(values.var.map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) throw new Error(`--var ${pair}: NAME=VALUE is needed`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  }));
  return { crate: resolve(positionals[0]), port, data: resolve(values.data), variables, without: values.without, control: values.control };
}

async function main() {
  const { crate, port, data, variables, without, control } = readArguments();
  const { TEST_FAILING_PUTS: failing, ...others } = variables;
  const { worker, classes, warnings } = readConfig(crate, others, without);
  const failingBuckets = [];
  if (failing !== undefined) {
    const [binding, puts] = failing.split(":");
    const { [binding]: bucket, ...buckets } = worker.r2Buckets;
    if (bucket === undefined) throw new Error(`TEST_FAILING_PUTS: there is no bucket ${binding}`);
    const standIn = failingBucket(binding, bucket, Number(puts));
    failingBuckets.push(standIn);
    worker.r2Buckets = buckets;
    worker.wrappedBindings = { [binding]: standIn.name };
  }
  for (const warning of warnings) console.error(`serve-worker: ${warning}`);
  mkdirSync(data, { recursive: true });

  const server = new Server(worker, port, data, failingBuckets);
  let ending;
  const end = (code) => {
    ending ??= server.stop()
      .catch((error) => console.error(`serve-worker: ${oneLine(error)}`))
      .finally(() => process.exit(code));
    return ending;
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => end(0));

  await server.start();
  console.log(`ready ${server.url}`);
  if (!control) return;

  for await (const text of createInterface({ input: process.stdin })) {
    const line = text.trim();
    if (line === "") continue;
    if (line === "stop") {
      console.log("ok");
      break;
    }
    try {
      console.log(`ok ${await command(server, classes, line)}`);
    } catch (error) {
      console.log(`error ${oneLine(error)}`);
    }
  }
  await end(0);
}

main().catch((error) => {
  console.error(`serve-worker: ${oneLine(error)}`);
  process.exit(1);
});
