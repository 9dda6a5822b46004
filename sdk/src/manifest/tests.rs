use std::marker::PhantomData;
use std::time::Duration;

use openagents_host::Keys;
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::canonical::canonical_json;
use super::offer::Offer;
use super::{AgentManifest, ManifestError, SignedManifest, author_names};
use crate::declaration::{AgentDeclaration, InputDeclaration, JobDeclaration, ParamDeclaration};
use crate::price::Price;
use crate::settings;

const AGENT: AgentDeclaration = AgentDeclaration {
    about: "Writes.",
    version: "1.2.3",
    authors: "Ada Lovelace <ada@example.com>:Grace",
    license: "Apache-2.0",
    topics: &["text"],
    relays: &["wss://relay.example.com"],
    heartbeat: Some(Duration::from_secs(300)),
    ..AgentDeclaration::new("writer")
};

const WRITE: JobDeclaration = JobDeclaration {
    about: "Write a text.",
    price: Price::sat(21),
    inputs: &[Some(InputDeclaration {
        input_type: "text",
        mime_types: &["text/plain"],
        required: true,
        is_uploadable: false,
    })],
    params: &[&[ParamDeclaration {
        name: "max_tokens",
        aliases: &[],
        about: "How long it may be.",
        value_type: "integer",
        required: false,
        several: false,
        default: Some("512"),
        choices: &[],
        minimum: Some(1.0),
        maximum: Some(4096.0),
    }]],
    ..JobDeclaration::new(5050, "write")
};

fn keys() -> Keys {
    Keys::from_secret(&[4; 32]).unwrap()
}

fn manifest(jobs: &[(JobDeclaration, bool)]) -> AgentManifest {
    let offers: Vec<Offer> = jobs.iter().map(|&(job, quoted)| Offer { job, quoted }).collect();
    AgentManifest::new(&AGENT, &offers, &keys().public_key())
}

fn signed() -> SignedManifest {
    manifest(&[(WRITE, false)]).paid_at("writer@example.com".parse().unwrap()).signed(&keys())
}

#[test]
fn shows_what_the_agent_can_do_before_what_operators_set() {
    let json = signed().json().to_string();
    let position = |member: &str| json.find(&format!("\"{member}\":")).unwrap();
    let variables = position("requirements");
    for member in ["description", "capabilities", "economics", "tags", "metadata"] {
        assert!(position(member) < variables, "{member}");
    }
}

#[test]
fn has_the_form_of_openagents() {
    let manifest: Value = serde_json::from_str(signed().json()).unwrap();
    let mut expected = json!({
        "schema_version": "1.0",
        "id": keys().public_key(),
        "name": "writer",
        "version": "1.2.3",
        "description": "Writes.",
        "author": { "name": "Ada Lovelace, Grace", "npub": keys().npub() },
        "license": "Apache-2.0",
        "capabilities": {
            "tools": [{
                "name": "write",
                "description": "Write a text.",
                "input_schema": {
                    "type": "object",
                    "properties": {
                        "max_tokens": {
                            "type": "integer", "minimum": 1, "maximum": 4096, "default": 512,
                            "description": "How long it may be.",
                        },
                    },
                },
                "job_kind": 5050,
                "output": "text/plain",
                "pricing": { "type": "per_job", "millisats": 21_000 },
            }],
            "job_kinds": [5050],
            "inputs": [{ "input_type": "text", "mime_types": ["text/plain"] }],
            "outputs": [{ "mime_type": "text/plain", "streaming": false }],
            "skills": ["write"],
            "max_concurrent_jobs": 64,
        },
        "economics": {
            "wallet": { "wallet_type": "lightning", "lightning_address": "writer@example.com" },
            "pricing": { "type": "per_job", "millisats": 21_000 },
            "payment_methods": ["lightning"],
            "require_prepayment": true,
            "refund_policy": { "type": "no_refunds" },
        },
        "tags": ["nip90", "text"],
        "metadata": { "relays": ["wss://relay.example.com"] },
    });
    expected["signature"] = json!(signed().signature().to_hex());
    expected["requirements"] = manifest["requirements"].clone();
    assert_eq!(manifest, expected);
    assert_eq!(
        manifest["requirements"]["environment"],
        json!({ "type": "hybrid", "prefer": "prefer_local" })
    );
    assert_eq!(manifest["requirements"]["env_vars"]["NOSTR_PRIVATE_KEY"]["secret"], true);
}

