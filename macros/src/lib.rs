//! The attributes and derives of the OpenAgents SDK: [`macro@agent`] for a struct, [`macro@jobs`] for its impl block, [`macro@job`]
//! and the others for the methods in it, [`macro@JobParams`] for the parameters of jobs, and [`deployment!`] for what is deployed.
//!
//! Use them through `openagents_sdk::prelude`; what they write names `::openagents_sdk` and nothing else, so a
//! crate needs no other dependency. Every mistake in an attribute is an error at the token that holds it and says what is
//! accepted; the item itself is always kept, so that one mistake does not bring others with it.

mod address;
mod agent;
mod arguments;
mod cron;
mod deployment;
mod documentation;
mod duration;
mod jobs;
mod mistakes;
mod name;
mod params;
mod price;

use jobs::{LifecycleHook, Mark};
use proc_macro::TokenStream;

/// Makes a struct an agent: its fields are the durable state, its attribute the declaration.
///
/// ```
/// use openagents_sdk::prelude::*;
///
/// /// Greets whoever asks.
/// #[agent(name = "hello-world", topics("greeting"), relays("wss://relay.example.com"), heartbeat = "5m")]
/// #[derive(Default, Serialize, Deserialize)]
/// pub struct HelloWorld {
///     greeted: u64,
/// }
/// # fn main() {}
/// ```
///
/// | argument | type | meaning |
/// |---|---|---|
/// | `name` | text, required | the agent's name: 1 to 64 lowercase letters, digits and hyphens; the manifest's name and NIP-89's `d` |
/// | `about` | text | what the agent does; the struct's doc comment when left out |
/// | `version` | text | the agent's version; the crate's when left out |
/// | `picture` | text | the address of a picture of it, `https://…` |
/// | `nip05` | text | its name as an internet identifier, `name@domain` (NIP-05) |
/// | `topics("…", …)` | texts | words in small letters to find it by |
/// | `relays("…", …)` | texts | relays beside its own, `wss://…` or `ws://…`, that it takes requests from and is announced on |
/// | `requests` | text | whose requests it answers: `"anyone"`, those that name it and those that name nobody, as when left out; `"named"`, only those that name it |
/// | `concurrency` | number | how many jobs run side by side, 1 to 1,000; 64 when left out |
/// | `queue` | number | how many jobs wait at most, 1 to 1,000,000; 10,000 when left out |
/// | `max_age` | text | how old a request may be when it arrives, `"1s"` to `"366d"`; `"24h"` when left out |
/// | `heartbeat` | text | how often it says that it is alive, `"1m"` to `"1d"`; never when left out |
/// | `state_version` | number | which form its state has; counted up when a state of the form before needs [`macro@migrate`]; 1 when left out |
///
/// Authors, licence, home page and repository are those of the crate's `Cargo.toml`.
///
/// The struct has named fields or none, and no generic parameters. `Serialize` and `Deserialize` are derived *below*
/// `#[agent]`; `Default`, the state of a new agent, is derived or implemented by hand. Every field must be serialisable
/// unless it is marked `#[serde(skip)]`. A field that stored state lacks, because a later version of the agent added it,
/// has its value in `Default`: the struct is read with `#[serde(default)]`.
#[proc_macro_attribute]
pub fn agent(arguments: TokenStream, item: TokenStream) -> TokenStream {
    agent::expand(arguments.into(), item.into()).into()
}

