//! A model of the store: a list of events that is scanned for every operation.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use openagents_host::nostr::KindClass;
use openagents_host::{Event, EventId, Kind, PublicKey, VerifiedEvent};
use serde_json::Value;

use crate::fixtures;
use crate::limits::Limits;
use crate::store::Insertion;
use openagents_host::nostr::filter::Filter;
use openagents_host::nostr::message::Completeness;

/// The events that were accepted and still exist, and what is refused.
#[derive(Default)]
pub(crate) struct StoreModel {
    pub(crate) events: Vec<VerifiedEvent>,
    /// How many seconds events of certain kinds are kept.
    pub(crate) retention: BTreeMap<u16, u64>,
    /// When such an event expires.
    ends: BTreeMap<EventId, u64>,
    deleted: Vec<(EventId, PublicKey)>,
    deleted_addresses: Vec<(String, u64)>,
    vanished: Vec<(PublicKey, u64, EventId)>,
}

/// What the versions of a replaceable or addressable event have in common.
fn address(event: &Event) -> Option<String> {
    match event.kind.class() {
        KindClass::Replaceable => Some(format!("{}:{}:", event.kind, event.pubkey)),
        KindClass::Addressable => Some(format!("{}:{}:{}", event.kind, event.pubkey, event.identifier())),
        _ => None,
    }
}

fn is_expired(event: &Event, now: u64) -> bool {
    event
        .tag_values("expiration")
        .next()
        .and_then(|value| value.parse::<u64>().ok())
        .is_some_and(|at| at <= now)
}

fn has_ended(ends: &BTreeMap<EventId, u64>, event: &Event, now: u64) -> bool {
    is_expired(event, now) || ends.get(&event.id).is_some_and(|end| *end <= now)
}

impl StoreModel {
    /// Applies NIP-01, NIP-09, NIP-40 and NIP-62 to an event that arrives at second `now`.
    pub(crate) fn publish(&mut self, now: u64, event: &VerifiedEvent, vanish: bool) -> Insertion {
        self.forget_ended(now);
        if is_expired(event, now) {
            return Insertion::Expired;
        }
        let is_stored = self.events.iter().any(|stored| stored.id == event.id);
        let has_vanished = |pubkey: &PublicKey| {
            self.vanished.iter().any(|(vanished, until, request)| {
                vanished == pubkey && event.created_at <= *until && event.id != *request
            })
        };
        if has_vanished(&event.pubkey) {
            return Insertion::Vanished;
        }
        let is_wrap_for = |wrap: &Event, pubkey: &PublicKey| {
            wrap.kind == Kind(1059) && wrap.tag_values("p").any(|value| value == pubkey.to_hex())
        };
        if event
            .tag_values("p")
            .filter_map(|value| PublicKey::from_hex(value).ok())
            .any(|pubkey| is_wrap_for(event, &pubkey) && has_vanished(&pubkey))
        {
            return Insertion::Vanished;
        }
        if is_stored {
            return Insertion::Duplicate;
        }
        let may_be_deleted = event.kind != Kind(5) && event.kind != Kind(62);
        let may_delete = |pubkey: &PublicKey| event.pubkey == *pubkey || is_wrap_for(event, pubkey);
        if may_be_deleted && self.deleted.iter().any(|(id, pubkey)| *id == event.id && may_delete(pubkey)) {
            return Insertion::Deleted;
        }
        let own_address = address(event);
        if self
            .deleted_addresses
            .iter()
            .any(|(deleted, until)| Some(deleted) == own_address.as_ref() && event.created_at <= *until)
        {
            return Insertion::Deleted;
        }
        let rank = |event: &VerifiedEvent| (event.created_at, Reverse(event.id));
        let is_version = |stored: &VerifiedEvent| own_address.is_some() && address(stored) == own_address;
        if self.events.iter().any(|stored| is_version(stored) && rank(stored) > rank(event)) {
            return Insertion::Superseded;
        }
        self.events.retain(|stored| !is_version(stored));
        if event.kind == Kind(5) {
            for id in event.tag_values("e").filter_map(|value| EventId::from_hex(value).ok()) {
                self.deleted.push((id, event.pubkey));
                self.events.retain(|stored| {
                    let is_own = stored.pubkey == event.pubkey && !matches!(stored.kind.0, 5 | 62);
                    stored.id != id || !(is_own || is_wrap_for(stored, &event.pubkey))
                });
            }
            for deleted in event.tag_values("a").filter(|value| value.contains(&event.pubkey.to_hex())) {
                self.deleted_addresses.push((deleted.to_owned(), event.created_at));
                self.events.retain(|stored| {
                    address(stored).as_deref() != Some(deleted) || stored.created_at > event.created_at
                });
            }
        }
        if vanish {
            self.vanished.retain(|(vanished, ..)| *vanished != event.pubkey);
            self.vanished.push((event.pubkey, event.created_at, event.id));
            self.events.retain(|stored| {
                let is_meant = stored.pubkey == event.pubkey || is_wrap_for(stored, &event.pubkey);
                !is_meant || stored.created_at > event.created_at
            });
        }
        match self.retention.get(&event.kind.0) {
            Some(seconds) => drop(self.ends.insert(event.id, now + seconds)),
            None => drop(self.ends.remove(&event.id)),
        }
        self.events.push(event.clone());
        Insertion::Inserted
    }

