use std::time::Duration;

use openagents_host::{Keys, Timestamp, VerifiedEvent};
use serde_json::{Value, json};

use super::{
    Announcement, HANDLER_INFORMATION, HEARTBEAT, METADATA, Profile, RELAY_LIST, deletion, nip05_document,
};
use crate::declaration::{AgentDeclaration, JobDeclaration, ParamDeclaration};
use crate::manifest::offer::Offer;
use crate::price::Price;

const AGENT: AgentDeclaration = AgentDeclaration {
    about: "Writes.",
    picture: "https://example.com/writer.png",
    homepage: "https://example.com",
    nip05: "scribe@example.com",
    topics: &["text", "poetry"],
    relays: &["wss://relay.example.com", "ws://127.0.0.1:7777"],
    heartbeat: Some(Duration::from_secs(300)),
    ..AgentDeclaration::new("writer")
};

const PARAM: ParamDeclaration = ParamDeclaration {
    name: "language",
    aliases: &[],
    about: "",
    value_type: "string",
    required: true,
    several: false,
    default: None,
    choices: &["en"],
    minimum: None,
    maximum: None,
};

const WRITE: Offer = Offer {
    job: JobDeclaration { params: &[&[PARAM]], ..JobDeclaration::new(5050, "write") },
    quoted: false,
};

const TRANSLATE: Offer = Offer {
    job: JobDeclaration {
        params: &[&[ParamDeclaration {
            about: "In which language.",
            required: false,
            choices: &["en", "de"],
            ..PARAM
        }]],
        ..JobDeclaration::new(5002, "translate")
    },
    quoted: false,
};

fn keys() -> Keys {
    Keys::from_secret(&[4; 32]).unwrap()
}

fn profile(offers: &[Offer]) -> Profile {
    Profile::new(AGENT, offers.to_vec(), keys().public_key())
}

fn priced(price: Price) -> Offer {
    Offer { job: JobDeclaration { price, ..WRITE.job }, ..WRITE }
}

fn published(announcement: &Announcement) -> VerifiedEvent {
    let at = Timestamp::from_seconds(1_700_000_000);
    announcement.event(at).sign(&keys(), at)
}

fn content(announcement: &Announcement) -> Value {
    serde_json::from_str(&published(announcement).content).unwrap()
}

#[test]
fn announces_its_jobs_in_the_words_of_all_who_read_it() {
    let profile = profile(&[priced(Price::sat(21))]).paid_at("writer@example.com".parse().unwrap());
    let information = profile.handler_information();
    assert_eq!(information.kind(), HANDLER_INFORMATION);
    assert_eq!(information.identifier(), "writer");
    assert_eq!(
        json!(published(&information).tags),
        json!([
            ["d", "writer"],
            ["k", "5050"],
            ["t", "text"],
            ["t", "poetry"],
            ["handler", "agent"],
            ["capability", "write"],
            ["capability", "nip90-kind-5050"],
            ["price", "21000", "per_request", "msats"],
        ])
    );
    assert_eq!(
        content(&information),
        json!({
            "name": "writer",
            "about": "Writes.",
            "description": "Writes.",
            "picture": "https://example.com/writer.png",
            "image": "https://example.com/writer.png",
            "website": "https://example.com",
            "nip05": "scribe@example.com",
            "lud16": "writer@example.com",
            "amount": "21",
            "supportsEncryption": true,
            "encryptionSupported": true,
            "acceptsNutZaps": false,
            "cashuAccepted": false,
            "personalized": false,
            "subscription": false,
            "nip90Params": { "language": { "required": true, "values": ["en"] } },
        })
    );
}

#[test]
fn has_one_place_for_the_parameters_of_all_jobs() {
    let information = profile(&[WRITE, TRANSLATE]).handler_information();
    assert_eq!(
        content(&information)["nip90Params"],
        json!({
            "language": { "required": false, "values": ["en", "de"], "description": "In which language." },
        })
    );
    let kinds: Vec<_> = published(&information).tag_values("k").map(str::to_owned).collect();
    assert_eq!(kinds, ["5050", "5002"]);
}

#[test]
fn names_the_price_in_satoshis_where_there_is_one() {
    let amount = |offers: &[Offer]| content(&profile(offers).handler_information())["amount"].clone();
    assert_eq!(amount(&[WRITE]), "free");
    assert_eq!(amount(&[priced(Price::msat(1_500))]), "1.5");
    assert_eq!(amount(&[priced(Price::msat(10))]), "0.01");
    assert_eq!(amount(&[priced(Price::sat(100)), priced(Price::sat(100))]), "100");
    assert_eq!(amount(&[WRITE, priced(Price::sat(1))]), "flexible");
    assert_eq!(amount(&[Offer { quoted: true, ..WRITE }]), "flexible");
    let flexible = profile(&[Offer { quoted: true, ..WRITE }]).handler_information();
    assert_eq!(published(&flexible).tags_named("price").count(), 0);
}

#[test]
fn has_a_profile_of_a_bot() {
    let metadata = profile(&[WRITE]).metadata();
    assert_eq!(metadata.kind(), METADATA);
    assert!(published(&metadata).tags.is_empty());
    assert_eq!(
        content(&metadata),
        json!({
            "name": "writer", "about": "Writes.", "picture": "https://example.com/writer.png",
            "website": "https://example.com", "nip05": "scribe@example.com", "bot": true,
        })
    );
    let plain = Profile::new(AgentDeclaration::new("plain"), vec![], keys().public_key());
    assert_eq!(content(&plain.metadata()), json!({ "name": "plain", "about": "", "bot": true }));
}

