//! How a customer's program interprets feedback (NIP-90) from any provider.

use std::sync::{Arc, Mutex};

use nostr_sdk::nostr::{Event, Keys};
use openagents_sdk::client::{JobClient, JobHandle, JobUpdate};
use openagents_sdk::nip90::{Amount, RequestBuilder};
use openagents_sdk::nostr::Kind;
use openagents_sdk::payment::WalletError;
use openagents_tests::events::{event, fresh_author};
use openagents_tests::server::Server;
use openagents_tests::wire::{Client, PATIENCE};

use crate::agent::nip90_rules::{client, key};
use crate::servers::{Servers, scenarios};

scenarios![
    a_customer_understands_every_status,
    a_customer_believes_only_whom_it_asked,
    a_customer_pays_the_invoice_up_to_the_bid,
];

/// Over 21 sat, signed by its payee.
const INVOICE: &str = "lnbc210n1pvjluezpp5emqd6gynx5t84xgr2rw9m0sykag92nmcuaapzvejl6w4fhy8e85sdqgvysx5mmzg9xxpu4ny6chwn32h07s64splf9pjngueur6yrglz05t46gjysp98dz6xphdrpdphkma5ag5cw0amfrdc29v6eg4qycgna8sqjgkrhgpfwa9p2";

/// A job request to a provider that the test plays.
async fn order_from(provider: &Keys, client: &JobClient, bid: u64) -> JobHandle {
    let order = RequestBuilder::new(Kind(5998)).provider(&key(&provider.public_key())).text("x").bid(bid);
    client.submit(order).await.expect("accepted")
}

/// The feedback of that provider.
fn feedback(provider: &Keys, job: &JobHandle, more: &[&[&str]], content: &str) -> Event {
    let (id, customer) = (job.id().to_hex(), job.request().customer().to_hex());
    let reference: [&[&str]; 2] = [&["e", &id], &["p", &customer]];
    event(provider, 7000, &[&reference, more].concat(), content)
}

async fn publish(server: &Server, event: &Event) {
    Client::connect(&server.url()).await.publish_accepted(event).await;
}

async fn a_customer_understands_every_status(servers: &Servers) {
    let server = servers.probe();
    let client = client(&server).await;
    let keys = fresh_author();
    let provider = key(&keys.public_key());
    let mut job = order_from(&keys, &client, 0).await;
    let asks = |message: &str, amount: Option<Amount>| JobUpdate::PaymentRequired {
        provider,
        amount,
        message: Some(message.to_owned()),
    };
    let other = |status: &str| JobUpdate::Other { provider, status: status.to_owned(), message: None };
    let amount = Amount::new(21_000);
    let cases: [(&[&[&str]], &str, JobUpdate); 8] = [
        (
            &[&["status", "payment-required", "pay"], &["amount", "21000", INVOICE]],
            "",
            asks("pay", Some(amount.clone().invoice(INVOICE))),
        ),
        // As NDK writes it.
        (&[&["status", "payment_required", "zap"], &["amount", "21000"]], "", asks("zap", Some(amount))),
        (
            &[&["status", "processing", "at it"]],
            "",
            JobUpdate::Processing { provider, message: Some("at it".to_owned()) },
        ),
        (
            &[&["status", "processing"]],
            "in the content",
            JobUpdate::Processing { provider, message: Some("in the content".to_owned()) },
        ),
        (&[&["status", "partial"]], "hal", JobUpdate::Partial { provider, content: "hal".to_owned() }),
        (&[&["status", "success"]], "", other("success")),
        (&[&["status", "scheduled"]], "", other("scheduled")),
        (
            &[&["status", "error", "no more"]],
            "",
            JobUpdate::Error { provider, message: "no more".to_owned() },
        ),
    ];
    for (tags, content, update) in cases {
        publish(&server, &feedback(&keys, &job, tags, content)).await;
        assert_eq!(job.next().await, Ok(Some(update)));
    }
    assert_eq!(job.next().await, Ok(None), "the only provider that was asked has given up");
}

async fn a_customer_believes_only_whom_it_asked(servers: &Servers) {
    let server = servers.probe();
    let client = client(&server).await;
    let (provider, stranger) = (fresh_author(), fresh_author());
    let mut job = order_from(&provider, &client, 0).await;
    let (id, customer) = (job.id().to_hex(), job.request().customer().to_hex());
    let tags: [&[&str]; 2] = [&["e", &id], &["p", &customer]];
    publish(&server, &feedback(&stranger, &job, &[&["status", "error", "give up"]], "")).await;
    publish(&server, &event(&stranger, 6998, &tags, "a lie")).await;
    publish(&server, &event(&provider, 6998, &tags, "the truth")).await;
    assert_eq!(job.result(PATIENCE).await.expect("a result").content, "the truth");
}

async fn a_customer_pays_the_invoice_up_to_the_bid(servers: &Servers) {
    let server = servers.probe();
    let paid = Arc::new(Mutex::new(Vec::new()));
    let wallet = paid.clone();
    let client = client(&server).await.on_payment(move |invoice: String, msat: u64| {
        wallet.lock().expect("no panic").push((invoice, msat));
        async { Ok::<(), WalletError>(()) }
    });
    let keys = fresh_author();
    let provider = key(&keys.public_key());
    let demand: [&[&str]; 2] = [&["status", "payment-required"], &["amount", "21000", INVOICE]];
    let mut dear = order_from(&keys, &client, 20_999).await;
    publish(&server, &feedback(&keys, &dear, &demand, "")).await;
    let update = dear.next().await;
    assert!(matches!(update, Ok(Some(JobUpdate::PaymentRequired { .. }))), "{update:?}");
    let mut job = order_from(&keys, &client, 21_000).await;
    publish(&server, &feedback(&keys, &job, &demand, "")).await;
    assert_eq!(job.next().await, Ok(Some(JobUpdate::Paid { provider, msat: 21_000 })));
    assert_eq!(*paid.lock().expect("no panic"), [(INVOICE.to_owned(), 21_000)]);
}
