//! The example `paid` with a Lightning address, whose server is in front of a real LNbits.

use std::time::Duration;

use openagents_tests::events::fresh_author;
use openagents_tests::jobs::{ask, ask_for_invoice, follow, request, status_text};
use openagents_tests::lnurl::{LnurlFault, LnurlServer};
use openagents_tests::server::Server;
use openagents_tests::wire::Client;

use crate::servers::{Servers, scenarios};

scenarios![
    a_job_is_done_when_a_lightning_address_was_paid,
    a_server_that_cannot_be_trusted_is_not_used,
    a_server_that_lies_about_a_payment_gets_no_work,
];

const PATIENCE: Duration = Duration::from_secs(60);

async fn paid(servers: &Servers, fault: LnurlFault) -> Server {
    let lnbits = servers.lnbits().await;
    let wallet = lnbits.account("agent", 0).await;
    let address = LnurlServer::start(lnbits, wallet, fault).await;
    servers.own_with("paid", &[("WALLET", "lnurl".to_owned()), ("LIGHTNING_ADDRESS", address.url)])
}

async fn a_job_is_done_when_a_lightning_address_was_paid(servers: &Servers) {
    let server = paid(servers, LnurlFault::None).await;
    let lnbits = servers.lnbits().await;
    let customer = lnbits.account("customer", 100).await;
    let request = request(&fresh_author(), 5050, Some(server.agent()), "so much depends upon", &[]);
    let mut client = Client::connect(&server.url()).await;
    let (mut said, invoice) = ask_for_invoice(&mut client, &request).await;
    assert!(lnbits.pay(&customer, &invoice).await);
    follow(&mut client, &request, &mut said, PATIENCE).await;
    assert_eq!(said.result().content, "words: 4, reading time: 2 s");
}

async fn a_server_that_cannot_be_trusted_is_not_used(servers: &Servers) {
    for (fault, told) in [
        (LnurlFault::NoVerify, "does not tell whether an invoice is paid (LUD-21)"),
        (LnurlFault::Amount, "it is for another amount"),
        (LnurlFault::Description, "its invoice is not for what it says (LUD-06)"),
    ] {
        let server = paid(servers, fault).await;
        let mut client = Client::connect(&server.url()).await;
        let request = request(&fresh_author(), 5050, Some(server.agent()), "a red wheel barrow", &[]);
        let said = ask(&mut client, &request).await;
        assert_eq!(status_text(said.error()), "the agent could not make an invoice", "{fault:?}");
        let log = server.log_with("no invoice for job").await;
        assert!(log.contains(told), "{fault:?}: {log}");
    }
}

async fn a_server_that_lies_about_a_payment_gets_no_work(servers: &Servers) {
    let server = paid(servers, LnurlFault::Lies).await;
    let request = request(&fresh_author(), 5050, Some(server.agent()), "glazed with rain water", &[]);
    let mut client = Client::connect(&server.url()).await;
    let (said, _) = ask_for_invoice(&mut client, &request).await;
    let log = server.log_with("it calls an invoice paid without a proof of it").await;
    assert!(log.contains("it calls an invoice paid without a proof of it"), "{log}");
    assert_eq!(said.statuses(), ["payment-required"]);
}