#[test]
fn lists_its_own_relay_first_and_every_relay_once() {
    let profile = profile(&[]).at_relay("wss://agent.example.com/").at_relay("wss://RELAY.example.com/");
    let list = profile.relay_list().unwrap();
    assert_eq!(list.kind(), RELAY_LIST);
    assert_eq!(
        json!(published(&list).tags),
        json!([["r", "wss://agent.example.com/"], ["r", "wss://RELAY.example.com/"]])
    );
}

#[test]
fn announces_the_relays_of_the_deployment_in_place_of_the_declared_ones() {
    let urls = ["wss://other.example.com", "wss://token:secret@private.example.com"];
    let profile = profile(&[]).at_relay("wss://agent.example.com").serving(urls);
    assert_eq!(profile.relays(), ["wss://agent.example.com", "wss://other.example.com"]);
    // It is still published there.
    assert_eq!(profile.metadata().relays(), urls);
    assert!(!format!("{:?}", published(&profile.relay_list().unwrap())).contains("secret"));
    assert!(!profile.nip05_document().contains("secret"));
}

#[test]
fn announces_relays_without_tls_only_when_told_to() {
    let local = AgentDeclaration { relays: &["ws://127.0.0.1:7777"], ..AGENT };
    let profile = Profile::new(local, vec![], keys().public_key()).at_relay("ws://localhost:8080");
    assert!(profile.relay_list().is_none());
    assert_eq!(profile.with_insecure_relays().relay_list().map(|list| published(&list).tags.len()), Some(2));
}

#[test]
fn beats_until_three_beats_are_missed() {
    let heartbeat = profile(&[]).heartbeat().unwrap();
    assert_eq!((heartbeat.kind(), heartbeat.refresh()), (HEARTBEAT, Duration::from_secs(300)));
    assert_eq!(
        json!(published(&heartbeat).tags),
        json!([["d", "writer"], ["status", "online"], ["expiration", "1700000900"]])
    );
    // Its kind is replaceable, not addressable, so it has one address.
    assert_eq!(heartbeat.identifier(), "");
    let quiet = AgentDeclaration { heartbeat: None, ..AGENT };
    assert!(Profile::new(quiet, vec![], keys().public_key()).heartbeat().is_none());
}

#[test]
fn announces_what_it_has_to_say_and_no_more() {
    let kinds =
        |profile: &Profile| -> Vec<_> { profile.announcements().iter().map(Announcement::kind).collect() };
    assert_eq!(kinds(&profile(&[WRITE])), [HANDLER_INFORMATION, METADATA, RELAY_LIST, HEARTBEAT]);
    let plain = Profile::new(AgentDeclaration::new("plain"), vec![WRITE], keys().public_key());
    assert_eq!(kinds(&plain), [HANDLER_INFORMATION, METADATA]);
}

#[test]
fn digests_what_is_said_and_where_but_not_when() {
    let digest = |profile: &Profile| profile.handler_information().digest();
    let original = digest(&profile(&[WRITE]));
    assert_eq!(digest(&profile(&[WRITE])), original);
    let elsewhere = AgentDeclaration { relays: &["wss://other.example.com"], ..AGENT };
    let others = [
        profile(&[TRANSLATE]),
        Profile::new(AgentDeclaration { about: "Paints.", ..AGENT }, vec![WRITE], keys().public_key()),
        Profile::new(elsewhere, vec![WRITE], keys().public_key()),
        Profile::new(AGENT, vec![WRITE], Keys::from_secret(&[5; 32]).unwrap().public_key()),
    ];
    for other in others {
        assert_ne!(digest(&other), original, "{other:?}");
    }
}

#[test]
fn asks_for_deletion_by_address() {
    let at = Timestamp::from_seconds(1_700_000_000);
    let addresses = [(HANDLER_INFORMATION, "one"), (HANDLER_INFORMATION, "two"), (METADATA, "")];
    let event = deletion(addresses, &keys(), at);
    let key = keys().public_key();
    assert_eq!((event.kind.0, event.created_at), (5, 1_700_000_000));
    assert_eq!(
        json!(event.tags),
        json!([
            ["a", format!("31990:{key}:one")],
            ["a", format!("31990:{key}:two")],
            ["a", format!("0:{key}:")],
            ["k", "31990"],
            ["k", "0"],
        ])
    );
}

#[test]
fn leads_from_its_name_to_its_key_and_relays() {
    let key = keys().public_key();
    assert_eq!(profile(&[]).nip05_document(), nip05_document("scribe", &key, &["wss://relay.example.com"]));
    let plain = Profile::new(AgentDeclaration::new("plain"), vec![], key);
    let document: Value = serde_json::from_str(&plain.nip05_document()).unwrap();
    assert_eq!(document, json!({ "names": { "plain": key } }));
}

#[test]
fn announces_no_secret() {
    let secrets = ["04".repeat(32), keys().to_nsec()];
    let profile = profile(&[WRITE]);
    for announcement in profile.announcements() {
        let at = Timestamp::from_seconds(1_700_000_000);
        let shown = format!("{announcement:?}{}", announcement.event(at).sign(&keys(), at).json());
        assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{shown}");
    }
}
