//! The events for measurements: the same in every run, since each follows from its number.
//!
//! Events form blocks of 1,200 by 48 authors, in groups of ten: a job request, its feedback, its result, an article,
//! a note, and five replies to notes of the block. So 30 % are of job kinds, an event has 2.6 tags and about 640
//! bytes, and a query for one author or thread has as many results in a million events as in ten thousand.

use std::fmt::Write as _;

use secp256k1::{Keypair, Secp256k1, SecretKey, SignOnly};
use sha2::{Digest as _, Sha256};

/// The number of events in a block. Events only refer to events in their block.
pub(crate) const BLOCK: u64 = 1_200;

/// The number of events in a group.
const GROUP: u64 = 10;

/// The number of authors in a block that request jobs and write notes, and of those that answer jobs.
pub(crate) const CUSTOMERS: u64 = 40;
const PROVIDERS: u64 = 8;

/// The time of the first event: 2025-11-01, so that none is in the future. The interval is three seconds.
pub(crate) const BEGINNING: u64 = 1_761_955_200;

/// The value of the tag `t`, which three notes in four have.
pub(crate) const TOPIC: &str = "bench";

/// An event's id, in hex.
pub(crate) type Id = [u8; 64];

/// What an event is; follows from its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) number: u64,
    pub(crate) kind: u16,
    /// The author and the mentioned author (tag `p`), as indexes in the block.
    pub(crate) author: u64,
    pub(crate) mentioned: Option<u64>,
    /// The number of the event that it answers (tag `e`).
    pub(crate) answered: Option<u64>,
    /// Whether it has the tag `t`.
    pub(crate) topical: bool,
}

impl Description {
    /// The event with this number.
    pub(crate) fn of(number: u64) -> Self {
        let (block, group, slot) = (number / BLOCK, number % BLOCK / GROUP, number % GROUP);
        let first = block * BLOCK + group * GROUP;
        let (customer, provider) = (group % CUSTOMERS, CUSTOMERS + group % PROVIDERS);
        let job = group % 3;
        let plain =
            Self { number, kind: 1, author: customer, mentioned: None, answered: None, topical: false };
        let answer = Self { author: provider, mentioned: Some(customer), answered: Some(first), ..plain };
        match slot {
            0 => Self { kind: [5000, 5001, 5100][job as usize], ..plain },
            1 => Self { kind: 7000, ..answer },
            2 => Self { kind: [6000, 6001, 6100][job as usize], ..answer },
            // Each with a different identifier: since connections race, none may replace another.
            3 => Self { kind: 30_023, author: (group + 5) % CUSTOMERS, topical: true, ..plain },
            4 => Self { topical: true, ..plain },
            _ => {
                // Older notes of the block get more replies.
                let parent = scatter(number) % (group + 1);
                Self {
                    author: (group * 3 + slot) % CUSTOMERS,
                    mentioned: Some(parent % CUSTOMERS),
                    answered: Some(block * BLOCK + parent * GROUP + 4),
                    topical: slot != 9,
                    ..plain
                }
            }
        }
    }

    /// All events of a block.
    pub(crate) fn block(block: u64) -> impl Iterator<Item = Self> {
        (block * BLOCK..(block + 1) * BLOCK).map(Self::of)
    }
}

/// A pseudo-random number.
pub(crate) fn scatter(number: u64) -> u64 {
    let mixed = (number ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 29)
}

/// Authors and events of one seed.
#[derive(Debug)]
pub(crate) struct Dataset {
    seed: u64,
    secp: Secp256k1<SignOnly>,
    /// The keys of the most recently used block: deriving a key costs as much as signing.
    keys: Option<(u64, Vec<(Keypair, String)>)>,
}

