use openagents_host::{Encryption, Event, Kind, Timestamp, UnsignedEvent};

use serde_json::json;

use super::*;
use crate::nip90::RequestBuilder;

const NOW: u64 = 1_700_000_000;

fn keys(secret: u8) -> Keys {
    Keys::from_secret(&[secret; 32]).unwrap()
}

fn customer() -> Keys {
    keys(1)
}

fn provider() -> Keys {
    keys(2)
}

fn stranger() -> Keys {
    keys(3)
}

fn sign(event: UnsignedEvent, by: &Keys) -> VerifiedEvent {
    event.sign(by, Timestamp::from_seconds(NOW))
}

fn request_for(providers: &[Keys]) -> JobRequest {
    let builder = RequestBuilder::new(Kind(5050)).text("Ada");
    let builder = providers.iter().fold(builder, |builder, keys| builder.provider(&keys.public_key()));
    JobRequest::from_event(sign(builder.build(), &customer())).unwrap()
}

fn sealed_request() -> JobRequest {
    let builder = RequestBuilder::new(Kind(5050)).text("Ada").provider(&provider().public_key());
    let encrypt = |text: &str| customer().encrypt(&provider().public_key(), text, Encryption::Nip44);
    JobRequest::from_event(sign(builder.build_sealed(encrypt).unwrap(), &customer())).unwrap()
}

fn follow(request: &JobRequest) -> JobProgress {
    JobProgress::new(request.clone(), customer())
}

fn feedback(request: &JobRequest, status: &Status, message: &str, by: &Keys) -> VerifiedEvent {
    sign(Feedback::event(request, status, Some(message)), by)
}

fn result(request: &JobRequest, content: &str, by: &Keys) -> VerifiedEvent {
    sign(JobResultEvent::answer(request).content(content).build(), by)
}

fn output(update: Option<JobUpdate>) -> Option<String> {
    match update {
        Some(JobUpdate::Result(result)) => Some(result.content),
        _ => None,
    }
}

#[test]
fn tells_what_a_provider_says_until_the_result() {
    let request = request_for(&[provider()]);
    let mut job = follow(&request);
    let me = provider().public_key();
    let message = Some("soon".to_owned());
    assert_eq!(
        job.take(&feedback(&request, &Status::Processing, "soon", &provider())),
        Some(JobUpdate::Processing { provider: me, message: message.clone() })
    );
    let partial = sign(Feedback::about(&request, Status::Partial).content("Hel").build(), &provider());
    assert_eq!(job.take(&partial), Some(JobUpdate::Partial { provider: me, content: "Hel".to_owned() }));
    let odd = Status::Other("pondering".to_owned());
    assert_eq!(
        job.take(&feedback(&request, &odd, "soon", &provider())),
        Some(JobUpdate::Other { provider: me, status: "pondering".to_owned(), message })
    );
    let amount = Amount::new(21_000).invoice("lnbc210n1pvjluez");
    let demand = Feedback::about(&request, Status::PaymentRequired).amount(amount.clone()).build();
    assert_eq!(
        job.take(&sign(demand, &provider())),
        Some(JobUpdate::PaymentRequired { provider: me, amount: Some(amount), message: None })
    );
    assert!(!job.is_over());
    assert_eq!(output(job.take(&result(&request, "Hello", &provider()))).as_deref(), Some("Hello"));
    assert!(job.is_over());
}

#[test]
fn asks_a_relay_for_no_more_than_counts() {
    let request = request_for(&[provider()]);
    assert_eq!(
        json!(follow(&request).filter()),
        json!({ "kinds": [6050, 7000], "#e": [request.id()], "authors": [provider().public_key()] })
    );
    let open = request_for(&[]);
    assert_eq!(json!(follow(&open).filter()), json!({ "kinds": [6050, 7000], "#e": [open.id()] }));
}

#[test]
fn believes_nobody_but_the_providers_that_were_named() {
    let request = request_for(&[provider()]);
    let mut job = follow(&request);
    for event in [
        result(&request, "forged", &stranger()),
        feedback(&request, &Status::Error, "forged", &stranger()),
        feedback(&request, &Status::PaymentRequired, "forged", &stranger()),
        result(&request, "forged", &customer()),
    ] {
        assert_eq!(job.take(&event), None, "{}", event.json());
    }
    assert!(!job.is_over());
    assert!(output(job.take(&result(&request, "true", &provider()))).is_some());
}

#[test]
fn an_event_that_was_changed_never_gets_here() {
    let request = request_for(&[provider()]);
    let genuine = result(&request, "true", &provider());
    let forged = Event { content: "forged".to_owned(), ..(*genuine).clone() };
    assert!(forged.verify().is_err());
    let forged = Event { pubkey: provider().public_key(), ..(*result(&request, "", &stranger())).clone() };
    assert!(forged.verify().is_err());
}

#[test]
fn passes_over_what_is_about_something_else() {
    let request = request_for(&[provider()]);
    let mut job = follow(&request);
    let other = RequestBuilder::new(Kind(5050)).text("Grace").build();
    let other = JobRequest::from_event(sign(other, &stranger())).unwrap();
    let tags = |kind: u16| {
        UnsignedEvent::new(Kind(kind), "wrong").tag(["e", &request.id().to_hex()]).tag(["status", "error"])
    };
    for event in [
        result(&other, "of another customer", &provider()),
        feedback(&other, &Status::Error, "of another customer", &provider()),
        // The first request that it names is what an answer is about.
        sign(
            UnsignedEvent::new(Kind(6050), "both")
                .tag(["e", &other.id().to_hex()])
                .tag(["e", &request.id().to_hex()]),
            &provider(),
        ),
        sign(tags(6051), &provider()),
        sign(tags(5050), &provider()),
        sign(tags(1), &provider()),
        sign(UnsignedEvent::new(Kind(7000), "no reference").tag(["status", "error"]), &provider()),
        sign(UnsignedEvent::new(FEEDBACK, "no status").tag(["e", &request.id().to_hex()]), &provider()),
    ] {
        assert_eq!(job.take(&event), None, "{}", event.json());
    }
    assert!(!job.is_over());
}