#[test]
fn tells_free_fixed_and_varying_prices_apart() {
    let free = (JobDeclaration::new(5000, "free"), false);
    let quoted = (WRITE, true);
    let pricing = |jobs: &[_]| serde_json::to_value(manifest(jobs).economics.pricing).unwrap();
    assert_eq!(pricing(&[]), json!({ "type": "free" }));
    assert_eq!(pricing(&[free]), json!({ "type": "free" }));
    assert_eq!(pricing(&[(WRITE, false)]), json!({ "type": "per_job", "millisats": 21_000 }));
    for varying in [&[quoted][..], &[free, (WRITE, false)]] {
        assert_eq!(pricing(varying)["type"], "custom");
    }
}

#[test]
fn comes_back_from_its_own_json() {
    let signed = signed();
    assert_eq!(SignedManifest::verify(signed.json()).unwrap(), signed);
    assert_eq!(
        serde_json::from_str::<AgentManifest>(&signed.manifest().to_json()).unwrap(),
        *signed.manifest()
    );
}

#[test]
fn signs_the_same_manifest_the_same_way() {
    assert_eq!(signed().json(), signed().json());
}

#[test]
fn takes_its_id_from_the_key_that_signs() {
    let other = Keys::from_secret(&[5; 32]).unwrap();
    let signed = manifest(&[]).signed(&other);
    assert_eq!(signed.manifest().id, other.public_key());
    assert!(SignedManifest::verify(signed.json()).is_ok());
}

#[test]
fn rejects_a_manifest_that_another_key_claims() {
    let mut document: Value = serde_json::from_str(signed().json()).unwrap();
    document["id"] = json!(Keys::from_secret(&[5; 32]).unwrap().public_key());
    assert!(matches!(SignedManifest::verify(&document.to_string()), Err(ManifestError::Signature)));
}

#[test]
fn rejects_a_manifest_with_anything_added_even_what_it_does_not_know() {
    let mut document: Value = serde_json::from_str(signed().json()).unwrap();
    document["unheard_of"] = json!(true);
    assert!(matches!(SignedManifest::verify(&document.to_string()), Err(ManifestError::Signature)));
}

#[test]
fn rejects_a_key_that_is_there_twice() {
    let honest = signed().json().to_string();
    for doubled in [
        honest.replacen('{', "{\"name\":\"impostor\",", 1),
        honest.replacen("\"pricing\":{", "\"pricing\":{\"millisats\":1,", 1),
    ] {
        assert_ne!(doubled, honest);
        let error = SignedManifest::verify(&doubled).unwrap_err();
        assert!(matches!(&error, ManifestError::Json(_)), "{error}");
    }
}

#[test]
fn rejects_integers_that_some_readers_round() {
    let document = json!({ "id": keys().public_key(), "number": 9_007_199_254_740_993_u64 });
    let error = SignedManifest::verify(&document.to_string()).unwrap_err();
    assert!(matches!(&error, ManifestError::Json(_)), "{error}");
}

#[test]
fn says_what_an_unsigned_manifest_lacks() {
    let error = SignedManifest::verify(&manifest(&[]).to_json()).unwrap_err();
    assert!(matches!(error, ManifestError::Missing("signature")));
    for text in ["", "[]", "null", "{}", "{\"signature\":\"00\"}", "{\"signature\":7}"] {
        assert!(SignedManifest::verify(text).is_err(), "{text}");
    }
}

#[test]
fn holds_no_secret_whatever_the_variables_are() {
    let secret = keys();
    let hex = "04".repeat(32);
    for value in [secret.to_nsec(), hex.clone()] {
        let variable = |_: &str| Some(value.clone());
        let keys = settings::agent_keys(variable).unwrap().unwrap();
        let address: Result<super::LightningAddress, _> = value.parse();
        assert!(address.is_err());
        let signed = manifest(&[(WRITE, false)]).signed(&keys);
        for shown in [signed.json().to_string(), format!("{signed:?}")] {
            assert!(!shown.contains(&hex) && !shown.contains("nsec1"), "{shown}");
        }
    }
}

