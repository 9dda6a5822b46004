// Reads a crate's wrangler.toml as miniflare's options, so that what is tested is what is deployed.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { load } from "./tools.mjs";

const { supportedCompatibilityDate } = load("miniflare");
const { parse } = load("smol-toml");

// Concerns the account, the build or wrangler itself, and nothing that runs here.
const WITHOUT_EFFECT = [
  "$schema", "account_id", "build", "code_update_strategy", "dev", "env", "keep_vars", "limits", "logpush",
  "minify", "no_bundle", "observability", "placement", "preview_urls", "route", "routes", "secrets",
  "send_metrics", "tail_consumers", "triggers", "upload_source_maps", "workers_dev",
];

// What `bindings` needs of an array of tables in wrangler.toml, by the binding's name.
const byBinding = (tables = [], value) =>
  Object.fromEntries(tables.map((table) => [table.binding ?? table.name, value(table)]));

/**
 * @param {string} crate The crate's folder, with wrangler.toml and a built Worker.
 * @param {Record<string, string>} variables Override those of wrangler.toml and .dev.vars.
 * @param {string[]} without Names of bindings to leave out.
 * @returns {{ worker: object, classes: Map<string, string | undefined>, warnings: string[] }} miniflare's
 *   options for the Worker, and the object classes, each with the name of a binding to it.
 */
export function readConfig(crate, variables = {}, without = []) {
  const warnings = [];
  const isBound = (table) => !without.includes(table.binding ?? table.name);
  const path = join(crate, "wrangler.toml");
  if (!existsSync(path)) throw new Error(`${crate} has no wrangler.toml, so it is not a Worker`);
  let config;
  try {
    config = parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(`${path}: ${error.message}`);
  }
  const {
    name, main, compatibility_date, compatibility_flags = [], vars = {}, durable_objects = {},
    migrations = [], exports: exported = {}, r2_buckets, kv_namespaces, d1_databases, queues = {},
    ratelimits, analytics_engine_datasets, ai, ...others
  } = config;

  for (const [key, value] of Object.entries({ name, main, compatibility_date })) {
    if (!value) throw new Error(`${path}: \`${key}\` is missing`);
  }
  for (const key of Object.keys(others)) {
    if (!WITHOUT_EFFECT.includes(key)) throw new Error(`${path}: \`${key}\` is not supported by tests/worker/config.mjs`);
  }
  if (ai) warnings.push("the AI binding is left out: Workers AI has no local runtime");

  let compatibilityDate = compatibility_date;
  if (compatibilityDate > supportedCompatibilityDate) {
    warnings.push(`compatibility date ${compatibilityDate}: this workerd knows dates up to ${supportedCompatibilityDate}`);
    compatibilityDate = supportedCompatibilityDate;
  }

  // Objects keep SQLite if wrangler.toml says so, in the old way (migrations) or the new one (exports).
  const sqlite = new Set(migrations.flatMap((migration) => migration.new_sqlite_classes ?? []));
  const classes = new Map();
  for (const [className, { type, storage }] of Object.entries(exported)) {
    if (type !== "durable-object") continue;
    classes.set(className, undefined);
    if (storage === "sqlite") sqlite.add(className);
  }
  const durableObjects = {};
  for (const { name: binding, class_name: className, script_name } of durable_objects.bindings ?? []) {
    if (script_name) throw new Error(`${path}: the object ${binding} belongs to another Worker, which is not supported`);
    if (!isBound({ binding })) {
      classes.set(className, undefined);
      continue;
    }
    classes.set(className, binding);
    durableObjects[binding] = { className, useSQLite: sqlite.has(className) };
  }
  const unbound = [...classes].filter(([, binding]) => binding === undefined).map(([className]) => className);

  const secrets = join(crate, ".dev.vars");
  const bindings = {
    ...vars,
    ...(existsSync(secrets) ? parseEnv(readFileSync(secrets, "utf8")) : {}),
    ...variables,
  };

  const scriptPath = join(crate, main);
  const worker = {
    name,
    modules: true,
    scriptPath,
    modulesRoot: join(scriptPath, ".."),
    modulesRules: [{ type: "CompiledWasm", include: ["**/*.wasm"], fallthrough: true }],
    compatibilityDate,
    compatibilityFlags: compatibility_flags,
    bindings,
    durableObjects,
    additionalUnboundDurableObjects: unbound.map((className) => ({ className, useSQLite: sqlite.has(className) })),
    r2Buckets: byBinding(r2_buckets?.filter(isBound), (bucket) => bucket.bucket_name ?? bucket.binding.toLowerCase()),
    kvNamespaces: byBinding(kv_namespaces, (namespace) => namespace.id ?? namespace.binding),
    d1Databases: byBinding(d1_databases, (database) => database.database_id ?? database.binding),
    ratelimits: byBinding(ratelimits, ({ namespace_id, simple }) => ({ namespace_id, simple })),
    queueProducers: byBinding(queues.producers, (producer) => ({ queueName: producer.queue })),
    queueConsumers: Object.fromEntries((queues.consumers ?? []).map((consumer) => [consumer.queue, {
      maxBatchSize: consumer.max_batch_size,
      maxBatchTimeout: consumer.max_batch_timeout,
      maxRetries: consumer.max_retries,
      deadLetterQueue: consumer.dead_letter_queue,
    }])),
    analyticsEngineDatasets: byBinding(analytics_engine_datasets, (set) => ({ dataset: set.dataset ?? set.binding })),
  };
  return { worker, classes, warnings };
}