#[test]
fn takes_each_answer_once() {
    let request = request_for(&[]);
    let mut job = follow(&request);
    let event = feedback(&request, &Status::Processing, "soon", &provider());
    assert!(job.take(&event).is_some());
    assert_eq!(job.take(&event), None);
    let event = feedback(&request, &Status::Error, "no", &provider());
    assert!(job.take(&event).is_some());
    assert_eq!(job.take(&event), None);
}

#[test]
fn takes_the_first_result_when_nobody_was_named() {
    let request = request_for(&[]);
    let mut job = follow(&request);
    assert_eq!(output(job.take(&result(&request, "first", &stranger()))).as_deref(), Some("first"));
    assert!(job.is_over());
    assert_eq!(job.take(&result(&request, "second", &provider())), None);
    assert_eq!(job.take(&feedback(&request, &Status::Error, "late", &stranger())), None);
}

#[test]
fn an_error_of_anybody_does_not_end_a_job_that_named_nobody() {
    let request = request_for(&[]);
    let mut job = follow(&request);
    assert!(job.take(&feedback(&request, &Status::Error, "sabotage", &stranger())).is_some());
    assert!(!job.is_over());
    assert!(output(job.take(&result(&request, "done", &provider()))).is_some());
}

#[test]
fn ends_when_all_that_were_named_have_given_up() {
    let request = request_for(&[provider(), stranger()]);
    let mut job = follow(&request);
    assert!(job.take(&feedback(&request, &Status::Error, "no", &provider())).is_some());
    assert!(!job.is_over());
    assert!(job.take(&feedback(&request, &Status::Error, "nor I", &stranger())).is_some());
    assert!(job.is_over());
    assert_eq!(job.take(&result(&request, "too late", &provider())), None);
}

#[test]
fn progress_does_not_go_backwards_when_stored_events_come_newest_first() {
    let request = request_for(&[provider()]);
    let mut job = follow(&request);
    let at = |second: u64, status: Status| {
        Feedback::about(&request, status)
            .content(second.to_string())
            .build()
            .sign(&provider(), Timestamp::from_seconds(NOW + second))
    };
    assert!(job.take(&at(3, Status::Partial)).is_some());
    assert_eq!(job.take(&at(2, Status::Partial)), None);
    assert_eq!(job.take(&at(1, Status::Processing)), None);
    assert!(job.take(&at(3, Status::Processing)).is_some(), "many are made within a second");
    assert!(job.take(&at(2, Status::Error)).is_some(), "an end is an end");
}

#[test]
fn opens_sealed_answers_with_and_without_the_mark() {
    let request = sealed_request();
    for encryption in [Encryption::Nip04, Encryption::Nip44] {
        let mut job = follow(&request);
        let encrypt = |text: &str| provider().encrypt(&customer().public_key(), text, encryption).unwrap();
        let processing = Feedback::about(&request, Status::Processing).sealed(encrypt("soon")).build();
        let me = provider().public_key();
        assert_eq!(
            job.take(&sign(processing, &provider())),
            Some(JobUpdate::Processing { provider: me, message: Some("soon".to_owned()) })
        );
        let partial = Feedback::about(&request, Status::Partial).sealed(encrypt("Hel")).build();
        let content = "Hel".to_owned();
        assert_eq!(
            job.take(&sign(partial.clone().tag(["encrypted"]), &provider())),
            Some(JobUpdate::Partial { provider: me, content: content.clone() })
        );
        assert_eq!(job.take(&sign(partial, &provider())), Some(JobUpdate::Partial { provider: me, content }));
        let sealed = JobResultEvent::answer(&request).sealed(encrypt("Hello")).build();
        assert_eq!(output(job.take(&sign(sealed, &provider()))).as_deref(), Some("Hello"));
    }
}

#[test]
fn a_result_that_cannot_be_decrypted_is_none() {
    let request = sealed_request();
    let mut job = follow(&request);
    let for_another = provider().encrypt(&stranger().public_key(), "Hello", Encryption::Nip44).unwrap();
    let event = sign(JobResultEvent::answer(&request).sealed(for_another).build(), &provider());
    assert!(matches!(job.take(&event), Some(JobUpdate::UnreadableResult { .. })));
    assert!(job.is_over());
}

#[test]
fn takes_an_output_that_a_provider_did_not_encrypt() {
    let request = sealed_request();
    let id = request.id().to_hex();
    for content in ["in clear", ""] {
        let event = sign(UnsignedEvent::new(Kind(6050), content).tag(["e", &id]), &provider());
        assert_eq!(output(follow(&request).take(&event)).as_deref(), Some(content));
    }
}

#[test]
fn a_flood_of_feedback_ends_and_the_result_still_counts() {
    let request = request_for(&[]);
    let mut job = follow(&request);
    job.seen = (0..MAX_ANSWERS)
        .map(|number| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            EventId::from_bytes(id)
        })
        .collect();
    assert_eq!(job.take(&feedback(&request, &Status::Processing, "more", &stranger())), None);
    assert!(output(job.take(&result(&request, "done", &provider()))).is_some());
}