/// Collects what an agent does: the methods of this impl block that are marked [`macro@job`], [`macro@price`],
/// [`macro@schedule`], [`macro@on_create`], [`macro@on_wake`], [`macro@on_sleep`], [`macro@on_error`] or [`macro@migrate`].
///
/// ```
/// use openagents_sdk::prelude::*;
/// # #[agent(name = "hello-world")]
/// # #[derive(Default, Serialize, Deserialize)]
/// # pub struct HelloWorld { greeted: u64 }
///
/// #[jobs]
/// impl HelloWorld {
///     /// Say hello to the name given as input.
///     #[job(kind = 5050)]
///     async fn hello(&mut self, name: Text) -> JobResult<String> {
///         self.greeted += 1;
///         Ok(format!("Hello, {name}!"))
///     }
/// }
/// # fn main() {}
/// ```
///
/// It takes no arguments. An agent has one such block, with at least one job or schedule in it; a method has one mark, and
/// those without stay as they are.
#[proc_macro_attribute]
pub fn jobs(arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand(arguments.into(), item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block as the handler of a kind of job request.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// # #[agent(name = "summariser")]
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Summariser;
/// # #[jobs]
/// # impl Summariser {
/// /// Say it in fewer words.
/// #[job(kind = 5001, price = "21 sat", timeout = "5m")]
/// async fn summarise(&self, text: Text, context: &JobContext) -> JobResult<String> {
///     context.progress("reading");
///     Ok(text.chars().take(100).collect())
/// }
/// # }
/// # fn main() {}
/// ```
///
/// | argument | type | meaning |
/// |---|---|---|
/// | `kind` | number, required | the kind of request it answers, 5000 to 5999 (NIP-90); one handler for each kind |
/// | `name` | text | its name in the manifest; the method's when left out |
/// | `timeout` | text | how long an attempt may run: `"500ms"`, `"60s"`, `"10m"`, from 100 ms to 10 minutes; 60 s when left out |
/// | `attempts` | number | how often it is tried when it fails retryably or is interrupted, 1 to 10; 3 when left out |
/// | `price` | text | what every job costs: `"1000 msat"`, `"21 sat"` or `"free"`, as when left out; see [`macro@price`] for others |
///
/// The method's doc comment tells customers what the job does.
///
/// A handler is an `async fn`. With `&self` it runs beside other such handlers; with `&mut self` it runs alone, and what
/// it changes is committed together with its outcome. Each argument is taken from the job by its type (`FromJob`), or
/// from a reference to that type. It returns `JobResult<T>`, where `T` can be an output (`IntoOutput`).
#[proc_macro_attribute]
pub fn job(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Job, &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that says what a request costs, where that depends on the request.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// # #[agent(name = "writer")]
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Writer;
/// # #[jobs]
/// # impl Writer {
/// # #[job(kind = 5050)]
/// # async fn write(&self, prompt: Text) -> JobResult<String> { Ok(prompt.to_string()) }
/// #[price(kind = 5050)]
/// fn price_of(&self, request: &JobRequest) -> JobResult<Price> {
///     let max_tokens: u64 = request.params.parse("max_tokens")?.unwrap_or(512);
///     Ok(Price::msat(max_tokens.saturating_mul(10)))
/// }
/// # }
/// # fn main() {}
/// ```
///
/// | argument | type | meaning |
/// |---|---|---|
/// | `kind` | number, required | the kind of request it is for, which a handler of the same block answers, and has no `price` for |
///
/// It is not `async`, takes `&self` and `&JobRequest`, and returns `Price` or `JobResult<Price>`: a request that cannot be
/// served at any price fails with the error's text.
#[proc_macro_attribute]
pub fn price(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Price, &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that runs by the clock.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// # #[agent(name = "weather")]
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Weather { refreshed: u64 }
/// # #[jobs]
/// # impl Weather {
/// #[schedule(every = "10m")]
/// async fn refresh(&mut self, context: &AgentContext) -> JobResult<()> {
///     self.refreshed = context.began().as_seconds();
///     Ok(())
/// }
///
/// /// Starts the day.
/// #[schedule(cron = "0 3 * * *", timeout = "5m")]
/// async fn tidy(&self) -> JobResult<()> {
///     Ok(())
/// }
/// # }
/// # fn main() {}
/// ```
///
/// | argument | type | meaning |
/// |---|---|---|
/// | `every` | text | this long after it was due last: `"10m"`, `"1h"`, `"7d"`, from 1 second to 366 days |
/// | `cron` | text | instead of `every`, five fields in UTC: minute, hour, day of the month, month, day of the week |
/// | `name` | text | under which its times are kept from one release to the next; the method's when left out |
/// | `timeout` | text | how long a run may take, from 100 ms to 10 minutes; 60 s when left out |
///
/// It is an `async fn` that takes `&self` (runs beside others) or `&mut self` (runs alone, and what it changes is committed
/// when it succeeds), `AgentContext` or `&AgentContext` if it needs one, and returns `JobResult<()>`.
#[proc_macro_attribute]
pub fn schedule(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Schedule, &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that runs once, before the agent's first job.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// # #[agent(name = "clock")]
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Clock { born: u64 }
/// # #[jobs]
/// # impl Clock {
/// # #[job(kind = 5050)]
/// # async fn age(&self) -> JobResult<String> { Ok(self.born.to_string()) }
/// #[on_create]
/// async fn begin(&mut self, context: &AgentContext) -> JobResult<()> {
///     self.born = context.began().as_seconds();
///     Ok(())
/// }
/// # }
/// # fn main() {}
/// ```
///
/// It takes no arguments. The method is one as [`macro@schedule`] marks, and so are those of the other hooks.
#[proc_macro_attribute]
pub fn on_create(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Hook(LifecycleHook::Create), &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that runs before the first job since the agent slept or its process started.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// # #[agent(name = "clock")]
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Clock { woken: u64 }
/// # #[jobs]
/// # impl Clock {
/// # #[job(kind = 5050)]
/// # async fn count(&self) -> JobResult<String> { Ok(self.woken.to_string()) }
/// #[on_wake]
/// async fn wake(&mut self) -> JobResult<()> {
///     self.woken += 1;
///     Ok(())
/// }
/// # }
/// # fn main() {}
/// ```
///
/// It takes no arguments. The method is one as [`macro@schedule`] marks.
#[proc_macro_attribute]
pub fn on_wake(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Hook(LifecycleHook::Wake), &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that runs when the agent has had nothing to do for a while.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// # #[agent(name = "gatherer")]
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Gatherer { seen: Vec<String> }
/// # #[jobs]
/// # impl Gatherer {
/// # #[job(kind = 5050)]
/// # async fn gather(&mut self, text: Text) -> JobResult<()> { self.seen.push(text.to_string()); Ok(()) }
/// #[on_sleep]
/// async fn forget(&mut self) -> JobResult<()> {
///     self.seen.clear();
///     Ok(())
/// }
/// # }
/// # fn main() {}
/// ```
///
/// It takes no arguments. The method is one as [`macro@schedule`] marks.
#[proc_macro_attribute]
pub fn on_sleep(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Hook(LifecycleHook::Sleep), &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that runs after a job has failed for good.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// # #[agent(name = "careful")]
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Careful { failures: Vec<String> }
/// # #[jobs]
/// # impl Careful {
/// # #[job(kind = 5050)]
/// # async fn fail(&self) -> JobResult<()> { Err(JobError::failed("no")) }
/// #[on_error]
/// async fn remember(&mut self, context: &AgentContext) -> JobResult<()> {
///     if let Some(failure) = context.failure() {
///         self.failures.push(failure.message.clone());
///     }
///     Ok(())
/// }
/// # }
/// # fn main() {}
/// ```
///
/// It takes no arguments. The method is one as [`macro@schedule`] marks.
#[proc_macro_attribute]
pub fn on_error(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Hook(LifecycleHook::Error), &item.into()).into()
}

/// Marks a function of a [`macro@jobs`] block that turns a state stored by an earlier release into one that this one reads.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// use openagents_sdk::serde_json::Value;
///
/// #[agent(name = "greeter", state_version = 2)]
/// #[derive(Default, Serialize, Deserialize)]
/// struct Greeter {
///     greeted: Vec<String>, // version 1 kept one name, as text
/// }
///
/// #[jobs]
/// impl Greeter {
///     #[migrate]
///     fn migrate(version: u32, mut state: Value) -> JobResult<Value> {
///         if version == 1 {
///             state["greeted"] = Value::Array(vec![state["greeted"].take()]);
///         }
///         Ok(state)
///     }
/// #     #[job(kind = 5050)]
/// #     async fn greeted(&self) -> JobResult<String> { Ok(self.greeted.join(", ")) }
/// }
/// # fn main() {}
/// ```
///
/// It takes no arguments, and is needed only where the `state_version` of the agent's [`macro@agent`] is above 1; fields that
/// come or go do not need it. The function is not `async`, takes the version of the stored state and that state as JSON, and
/// returns the state as this version stores it. When it fails, the agent does not start, and the stored state stays as it is.
#[proc_macro_attribute]
pub fn migrate(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Migrate, &item.into()).into()
}

/// Makes a struct readable from a request's parameters: each field is one.
///
/// ```
/// use openagents_sdk::prelude::*;
///
/// #[derive(JobParams)]
/// struct GenerationParams {
///     /// The longest answer, in tokens.
///     #[param(default = 512, min = 1, max = 4096)]
///     max_tokens: u32,
///     #[param(alias = "top-k")]
///     top_k: Option<u32>,
///     /// Words at which the answer ends.
///     #[param(name = "stop")]
///     stops: Vec<String>,
///     model: Model,
/// }
///
/// #[derive(ParamChoice)]
/// enum Model {
///     Fast,
///     Thorough,
/// }
///
/// async fn generate(prompt: Text, params: Params<GenerationParams>) -> JobResult<String> {
///     Ok(format!("{} tokens to answer {prompt}", params.max_tokens))
/// }
///
/// use openagents_sdk::__private::params_schema;
/// let schema = params_schema(GenerationParams::DECLARATIONS);
/// assert_eq!(schema.pointer("/properties/max_tokens/maximum").unwrap(), 4096);
/// assert_eq!(schema.pointer("/required").unwrap().to_string(), r#"["model"]"#);
/// ```
///
/// | field | reads |
/// |---|---|
/// | `T` | the first value; the job fails without one, unless there is a `default` |
/// | `Option<T>` | the first value, if there is one |
/// | `Vec<T>` | all values of all its tags, in their order |
///
/// `T` is `String`, `bool`, a number, `PublicKey`, `EventId`, `Timestamp`, an enum with [`macro@ParamChoice`], or any
/// other `ParamValue`. The field's doc comment tells customers what the parameter does. A value that is not accepted fails
/// the job, and the customer is told what is; parameters that no field reads are passed over.
///
/// | `#[param(…)]` | meaning |
/// |---|---|
/// | `name = "…"` | its key; the field's name when left out |
/// | `alias = "…"` | another key it is accepted under; can be repeated |
/// | `default = 512` | what it is when it is not given: a number, `true` or `false`, or text |
/// | `min = 1`, `max = 4096` | the least and the most a number may be |
/// | `choices("…", …)` | the values that a text may have |
#[proc_macro_derive(JobParams, attributes(param))]
pub fn derive_job_params(item: TokenStream) -> TokenStream {
    params::expand(item.into()).into()
}

/// Makes an enum the type of a parameter: its variants are the values that the parameter may have.
///
/// ```
/// use openagents_sdk::__private::ParamValue;
/// use openagents_sdk::prelude::*;
///
/// /// In which order profiles come.
/// #[derive(Debug, PartialEq, ParamChoice)]
/// #[param(rename_all = "camelCase")]
/// enum Sort {
///     /// The same for everyone.
///     GlobalPagerank,
///     PersonalizedPagerank,
///     #[param(name = "followers", alias = "followerCount")]
///     Followers,
/// }
///
/// assert_eq!(Sort::CHOICES, ["globalPagerank", "personalizedPagerank", "followers"]);
/// assert_eq!(Sort::from_param("followerCount"), Some(Sort::Followers));
/// ```
///
/// Variants have no fields. They are written in `kebab-case`; `#[param(rename_all = "…")]` on the enum makes that
/// `snake_case`, `camelCase`, `lowercase` or `PascalCase`, `#[param(name = "…")]` on a variant anything else, and
/// `#[param(alias = "…")]` there, which can be repeated, accepts other spellings. The doc comments of the enum and its
/// variants describe a parameter whose field has none.
#[proc_macro_derive(ParamChoice, attributes(param))]
pub fn derive_param_choice(item: TokenStream) -> TokenStream {
    params::choice::expand(item.into()).into()
}

/// Deploys an agent: natively it writes a `main` function that serves the agent and its relay; on `wasm32` it exports the Worker (its
/// `fetch` handler) and the classes `RelayDurableObject` and `AgentDurableObject`.
///
/// ```ignore
/// openagents_sdk::deployment!(HelloWorld);
/// ```
///
/// The crate's `src/main.rs` calls the native `main`:
///
/// ```ignore
/// fn main() -> std::process::ExitCode {
///     hello_world::main()
/// }
/// ```
///
/// With more than an agent, a deployment has named fields:
///
/// | field | type | meaning |
/// |---|---|---|
/// | `agents` | list of types, required | the agent; one for now |
/// | `policy` | a `WritePolicy` | decides about each event that a client writes to the relay, on both hosts; what variables and operators refuse does not reach it |
///
/// ```
/// use openagents_sdk::prelude::*;
/// use openagents_sdk::relay::{Reason, Submission, WritePolicy};
///
/// /// Greets people.
/// #[agent(name = "greeter")]
/// #[derive(Default, Serialize, Deserialize)]
/// struct Greeter;
///
/// #[jobs]
/// impl Greeter {
///     /// Greets whom it is given.
///     #[job(kind = 5050)]
///     async fn greet(&self, name: Text) -> JobResult<String> {
///         Ok(format!("Hello, {name}!"))
///     }
/// }
///
/// /// Refuses people in a hurry.
/// struct NoHurry;
///
/// impl WritePolicy for NoHurry {
///     fn admit(&self, submission: &Submission<'_>) -> Result<(), Reason> {
///         if submission.event.content.contains("hurry") {
///             return Err(Reason::restricted("there is no hurry here"));
///         }
///         Ok(())
///     }
/// }
///
/// openagents_sdk::deployment! {
///     agents: [Greeter],
///     policy: NoHurry,
/// }
/// ```
#[proc_macro]
pub fn deployment(fields: TokenStream) -> TokenStream {
    deployment::expand(fields.into()).into()
}
