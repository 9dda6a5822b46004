//! An agent with every attribute that marks a method: handlers, prices, schedules and hooks.

#![deny(warnings)]

use std::time::Duration;

use openagents_sdk::__private::{FromAgent, Hooks, Run};
use openagents_sdk::declaration::{RouteMethod, ScheduleRule};
use openagents_sdk::prelude::*;
use openagents_sdk::serde_json::{Value, json};
use openagents_sdk::{Agent, Bytes, HeaderMap, Jobs, RouteContext, RouteRequest, RouteResponse, StatusCode};

type Answer = JobResult<()>;

/// An argument of the author's own.
struct Began(u64);

impl FromAgent for Began {
    fn from_agent(context: &AgentContext) -> Self {
        Self(context.began().as_seconds())
    }
}

#[agent(name = "every-mark", state_version = 3)]
#[derive(Default, Serialize, Deserialize)]
struct EveryMark {
    runs: u64,
}

#[jobs]
impl EveryMark {
    const FEE: Price = Price::sat(2);

    #[job(kind = 5050)]
    async fn write(&self, context: &AgentContext) -> JobResult<String> {
        Ok(context.agent().to_hex())
    }

    #[price(kind = 5050)]
    fn price_of_writing(&self, request: &JobRequest) -> Price {
        if request.bid.is_some() { Self::FEE } else { Price::FREE }
    }

    #[schedule(once)]
    async fn when_asked(&self, context: AgentContext) -> Answer {
        context.schedule("later").key("a").cancel()?;
        context.payload()
    }

    #[schedule(once, name = "later", timeout = "5m")]
    async fn when_asked_alone(&mut self) -> Answer {
        Ok(())
    }

    #[job(kind = 5051, price = "1000 msat")]
    async fn fixed(&self) -> Answer {
        Ok(())
    }

    #[job(kind = 5052, price = "free")]
    async fn free(&self) -> Answer {
        Ok(())
    }

    #[job(kind = 5053)]
    async fn quoted(&self) -> Answer {
        Ok(())
    }

    #[cfg(any())]
    #[price(kind = 5053)]
    fn price_of_quoted(&self, request: &JobRequest) -> Missing {}

    #[cfg(not(any()))]
    #[openagents_sdk::price(kind = 5053)]
    fn price_of_quoted(&self, _: &openagents_sdk::JobRequest) -> JobResult<Price> {
        Err(JobError::failed("not today"))
    }

    /// Brings it up to date.
    #[schedule(every = "10m")]
    async fn refresh(&mut self, context: AgentContext, began: &Began) -> JobResult<()> {
        self.runs += began.0.min(context.began().as_seconds());
        Ok(())
    }

    #[schedule(cron = "0 3 * * MON-FRI", name = "nightly", timeout = "5m")]
    async fn tidy(&self) -> Result<(), std::fmt::Error> {
        Err(std::fmt::Error)
    }

    #[cfg(any())]
    #[schedule(every = "1s")]
    async fn tick(&self) -> Missing {}

    /// Replies.
    #[event(kind = 1, mentions)]
    async fn mentioned(&mut self, note: &NostrEvent, session: Session, context: AgentContext) -> Answer {
        session.say("user", note.content.as_str());
        self.runs += context.began().as_seconds().min(1);
        Ok(())
    }

    #[event(kind = 7, mentions, timeout = "5m")]
    async fn liked(&self) -> Answer {
        Ok(())
    }

    #[cfg(any())]
    #[event(kind = 1, mentions)]
    async fn not_here(&self) -> Missing {}

    #[cfg(any())]
    #[direct_message]
    async fn nor_here(&self) -> Missing {}

    /// Answers.
    #[direct_message(timeout = "2m")]
    async fn answer(
        &self,
        message: DirectMessage,
        text: &Text,
        session: &Session,
        context: AgentContext,
    ) -> JobResult<Option<String>> {
        session.say("user", text.as_str());
        Ok((message.author() != context.agent()).then(|| message.text().to_owned()))
    }

    /// Takes a push.
    #[route(POST, "/hook")]
    async fn hook(&mut self, body: &Text, Json(value): Json<Value>) -> JobResult<String> {
        self.runs += 1;
        Ok(format!("{body} {value}"))
    }

    #[route(GET, "/runs/now", timeout = "500ms", max_bytes = 0)]
    async fn now(
        &self,
        request: &RouteRequest,
        headers: HeaderMap,
        body: Bytes,
        params: Params,
        context: &RouteContext,
        agent: AgentContext,
    ) -> Result<RouteResponse, std::fmt::Error> {
        let _ = (request.query(), headers.len(), params.first("a"), context.request(), agent.began());
        Ok(RouteResponse::bytes(body).with_status(StatusCode::ACCEPTED))
    }

    #[route(DELETE, "/hook")]
    async fn unhook(&self) -> Answer {
        Ok(())
    }

    #[cfg(any())]
    #[route(PUT, "/hook")]
    async fn not_there(&self) -> Missing {}

    #[on_create]
    async fn begin(&mut self, _: &AgentContext) -> Answer {
        Ok(())
    }

    #[on_wake]
    async fn wake(&self) -> JobResult<()> {
        Ok(())
    }

    #[cfg(any())]
    #[on_sleep]
    async fn sleep(&self) -> Missing {}

