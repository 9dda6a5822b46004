//! `TestAgentBuilder`: sets the key, state and wallet of a test's agent.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use openagents_host::native::Sqlite;
use openagents_host::net::AllowedOrigins;
use openagents_host::sql::values;
use openagents_host::{Engine, Keys, Sql, Timestamp};
use serde_json::Value;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;

use super::agent::TestAgent;
use super::blobs::TestBlobs;
use super::clock::Clock;
use super::failure::{OrFail, fail};
use super::handler_host::TestHandlerHost;
use super::host::{TestHost, TestHostConfig};
use super::idle::Idle;
use super::provider::TestProvider;
use super::wallet::TestWallet;
use super::web::Web;
use crate::author::agent::Jobs;
use crate::declared_variables::DeclaredVariables;
use crate::engine::{JobEngine, Options};
use crate::payment::wallet::Wallet;
use crate::runner;

/// 2026-01-01 00:00:00 UTC, a Thursday.
const NEW_YEAR: Timestamp = Timestamp::from_seconds(1_767_225_600);

impl<A: Jobs> TestAgent<A> {
    /// Starts a new agent with a [`TestWallet`].
    ///
    /// # Panics
    /// Within `#[tokio::test]`: the agent has a runtime of its own.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Configures an agent before it starts.
    ///
    /// ```no_run
    /// # use openagents_sdk::testing::TestAgent;
    /// # fn test<Greeter: openagents_sdk::Jobs>() {
    /// use serde_json::json;
    ///
    /// let agent = TestAgent::<Greeter>::builder().stored_state(1, json!({ "greeted": 41 })).without_wallet().start();
    /// # }
    /// # use openagents_sdk::serde_json;
    /// ```
    pub fn builder() -> TestAgentBuilder<A> {
        TestAgentBuilder::new()
    }
}

/// Configures an agent before it starts. See [`TestAgent::builder`].
#[must_use = "the agent is started by `start`"]
pub struct TestAgentBuilder<A> {
    keys: Option<Keys>,
    date: Timestamp,
    allowed_origins: AllowedOrigins,
    providers: Vec<TestProvider>,
    state: Option<(u32, Value)>,
    wallet: Attached,
    variables: BTreeMap<String, String>,
    agent: PhantomData<A>,
}

enum Attached {
    None,
    Test,
    Other(Arc<dyn Wallet>),
}

impl<A: Jobs> TestAgentBuilder<A> {
    pub(super) fn new() -> Self {
        Self {
            keys: None,
            date: NEW_YEAR,
            allowed_origins: AllowedOrigins::default(),
            providers: Vec::new(),
            state: None,
            wallet: Attached::Test,
            variables: BTreeMap::new(),
            agent: PhantomData,
        }
    }

    /// Sets the agent's keys. The default is a fixed key.
    pub fn keys(mut self, keys: &Keys) -> Self {
        self.keys = Some(keys.clone());
        self
    }

    /// Sets the time at which the test starts. The default is 2026-01-01 at 00:00:00 UTC.
    pub fn date(mut self, date: Timestamp) -> Self {
        self.date = date;
        self
    }

    /// Sets the agent's state, as if earlier jobs had left it.
    ///
    /// # Panics
    /// When the state cannot be written as JSON.
    #[track_caller]
    pub fn state(self, state: &A) -> Self {
        let json = A::STATE.write(state).or_fail("the state cannot be written as JSON");
        let json = serde_json::from_str(&json).or_fail("the state is not JSON");
        self.stored_state(A::DECLARATION.state_version, json)
    }

    /// Sets a stored state, as if a release with this `state_version` had left it.
    pub fn stored_state(mut self, state_version: u32, state: Value) -> Self {
        self.state = Some((state_version, state));
        self
    }

