//! The attributes and derives of the OpenAgents SDK: [`macro@agent`] for a struct, [`macro@jobs`] for its impl block,
//! [`macro@job`] and others for the methods in it, [`macro@JobParams`] for the parameters of jobs, and
//! [`deployment!`] for deployments.
//!
//! Use them through `openagents_sdk::prelude`. The generated code refers only to `::openagents_sdk`, so a crate needs
//! no other dependency. A mistake in an attribute is reported at the token that caused it, together with what is
//! accepted; the item itself is kept, so that one mistake does not cause further errors.

mod address;
mod agent;
mod arguments;
mod cron;
mod deployment;
mod documentation;
mod duration;
mod invisible_group;
mod jobs;
mod mistakes;
mod name;
mod params;
mod price;
mod route_path;
mod serde_derives;

use jobs::{LifecycleHook, Mark};
use proc_macro::TokenStream;
use serde_derives::SerdeTrait;

/// Makes a struct an agent: its fields are the durable state, the attribute's arguments the declaration.
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
/// | `name` | text, required | the agent's name: 1 to 64 lowercase letters, digits and hyphens; used in the manifest and as the `d` tag of its announcement (NIP-89) |
/// | `about` | text | what the agent does; default: the struct's doc comment |
/// | `version` | text | the agent's version; default: the crate's |
/// | `picture` | text | URL of a picture, `https://…` |
/// | `nip05` | text | an internet identifier, `name@domain` (NIP-05) |
/// | `topics("…", …)` | texts | lowercase keywords for the announcement |
/// | `relays("…", …)` | texts | external relays, `wss://…` or `ws://…`, from which it takes requests and on which it is announced |
/// | `requests` | text | which requests it answers: `"anyone"` (default), requests that name it and requests that name nobody; `"named"`, only requests that name it |
/// | `concurrency` | number | how many jobs may run at the same time, 1 to 1,000; default: 64 |
/// | `queue` | number | how many jobs may be queued or running, 1 to 1,000,000; as many again may wait for inputs, price or payment; one customer may have a quarter of either, and at least 16; default: 10,000 |
/// | `max_age` | text | how old a request may be when it arrives, `"1s"` to `"366d"`; default: `"24h"` |
/// | `heartbeat` | text | the interval of heartbeat events, `"1m"` to `"1d"`; default: none |
/// | `state_version` | number | the version of its state's form, to be increased when an earlier state needs [`macro@migrate`]; default: 1 |
/// | `variables("…" = "…", …)` | texts | variables of the deployment that its handlers read with `context.variable("…")`; one without a default must be set |
/// | `secrets("…", …)` | texts | secrets of the deployment that its handlers read with `context.secret("…")`; all must be set |
///
/// Authors, licence, home page and repository come from the crate's `Cargo.toml`. Variables and secrets have names such
/// as `LLM_API_KEY`; they are set as the SDK's own are, in the environment or `.dev.vars` natively, and as a Worker's
/// `[vars]` and secrets on Cloudflare.
///
/// The struct has named fields or none, and no generic parameters. `Serialize` and `Deserialize` are derived *below*
/// `#[agent]`; `Default`, the state of a new agent, is derived or implemented by hand. Every field must be
/// serialisable or marked `#[serde(skip)]`. A field that the stored state lacks, because it was added later, gets its
/// value from `Default`: the struct is read with `#[serde(default)]`.
#[proc_macro_attribute]
pub fn agent(arguments: TokenStream, item: TokenStream) -> TokenStream {
    agent::expand(arguments.into(), item.into()).into()
}

