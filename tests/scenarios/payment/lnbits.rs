//! The example `paid` with a real LNbits server: a job is done once its invoice is paid.

use std::process::Stdio;
use std::time::{Duration, Instant};

use nostr_sdk::nostr::ToBech32;

use openagents_tests::events::{fresh_author, now, tag_value, tags};
use openagents_tests::http;
use openagents_tests::jobs::{ask, ask_for_invoice, follow, listen, request, status_text};
use openagents_tests::lnbits::LnbitsAccount;
use openagents_tests::server::{Host, Server, binary};
use openagents_tests::wire::Client;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::clients::foreign_clients::{Script, run, shown};
use crate::servers::{Servers, scenarios};

scenarios![
    a_job_is_done_soon_after_its_invoice_is_paid,
    the_page_shows_an_invoice_and_then_the_result,
    a_payment_is_found_after_the_agent_was_killed,
    the_payment_of_a_failed_job_pays_the_next,
    a_wallet_that_cannot_be_reached_holds_a_job_up,
    a_wrong_key_is_not_shown_to_customers,
    ask_pays_within_its_budget,
    ask_shows_the_invoice_and_waits_for_the_payment,
    operators_see_the_ledger,
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
    assert_eq!(said.result().content, "words: 4, reading time: 2 s");
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

async fn the_page_shows_an_invoice_and_then_the_result(servers: &Servers) {
    let (server, wallet) = paid(servers).await;
    let lnbits = servers.lnbits().await;
    let customer = lnbits.account("customer", 100).await;
    let mut browser = Script::start("page.mjs", &["paid", &format!("http://{}/", server.address())]);
    let invoice = browser.next_line(PATIENCE).await.expect("an invoice");
    assert!(lnbits.pay(&customer, &invoice).await, "{invoice}");
    assert!(browser.succeeds().await);
    assert_eq!(lnbits.balance(&wallet).await, PRICE_MSAT);
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
    assert_eq!(said.result().content, "words: 4, reading time: 2 s");
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
    assert_eq!(said.result().content, "words: 3, reading time: 2 s");
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

/// The command `ask` of the example, as a customer with a key in the server's folder.
fn ask_command(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("paid"));
    command.arg("ask").args(arguments).args(["--relay", &server.url()]);
    command.env_remove("NOSTR_PRIVATE_KEY").env("HOME", "/nowhere").current_dir(server.data());
    command.arg("--key").arg(server.data().join("customer/key.nsec"));
    command
}

async fn ask_pays_within_its_budget(servers: &Servers) {
    let (server, wallet) = paid(servers).await;
    let lnbits = servers.lnbits().await;
    let customer = lnbits.account("customer", 100).await;
    let purse = format!("lnbits+http://{}@{}", customer.admin_key, lnbits.url().replace("http://", ""));
    let pay = |arguments: &[&str]| {
        let mut command = ask_command(&server, &[&["so much depends", "--pay"], arguments].concat());
        command.env("OPENAGENTS_CUSTOMER_WALLET", &purse);
        command
    };
    let output = run(pay(&["20999"])).await;
    assert_eq!(output.status.code(), Some(3), "{}", shown(&output));
    let output = run(pay(&["21000", "--pay-per-day", "41999"])).await;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "words: 3, reading time: 2 s",
        "{}",
        shown(&output)
    );
    let output = run(pay(&["21000", "--pay-per-day", "41999"])).await;
    assert_eq!(output.status.code(), Some(3), "{}", shown(&output));
    assert!(shown(&output).contains("would exceed --pay-per-day"), "{}", shown(&output));
    assert!(!shown(&output).contains(&customer.admin_key), "{}", shown(&output));
    assert_eq!(lnbits.balance(&wallet).await, PRICE_MSAT);
    let mut without = ask_command(&server, &["so much depends", "--pay", "21000"]);
    without.env_remove("OPENAGENTS_CUSTOMER_WALLET");
    let output = run(without).await;
    assert!(
        shown(&output).contains("--pay needs a wallet: set OPENAGENTS_CUSTOMER_WALLET"),
        "{}",
        shown(&output)
    );
}

async fn ask_shows_the_invoice_and_waits_for_the_payment(servers: &Servers) {
    let (server, _) = paid(servers).await;
    let lnbits = servers.lnbits().await;
    let customer = lnbits.account("customer", 100).await;
    let mut command = ask_command(&server, &["a red wheel barrow"]);
    let mut asking =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("it starts");
    let mut lines = BufReader::new(asking.stderr.take().expect("piped")).lines();
    let invoice = loop {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("in time").expect("text");
        let line = line.expect("an invoice");
        if line.starts_with("lnbc210n1") {
            break line;
        }
    };
    assert!(lnbits.pay(&customer, &invoice).await);
    // So that it does not wait for a reader.
    let rest = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let output = tokio::time::timeout(PATIENCE, asking.wait_with_output()).await.expect("in time");
    let output = output.expect("its output");
    rest.await.expect("read");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "words: 4, reading time: 2 s");
    assert!(output.status.success());

    // Long enough for a wallet server on a busy machine to make the invoice.
    let output = run(ask_command(&server, &["glazed with rain", "--timeout", "8"])).await;
    assert_eq!(output.status.code(), Some(3), "{}", shown(&output));
    assert!(shown(&output).contains("its invoice was not paid within 8s"), "{}", shown(&output));
}

async fn operators_see_the_ledger(servers: &Servers) {
    let (server, _) = paid(servers).await;
    let lnbits = servers.lnbits().await;
    let payer = lnbits.account("customer", 100).await;
    let customer = fresh_author();
    let mut client = Client::connect(&server.url()).await;
    let fails = request(&customer, 5050, Some(server.agent()), " ", &[]);
    let (mut said, invoice) = ask_for_invoice(&mut client, &fails).await;
    assert!(lnbits.pay(&payer, &invoice).await);
    follow(&mut client, &fails, &mut said, PATIENCE).await;

    let npub = server.agent().to_bech32().expect("an npub");
    let url = format!("http://{}/agent/{npub}/payments", server.address());
    let path = format!("/agent/{npub}/payments");
    let refused = http::request(server.address(), "GET", &path, &[]).await.expect("an answer");
    assert_eq!(refused.status, 401);
    let header = http::authorization(server.keys().expect("keys"), now(), "GET", &url);
    let shown = http::request(server.address(), "GET", &path, &[("Authorization", &header)]).await;
    let payments = shown.expect("an answer").json()["payments"].take();
    let movements: Vec<_> = payments.as_array().expect("a list").iter().rev().collect();
    assert_eq!(movements.len(), 2, "{payments}");
    for (movement, name) in movements.iter().zip(["received", "credited"]) {
        assert_eq!(movement["movement"], name);
        assert_eq!(movement["msat"], PRICE_MSAT);
        assert_eq!(movement["job"], fails.id.to_hex());
        assert_eq!(movement["customer"], customer.public_key().to_hex());
    }
    assert_eq!(movements[0]["provider"], "lnbits");
    let metrics = http::request(server.address(), "GET", "/metrics", &[]).await.expect("an answer");
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("openagents_payments_msat_total{movement=\"received\"} 21000"), "{metrics}");
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