    /// Drops an event that has expired.
    fn forget_ended(&mut self, now: u64) {
        let ends = &self.ends;
        self.events.retain(|stored| !has_ended(ends, stored, now));
    }

    pub(crate) fn remove(&mut self, now: u64, id: EventId) -> bool {
        self.forget_ended(now);
        let before = self.events.len();
        self.events.retain(|stored| stored.id != id);
        self.events.len() < before
    }

    /// All events of a filter, in answer order.
    pub(crate) fn matching(&self, now: u64, filter: &Filter, reader: &Reader) -> Vec<&VerifiedEvent> {
        let mut found: Vec<_> = self
            .events
            .iter()
            .filter(|event| {
                !has_ended(&self.ends, event, now) && reader.may_read(event) && matches(filter, event)
            })
            .collect();
        found.sort_by_key(|event| (Reverse(event.created_at), event.id));
        found
    }

    pub(crate) fn answer(
        &self,
        now: u64,
        filters: &[Filter],
        limits: &Limits,
        reader: &Reader,
    ) -> (Vec<String>, Completeness) {
        let mut completeness = Completeness::Finished;
        let mut found = Vec::new();
        for filter in filters {
            let mut matching = self.matching(now, filter, reader);
            let limit = limits.stored_events(filter).try_into().unwrap();
            if limit == 0 && completeness == Completeness::Finished && !filter.matches_nothing() {
                completeness = Completeness::Unknown;
                continue;
            }
            if limit > 0 && matching.len() > limit {
                completeness = Completeness::More;
            }
            matching.truncate(limit);
            found.extend(matching);
        }
        found.sort_by_key(|event| (Reverse(event.created_at), event.id));
        found.dedup_by_key(|event| event.id);
        let mut length = 0;
        let mut answer = Vec::new();
        for event in found {
            length += event.json().len();
            if length > limits.max_answer_length {
                return (answer, Completeness::More);
            }
            answer.push(event.json().to_string());
        }
        (answer, completeness)
    }

    pub(crate) fn count(&self, now: u64, filters: &[Filter], reader: &Reader) -> BTreeSet<EventId> {
        let found = filters.iter().flat_map(|filter| self.matching(now, filter, reader));
        found.map(|event| event.id).collect()
    }
}

/// Who reads. Private events are visible only if one of these keys is a party; all others are visible to everybody.
pub(crate) struct Reader {
    pub(crate) private_kinds: Vec<u16>,
    pub(crate) pubkeys: BTreeSet<PublicKey>,
}

impl Reader {
    pub(crate) fn may_read(&self, event: &Event) -> bool {
        let is_party = |pubkey: &PublicKey| {
            event.pubkey == *pubkey
                || event.tags.iter().any(|tag| tag.len() > 1 && tag[0] == "p" && tag[1] == pubkey.to_hex())
        };
        !self.private_kinds.contains(&event.kind.0) || self.pubkeys.iter().any(is_party)
    }
}

static PARSED: LazyLock<BTreeMap<EventId, Arc<Value>>> = LazyLock::new(|| {
    let parsed = |event: &VerifiedEvent| (event.id, Arc::new(serde_json::from_str(event.json()).unwrap()));
    fixtures::pool().iter().map(parsed).collect()
});

/// NIP-01, evaluated on the JSON of both.
pub(crate) fn matches(filter: &Filter, event: &VerifiedEvent) -> bool {
    let parsed = PARSED.get(&event.id);
    let event = parsed.cloned().unwrap_or_else(|| Arc::new(serde_json::from_str(event.json()).unwrap()));
    let filter = serde_json::to_value(filter).unwrap();
    filter.as_object().unwrap().iter().all(|(field, wanted)| {
        let is_listed = |value: &Value| wanted.as_array().unwrap().contains(value);
        match field.as_str() {
            "limit" => true,
            "ids" => is_listed(&event["id"]),
            "authors" => is_listed(&event["pubkey"]),
            "kinds" => is_listed(&event["kind"]),
            "since" => event["created_at"].as_u64() >= wanted.as_u64(),
            "until" => event["created_at"].as_u64() <= wanted.as_u64(),
            tag => event["tags"]
                .as_array()
                .unwrap()
                .iter()
                .any(|own| own[0].as_str() == tag.strip_prefix('#') && own.get(1).is_some_and(&is_listed)),
        }
    })
}