/// Collects the methods of this impl block that are marked [`macro@job`], [`macro@price`], [`macro@schedule`],
/// [`macro@on_create`], [`macro@on_wake`], [`macro@on_sleep`], [`macro@on_error`] or [`macro@migrate`].
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
/// It takes no arguments. An agent has exactly one such block, with at least one job or schedule. A method has at
/// most one mark; methods without a mark are left alone.
#[proc_macro_attribute]
pub fn jobs(arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand(arguments.into(), item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block as the handler of a job kind.
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
/// | `kind` | number or `u16` constant, required | the job kind, 5000 to 5999 (NIP-90); each kind has one handler |
/// | `name` | text | its name in the manifest; default: the method's name |
/// | `timeout` | text | how long an attempt may run: `"500ms"`, `"60s"`, `"10m"`, from 100 ms to 10 minutes; default: 60 s |
/// | `attempts` | number | the most attempts when it fails with a retryable error or is interrupted, 1 to 10; default: 3 |
/// | `processing_after` | text | how long a run goes on before the customer gets feedback with the status `processing`, from `"0s"` (at once) to 10 minutes; default: 300 ms. A job that costs something is told at once |
/// | `price` | text | the fixed price of a job: `"1000 msat"`, `"21 sat"` or `"free"` (default); for other prices see [`macro@price`] |
/// | `pay` | text | when a job with a price is paid for: `"before"` it runs (default; if it fails, the payment is credited to the customer), `"hold"` (before it runs, with a payment that is returned if it fails; the wallet must have hold invoices) or `"after"` (the customer gets the result for the payment) |
/// | `free` | text | how many jobs a day (UTC) each customer has for free: `"3/day"` |
///
/// The method's doc comment tells customers what the job does.
///
/// A handler is an `async fn`. With `&self` it runs concurrently with other such handlers; with `&mut self` it runs
/// alone, and its changes to the state are committed together with its outcome. Each argument is of a type that can
/// be made from the job (`FromJob`), or a reference to one. It returns `JobResult<T>`, where `T` is an output
/// (`IntoOutput`).
#[proc_macro_attribute]
pub fn job(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Job, &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that computes the price of a request.
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
/// | `kind` | number or `u16` constant, required | the job kind, which must have a handler without `price` in the same block |
///
/// It is not `async`, takes `&self` and `&JobRequest`, and returns `Price` or `JobResult<Price>`. If it returns an
/// error, the job fails with the error's text.
#[proc_macro_attribute]
pub fn price(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Price, &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that runs at an interval or at the times of a cron expression.
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
/// | `every` | text | the interval: `"10m"`, `"1h"`, `"7d"`, from 1 second to 366 days |
/// | `cron` | text | instead of `every`: a cron expression of five fields in UTC: minute, hour, day of the month, month, day of the week |
/// | `once` | nothing | instead of `every`: it runs when a handler says so, by `context.schedule(…)` |
/// | `name` | text | the name under which its next run is stored, also across releases; default: the method's name |
/// | `timeout` | text | how long a run may take, from 100 ms to 10 minutes; default: 60 s |
///
/// It is an `async fn` that takes `&self` (runs concurrently with others) or `&mut self` (runs alone, and its changes
/// are committed if it succeeds), optionally `AgentContext` or `&AgentContext`, and returns `JobResult<()>`.
#[proc_macro_attribute]
pub fn schedule(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Schedule, &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that handles events which mention the agent.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// use openagents_sdk::nostr::UnsignedEvent;
///
/// # #[agent(name = "parrot")]
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Parrot { heard: u64 }
/// # #[jobs]
/// # impl Parrot {
/// /// Replies to notes.
/// #[event(kind = 1, mentions)]
/// async fn reply(&mut self, note: NostrEvent, context: AgentContext) -> JobResult<()> {
///     self.heard += 1;
///     let reply = UnsignedEvent::new(1, "So you say.").tag(["e", &note.id.to_hex()]).tag(["p", &note.pubkey.to_hex()]);
///     context.publish(reply);
///     Ok(())
/// }
/// # }
/// # fn main() {}
/// ```
///
/// | argument | type | meaning |
/// |---|---|---|
/// | `kind` | number, required | the kind of the events; each kind has one function |
/// | `mentions` | nothing, required | those that name the agent in a `p` tag |
/// | `timeout` | text | how long handling an event may take, from 100 ms to 10 minutes; default: 60 s |
///
/// The events are those that the agent's own relay accepts, except the agent's own. Each is handled once: what the function
/// changes is committed together with that. It is an `async fn` that takes `&self` or `&mut self` (runs alone), `NostrEvent`,
/// `Session` (the conversation with the event's author) and `AgentContext`, or references to them, and returns
/// `JobResult<()>`. If it fails with a retryable error or is interrupted, the event is attempted up to five times.
#[proc_macro_attribute]
pub fn event(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Event, &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that answers direct messages to the agent (NIP-17).
///
/// ```
/// # use openagents_sdk::prelude::*;
/// # #[agent(name = "friend")]
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Friend;
/// # #[jobs]
/// # impl Friend {
/// #[direct_message]
/// async fn answer(&self, message: DirectMessage, session: Session) -> JobResult<String> {
///     session.say("user", message.text());
///     Ok(format!("I remember {} things that you said.", session.turns(200).await?.len()))
/// }
/// # }
/// # fn main() {}
/// ```
///
/// | argument | type | meaning |
/// |---|---|---|
/// | `timeout` | text | how long answering a message may take, from 100 ms to 10 minutes; default: 60 s |
///
/// It is an `async fn` that takes `&self` or `&mut self` (runs alone), `DirectMessage` (the message), `Text` (its text),
/// `Session` (the conversation with its author) and `AgentContext`, or references to them, and returns `JobResult<T>`, where
/// `T` is the reply: text, `Option<String>`, or `()` for none. Each message is handled once: the reply and what the function
/// changes are committed together with that. If it fails with a retryable error or is interrupted, the message is attempted
/// up to five times.
#[proc_macro_attribute]
pub fn direct_message(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::DirectMessage, &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that answers HTTP requests.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// use openagents_sdk::{RouteResponse, StatusCode};
///
/// #[derive(Deserialize)]
/// struct Push {
///     branch: String,
/// }
///
/// # #[agent(name = "builder")]
/// # #[derive(Default, Serialize, Deserialize)]
/// # struct Builder { pushes: u64 }
/// # #[jobs]
/// # impl Builder {
/// /// Counts the pushes to a repository.
/// #[route(POST, "/github/push")]
/// async fn pushed(&mut self, Json(push): Json<Push>) -> JobResult<RouteResponse> {
///     self.pushes += 1;
///     Ok(RouteResponse::text(push.branch).with_status(StatusCode::ACCEPTED))
/// }
///
/// #[route(GET, "/pushes", timeout = "1s")]
/// async fn pushes(&self) -> JobResult<String> {
///     Ok(self.pushes.to_string())
/// }
/// # }
/// # fn main() {}
/// ```
///
/// | argument | type | meaning |
/// |---|---|---|
/// | first | `GET`, `POST`, `PUT`, `PATCH` or `DELETE`, required | the method of its requests; a route for `GET` answers `HEAD` too |
/// | second | text, required | its path, which the deployment does not use itself: `"/hook"` or `"/github/push"` |
/// | `timeout` | text | how long answering may take, from 100 ms to 20 s; default: 10 s |
/// | `max_bytes` | number | the longest body of a request in bytes, up to 5,000,000; default: 100,000 |
///
/// It is reached below `/agent/<npub or name>` and at the root: `/agent/builder/pushes` and `/pushes`. It is an `async fn`
/// that takes `&self` (runs concurrently with others) or `&mut self` (runs alone, and its changes are committed before
/// its response is sent). Each argument is of a type that can be made from the request (`FromRequest`), or a reference to
/// one. It returns `JobResult<T>`, where `T` is a response (`IntoResponse`); an error is answered with status 500.
#[proc_macro_attribute]
pub fn route(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Route, &item.into()).into()
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
/// It takes no arguments. The method has the same form as for [`macro@schedule`]; this is true for the other hooks
/// too.
#[proc_macro_attribute]
pub fn on_create(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Hook(LifecycleHook::Create), &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that runs before the first job after hibernation or a start of the
/// process.
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
/// It takes no arguments. The method has the same form as for [`macro@schedule`].
#[proc_macro_attribute]
pub fn on_wake(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Hook(LifecycleHook::Wake), &item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block that runs when the agent has been idle for a while.
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
/// It takes no arguments. The method has the same form as for [`macro@schedule`].
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
/// It takes no arguments. The method has the same form as for [`macro@schedule`].
#[proc_macro_attribute]
pub fn on_error(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Hook(LifecycleHook::Error), &item.into()).into()
}

/// Marks a function of a [`macro@jobs`] block that converts a state stored by an earlier release.
///
/// ```
/// # use openagents_sdk::prelude::*;
/// use openagents_sdk::serde_json::Value;
///
/// #[agent(name = "greeter", state_version = 2)]
/// #[derive(Default, Serialize, Deserialize)]
/// struct Greeter {
///     greeted: Vec<String>, // in version 1 this was one name, a string
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
/// It takes no arguments, and is only needed if `state_version` in [`macro@agent`] is above 1; adding or removing
/// fields does not need it. The function is not `async`, takes the version of the stored state and the state as JSON,
/// and returns the state in the current form. If it fails, the agent does not start, and the stored state remains
/// unchanged.
#[proc_macro_attribute]
pub fn migrate(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray(Mark::Migrate, &item.into()).into()
}

/// Makes a struct readable from a request's parameters: each field is a parameter.
///
/// ```
/// use openagents_sdk::prelude::*;
///
/// #[derive(JobParams)]
/// struct GenerationParams {
///     /// The longest output, in tokens.
///     #[param(default = 512, min = 1, max = 4096)]
///     max_tokens: u32,
///     #[param(alias = "top-k")]
///     top_k: Option<u32>,
///     /// Words at which the output ends.
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
/// # use openagents_sdk::__private::params_schema;
/// # let schema = params_schema(GenerationParams::DECLARATIONS);
/// # assert_eq!(schema.pointer("/properties/max_tokens/maximum").unwrap(), 4096);
/// # assert_eq!(schema.pointer("/required").unwrap().to_string(), r#"["model"]"#);
/// ```
///
/// | field | reads |
/// |---|---|
/// | `T` | the first value; without one, the `default`, or the job fails |
/// | `Option<T>` | the first value, if any |
/// | `Vec<T>` | all values of all its tags, in order |
///
/// `T` is `String`, `bool`, a number, `PublicKey`, `EventId`, `Timestamp`, an enum with [`macro@ParamChoice`], or any
/// other `ParamValue`. The field's doc comment describes the parameter to customers. If a value is invalid, the job
/// fails, and the customer is told what is accepted; parameters without a field are ignored.
///
/// | `#[param(…)]` | meaning |
/// |---|---|
/// | `name = "…"` | the key; default: the field's name |
/// | `alias = "…"` | another accepted key; can be repeated |
/// | `default = 512` | the value if none is given: a number, `true` or `false`, or text |
/// | `min = 1`, `max = 4096` | the smallest and the largest accepted number |
/// | `choices("…", …)` | the accepted values of a text |
#[proc_macro_derive(JobParams, attributes(param))]
pub fn derive_job_params(item: TokenStream) -> TokenStream {
    params::expand(item.into()).into()
}

/// Makes an enum the type of a parameter: its variants are the accepted values.
///
/// ```
/// use openagents_sdk::ParamValue;
/// use openagents_sdk::prelude::*;
///
/// /// The order of the profiles.
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
/// Variants have no fields. Their values are written in `kebab-case`; `#[param(rename_all = "…")]` on the enum
/// changes that to `snake_case`, `camelCase`, `lowercase` or `PascalCase`, and `#[param(name = "…")]` on a variant
/// sets any other value. `#[param(alias = "…")]` on a variant, which can be repeated, accepts other spellings. The
/// doc comments of the enum and its variants describe a parameter whose field has no doc comment.
#[proc_macro_derive(ParamChoice, attributes(param))]
pub fn derive_param_choice(item: TokenStream) -> TokenStream {
    params::choice::expand(item.into()).into()
}

#[doc = include_str!("deployment.md")]
#[proc_macro]
pub fn deployment(fields: TokenStream) -> TokenStream {
    deployment::expand(fields.into()).into()
}

#[doc = include_str!("serialize.md")]
#[proc_macro_derive(Serialize, attributes(serde))]
pub fn derive_serialize(item: TokenStream) -> TokenStream {
    serde_derives::expand(SerdeTrait::Serialize, item.into()).into()
}

#[doc = include_str!("deserialize.md")]
#[proc_macro_derive(Deserialize, attributes(serde))]
pub fn derive_deserialize(item: TokenStream) -> TokenStream {
    serde_derives::expand(SerdeTrait::Deserialize, item.into()).into()
}
