//! The attributes of the OpenAgents SDK: [`macro@agent`], [`macro@jobs`] and [`macro@job`].
//!
//! Use them through `openagents_sdk::prelude`; what they write names `::openagents_sdk` and nothing else, so a
//! crate needs no other dependency. Every mistake in an attribute is an error at the token that holds it and says what is
//! accepted; the item itself is always kept, so that one mistake does not bring others with it.

mod agent;
mod arguments;
mod documentation;
mod duration;
mod jobs;
mod mistakes;
mod name;

use proc_macro::TokenStream;

/// Makes a struct an agent: its fields are the durable state, its attribute the declaration.
///
/// ```ignore
/// /// Greets whoever asks.
/// #[agent(name = "hello-world")]
/// #[derive(Default, Serialize, Deserialize)]
/// pub struct HelloWorld { greeted: u64 }
/// ```
///
/// | argument | type | meaning |
/// |---|---|---|
/// | `name` | text, required | the agent's name: 1 to 64 lowercase letters, digits and hyphens; the manifest's name and NIP-89's `d` |
/// | `about` | text | what the agent does; the struct's doc comment when left out |
/// | `version` | text | the agent's version; the crate's when left out |
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

/// Collects the job handlers of an agent: the methods of this impl block that are marked [`macro@job`].
///
/// ```ignore
/// #[jobs]
/// impl HelloWorld {
///     /// Say hello to the name given as input.
///     #[job(kind = 5050)]
///     async fn hello(&mut self, name: Text) -> JobResult<String> {
///         self.greeted += 1;
///         Ok(format!("Hello, {name}!"))
///     }
/// }
/// ```
///
/// It takes no arguments. An agent has one such block; methods without `#[job]` stay as they are.
#[proc_macro_attribute]
pub fn jobs(arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand(arguments.into(), item.into()).into()
}

/// Marks a method of a [`macro@jobs`] block as the handler of a kind of job request.
///
/// | argument | type | meaning |
/// |---|---|---|
/// | `kind` | number, required | the kind of request it answers, 5000 to 5999 (NIP-90); one handler for each kind |
/// | `name` | text | its name in the manifest; the method's when left out |
/// | `timeout` | text | how long an attempt may run: `"500ms"`, `"60s"`, `"10m"`, from 100 ms to 10 minutes; 60 s when left out |
/// | `attempts` | number | how often it is tried when it fails retryably or is interrupted, 1 to 10; 3 when left out |
///
/// The method's doc comment tells customers what the job does.
///
/// A handler is an `async fn`. With `&self` it runs beside other such handlers; with `&mut self` it runs alone, and what
/// it changes is committed together with its outcome. Each argument is taken from the job by its type (`FromJob`), or
/// from a reference to that type. It returns `JobResult<T>`, where `T` can be an output (`IntoOutput`).
#[proc_macro_attribute]
pub fn job(_arguments: TokenStream, item: TokenStream) -> TokenStream {
    jobs::expand_stray_job(&item.into()).into()
}
