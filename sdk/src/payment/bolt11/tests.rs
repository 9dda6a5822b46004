//! Invoices of BOLT 11 and random ones, compared with the crate `lightning-invoice`.

use std::str::FromStr;

use lightning_invoice::SignedRawBolt11Invoice;
use proptest::prelude::*;

use super::fixtures::{self, WrittenInvoice, encode, parts, word, words};
use super::{BitcoinNetwork, Bolt11, Bolt11Error, InvoiceDescription, msat, signature, signed_hash};
use crate::payment::bolt11::words::Words;
use crate::price::Price;

/// The valid invoices of BOLT 11's section "Examples", one a line.
const EXAMPLES: &str = include_str!("vectors.txt");

/// The payee of all of them.
const PAYEE: &str = "03e7156ae33b0a208d0744199163177e909e80176e55d97a2f221ede0f934dd9ad";

#[test]
fn reads_the_examples_of_bolt_11_as_others_do() {
    for example in EXAMPLES.lines() {
        let ours = Bolt11::parse(example).unwrap_or_else(|error| panic!("{error}: {example}"));
        assert_same_as_others(example, &ours);
        let upper = Bolt11::parse(&example.to_ascii_uppercase()).unwrap();
        assert_eq!(upper, ours, "capitals are read alike");
    }
    let examples: Vec<Bolt11> = EXAMPLES.lines().map(|example| Bolt11::parse(example).unwrap()).collect();
    let [donation, coffee, ..] = examples.as_slice() else { panic!("no examples") };
    assert_eq!(base16ct_lower(donation.payee()), PAYEE);
    assert_eq!((donation.amount(), donation.network()), (None, BitcoinNetwork::Mainnet));
    let text = "Please consider supporting this project";
    assert_eq!(donation.description(), &InvoiceDescription::Text(text.to_owned()));
    assert_eq!(donation.created_at().as_seconds(), 1_496_314_658);
    assert_eq!(donation.expires_at().as_seconds(), 1_496_314_658 + 3_600);
    assert_eq!(coffee.amount(), Some(Price::sat(250_000)));
    assert_eq!(coffee.expires_at().as_seconds(), 1_496_314_658 + 60);
}

#[test]
fn a_changed_character_is_found() {
    let example = EXAMPLES.lines().nth(1).unwrap();
    for index in 0..example.len() {
        let mut changed = example.as_bytes().to_vec();
        changed[index] = if changed[index] == b'q' { b'p' } else { b'q' };
        assert!(Bolt11::parse(std::str::from_utf8(&changed).unwrap()).is_err(), "at {index}");
    }
}

#[test]
fn what_was_changed_with_a_right_checksum_is_by_somebody_else() {
    let written = WrittenInvoice::new("lnbc210n", &[7; 32], "a job");
    let (_, data, signature) = parts(&written.encode());
    // A thousand times the amount, under the signature of the first.
    let changed = encode("lnbc210u", &[data, signature].concat());
    match Bolt11::parse(&changed) {
        Ok(invoice) => assert_ne!(invoice.payee(), &written.payee()),
        Err(error) => assert_eq!(error, Bolt11Error::Signature),
    }
    // With its payee named, it is refused.
    let named = written.clone().field('n', words(&written.payee()));
    assert_eq!(Bolt11::parse(&named.encode()).unwrap().payee(), &written.payee());
    let (_, data, signature) = parts(&named.encode());
    let changed = encode("lnbc210u", &[data, signature].concat());
    assert_eq!(Bolt11::parse(&changed), Err(Bolt11Error::Signature));
}

#[test]
fn it_has_one_payment_hash_and_one_description() {
    let written = WrittenInvoice::new("lnbc210n", &[7; 32], "a job");
    let parse = |written: &WrittenInvoice| Bolt11::parse(&written.encode());
    assert!(parse(&written).is_ok());
    let field = |field| Err(Bolt11Error::Field { field });
    for (letter, words, error) in [
        ('p', words(&[8; 32]), field("payment hash")),
        ('h', words(&[8; 32]), field("description")),
        ('d', words(b"another job"), field("description")),
    ] {
        assert_eq!(parse(&written.clone().field(letter, words)), error, "{letter}");
    }
    for (letter, error) in [('p', field("payment hash")), ('d', field("description"))] {
        let mut without = written.clone();
        without.fields.retain(|(other, _)| *other != letter);
        assert_eq!(parse(&without), error, "without {letter}");
    }
    let mut text = written.clone();
    text.fields[1].1 = words(&[0xff, 0xfe]);
    assert_eq!(parse(&text), Err(Bolt11Error::Description));
    // Fields of another length are skipped, and unknown ones.
    let skipped = written.field('p', words(&[8; 31])).field('z', vec![1, 2, 3]);
    assert_eq!(parse(&skipped).unwrap().payment_hash(), &[7; 32]);
}

