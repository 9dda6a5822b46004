//! Fuzzes what other relays send: every message is read without a panic, means the same when it is written and read
//! again, and its refusal has one cause.

#![no_main]

#[path = "../../../relay/src/native/tools/sync/refusal_cause.rs"]
#[allow(dead_code, unreachable_pub)]
mod refusal_cause;

use libfuzzer_sys::fuzz_target;
use openagents_host::nostr::RelayMessage;
use openagents_host::nostr::reason::{Outcome, Prefix, Reason};
use refusal_cause::RefusalCause;

fn check_reason(reason: &Reason) {
    assert_eq!(&Reason::parse(&reason.to_string()), reason);
    match (reason.prefix, RefusalCause::of(reason)) {
        (Prefix::AuthRequired, cause) => assert_eq!(cause, RefusalCause::Authentication, "{reason}"),
        (Prefix::RateLimited, cause) => assert_eq!(cause, RefusalCause::Quota, "{reason}"),
        (_, cause) => assert_ne!(cause, RefusalCause::Authentication, "{reason}"),
    }
}

fuzz_target!(|text: &str| {
    check_reason(&Reason::parse(text));
    let Some(message) = RelayMessage::parse(text) else { return };
    let json = message.to_json();
    assert_eq!(RelayMessage::parse(&json).as_ref(), Some(&message), "{json}");
    match &message {
        RelayMessage::Ok { outcome: Outcome::Refused(reason), .. }
        | RelayMessage::Closed { reason, .. }
        | RelayMessage::ReconcileRefused { reason, .. } => check_reason(reason),
        _ => {}
    }
});