impl Dataset {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, secp: Secp256k1::signing_only(), keys: None }
    }

    fn authors(&mut self, block: u64) -> &[(Keypair, String)] {
        if self.keys.as_ref().is_none_or(|(of, _)| *of != block) {
            let author = |place: u64| {
                let secret = Sha256::digest(format!("bench {} {block} {place}", self.seed));
                let secret =
                    SecretKey::from_slice(&secret).expect("a hash is a key, but for luck beyond reason");
                let pair = Keypair::from_secret_key(&self.secp, &secret);
                (pair, hex(&pair.x_only_public_key().0.serialize()))
            };
            self.keys = Some((block, (0..CUSTOMERS + PROVIDERS).map(author).collect()));
        }
        &self.keys.as_ref().expect("just made").1
    }

    /// The public key of an author of a block, in hex.
    pub(crate) fn author(&mut self, block: u64, place: u64) -> String {
        self.authors(block)[place as usize].1.clone()
    }

    /// The serialization that is hashed for an event's id (NIP-01), and its parts for the wire: public key, time, and
    /// everything from the tags to the content.
    fn serialised(&mut self, event: &Description) -> (String, String, String) {
        let block = event.number / BLOCK;
        let answered = event.answered.map(|number| text(&self.id(&Description::of(number))));
        let author = self.author(block, event.author);
        let mentioned = event.mentioned.map(|place| self.author(block, place)).unwrap_or_default();
        let created_at = (BEGINNING + event.number * 3).to_string();
        let answered = answered.unwrap_or_default();
        let number = event.number;
        let tags = match event.kind {
            5000..6000 => format!(
                r#"["i","{number}: {}","text"],["param","language","en"],["output","text/plain"]"#,
                filler(number, 250)
            ),
            6000..7000 => format!(
                r#"["e","{answered}"],["p","{mentioned}"],["amount","{}","lnbc{number}"]"#,
                1000 + number % 9000
            ),
            7000 => format!(r#"["e","{answered}"],["p","{mentioned}"],["status","processing"]"#),
            30_023 => format!(r#"["d","article-{number}"],["t","{TOPIC}"]"#),
            _ if answered.is_empty() => format!(r#"["t","{TOPIC}"]"#),
            _ if event.topical => format!(r#"["e","{answered}"],["p","{mentioned}"],["t","{TOPIC}"]"#),
            _ => format!(r#"["e","{answered}"],["p","{mentioned}"]"#),
        };
        let content = match event.kind {
            5000..6000 => String::new(),
            30_023 => format!("{number}: {}", filler(number, 300)),
            7000 => String::new(),
            _ if answered.is_empty() => format!("{number}: {}", filler(number, 180)),
            _ => format!("{number}: {}", filler(number, 160)),
        };
        (author, created_at, format!(r#"[{tags}],"{content}""#))
    }

    /// An event's id, without signing it.
    pub(crate) fn id(&mut self, event: &Description) -> Id {
        let (author, created_at, rest) = self.serialised(event);
        let hash = Sha256::digest(format!(r#"[0,"{author}",{created_at},{},{rest}]"#, event.kind));
        hex(&hash).into_bytes().try_into().expect("32 bytes are 64 digits")
    }

    /// The signed event as JSON, and its id.
    pub(crate) fn sign(&mut self, event: &Description) -> (Id, String) {
        let (author, created_at, rest) = self.serialised(event);
        let kind = event.kind;
        let hash: [u8; 32] = Sha256::digest(format!(r#"[0,"{author}",{created_at},{kind},{rest}]"#)).into();
        let pair = self.authors(event.number / BLOCK)[event.author as usize].0;
        let signature = hex(self.secp.sign_schnorr_no_aux_rand(&hash, &pair).as_ref());
        let (tags, content) = rest.rsplit_once(r#"],""#).expect("tags before the content");
        let id = hex(&hash);
        let json = format!(
            r#"{{"id":"{id}","pubkey":"{author}","created_at":{created_at},"kind":{kind},"tags":{tags}],"content":"{content},"sig":"{signature}"}}"#
        );
        (id.into_bytes().try_into().expect("32 bytes are 64 digits"), json)
    }
}

/// Words of about this many bytes, different for each event.
fn filler(number: u64, length: usize) -> String {
    const WORDS: [&str; 8] = ["lorem", "ipsum", "dolor", "sit", "amet", "agents", "relay", "sats"];
    let mut words = String::with_capacity(length + 8);
    let mut chance = scatter(number);
    while words.len() < length {
        words.push_str(WORDS[(chance % 8) as usize]);
        words.push(' ');
        chance = chance.rotate_right(3) ^ words.len() as u64;
    }
    words
}

/// Lowercase hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// An id as text.
pub(crate) fn text(id: &Id) -> String {
    String::from_utf8_lossy(id).into_owned()
}

#[cfg(test)]
mod tests {
    use nostr_sdk::nostr::Event;

    use super::{BLOCK, Dataset, Description, text};

    #[test]
    fn events_are_valid_to_another_implementation_and_the_same_every_time() {
        let mut dataset = Dataset::new(1);
        for number in (0..20).chain(BLOCK * 7 + 100..BLOCK * 7 + 110) {
            let description = Description::of(number);
            let (id, json) = dataset.sign(&description);
            let event: Event = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
            event.verify().expect("a valid event");
            assert_eq!((event.id.to_hex(), dataset.id(&description)), (text(&id), id));
            assert_eq!(event.kind.as_u16(), description.kind);
            assert_eq!(dataset.sign(&description), (id, json));
        }
    }

    #[test]
    fn the_mix_is_that_of_a_relay_for_agents() {
        let mut dataset = Dataset::new(1);
        let (mut bytes, mut tags, mut jobs) = (0, 0, 0);
        for description in Description::block(3) {
            let event: Event = serde_json::from_str(&dataset.sign(&description).1).unwrap();
            bytes += dataset.sign(&description).1.len();
            tags += event.tags.len();
            jobs += usize::from((5000..=7000).contains(&description.kind));
            assert_eq!(event.tags.iter().any(|tag| tag.as_slice()[0] == "t"), description.topical);
            assert_eq!(
                event.tags.iter().any(|tag| tag.as_slice()[0] == "p"),
                description.mentioned.is_some()
            );
        }
        let count = BLOCK as usize;
        assert_eq!((jobs * 10, tags * 10), (count * 3, count * 26));
        assert!((620..660).contains(&(bytes / count)), "{} bytes", bytes / count);
    }
}
