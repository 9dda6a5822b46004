use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use openagents_host::net::Reach;
use openagents_host::{Event, EventId, Keys, UnsignedEvent};
use openagents_relay::Filter;
use serde::{Deserialize, Serialize};

use super::*;
use crate::author::agent::{Agent, StateJson};
use crate::author::handler::{Handler, Hooks, Run, Schedule};
use crate::declaration::{AgentDeclaration, JobDeclaration};
use crate::engine::{Report, StateQuery, StateReply, StateSnapshot, Task};
use crate::error::JobError;
use crate::nip90::JobRequest;
use crate::payment::wallet::{Invoice, InvoiceRequest, Settlement};
use crate::price::Price;

#[derive(Default, Serialize, Deserialize)]
struct Sleeper;

impl Agent for Sleeper {
    const DECLARATION: AgentDeclaration = AgentDeclaration::new("sleeper");
    const STATE: StateJson<Self> = StateJson::by_serde();
}

impl Jobs for Sleeper {
    const HANDLERS: &'static [Handler<Self>] = &[Handler {
        declaration: JobDeclaration::new(5000, "sleep"),
        quote: None,
        run: Run::Shared(|_, _| Box::pin(std::future::pending())),
    }];
    const SCHEDULES: &'static [Schedule<Self>] = &[];
    const HOOKS: Hooks<Self> = Hooks::NONE;
}

/// A host whose relay never answers.
struct SilentHost {
    keys: Keys,
}

#[async_trait]
impl HandlerHost for SilentHost {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn reach(&self) -> Reach {
        Reach::default()
    }

    fn report(&self, _: Lease, _: Report) {}

    async fn query_state(&self, _: StateQuery) -> Result<StateReply, JobError> {
        Ok(StateReply::Keys(Vec::new()))
    }

    async fn events(&self, _: Vec<Filter>) -> Result<Vec<Event>, JobError> {
        std::future::pending().await
    }
}

/// A wallet that always fails in one way.
struct FailingWallet(WalletError);

#[async_trait]
impl Wallet for FailingWallet {
    async fn invoice(&self, _: &InvoiceRequest) -> Result<Invoice, WalletError> {
        Err(self.0.clone())
    }

    async fn settlement(&self, _: &Invoice) -> Result<Settlement, WalletError> {
        Err(self.0.clone())
    }
}

fn host() -> Arc<SilentHost> {
    Arc::new(SilentHost { keys: Keys::from_secret(&[4; 32]).unwrap() })
}

fn services(host: &Arc<SilentHost>, wallet: Option<WalletError>) -> Services<Sleeper> {
    let wallet = wallet.map(|error| Arc::new(FailingWallet(error)) as Arc<dyn Wallet>);
    Services::new(Arc::default(), Arc::clone(host) as _, wallet)
}

fn awaited(action: Option<HostAction>) -> EffectFuture {
    match action {
        Some(HostAction::Await(work)) => work,
        _ => panic!("there is nothing to wait for"),
    }
}

fn started(services: &Services<Sleeper>, lease: Lease, request: &JobRequest) -> EffectFuture {
    let task = Task::Job { handler: 0, request: Box::new(request.clone()), outputs: vec![] };
    let effect = Effect::Run { lease, task, state: StateSnapshot::default() };
    match services.carry_out(Timestamp::EPOCH, effect) {
        Some(HostAction::Run(run)) => run,
        _ => panic!("nothing runs"),
    }
}

fn request() -> JobRequest {
    let keys = Keys::from_secret(&[3; 32]).unwrap();
    let event = UnsignedEvent::new(openagents_host::Kind(5000), "").sign(&keys, Timestamp::EPOCH);
    JobRequest::from_event(event).unwrap()
}

#[tokio::test]
async fn tells_the_engine_why_a_wallet_gave_no_answer() {
    let job = EventId::from_bytes([7; 32]);
    for (wallet, expected) in [
        (Some(WalletError::Unreachable("no route".into())), WalletError::Unreachable("no route".into())),
        (Some(WalletError::Refused("no".into())), WalletError::Refused("no".into())),
        (None, WalletError::NoWallet),
    ] {
        let services = services(&host(), wallet);
        let request = InvoiceRequest {
            price: Price::sat(1),
            memo: String::new(),
            expiry: Duration::from_secs(60),
            hold: None,
        };
        let effect = Effect::Invoice { job, request };
        match awaited(services.carry_out(Timestamp::EPOCH, effect)).await {
            Some(Input::Invoiced { job: of, invoice }) => {
                assert_eq!((of, invoice), (job, Err(expected.clone())));
            }
            other => panic!("{other:?}"),
        }
        let invoice = Invoice {
            bolt11: String::new(),
            payment_hash: String::new(),
            expires_at: Timestamp::EPOCH,
            verify_url: None,
        };
        let effect = Effect::Settlement { job, invoice };
        match awaited(services.carry_out(Timestamp::EPOCH, effect)).await {
            Some(Input::Settled { job: of, settlement }) => {
                assert_eq!((of, settlement), (job, Err(expected)));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_aborted_run_ends_and_reports_nothing() {
    let services = services(&host(), None);
    let request = request();
    let lease = Lease { run: RunId::Job(request.id()), attempt: 1 };
    let run = tokio::spawn(started(&services, lease, &request));
    tokio::task::yield_now().await;
    assert!(services.carry_out(Timestamp::EPOCH, Effect::Abort { lease }).is_none());
    assert!(run.await.unwrap().is_none());
}

#[tokio::test]
async fn the_end_of_an_attempt_leaves_a_later_one_alone() {
    let services = services(&host(), None);
    let request = request();
    let lease = |attempt| Lease { run: RunId::Job(request.id()), attempt };
    let first = started(&services, lease(1), &request);
    let mut second = Box::pin(started(&services, lease(2), &request));
    drop(first);
    services.carry_out(Timestamp::EPOCH, Effect::Abort { lease: lease(1) });
    assert!(futures_util::poll!(&mut second).is_pending());
    services.carry_out(Timestamp::EPOCH, Effect::Abort { lease: lease(2) });
    assert!(second.await.is_none());
}

/// A wallet that never answers.
#[derive(Default)]
struct SilentWallet(AtomicUsize);

#[async_trait]
impl Wallet for SilentWallet {
    async fn invoice(&self, _: &InvoiceRequest) -> Result<Invoice, WalletError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }

    async fn settlement(&self, _: &Invoice) -> Result<Settlement, WalletError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }
}

#[tokio::test]
async fn calls_the_wallet_for_sixteen_jobs_at_once() {
    let wallet = Arc::new(SilentWallet::default());
    let services: Services<Sleeper> =
        Services::new(Arc::default(), host() as _, Some(Arc::clone(&wallet) as Arc<dyn Wallet>));
    let mut going = tokio::task::JoinSet::new();
    for number in 0..20 {
        let job = EventId::from_bytes([number; 32]);
        let request = InvoiceRequest {
            price: Price::sat(1),
            memo: String::new(),
            expiry: Duration::from_secs(60),
            hold: None,
        };
        going.spawn(awaited(services.carry_out(Timestamp::EPOCH, Effect::Invoice { job, request })));
        let invoice = Invoice {
            bolt11: String::new(),
            payment_hash: String::new(),
            expires_at: Timestamp::EPOCH,
            verify_url: None,
        };
        going.spawn(awaited(services.carry_out(Timestamp::EPOCH, Effect::Settlement { job, invoice })));
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(wallet.0.load(Ordering::Relaxed), 16);
}
