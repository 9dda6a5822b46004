//! Tests of the index: owners, quotas, ends, and bytes that must go or must stay.

mod expected;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openagents_host::native::Sqlite;
use openagents_host::{BlobHash, Engine as _, PublicKey, Timestamp};
use proptest::prelude::*;

use super::{
    BlobRecord, Deletion, IndexCall, IndexEffect, IndexEngine, IndexInput, IndexRead, IndexReply, IndexWrite,
    ListQuery, Upload, UploadAnswer,
};

const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn hash(number: u8) -> BlobHash {
    BlobHash::from_bytes([number; 32])
}

fn owner(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

fn upload(hash_number: u8, owner_number: u8) -> Upload {
    Upload {
        hash: hash(hash_number),
        owner: owner(owner_number),
        size: 100,
        media_type: "image/png".parse().unwrap(),
        quota: None,
        expected: None,
    }
}

/// An index and what it wants its host to do.
struct Index {
    engine: IndexEngine<Sqlite>,
    /// That of everyone except for the owner 9, an operator.
    quota: Option<u64>,
    now: Timestamp,
    effects: Vec<IndexEffect>,
}

impl Index {
    fn new() -> Self {
        Self::with(None, None)
    }

    fn with(quota: Option<u64>, time_to_live: Option<Duration>) -> Self {
        let engine = IndexEngine::open(Sqlite::in_memory().unwrap(), time_to_live).unwrap();
        Self { engine, quota, now: START, effects: Vec::new() }
    }

    fn read(&mut self, read: IndexRead) -> IndexReply {
        self.engine.call(self.now, &IndexCall::Read(read), &mut self.effects).unwrap()
    }

    fn write(&mut self, write: IndexWrite) -> IndexReply {
        self.engine.call(self.now, &IndexCall::Write(write), &mut self.effects).unwrap()
    }

    fn upload_by(&mut self, write: fn(Upload) -> IndexWrite, upload: Upload) -> UploadAnswer {
        let quota = self.quota.filter(|_| upload.owner != owner(9));
        match self.write(write(Upload { quota, ..upload })) {
            IndexReply::Upload(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn commit(&mut self, hash_number: u8, owner_number: u8) -> UploadAnswer {
        self.upload_by(IndexWrite::Commit, upload(hash_number, owner_number))
    }

    fn delete(&mut self, hash_number: u8, owner_number: Option<u8>) -> Deletion {
        match self.write(IndexWrite::Delete { hash: hash(hash_number), owner: owner_number.map(owner) }) {
            IndexReply::Deleted(deletion) => deletion,
            other => panic!("{other:?}"),
        }
    }

    fn find(&mut self, hash_number: u8) -> Option<BlobRecord> {
        match self.read(IndexRead::Find(hash(hash_number))) {
            IndexReply::Found(found) => found,
            other => panic!("{other:?}"),
        }
    }

    fn list(&mut self, owner_number: u8, cursor: Option<u8>, limit: u32) -> Vec<BlobRecord> {
        let cursor = cursor.map(hash);
        let query = ListQuery { owner: owner(owner_number), cursor, limit, since: None, until: None };
        match self.read(IndexRead::List(query)) {
            IndexReply::Listed(records) => records,
            other => panic!("{other:?}"),
        }
    }

    fn removed(&mut self) -> Vec<BlobHash> {
        let removed = self.effects.drain(..).filter_map(|effect| match effect {
            IndexEffect::Remove(hash) => Some(hash),
            IndexEffect::Check(_) | IndexEffect::Reply { .. } => None,
        });
        removed.collect()
    }

    /// Lets time pass, with all alarms.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.engine.next_alarm().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.engine.alarm(self.now, &mut self.effects);
        }
        self.now = end;
    }
}

#[test]
fn a_blob_lives_as_long_as_somebody_owns_it() {
    let mut index = Index::new();
    assert!(matches!(index.commit(1, 1), UploadAnswer::Stored(_)));
    assert!(matches!(index.commit(1, 2), UploadAnswer::Exists(_)));
    assert!(matches!(index.commit(1, 2), UploadAnswer::Exists(_)));
    assert_eq!(index.delete(1, Some(3)), Deletion::NotOwned);
    assert_eq!(index.delete(1, Some(1)), Deletion::Deleted);
    assert!(index.find(1).is_some() && index.removed().is_empty());
    assert_eq!(index.delete(1, Some(2)), Deletion::Deleted);
    assert_eq!((index.find(1), index.removed()), (None, vec![hash(1)]));
    assert_eq!(index.delete(1, Some(2)), Deletion::NotFound);
}

#[test]
fn an_operator_takes_a_blob_from_all_and_blocks_it() {
    let mut index = Index::new();
    index.commit(1, 1);
    index.commit(1, 2);
    index.write(IndexWrite::Block { hash: hash(1), reason: "malware".to_owned() });
    assert_eq!((index.find(1), index.removed()), (None, vec![hash(1)]));
    assert_eq!(index.commit(1, 1), UploadAnswer::Blocked { reason: "malware".to_owned() });
    assert_eq!(index.removed(), [hash(1)], "what was uploaded meanwhile");
    index.commit(2, 1);
    assert_eq!(index.delete(2, None), Deletion::Deleted);
    assert_eq!(index.removed(), [hash(2)]);
}

#[test]
fn bytes_are_removed_again_and_again_until_that_is_confirmed() {
    let mut index = Index::new();
    index.commit(1, 1);
    index.delete(1, Some(1));
    assert_eq!(index.removed().len(), 1);
    index.wait(Duration::from_secs(130));
    assert_eq!(index.removed(), [hash(1), hash(1)]);
    index.engine.handle(index.now, &IndexInput::Removed(hash(1)), &mut index.effects);
    index.wait(Duration::from_secs(3_600));
    assert_eq!((index.removed(), index.engine.next_alarm()), (vec![], None));
}

#[test]
fn a_blob_that_is_uploaded_again_is_not_removed() {
    let mut index = Index::new();
    index.commit(1, 1);
    index.delete(1, Some(1));
    index.removed();
    index.commit(1, 2);
    index.wait(Duration::from_secs(3_600));
    assert_eq!(index.removed(), []);
    assert!(index.find(1).is_some());
}

#[test]
fn a_quota_counts_what_an_owner_has_and_has_begun() {
    let mut index = Index::with(Some(250), None);
    index.commit(1, 1);
    assert_eq!(index.upload_by(IndexWrite::Reserve, upload(2, 1)), UploadAnswer::Wanted);
    let full = UploadAnswer::QuotaExceeded { quota: 250, used: 200 };
    assert_eq!(index.upload_by(IndexWrite::Reserve, upload(3, 1)), full);
    assert_eq!(index.commit(3, 1), full);
    // What one has already can be uploaded again, what was reserved can be completed, others and operators are free.
    assert!(matches!(index.commit(1, 1), UploadAnswer::Exists(_)));
    assert!(matches!(index.commit(2, 1), UploadAnswer::Stored(_)));
    assert!(matches!(index.commit(3, 2), UploadAnswer::Stored(_)));
    for number in 4..8 {
        assert!(matches!(index.commit(number, 9), UploadAnswer::Stored(_)));
    }
    index.delete(1, Some(1));
    assert!(matches!(index.commit(3, 1), UploadAnswer::Exists(_)));
}

#[test]
fn an_upload_that_never_ends_is_looked_for() {
    for is_stored in [true, false] {
        let mut index = Index::new();
        index.upload_by(IndexWrite::Reserve, upload(1, 1));
        index.wait(Duration::from_secs(3_700));
        assert!(index.effects.contains(&IndexEffect::Check(hash(1))));
        assert!(index.find(1).is_none());
        index.engine.handle(index.now, &IndexInput::Checked { hash: hash(1), is_stored }, &mut index.effects);
        assert_eq!(index.find(1).is_some(), is_stored);
        // Perhaps the bytes arrive later, so they are removed in any case.
        assert_eq!(index.removed(), if is_stored { vec![] } else { vec![hash(1)] });
    }
}

#[test]
fn an_abandoned_upload_leaves_nothing_and_takes_nothing_from_others() {
    let mut index = Index::new();
    index.upload_by(IndexWrite::Reserve, upload(1, 1));
    index.upload_by(IndexWrite::Reserve, upload(1, 2));
    index.write(IndexWrite::Abandon { hash: hash(1), owner: owner(1) });
    assert_eq!(index.removed(), [], "another upload of it goes on");
    assert!(matches!(index.commit(1, 2), UploadAnswer::Stored(_)));
    index.write(IndexWrite::Abandon { hash: hash(1), owner: owner(1) });
    assert_eq!(index.removed(), []);
    index.upload_by(IndexWrite::Reserve, upload(2, 1));
    index.write(IndexWrite::Abandon { hash: hash(2), owner: owner(1) });
    assert_eq!(index.removed(), [hash(2)]);
}

#[test]
fn claiming_what_does_not_exist_changes_nothing() {
    let mut index = Index::new();
    assert_eq!(index.upload_by(IndexWrite::Claim, upload(1, 1)), UploadAnswer::Wanted);
    assert_eq!(index.engine.next_alarm(), None);
    index.commit(1, 1);
    assert!(matches!(index.upload_by(IndexWrite::Claim, upload(1, 2)), UploadAnswer::Exists(_)));
    assert_eq!(index.list(2, None, 10).len(), 1);
}

#[test]
fn blobs_end_with_the_last_of_their_owners() {
    let mut index = Index::with(None, Some(Duration::from_secs(60)));
    index.commit(1, 1);
    index.wait(Duration::from_secs(30));
    index.commit(1, 2);
    assert_eq!(index.find(1).unwrap().expires, Some(START.as_seconds() + 90));
    index.wait(Duration::from_secs(31));
    assert_eq!((index.list(1, None, 10), index.list(2, None, 10).len()), (vec![], 1));
    index.commit(1, 2);
    index.wait(Duration::from_secs(40));
    assert!(index.find(1).is_some(), "uploading again prolongs it");
    index.wait(Duration::from_secs(40));
    assert_eq!(index.find(1), None);
    assert_eq!(index.removed().first(), Some(&hash(1)));
}

#[test]
fn everything_of_an_owner_goes_and_nothing_of_others() {
    let mut index = Index::new();
    for number in 0..250 {
        index.commit(number, 1);
    }
    index.commit(7, 2);
    let until = index.now.as_seconds();
    index.write(IndexWrite::RemoveOwner { owner: owner(1), until: until - 1 });
    assert_eq!(index.list(1, None, 1_000).len(), 250, "they are later");
    index.write(IndexWrite::RemoveOwner { owner: owner(1), until });
    assert_eq!(index.list(1, None, 10), []);
    index.wait(Duration::from_secs(1));
    assert_eq!(index.removed().len(), 249);
    assert!(index.find(7).is_some());
}

#[test]
fn pages_follow_one_another_also_within_a_second_and_after_deletions() {
    let mut index = Index::new();
    for number in 0..10 {
        index.commit(number, 1);
        if number % 3 == 0 {
            index.wait(Duration::from_secs(1));
        }
    }
    let all: Vec<BlobHash> = index.list(1, None, 100).iter().map(|record| record.hash).collect();
    assert_eq!(all.len(), 10);
    let mut pages = Vec::new();
    let mut cursor = None;
    loop {
        let page = index.list(1, cursor, 3);
        let Some(last) = page.last() else { break };
        cursor = Some(last.hash.as_bytes()[0]);
        pages.extend(page.iter().map(|record| record.hash));
        assert!(page.is_sorted_by(|a, b| (b.uploaded, a.hash) < (a.uploaded, b.hash)));
    }
    assert_eq!(pages, all);
    // Whoever deletes each page and goes on from its last blob misses none.
    let mut deleted = 0;
    let mut cursor = None;
    loop {
        let page = index.list(1, cursor, 3);
        let Some(last) = page.last() else { break };
        cursor = Some(last.hash.as_bytes()[0]);
        for record in &page {
            assert_eq!(index.delete(record.hash.as_bytes()[0], Some(1)), Deletion::Deleted);
            deleted += 1;
        }
    }
    assert_eq!(deleted, 10);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Reserve(u8, u8),
    Commit(u8, u8),
    Claim(u8, u8),
    Abandon(u8, u8),
    Delete(u8, Option<u8>),
    RemoveOwner(u8),
    Removed(u8),
    Checked(u8),
    Wait(u16),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let pair = || (0_u8..4, 0_u8..3);
    prop_oneof![
        3 => pair().prop_map(|(hash, owner)| Step::Reserve(hash, owner)),
        4 => pair().prop_map(|(hash, owner)| Step::Commit(hash, owner)),
        2 => pair().prop_map(|(hash, owner)| Step::Claim(hash, owner)),
        2 => pair().prop_map(|(hash, owner)| Step::Abandon(hash, owner)),
        3 => (0_u8..4, prop::option::of(0_u8..3)).prop_map(|(hash, owner)| Step::Delete(hash, owner)),
        1 => (0_u8..3).prop_map(Step::RemoveOwner),
        2 => (0_u8..4).prop_map(Step::Removed),
        2 => (0_u8..4).prop_map(Step::Checked),
        2 => (0_u16..4_000).prop_map(Step::Wait),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    /// A host that keeps bytes as the index says: what somebody owns has its bytes, and what nobody owns or uploads loses them.
    #[test]
    fn bytes_are_kept_exactly_as_long_as_they_are_wanted(steps in prop::collection::vec(step(), 1..60)) {
        let mut index = Index::with(Some(250), None);
        let mut stored = BTreeSet::new();
        let mut owned: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Reserve(hash, owner) => {
                    if let UploadAnswer::Exists(_) = index.upload_by(IndexWrite::Reserve, upload(hash, owner)) {
                        owned.entry(hash).or_default().insert(owner);
                    }
                }
                Step::Commit(hash, owner) => {
                    // The host has stored the bytes before.
                    stored.insert(hash);
                    if let UploadAnswer::Stored(_) | UploadAnswer::Exists(_) = index.commit(hash, owner) {
                        owned.entry(hash).or_default().insert(owner);
                    } else {
                        index.write(IndexWrite::Abandon { hash: self::hash(hash), owner: self::owner(owner) });
                    }
                }
                Step::Claim(hash, owner) => {
                    if let UploadAnswer::Exists(_) = index.upload_by(IndexWrite::Claim, upload(hash, owner)) {
                        owned.entry(hash).or_default().insert(owner);
                    }
                }
                Step::Abandon(hash, owner) => {
                    index.write(IndexWrite::Abandon { hash: self::hash(hash), owner: self::owner(owner) });
                }
                Step::Delete(hash, owner) => {
                    index.delete(hash, owner);
                    match owner {
                        Some(owner) => {
                            owned.entry(hash).or_default().remove(&owner);
                        }
                        None => {
                            owned.remove(&hash);
                        }
                    }
                }
                Step::RemoveOwner(owner) => {
                    let until = index.now.as_seconds();
                    index.write(IndexWrite::RemoveOwner { owner: self::owner(owner), until });
                    index.wait(Duration::from_secs(1));
                    for owners in owned.values_mut() {
                        owners.remove(&owner);
                    }
                }
                Step::Removed(hash) => {
                    if !stored.contains(&hash) {
                        let removed = IndexInput::Removed(self::hash(hash));
                        index.engine.handle(index.now, &removed, &mut index.effects);
                    }
                }
                Step::Checked(hash) => {
                    let is_stored = stored.contains(&hash);
                    let before: Vec<u8> = (0..3).filter(|owner| {
                        index.list(*owner, None, 10).iter().any(|record| record.hash == self::hash(hash))
                    }).collect();
                    let checked = IndexInput::Checked { hash: self::hash(hash), is_stored };
                    index.engine.handle(index.now, &checked, &mut index.effects);
                    for owner in 0..3 {
                        let is_owner = index.list(owner, None, 10).iter().any(|record| record.hash == self::hash(hash));
                        prop_assert!(is_owner || !before.contains(&owner));
                        if is_owner {
                            owned.entry(hash).or_default().insert(owner);
                        }
                    }
                }
                Step::Wait(seconds) => index.wait(Duration::from_secs(seconds.into())),
                Step::Forget => index.engine.forget(index.now),
            }
            for removed in index.removed() {
                // As the host does: what exists again is not removed.
                let number = removed.as_bytes()[0];
                if index.find(number).is_none() {
                    stored.remove(&number);
                }
            }
            owned.retain(|_, owners| !owners.is_empty());
            for number in 0..4 {
                prop_assert_eq!(index.find(number).is_some(), owned.contains_key(&number), "{:?} {}", step, number);
                prop_assert!(!owned.contains_key(&number) || stored.contains(&number), "{:?} {}", step, number);
            }
            for owner in 0..3 {
                let listed: BTreeSet<u8> = index.list(owner, None, 10).iter().map(|record| record.hash.as_bytes()[0]).collect();
                let expected: BTreeSet<u8> =
                    owned.iter().filter(|(_, owners)| owners.contains(&owner)).map(|(hash, _)| *hash).collect();
                prop_assert_eq!(&listed, &expected);
                prop_assert!(listed.len() <= 2, "the quota is 250 bytes, and a blob has 100");
            }
        }
        // In the end, nothing remains of what nobody owns.
        index.wait(Duration::from_secs(8_000));
        for effect in std::mem::take(&mut index.effects) {
            let (IndexEffect::Check(hash), now) = (effect, index.now) else { continue };
            let is_stored = stored.contains(&hash.as_bytes()[0]);
            index.engine.handle(now, &IndexInput::Checked { hash, is_stored }, &mut index.effects);
        }
        index.wait(Duration::from_secs(8_000));
        for removed in index.removed() {
            if index.find(removed.as_bytes()[0]).is_none() {
                stored.remove(&removed.as_bytes()[0]);
            }
        }
        let existing: BTreeSet<u8> = (0..4).filter(|number| index.find(*number).is_some()).collect();
        prop_assert_eq!(stored, existing);
    }
}

#[test]
fn a_banned_key_owns_nothing_and_uploads_nothing() {
    let mut index = Index::new();
    index.commit(1, 1);
    index.commit(2, 1);
    index.commit(2, 2);
    assert_eq!(index.upload_by(IndexWrite::Reserve, upload(3, 1)), UploadAnswer::Wanted);
    assert_eq!(index.write(IndexWrite::Ban(owner(1))), IndexReply::Done);
    assert_eq!(index.find(1), None, "at once");
    assert!(index.find(2).is_some(), "somebody else's");
    for write in [IndexWrite::Claim, IndexWrite::Reserve] {
        assert_eq!(index.upload_by(write, upload(2, 1)), UploadAnswer::Banned);
    }
    index.wait(Duration::from_secs(1));
    assert_eq!(index.removed(), [hash(1)]);
    assert_eq!(index.commit(3, 1), UploadAnswer::Banned, "what had begun before");
    assert_eq!(index.removed(), [hash(3)], "and its bytes go");
    assert_eq!(index.list(1, None, 10), []);
    index.write(IndexWrite::Ban(owner(1)));
    index.write(IndexWrite::Unban(owner(1)));
    assert!(matches!(index.commit(4, 1), UploadAnswer::Stored(_)));
}

#[test]
fn the_bytes_of_an_upload_that_is_refused_at_its_end_are_removed() {
    let mut index = Index::new();
    assert_eq!(index.upload_by(IndexWrite::Reserve, upload(1, 1)), UploadAnswer::Wanted);
    index.write(IndexWrite::Block { hash: hash(1), reason: "spam".to_owned() });
    assert!(matches!(index.commit(1, 1), UploadAnswer::Blocked { .. }));
    assert_eq!(index.removed(), [hash(1)]);
}

#[test]
fn reports_of_one_blob_do_not_push_out_those_of_others() {
    let mut index = Index::new();
    index.commit(1, 1);
    index.commit(2, 1);
    let report = |number: u8, blob: u8| crate::report::Report {
        id: openagents_host::EventId::from_bytes([number; 32]),
        reporter: owner(number),
        blobs: vec![(hash(blob), "spam".to_owned())],
        text: String::new(),
    };
    for number in 0..100 {
        index.write(IndexWrite::Report(report(number, 1)));
    }
    index.write(IndexWrite::Report(report(100, 2)));
    let IndexReply::Statistics(statistics) = index.read(IndexRead::Statistics) else { panic!() };
    assert_eq!(statistics.reports, 21);
}
