//! The example `paid` with a real LNbits server: a job is done once its invoice is paid.

use std::time::{Duration, Instant};

use openagents_tests::events::{fresh_author, tag_value, tags};
use openagents_tests::jobs::{ask, ask_for_invoice, follow, listen, request, status_text};
use openagents_tests::lnbits::LnbitsAccount;
use openagents_tests::server::{Host, Server};
use openagents_tests::wire::Client;

use crate::servers::{Servers, scenarios};

scenarios![
    a_job_is_done_soon_after_its_invoice_is_paid,
    a_payment_is_found_after_the_agent_was_killed,
    the_payment_of_a_failed_job_pays_the_next,
    a_wallet_that_cannot_be_reached_holds_a_job_up,
    a_wrong_key_is_not_shown_to_customers,
];

const PATIENCE: Duration = Duration::from_secs(60);

const PRICE_MSAT: u64 = 21_000;

/// A server of the example that is paid to a new wallet.
async fn paid(servers: &Servers) -> (Server, LnbitsAccount) {
    let lnbits = servers.lnbits().await;
    let wallet = lnbits.account("agent", 0).await;
    let server = paid_through(servers, &lnbits.url(), &wallet.invoice_key);
    (server, wallet)
}

fn paid_through(servers: &Servers, url: &str, key: &str) -> Server {
    let variables = [
        ("WALLET", "lnbits".to_owned()),
        ("LNBITS_URL", url.to_owned()),
        ("LNBITS_INVOICE_KEY", key.to_owned()),
    ];
    servers.own_with("paid", &variables)
}

async fn a_job_is_done_soon_after_its_invoice_is_paid(servers: &Servers) {
    let (server, wallet) = paid(servers).await;
    let lnbits = servers.lnbits().await;
    let customer = lnbits.account("customer", 100).await;
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5050, Some(server.agent()), "so much depends upon", &[]);
    let (mut said, invoice) = ask_for_invoice(&mut client, &request).await;
    assert_eq!(tags(&said.feedback[0], "amount")[0][1], PRICE_MSAT.to_string());
    assert!(invoice.starts_with("lnbc210n1"), "{invoice}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(said.statuses(), ["payment-required"], "nothing is done before the payment");

    assert!(lnbits.pay(&customer, &invoice).await);
    let paid_at = Instant::now();
    follow(&mut client, &request, &mut said, PATIENCE).await;
    let limit = if servers.host() == Host::Workerd { 10 } else { 5 };
    assert!(paid_at.elapsed() < Duration::from_secs(limit), "{:?}", paid_at.elapsed());
    assert_eq!(said.statuses(), ["payment-required", "processing"]);
    assert_eq!(said.result().content, "4 words, 2 seconds");
    assert_eq!(
        tag_value(said.result(), "request").map(|json| json.contains(&request.id.to_hex())),
        Some(true)
    );
    assert_eq!(lnbits.balance(&wallet).await, PRICE_MSAT);
    assert_eq!(lnbits.balance(&customer).await, 100_000 - PRICE_MSAT);
    assert!(!lnbits.pay(&customer, &invoice).await, "it is paid once");
    let log = server.log_tail();
    assert!(!log.contains(&wallet.invoice_key), "{log}");
}

async fn a_payment_is_found_after_the_agent_was_killed(servers: &Servers) {
    let (server, _) = paid(servers).await;
    let lnbits = servers.lnbits().await;
    let customer = lnbits.account("customer", 100).await;
    let request = request(&fresh_author(), 5050, Some(server.agent()), "a red wheel barrow", &[]);
    let mut client = Client::connect(&server.url()).await;
    let (_, invoice) = ask_for_invoice(&mut client, &request).await;
    server.kill();
    assert!(lnbits.pay(&customer, &invoice).await);
    server.kill_and_restart().expect("it starts again");
    let mut client = Client::connect(&server.url()).await;
    let mut said = listen(&mut client, &request).await;
    follow(&mut client, &request, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "4 words, 2 seconds");
}

async fn the_payment_of_a_failed_job_pays_the_next(servers: &Servers) {
    let (server, wallet) = paid(servers).await;
    let lnbits = servers.lnbits().await;
    let payer = lnbits.account("customer", 100).await;
    let customer = fresh_author();
    let mut client = Client::connect(&server.url()).await;
    let fails = request(&customer, 5050, Some(server.agent()), " ", &[]);
    let (mut said, invoice) = ask_for_invoice(&mut client, &fails).await;
    assert!(lnbits.pay(&payer, &invoice).await);
    follow(&mut client, &fails, &mut said, PATIENCE).await;
    let told = status_text(said.error());
    assert!(told.contains("21000 msat is kept as credit"), "{told}");
    let next = request(&customer, 5050, Some(server.agent()), "glazed with rain", &[]);
    let said = ask(&mut client, &next).await;
    assert_eq!(said.result().content, "3 words, 2 seconds");
    assert_eq!(lnbits.balance(&wallet).await, PRICE_MSAT);
}

async fn a_wallet_that_cannot_be_reached_holds_a_job_up(servers: &Servers) {
    let server = paid_through(servers, "http://127.0.0.1:9/", "nobody");
    let mut client = Client::connect(&server.url()).await;
    let waits = |server: &Server, text| request(&fresh_author(), 5050, Some(server.agent()), text, &[]);
    let request = waits(&server, "water");
    let said = listen(&mut client, &request).await;
    client.publish_accepted(&request).await;
    let log = server.log_with("no invoice for job").await;
    assert!(log.contains("the wallet cannot be reached") && !log.contains("nobody"), "{log}");
    assert!(said.feedback.is_empty());
    // The process goes on: another job is taken.
    client.publish_accepted(&waits(&server, "rain")).await;
}

async fn a_wrong_key_is_not_shown_to_customers(servers: &Servers) {
    let lnbits = servers.lnbits().await;
    let server = paid_through(servers, &lnbits.url(), "not-a-key-of-any-wallet");
    let mut client = Client::connect(&server.url()).await;
    let request = request(&fresh_author(), 5050, Some(server.agent()), "chickens", &[]);
    let said = ask(&mut client, &request).await;
    assert_eq!(status_text(said.error()), "the agent could not make an invoice");
    let log = server.log_with("no invoice for job").await;
    assert!(log.contains("the wallet refused") && !log.contains("not-a-key-of-any-wallet"), "{log}");
}
