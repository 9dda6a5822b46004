//! Jobs that are paid through Nostr Wallet Connect (NIP-47): before they run, or with a held payment.

use std::time::Duration;

use openagents_tests::events::{fresh_author, tags};
use openagents_tests::jobs::{
    Conversation, ask, ask_for_invoice, follow, follow_until, listen, request, status_text,
};
use openagents_tests::nwc::{NwcAccount, WalletService};
use openagents_tests::server::Server;
use openagents_tests::wire::Client;

use crate::servers::{Servers, scenarios};

scenarios![
    a_job_is_done_after_its_invoice_is_paid,
    a_service_of_another_library_is_paid_too,
    a_job_is_refused_if_the_wallet_cannot_hold_its_payment,
    a_held_payment_is_taken_before_the_result_is_published,
    a_held_payment_of_a_failed_job_is_returned,
    a_held_payment_is_taken_after_the_agent_was_killed,
    a_held_payment_is_returned_after_the_agent_was_killed,
    a_wallet_that_is_away_holds_jobs_up_until_it_is_back,
];

const PATIENCE: Duration = Duration::from_secs(60);

const PRICE_MSAT: u64 = 21_000;

/// What a customer has at first.
const FUNDS_MSAT: u64 = 100_000;

/// A job that is paid before it runs.
const CHARGE: u16 = 5934;

/// A job whose payment is held.
const EARN: u16 = 5936;

/// A `clock` that is paid through a wallet service, and a customer of that service.
struct PaidClock {
    service: WalletService,
    server: Server,
    wallet: NwcAccount,
    customer: NwcAccount,
}

impl PaidClock {
    async fn open(servers: &Servers) -> Self {
        let service = WalletService::start(&servers.hello_world().url()).expect("it starts");
        let wallet = service.account(0).await;
        Self::of(servers, service, wallet).await
    }

    /// With a wallet that npm's `@getalby/sdk` serves.
    async fn open_by_alby(servers: &Servers) -> Self {
        let service = WalletService::start(&servers.hello_world().url()).expect("it starts");
        let wallet = service.account_of_alby().await;
        Self::of(servers, service, wallet).await
    }

    async fn of(servers: &Servers, service: WalletService, wallet: NwcAccount) -> Self {
        let customer = service.account(FUNDS_MSAT).await;
        let server =
            servers.own_with("clock", &[("WALLET", "nwc".to_owned()), ("NWC_URL", wallet.uri.clone())]);
        Self { service, server, wallet, customer }
    }

    async fn balances(&self) -> (u64, u64) {
        (self.service.balance(&self.wallet).await, self.service.balance(&self.customer).await)
    }
}

async fn a_job_is_done_after_its_invoice_is_paid(servers: &Servers) {
    is_paid_before(&PaidClock::open(servers).await).await;
}

async fn a_service_of_another_library_is_paid_too(servers: &Servers) {
    is_paid_before(&PaidClock::open_by_alby(servers).await).await;
}

async fn a_job_is_refused_if_the_wallet_cannot_hold_its_payment(servers: &Servers) {
    let paid = PaidClock::open_by_alby(servers).await;
    let mut client = Client::connect(&paid.server.url()).await;
    let request = request(&fresh_author(), EARN, Some(paid.server.agent()), "some", &[]);
    let said = ask(&mut client, &request).await;
    assert_eq!(status_text(said.error()), "the agent could not make an invoice");
    let log = paid.server.log_with("no invoice for job").await;
    assert!(log.contains("this wallet has no hold invoices (`make_hold_invoice`, NIP-47)"), "{log}");
}

async fn is_paid_before(paid: &PaidClock) {
    let mut client = Client::connect(&paid.server.url()).await;
    let request = request(&fresh_author(), CHARGE, Some(paid.server.agent()), "", &[]);
    let (mut said, invoice) = ask_for_invoice(&mut client, &request).await;
    assert_eq!(tags(&said.feedback[0], "amount")[0][1], PRICE_MSAT.to_string());
    assert!(invoice.starts_with("lnbcrt210n1"), "{invoice}");
    assert!(paid.service.pay(&paid.customer, &invoice).await);
    follow(&mut client, &request, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "paid");
    assert_eq!(paid.balances().await, (PRICE_MSAT, FUNDS_MSAT - PRICE_MSAT));
    assert!(!paid.service.pay(&paid.customer, &invoice).await, "it is paid once");
    let log = paid.server.log_tail();
    assert!(!log.contains(paid.wallet.secret()), "{log}");
}

