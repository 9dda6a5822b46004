//! Tests the agent with a wallet whose invoices the test pays.

use openagents_sdk::Price;
use openagents_sdk::nip90::Status;
use openagents_sdk::testing::{Job, TestAgent};
use paid::Paid;

#[test]
fn counts_the_words_once_they_are_paid_for() {
    let mut agent = TestAgent::<Paid>::start();
    let job = agent.submit(Job::of(5050).text("so much depends upon"));
    let feedback = agent.feedback(&job);
    let [asked] = &feedback[..] else { panic!("one payment request, not {feedback:?}") };
    assert_eq!(asked.status, Status::PaymentRequired);
    assert_eq!(asked.amount.as_ref().map(|amount| amount.msat), Some(Price::sat(21).as_msat()));
    agent.pay(&job);
    assert_eq!(agent.result(&job).content, "words: 4, reading time: 2 s");
}

#[test]
fn a_text_without_words_costs_nothing() {
    let mut agent = TestAgent::<Paid>::start();
    let job = agent.submit(Job::of(5050).text(" "));
    agent.pay(&job);
    let told = agent.error(&job);
    assert!(told.contains("no words") && told.contains("21000 msat is kept as credit"), "{told}");
    let next = agent.submit(Job::of(5050).text("a red wheel barrow"));
    assert_eq!(agent.result(&next).content, "words: 4, reading time: 2 s", "paid with the credit");
}