    /// Sets a variable that the agent declares.
    ///
    /// # Panics
    /// When the agent does not declare it.
    #[track_caller]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        if !A::DECLARATION.variables.iter().any(|declared| declared.name == name) {
            fail(format_args!(
                "the variable `{name}` is not declared: write `#[agent(…, variables(\"{name}\"))]`"
            ));
        }
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a secret that the agent declares.
    ///
    /// # Panics
    /// When the agent does not declare it.
    #[track_caller]
    pub fn secret(mut self, name: &str, value: impl Into<String>) -> Self {
        if !A::DECLARATION.secrets.contains(&name) {
            fail(format_args!(
                "the secret `{name}` is not declared: write `#[agent(…, secrets(\"{name}\"))]`"
            ));
        }
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the wallet, in place of a [`TestWallet`].
    pub fn wallet(mut self, wallet: impl Wallet + 'static) -> Self {
        self.wallet = Attached::Other(Arc::new(wallet));
        self
    }

    /// Removes the wallet.
    pub fn without_wallet(mut self) -> Self {
        self.wallet = Attached::None;
        self
    }

    /// Adds another agent, for handlers that [hire](crate::AgentContext::hire) it: on the agent's own relay and on external
    /// ones.
    pub fn hires(mut self, provider: TestProvider) -> Self {
        self.providers.push(provider);
        self
    }

    /// Lets handlers reach private or unencrypted servers by HTTP, as the variable `AGENT_HTTP_ALLOWED_ORIGINS` does.
    ///
    /// # Panics
    /// When one is not an origin such as `http://127.0.0.1:11434`.
    #[track_caller]
    pub fn allowed_origins<'a>(mut self, origins: impl IntoIterator<Item = &'a str>) -> Self {
        self.allowed_origins = AllowedOrigins::parse(origins).or_fail("an origin cannot be allowed");
        self
    }

    /// Starts the agent.
    ///
    /// # Panics
    /// When a variable or secret that must be set is not, when the stored state cannot be read, and within `#[tokio::test]`: the agent has a runtime of its own.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> TestAgent<A> {
        if Handle::try_current().is_ok() {
            fail(format_args!(
                "a test agent has a runtime of its own: use #[test] instead of #[tokio::test]"
            ));
        }
        // Show logs and errors of handlers in the test's output. Another test may have set this up already.
        let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::INFO).try_init();
        let variables = DeclaredVariables::read(&A::DECLARATION, |name| self.variables.get(name).cloned());
        let variables = match variables {
            Ok(variables) => variables,
            Err(missing) => fail(format_args!(
                "the agent needs {}: set them with `.variable(\"NAME\", \"value\")` and `.secret(\"NAME\", \"value\")` \
                 of `TestAgent::builder()`",
                missing.names()
            )),
        };
        let idle = Idle::default();
        let parks = idle.clone();
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .on_thread_park(move || parks.parks())
            .build()
            .or_fail("the test's runtime cannot start");
        let clock = Clock::set_to(self.date, runtime.handle());
        let keys = self.keys.unwrap_or_else(|| Keys::from_secret(&[0xa6; 32]).or_fail("the agent's keys"));
        let sql = Sqlite::in_memory().or_fail("the agent's database cannot start");
        if let Some((version, state)) = &self.state {
            store::<A>(&sql, &keys, &clock, *version, state);
        }
        let test_wallet = TestWallet::new(clock.clone());
        let (wallet, test_wallet): (Option<Arc<dyn Wallet>>, _) = match self.wallet {
            Attached::None => (None, None),
            Attached::Test => (Some(Arc::new(test_wallet.clone())), Some(test_wallet)),
            Attached::Other(wallet) => (Some(wallet), None),
        };
        let web = Arc::new(Web::allowing(self.allowed_origins));
        let blobs = TestBlobs::default();
        let (sender, requests) = mpsc::unbounded_channel();
        let host = TestHandlerHost {
            keys,
            variables,
            requests: sender,
            web: Arc::clone(&web),
            blobs: blobs.clone(),
            clock: clock.clone(),
        };
        let host = TestHost::set(TestHostConfig {
            sql,
            clock,
            idle,
            wallet,
            providers: self.providers,
            host,
            requests,
        });
        TestAgent::begin(host, runtime, test_wallet, web, blobs)
    }
}

/// Stores a state as an earlier process would have.
#[track_caller]
fn store<A: Jobs>(sql: &Sqlite, keys: &Keys, clock: &Clock, version: u32, state: &Value) {
    let spec = runner::agent_spec::<A>();
    let engine = JobEngine::open(sql.clone(), keys.clone(), spec, Options::default(), clock.now());
    let engine = engine.or_fail("the agent's database cannot start");
    let stored = engine.sql().execute(
        "INSERT INTO state (one, json, version, stored_at, form) VALUES (1, ?, 1, ?, ?)",
        values![&state.to_string(), clock.now(), version],
    );
    stored.or_fail("the state cannot be stored");
}