async fn a_held_payment_is_taken_before_the_result_is_published(servers: &Servers) {
    let paid = PaidClock::open(servers).await;
    let mut client = Client::connect(&paid.server.url()).await;
    let request =
        request(&fresh_author(), EARN, Some(paid.server.agent()), "this", &[("milliseconds", "3000")]);
    let (mut said, invoice) = ask_for_invoice(&mut client, &request).await;
    assert!(paid.service.pay(&paid.customer, &invoice).await);
    assert_eq!(paid.balances().await, (0, FUNDS_MSAT - PRICE_MSAT), "the payment is held");
    follow(&mut client, &request, &mut said, PATIENCE).await;
    assert_eq!(paid.balances().await, (PRICE_MSAT, FUNDS_MSAT - PRICE_MSAT));
    assert_eq!(said.result().content, "this is done");
}

async fn a_held_payment_of_a_failed_job_is_returned(servers: &Servers) {
    let paid = PaidClock::open(servers).await;
    let mut client = Client::connect(&paid.server.url()).await;
    let request = request(&fresh_author(), EARN, Some(paid.server.agent()), "fail", &[]);
    let (mut said, invoice) = ask_for_invoice(&mut client, &request).await;
    assert!(paid.service.pay(&paid.customer, &invoice).await);
    follow(&mut client, &request, &mut said, PATIENCE).await;
    let told = status_text(said.error());
    assert!(told.contains("nothing was earned") && told.contains("your payment is returned"), "{told}");
    returned(&paid).await;
}

async fn a_held_payment_is_taken_after_the_agent_was_killed(servers: &Servers) {
    let paid = PaidClock::open(servers).await;
    let said = killed_while_the_payment_is_held(&paid, "that").await;
    assert_eq!(said.result().content, "that is done");
    assert_eq!(paid.balances().await, (PRICE_MSAT, FUNDS_MSAT - PRICE_MSAT));
}

async fn a_held_payment_is_returned_after_the_agent_was_killed(servers: &Servers) {
    let paid = PaidClock::open(servers).await;
    let said = killed_while_the_payment_is_held(&paid, "fail").await;
    assert!(status_text(said.error()).contains("your payment is returned"));
    returned(&paid).await;
}

/// Kills the agent after a hold invoice is paid and before anything else is done, and returns what is said afterwards.
async fn killed_while_the_payment_is_held(paid: &PaidClock, input: &str) -> Conversation {
    let request = request(&fresh_author(), EARN, Some(paid.server.agent()), input, &[]);
    let mut client = Client::connect(&paid.server.url()).await;
    let (_, invoice) = ask_for_invoice(&mut client, &request).await;
    paid.server.kill();
    assert!(paid.service.pay(&paid.customer, &invoice).await);
    paid.server.kill_and_restart().expect("it starts again");
    let mut client = Client::connect(&paid.server.url()).await;
    let mut said = listen(&mut client, &request).await;
    follow(&mut client, &request, &mut said, PATIENCE).await;
    said
}

async fn a_wallet_that_is_away_holds_jobs_up_until_it_is_back(servers: &Servers) {
    let paid = PaidClock::open(servers).await;
    paid.service.set_online(false).await;
    let mut client = Client::connect(&paid.server.url()).await;
    let request = request(&fresh_author(), EARN, Some(paid.server.agent()), "all", &[]);
    let mut said = listen(&mut client, &request).await;
    client.publish_accepted(&request).await;
    let log = paid.server.log_with("no invoice for job").await;
    assert!(log.contains("the wallet cannot be reached") && !log.contains(paid.wallet.secret()), "{log}");
    paid.service.set_online(true).await;
    let has_answer = |said: &Conversation| !said.feedback.is_empty();
    follow_until(&mut client, &request, &mut said, PATIENCE, has_answer).await;
    let invoice = tags(&said.feedback[0], "amount")[0][2].clone();
    assert!(paid.service.pay(&paid.customer, &invoice).await);
    follow(&mut client, &request, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "all is done");
    assert_eq!(paid.balances().await, (PRICE_MSAT, FUNDS_MSAT - PRICE_MSAT));
}

/// Waits until the customer has everything back.
async fn returned(paid: &PaidClock) {
    for _ in 0..100 {
        if paid.balances().await == (0, FUNDS_MSAT) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the payment was not returned: {:?}", paid.balances().await);
}
