// Builds this crate's Worker into build/, if anything changed: the `[build]` command of wrangler.toml.
//
//   node build-worker.mjs               for a deployment: optimised, minutes
//   node build-worker.mjs --dev         for `wrangler dev`, which says so itself: an edit takes seconds
//
// WORKER_PROFILE=NAME compiles with another profile of Cargo.toml, WORKER_OPT=no leaves out wasm-opt.
//
// What it needs and does not find, it installs with rustup and cargo: worker-build, and a nightly toolchain with the
// standard library's source.

import { createHash } from "node:crypto";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const WORKER_BUILD = "0.8.7";
const TARGET = "wasm32-unknown-unknown";
const STAMP = "build/.built-from";

const started = Date.now();
const seconds = () => `${((Date.now() - started) / 1000).toFixed(1)} s`;
const say = (text) => console.log(`worker: ${text}`);

function fail(text) {
    console.error(`worker: ${text}`);
    process.exit(1);
}

function answer(program, ...options) {
    const { status, stdout } = spawnSync(program, options, { encoding: "utf8" });
    return status === 0 ? stdout.trim() : "";
}

/** Runs a program with this one's output. `stdout: "pipe"` returns what it printed instead. */
function run(program, options, { stdout = "inherit", env = {} } = {}) {
    return new Promise((resolve) => {
        const child = spawn(program, options, {
            stdio: ["ignore", stdout, "inherit"],
            env: { ...process.env, ...env },
        });
        let printed = "";
        child.stdout?.setEncoding("utf8").on("data", (text) => (printed += text));
        child.on("error", (error) => fail(`${program} cannot be run: ${error.message}`));
        child.on("close", (status) => {
            if (status !== 0) fail(`${program} ${options[0]} failed after ${seconds()}; what it said is above`);
            resolve(printed);
        });
    });
}

async function install() {
    if (answer("rustc", "+nightly", "--version") === "") {
        say("installing a nightly toolchain, once: panics of a handler are caught only with it");
        await run("rustup", ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "rust-src"]);
    }
    if (answer("worker-build", "--version") !== WORKER_BUILD) {
        say(`installing worker-build ${WORKER_BUILD}, once: this takes some minutes`);
        await run("cargo", ["install", "--locked", `worker-build@${WORKER_BUILD}`]);
    }
}

/** Compiles as worker-build does, which then finds everything compiled. Returns the path of the wasm. */
async function compile(profile) {
    const flags = [process.env.RUSTFLAGS, "-Cpanic=unwind"].filter(Boolean).join(" ");
    const options = ["+nightly", "build", "--lib", "--profile", profile, "--target", TARGET];
    options.push("-Z", "build-std=std,panic_unwind", "--message-format", "json-render-diagnostics");
    const messages = await run("cargo", options, {
        stdout: "pipe",
        env: { RUSTFLAGS: flags, WASM_BINDGEN_USE_JS_SYS: "1" },
    });
    const made = messages.split("\n").filter((line) => line.includes('"compiler-artifact"'));
    const wasm = made.flatMap((line) => JSON.parse(line).filenames).filter((file) => file.endsWith(".wasm"));
    return wasm.at(-1) ?? fail('the crate makes no wasm: its Cargo.toml needs [lib] crate-type = ["cdylib", "rlib"]');
}

/** What the Worker in build/ was made from, and what it is. */
function state(wasm) {
    const digest = (file) => createHash("sha256").update(readFileSync(file)).digest("hex");
    const files = [wasm, "build/index.js", "build/index_bg.wasm"];
    return files.every(existsSync) ? [WORKER_BUILD, profile, optimised, ...files.map(digest)].join("\n") : undefined;
}

const dev = process.argv.includes("--dev") || process.env.WRANGLER_COMMAND === "dev";
const profile = process.env.WORKER_PROFILE || (dev ? "worker-dev" : "worker");
const optimised = !dev && process.env.WORKER_OPT !== "no";
await install();
say(`compiling (profile ${profile}) …${profile === "worker" ? " this takes minutes" : ""}`);
const wasm = await compile(profile);
const before = state(wasm);
if (before !== undefined && existsSync(STAMP) && readFileSync(STAMP, "utf8") === before) {
    say(`nothing changed (${seconds()})`);
} else {
    say(`compiled in ${seconds()}; making JavaScript of it …`);
    rmSync(STAMP, { force: true });
    await run("worker-build", ["--profile", profile, "--panic-unwind", ...(optimised ? [] : ["--no-opt"])]);
    writeFileSync(STAMP, state(wasm) ?? fail("worker-build left no index.js and index_bg.wasm in build/"));
    say(`built in ${seconds()}`);
}