    #[on_error]
    async fn remember(&mut self, context: AgentContext) -> JobResult<()> {
        self.runs += u64::from(context.failure().is_some());
        Ok(())
    }

    #[migrate]
    fn migrate(version: u32, mut state: Value) -> JobResult<Value> {
        state["runs"] = json!(version);
        Ok(state)
    }
}

/// So are routes.
mod over_http {
    use super::*;

    #[agent(name = "over-http")]
    #[derive(Default, Serialize, Deserialize)]
    pub struct OverHttp;

    #[jobs]
    impl OverHttp {
        #[route(GET, "/route")]
        async fn route(&self) -> JobResult<&'static str> {
            Ok("here")
        }
    }
}

/// Schedules alone are an agent as well, and the names of the marks remain free.
mod by_the_clock {
    use super::*;

    #[agent(name = "by-the-clock", state_version = 2)]
    #[derive(Default, Serialize, Deserialize)]
    pub struct ByTheClock;

    #[jobs]
    impl ByTheClock {
        #[schedule(every = "1d")]
        async fn schedule(&self) -> JobResult<()> {
            Self::price(Self::migrate)
        }

        fn price<T>(_: T) -> JobResult<()> {
            Ok(())
        }

        #[cfg(any())]
        #[migrate]
        fn migrate(version: u32, state: Value) -> Missing {}

        #[cfg(not(any()))]
        #[migrate]
        fn migrate(_: u32, state: Value) -> Result<Value, std::fmt::Error> {
            Ok(state)
        }
    }
}

#[test]
fn is_accepted() {
    assert_eq!(EveryMark::DECLARATION.state_version, 3);
    let agent = EveryMark::default();

    let prices: Vec<Price> = EveryMark::HANDLERS.iter().map(|handler| handler.declaration.price).collect();
    assert_eq!(prices, [Price::FREE, Price::sat(1), Price::FREE, Price::FREE]);
    let quoted: Vec<bool> = EveryMark::HANDLERS.iter().map(|handler| handler.quote.is_some()).collect();
    assert_eq!(quoted, [true, false, false, true]);

    let [when_asked, later, refresh, tidy] = EveryMark::SCHEDULES else { panic!("four schedules") };
    for (once, name, seconds) in [(when_asked, "when_asked", 60), (later, "later", 300)] {
        assert_eq!((once.declaration.name, once.declaration.rule), (name, ScheduleRule::Once));
        assert_eq!(once.declaration.timeout, Duration::from_secs(seconds));
    }
    assert!(later.run.is_exclusive() && !when_asked.run.is_exclusive());
    assert_eq!((refresh.declaration.name, refresh.declaration.about), ("refresh", "Brings it up to date."));
    assert_eq!(refresh.declaration.rule, ScheduleRule::Every(Duration::from_secs(600)));
    assert_eq!(refresh.declaration.timeout, Duration::from_secs(60));
    assert!(refresh.run.is_exclusive());
    assert_eq!(
        (tidy.declaration.name, tidy.declaration.rule),
        ("nightly", ScheduleRule::Cron("0 3 * * MON-FRI"))
    );
    assert_eq!(tidy.declaration.timeout, Duration::from_secs(300));

    let [mentioned, liked] = EveryMark::EVENTS else { panic!("two functions for events") };
    assert_eq!((mentioned.declaration.kind, mentioned.declaration.name), (1, "mentioned"));
    assert_eq!(
        (mentioned.declaration.about, mentioned.declaration.timeout),
        ("Replies.", Duration::from_secs(60))
    );
    assert_eq!((liked.declaration.kind, liked.declaration.timeout), (7, Duration::from_secs(300)));
    assert!(mentioned.run.is_exclusive() && !liked.run.is_exclusive());
    let answer = EveryMark::DIRECT_MESSAGE.expect("a function for direct messages");
    assert_eq!((answer.declaration.name, answer.declaration.timeout), ("answer", Duration::from_secs(120)));

    let [hook, now, unhook] = EveryMark::ROUTES else { panic!("three routes") };
    assert_eq!((hook.declaration.method, hook.declaration.path), (RouteMethod::Post, "/hook"));
    assert_eq!((hook.declaration.about, hook.declaration.max_bytes), ("Takes a push.", 100_000));
    assert_eq!(hook.declaration.timeout, Duration::from_secs(10));
    assert_eq!((now.declaration.timeout, now.declaration.max_bytes), (Duration::from_millis(500), 0));
    assert!(hook.run.is_exclusive() && !now.run.is_exclusive());
    assert_eq!(unhook.declaration.method, RouteMethod::Delete);

    let Hooks { on_create, on_wake, on_sleep, on_error, migrate } = EveryMark::HOOKS;
    assert!(matches!((on_create, on_wake), (Some(Run::Exclusive(_)), Some(Run::Shared(_)))));
    assert!(on_sleep.is_none() && on_error.is_some());
    assert_eq!(migrate.unwrap()(1, json!({})).unwrap(), json!({ "runs": 1 }));
    assert_eq!(agent.runs, 0);

    use by_the_clock::ByTheClock;
    assert!(ByTheClock::HANDLERS.is_empty() && ByTheClock::HOOKS.migrate.is_some());
    assert_eq!(ByTheClock::SCHEDULES.len(), 1);
    assert_eq!(over_http::OverHttp::ROUTES.len(), 1);
}