#[test]
fn refuses_what_is_no_invoice() {
    let long = format!("lnbc1{}", "q".repeat(8_000));
    for (text, error) in [
        ("", Bolt11Error::Encoding),
        ("lnbc", Bolt11Error::Encoding),
        ("lnbc2500u1pvjluez", Bolt11Error::Encoding),
        ("lightning:lnbc2500u1pvjluez", Bolt11Error::Encoding),
        ("lnbc2500U1pvjluez", Bolt11Error::Encoding),
        (long.as_str(), Bolt11Error::TooLong),
    ] {
        assert_eq!(Bolt11::parse(text), Err(error), "{text}");
    }
    let with_prefix = |prefix: &str| Bolt11::parse(&WrittenInvoice::new(prefix, &[7; 32], "").encode());
    assert_eq!(with_prefix("lnbcrt210n").unwrap().network(), BitcoinNetwork::Regtest);
    assert_eq!(with_prefix("lntbs").unwrap().network(), BitcoinNetwork::Signet);
    for prefix in ["lnxx210n", "bc210n", "lno", "lnbcx"] {
        assert_eq!(with_prefix(prefix), Err(Bolt11Error::Network), "{prefix}");
    }
    for prefix in ["lnbc2500x", "lnbc02500u", "lnbc15p", "lnbc0n", "lnbc99999999999999999999m"] {
        assert_eq!(with_prefix(prefix), Err(Bolt11Error::Amount), "{prefix}");
    }
}

#[test]
fn reads_amounts() {
    for (amount, expected) in [
        ("2500u", Some(250_000_000)),
        ("20m", Some(2_000_000_000)),
        ("210n", Some(21_000)),
        ("9678785340p", Some(967_878_534)),
        ("1", Some(100_000_000_000)),
        ("99999999999999999m", None),
        ("u", None),
    ] {
        assert_eq!(msat(amount), expected, "{amount}");
    }
}

fn base16ct_lower(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn assert_same_as_others(text: &str, ours: &Bolt11) {
    let theirs = SignedRawBolt11Invoice::from_str(text).unwrap();
    assert!(theirs.check_signature());
    assert_eq!(theirs.amount_pico_btc().map(|pico| pico / 10), ours.amount().map(Price::as_msat), "{text}");
    let hash: &[u8] = theirs.payment_hash().unwrap().0.as_ref();
    assert_eq!(hash, ours.payment_hash(), "{text}");
    let payee = theirs
        .payee_pub_key()
        .map(|key| key.0)
        .or_else(|| theirs.recover_payee_pub_key().ok().map(|key| key.0));
    assert_eq!(payee.unwrap().serialize(), *ours.payee(), "{text}");
    let expiry = theirs.expiry_time().map_or(super::DEFAULT_EXPIRY, |expiry| *expiry.as_duration());
    assert_eq!(ours.created_at() + expiry, ours.expires_at(), "{text}");
    match (theirs.description(), theirs.description_hash()) {
        (Some(theirs), None) => {
            assert_eq!(*ours.description(), InvoiceDescription::Text(theirs.as_inner().0.clone()), "{text}");
        }
        (None, Some(theirs)) => {
            let theirs: &[u8] = theirs.0.as_ref();
            assert!(matches!(ours.description(), InvoiceDescription::Hash(hash) if hash == theirs), "{text}");
        }
        other => panic!("{other:?} in {text}"),
    }
}

/// Random invoices, some with fields that others skip.
fn written() -> impl Strategy<Value = WrittenInvoice> {
    let prefix =
        prop_oneof!["ln(bc|tb|tbs|bcrt)", "ln(bc|tb|bcrt)[1-9][0-9]{0,6}[mun]", "lnbc[1-9][0-9]{0,6}0p"];
    let other = (proptest::char::range('a', 'z'), prop::collection::vec(0_u8..32, 0..60))
        .prop_filter("fields that have a meaning", |(letter, _)| "qyg8v".contains(*letter));
    (
        prefix,
        any::<[u8; 32]>(),
        ".{0,40}",
        0_u64..(1 << 35),
        1_u64..(1 << 25),
        prop::collection::vec(other, 0..3),
    )
        .prop_map(|(prefix, hash, text, created_at, expiry, others)| {
            let mut written = WrittenInvoice { created_at, ..WrittenInvoice::new(&prefix, &hash, &text) };
            written.fields.extend(others);
            // Without leading zeros, since the other library hashes what it would write itself.
            let words = (0..5).rev().map(|place| word(expiry, place));
            written.field('x', words.skip_while(|word| *word == 0).collect())
        })
}

proptest! {
    #[test]
    fn reads_what_others_read(written in written()) {
        let text = written.encode();
        let ours = Bolt11::parse(&text).unwrap();
        prop_assert_eq!(ours.payee(), &written.payee());
        assert_same_as_others(&text, &ours);
    }

    #[test]
    fn both_libraries_judge_a_signature_alike(written in written(), byte in 0_usize..65, change in 0_u8..4) {
        let (prefix, data, signature) = parts(&written.encode());
        let hash = signed_hash(&prefix, Words(&data));
        let mut signature = Words(&signature).bytes();
        signature[byte] ^= change;
        let by_k256 = signature::with_k256::recover(&hash, &signature);
        prop_assert_eq!(signature::recover(&hash, &signature), by_k256);
        let payee = written.payee();
        let by_k256 = signature::with_k256::verify(&hash, &signature, &payee);
        prop_assert_eq!(signature::verify(&hash, &signature, &payee), by_k256);
    }

    #[test]
    fn never_panics(text in r"(ln)?(bc|tb|bcrt)?[0-9]{0,25}[munp]?1?.{0,200}", data in prop::collection::vec(0_u8..32, 0..300)) {
        let _ = Bolt11::parse(&text);
        let _ = Bolt11::parse(&encode("lnbc10n", &data));
    }
}

#[test]
fn the_checksum_is_of_bech32() {
    use bech32::primitives::checksum::Checksum as _;
    super::checksum::Bolt11Checksum::sanity_check();
    assert!(Bolt11::parse(&fixtures::invoice(21, "a job")).is_ok());
}
