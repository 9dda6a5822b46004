//! Tests of the tools for blobs in a data folder: what is exported comes back, and damage is found and repaired.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use openagents_host::sql::{Sql as _, values};
use openagents_host::{BlobHash, PublicKey};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::{BlobDefect, BlobFolder, BlobFolderError, EXPORTED_INDEX, OwnedBlob};

fn owner(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

fn hash_of(bytes: &[u8]) -> BlobHash {
    BlobHash::from_bytes(Sha256::digest(bytes).into())
}

fn open(data: &Path) -> BlobFolder {
    BlobFolder::open_to_write(&data.join("blossom.sqlite"), &data.join("blobs")).unwrap()
}

/// A data folder with three blobs, the last of which has two owners.
fn filled() -> (TempDir, BlobFolder) {
    let data = tempfile::tempdir().unwrap();
    let blobs = open(data.path());
    for (name, bytes, owned_by) in
        [("a.txt", &b"one"[..], 1), ("b.png", b"two", 1), ("c", b"three", 1), ("c", b"three", 2)]
    {
        let path = data.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(blobs.import_file(&path, owner(owned_by)).unwrap().hash, hash_of(bytes));
    }
    (data, blobs)
}

fn listed(blobs: &BlobFolder, owner: Option<PublicKey>) -> Vec<OwnedBlob> {
    let mut found = Vec::new();
    blobs
        .list(owner.as_ref(), &mut |blob| {
            found.push(blob.clone());
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

fn defects(blobs: &BlobFolder) -> Vec<BlobDefect> {
    let mut found = Vec::new();
    let checked = blobs.check(&mut |defect| found.push(defect.clone()), &mut |_| {}).unwrap();
    assert_eq!(checked.defects, u64::try_from(found.len()).unwrap());
    found
}

fn path(data: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let hex = hash_of(bytes).to_hex();
    data.join("blobs").join(hex.get(..2).unwrap()).join(&hex)
}

#[test]
fn what_is_exported_comes_back_with_its_owners() {
    let (data, blobs) = filled();
    let target = data.path().join("backup");
    let exported = blobs.export(&target, None, &mut |_| {}).unwrap();
    assert_eq!((exported.blobs, exported.bytes, exported.lost), (3, 11, 0));
    assert_eq!(fs::read(target.join(format!("{}.png", hash_of(b"two")))).unwrap(), b"two");
    let again = blobs.export(&target, None, &mut |_| {}).unwrap();
    assert_eq!((again.blobs, again.already_there), (3, 3));
    assert!(BlobFolder::is_exported(&target) && !BlobFolder::is_exported(data.path()));

    let second = tempfile::tempdir().unwrap();
    let copy = open(second.path());
    copy.import_exported(&target, &mut |_| {}).unwrap();
    copy.import_exported(&target, &mut |_| {}).unwrap();
    assert_eq!(listed(&copy, None), listed(&blobs, None));
    assert_eq!(copy.statistics().unwrap(), blobs.statistics().unwrap());
    assert_eq!(defects(&copy), []);
    let of_two: Vec<_> = listed(&copy, Some(owner(2))).iter().map(|blob| blob.hash).collect();
    assert_eq!(of_two, [hash_of(b"three")]);
    assert_eq!(blobs.export(&data.path().join("of two"), Some(&owner(2)), &mut |_| {}).unwrap().blobs, 1);
}

#[test]
fn an_import_takes_no_bytes_with_another_hash() {
    let (data, blobs) = filled();
    let target = data.path().join("backup");
    blobs.export(&target, None, &mut |_| {}).unwrap();
    let file = target.join(format!("{}.txt", hash_of(b"one")));
    fs::write(&file, "eno").unwrap();
    let second = tempfile::tempdir().unwrap();
    let copy = open(second.path());
    let refused = copy.import_exported(&target, &mut |_| {}).unwrap_err();
    assert!(matches!(&refused, BlobFolderError::WrongHash { path } if *path == file), "{refused}");
    assert_eq!(defects(&copy), []);
    fs::write(target.join(EXPORTED_INDEX), "{\"sha256\":\"../../etc/passwd\"}\n").unwrap();
    let refused = copy.import_exported(&target, &mut |_| {}).unwrap_err();
    assert!(matches!(refused, BlobFolderError::Line { line: 1, .. }), "{refused}");
}

#[test]
fn damage_is_found_and_repaired_once() {
    let (data, blobs) = filled();
    assert_eq!(defects(&blobs), []);
    let unindexed = hash_of(b"four");
    fs::create_dir_all(path(data.path(), b"four").parent().unwrap()).unwrap();
    fs::write(path(data.path(), b"four"), "four").unwrap();
    fs::write(path(data.path(), b"one"), "eno").unwrap();
    fs::remove_file(path(data.path(), b"two")).unwrap();
    let stray = data.path().join("blobs/stray.txt");
    fs::write(&stray, "").unwrap();
    blobs.sql.execute("UPDATE blob SET size = 6 WHERE hash = ?", values![&hash_of(b"three")]).unwrap();
    let mut found = defects(&blobs);
    let mut expected = vec![
        BlobDefect::Unknown(stray.clone()),
        BlobDefect::Unindexed(unindexed),
        BlobDefect::Damaged(hash_of(b"one")),
        BlobDefect::Missing(hash_of(b"two")),
        BlobDefect::Size { hash: hash_of(b"three"), indexed: 6, stored: 5 },
        BlobDefect::Total(owner(1)),
        BlobDefect::Total(owner(2)),
    ];
    found.sort_by_key(|defect| format!("{defect:?}"));
    expected.sort_by_key(|defect| format!("{defect:?}"));
    assert_eq!(found, expected);

    let repaired = blobs.repair(owner(9), &mut |_| {}, &mut |_| {}).unwrap();
    assert_eq!(repaired.defects, 5);
    fs::remove_file(stray).unwrap();
    assert_eq!(defects(&blobs), []);
    let left: Vec<_> = listed(&blobs, None).iter().map(|blob| (blob.hash, blob.size)).collect();
    let mut expected = vec![(unindexed, 4), (hash_of(b"three"), 5)];
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(listed(&blobs, Some(owner(9))).len(), 1);
    let damaged = data.path().join("blobs/damaged").join(hash_of(b"one").to_hex());
    assert_eq!(fs::read(damaged).unwrap(), b"eno", "it is kept for whoever wants to look at it");
}

#[test]
fn an_index_that_is_lost_is_rebuilt_from_the_files() {
    let (data, blobs) = filled();
    drop(blobs);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(data.path().join(format!("blossom.sqlite{suffix}")));
    }
    let missing = BlobFolder::open_to_read(&data.path().join("blossom.sqlite"), &data.path().join("blobs"));
    assert!(matches!(missing.err(), Some(BlobFolderError::Missing { .. })));
    let blobs = open(data.path());
    assert_eq!(blobs.repair(owner(9), &mut |_| {}, &mut |_| {}).unwrap().defects, 3);
    assert_eq!(listed(&blobs, Some(owner(9))).len(), 3);
    assert_eq!(defects(&blobs), []);
}

#[test]
fn bytes_that_are_about_to_be_removed_are_no_defect() {
    let (data, blobs) = filled();
    let hash = hash_of(b"removed");
    fs::create_dir_all(path(data.path(), b"removed").parent().unwrap()).unwrap();
    fs::write(path(data.path(), b"removed"), "removed").unwrap();
    blobs.sql.execute("INSERT INTO removal (hash, due) VALUES (?, 0)", values![&hash]).unwrap();
    assert_eq!(defects(&blobs), []);
}
