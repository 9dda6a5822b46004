//! Tests of expected uploads: how long they are kept, and how much they may have together.

use super::*;
use crate::index::ExpectedUpload;

/// An upload that is expected, is kept for an hour, and may have what is left of 250 bytes.
fn expected(hash_number: u8, owner_number: u8) -> Upload {
    let keep_until = (START + Duration::from_secs(3_600)).as_seconds();
    Upload { expected: Some(ExpectedUpload { keep_until, total: 250 }), ..upload(hash_number, owner_number) }
}

impl Index {
    fn end_of(&mut self, hash_number: u8) -> Option<u64> {
        self.find(hash_number).expect("it is there").expires
    }
}

#[test]
fn an_expected_upload_ends_at_its_time() {
    for begin in [IndexWrite::Reserve as fn(Upload) -> IndexWrite, IndexWrite::Commit] {
        let mut index = Index::new();
        index.upload_by(begin, expected(1, 1));
        // Of a reservation whose upload was never committed, the bytes are found later.
        index.wait(Duration::from_secs(3_500));
        index.upload_by(IndexWrite::Commit, expected(1, 1));
        assert_eq!(index.end_of(1), Some(1_700_003_600));
        index.wait(Duration::from_secs(101));
        assert!(index.find(1).is_none());
        assert_eq!(index.removed(), [hash(1)]);
    }
}

#[test]
fn an_upload_that_was_never_committed_keeps_its_end() {
    let mut index = Index::new();
    index.upload_by(IndexWrite::Reserve, expected(1, 1));
    let keep_until = (START + Duration::from_secs(90_000)).as_seconds();
    let longer = ExpectedUpload { keep_until, total: 250 };
    index.upload_by(IndexWrite::Reserve, Upload { expected: Some(longer), ..expected(2, 1) });
    index.wait(Duration::from_secs(3_601));
    for number in [1, 2] {
        let checked = IndexInput::Checked { hash: hash(number), is_stored: true };
        index.engine.handle(index.now, &checked, &mut index.effects);
    }
    assert!(index.find(1).is_none(), "its time is over");
    assert_eq!(index.end_of(2), Some(keep_until));
}

#[test]
fn all_expected_uploads_share_a_total_and_give_it_back() {
    let mut index = Index::new();
    let commit = |index: &mut Index, upload| index.upload_by(IndexWrite::Commit, upload);
    assert!(matches!(commit(&mut index, expected(1, 1)), UploadAnswer::Stored(_)));
    assert!(matches!(commit(&mut index, expected(1, 1)), UploadAnswer::Exists(_)), "it counts once");
    assert!(matches!(commit(&mut index, expected(2, 2)), UploadAnswer::Stored(_)));
    assert_eq!(commit(&mut index, expected(3, 3)), UploadAnswer::NoRoom);
    // Those of others have their own limits.
    assert!(matches!(commit(&mut index, upload(3, 4)), UploadAnswer::Stored(_)));
    assert_eq!(index.delete(1, Some(1)), Deletion::Deleted);
    assert!(matches!(commit(&mut index, expected(4, 3)), UploadAnswer::Stored(_)));
    // What has begun counts as well.
    assert_eq!(index.delete(4, Some(3)), Deletion::Deleted);
    assert_eq!(index.upload_by(IndexWrite::Reserve, expected(5, 5)), UploadAnswer::Wanted);
    assert_eq!(index.upload_by(IndexWrite::Reserve, expected(6, 6)), UploadAnswer::NoRoom);
    assert!(matches!(commit(&mut index, expected(5, 5)), UploadAnswer::Stored(_)));
    // When their time is over, all may come again.
    index.wait(Duration::from_secs(3_601));
    for number in [1, 2] {
        let again = Upload {
            expected: Some(ExpectedUpload { keep_until: u64::from(u32::MAX), total: 250 }),
            ..upload(number, number)
        };
        assert!(matches!(commit(&mut index, again), UploadAnswer::Stored(_)), "{number}");
    }
}

#[test]
fn who_may_upload_otherwise_makes_an_expected_upload_stay() {
    let mut index = Index::new();
    index.upload_by(IndexWrite::Commit, expected(1, 1));
    assert!(matches!(index.commit(1, 1), UploadAnswer::Exists(_)));
    assert_eq!(index.end_of(1), None);
    // It does not count any more, and an expected upload does not end it.
    for number in [2, 3] {
        let answer = index.upload_by(IndexWrite::Commit, expected(number, number));
        assert!(matches!(answer, UploadAnswer::Stored(_)), "{number}");
    }
    index.delete(2, None);
    assert!(matches!(index.upload_by(IndexWrite::Claim, expected(1, 1)), UploadAnswer::Exists(_)));
    assert_eq!(index.end_of(1), None);
}