#[test]
fn keys_cannot_be_serialised() {
    struct SampleAgent<T>(PhantomData<T>);

    trait Otherwise {
        const SERIALISES: bool = false;
    }

    impl<T> Otherwise for SampleAgent<T> {}

    // It takes precedence where it applies.
    impl<T: Serialize> SampleAgent<T> {
        const SERIALISES: bool = true;
    }

    const { assert!(SampleAgent::<AgentManifest>::SERIALISES) };
    const { assert!(!SampleAgent::<Keys>::SERIALISES) };
}

#[test]
fn names_the_relays_of_the_deployment_in_place_of_the_declared_ones() {
    let manifest = manifest(&[]).at_relays(["wss://agent.example.com"]);
    assert_eq!(manifest.metadata["relays"], json!(["wss://agent.example.com"]));
    assert!(manifest.at_relays([]).metadata.is_empty());
}

#[test]
fn leaves_out_the_mail_addresses_of_authors() {
    assert_eq!(author_names("Ada <ada@example.com>:Grace:<bob@example.com>"), "Ada, Grace");
    assert_eq!(author_names(""), "");
}

#[test]
fn gives_the_example_of_rfc_8785() {
    let document: Value = serde_json::from_str(
        r#"{ "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
             "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false] }"#,
    )
    .unwrap();
    assert_eq!(
        canonical_json(&document).unwrap(),
        "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
         \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
    );
}

/// The same JSON in another order and with white space.
fn rearranged(value: &Value, seed: u64) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            let count = u64::try_from(members.len().max(1)).unwrap();
            members.rotate_left(usize::try_from(seed.checked_rem(count).unwrap()).unwrap());
            if seed.is_multiple_of(2) {
                members.reverse();
            }
            let members = members.iter().map(|(key, value)| {
                format!("\n {} : {}", Value::from(key.as_str()), rearranged(value, seed / 3))
            });
            format!("{{{} }}", members.collect::<Vec<_>>().join(" ,"))
        }
        Value::Array(values) => {
            let values = values.iter().map(|value| rearranged(value, seed / 3));
            format!("[ {} ]", values.collect::<Vec<_>>().join(" , "))
        }
        other => other.to_string(),
    }
}

/// Every place in a document, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), found));
        }
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(n, value)| places(value, &format!("{at}/{n}"), found));
        }
        _ => {}
    }
}

#[test]
fn rejects_a_change_at_any_place() {
    let document: Value = serde_json::from_str(signed().json()).unwrap();
    let mut all = Vec::new();
    places(&document, "", &mut all);
    assert!(all.len() > 50, "{all:?}");
    for place in all {
        let mut changed = document.clone();
        *changed.pointer_mut(&place).unwrap() = json!("changed");
        assert!(SignedManifest::verify(&changed.to_string()).is_err(), "{place}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53) + 1..1_i64 << 53).prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no such number", |number| number.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn a_signature_fits_whatever_the_order_and_white_space(seed in any::<u64>()) {
        let document: Value = serde_json::from_str(signed().json()).unwrap();
        let received = SignedManifest::verify(&rearranged(&document, seed)).unwrap();
        prop_assert_eq!(received.manifest().clone(), signed().manifest().clone());
    }

    #[test]
    fn the_canonical_form_is_stable_under_order_and_white_space(document in any_json(), seed in any::<u64>()) {
        let again: Value = serde_json::from_str(&rearranged(&document, seed)).unwrap();
        prop_assert_eq!(
            canonical_json(&again).unwrap(),
            canonical_json(&document).unwrap()
        );
    }

    #[test]
    fn metadata_is_signed_too(extra in any_json()) {
        let mut manifest = manifest(&[]);
        manifest.metadata.insert("extra".to_owned(), extra);
        let signed = manifest.signed(&keys());
        prop_assert!(SignedManifest::verify(signed.json()).is_ok());
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), document in any_json()) {
        let _ = SignedManifest::verify(&text);
        let _ = SignedManifest::verify(&document.to_string());
    }
}
