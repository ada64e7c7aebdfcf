//! The spool against a model: what was appended and not acknowledged comes out, in order, whatever happens in between.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rollcall_sinks::{Spool, SpoolError, SpoolOptions};

/// Bytes before the first record, and before each payload.
const HEADER: usize = 8;
const RECORD_HEADER: usize = 20;

fn options(dir: &Path, max_bytes: u64, segment_bytes: u64) -> SpoolOptions {
    SpoolOptions { dir: dir.to_path_buf(), max_bytes, segment_bytes }
}

fn open(dir: &Path) -> Spool {
    Spool::open(options(dir, 1 << 20, 256)).unwrap()
}

fn payload(n: u8) -> Vec<u8> {
    vec![n; usize::from(n) + 1]
}

fn contents(spool: &mut Spool) -> Vec<Vec<u8>> {
    spool.peek(usize::MAX).unwrap().into_iter().map(|record| record.payload).collect()
}

/// The same, looked through in pieces.
fn in_pieces(spool: &mut Spool) -> Vec<Vec<u8>> {
    let (mut next, mut all) = (0, Vec::new());
    loop {
        let piece = spool.peek_from(next, 3).unwrap();
        let Some(last) = piece.last() else { return all };
        next = last.seq + 1;
        all.extend(piece.into_iter().map(|record| record.payload));
    }
}

fn files(dir: &Path, suffix: &str) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect();
    found.sort();
    found
}

/// What was damaged, all of it.
fn kept_aside(dir: &Path) -> Vec<u8> {
    files(dir, ".damaged").iter().flat_map(|path| fs::read(path).unwrap()).collect()
}

/// A closed spool of these records, in whose file the bits of `mask` at one byte are flipped; the file, and what it holds now.
fn spoilt(dir: &Path, records: &[Vec<u8>], at: usize, mask: u8) -> (PathBuf, Vec<u8>) {
    open(dir).append(records, 0).unwrap();
    let path = files(dir, ".seg").remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= mask;
    fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<u8>),
    Acknowledge(usize),
    Replace(usize, u8),
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 1..5).prop_map(Op::Append),
        2 => (0usize..8).prop_map(Op::Acknowledge),
        1 => (0usize..8, any::<u8>()).prop_map(|(which, new)| Op::Replace(which, new)),
        1 => Just(Op::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_reordered(ops in prop::collection::vec(op(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path());
        // All that was appended, and how much of it was acknowledged for certain.
        let (mut appended, mut acknowledged) = (Vec::<Vec<u8>>::new(), 0);
        for op in ops {
            match op {
                Op::Append(sizes) => {
                    let batch: Vec<_> = sizes.into_iter().map(payload).collect();
                    spool.append(&batch, appended.len() as i64).unwrap();
                    appended.extend(batch);
                }
                Op::Acknowledge(many) => {
                    let records = spool.peek(many).unwrap();
                    if let Some(last) = records.last() {
                        spool.acknowledge(last.seq);
                        acknowledged += records.len();
                    }
                }
                Op::Replace(which, new) => {
                    let records = spool.peek(usize::MAX).unwrap();
                    if let Some(record) = records.get(which) {
                        spool.replace(&HashMap::from([(record.seq, payload(new))])).unwrap();
                        appended[acknowledged + which] = payload(new);
                    }
                }
                Op::Reopen => {
                    drop(spool);
                    spool = open(dir.path());
                    // A segment that was not done comes again from its start: at least once.
                    let back = spool.len() - (appended.len() - acknowledged);
                    prop_assert!(back <= acknowledged);
                    acknowledged -= back;
                }
            }
            prop_assert_eq!(contents(&mut spool), &appended[acknowledged..]);
            prop_assert_eq!(in_pieces(&mut spool), &appended[acknowledged..]);
            prop_assert_eq!(spool.len(), appended.len() - acknowledged);
            prop_assert_eq!(spool.is_empty(), acknowledged == appended.len());
            let on_disk: u64 = files(dir.path(), ".seg").iter().map(|path| fs::metadata(path).unwrap().len()).sum();
            prop_assert_eq!(spool.bytes(), on_disk);
        }
    }

    #[test]
    fn any_bytes_in_a_segment_are_survived_and_kept(
        magic in any::<bool>(), bytes in prop::collection::vec(any::<u8>(), 0..400), second in any::<bool>(),
    ) {
        // So a header or a record begins, of which the end may be missing: see the torn writes below.
        prop_assume!(!bytes.starts_with(b"R") && !bytes.starts_with(b"r"));
        let dir = tempfile::tempdir().unwrap();
        let head: &[u8] = if magic { b"RCSPOOL\x01" } else { b"" };
        let whole = [head, bytes.as_slice()].concat();
        fs::write(dir.path().join("00000000000000000001.seg"), &whole).unwrap();
        if second {
            fs::write(dir.path().join("00000000000000000009.seg"), b"RCSPOOL\x01").unwrap();
        }
        let mut spool = open(dir.path());
        // Nothing of it is a record: a checksum does not come about by chance.
        prop_assert!(contents(&mut spool).is_empty());
        prop_assert_eq!(kept_aside(dir.path()), bytes);
        spool.append(&[payload(1), payload(2)], 0).unwrap();
        drop(spool);
        let mut spool = open(dir.path());
        prop_assert_eq!(contents(&mut spool), [payload(1), payload(2)]);
    }

    #[test]
    fn damage_costs_the_records_it_hits_and_no_others(at in 0usize..1000, bit in 0u8..8) {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<_> = (1..=9).map(payload).collect();
        let mut spool = Spool::open(options(dir.path(), 1 << 20, 1 << 20)).unwrap();
        spool.append(&all, 0).unwrap();
        drop(spool);
        let path = &files(dir.path(), ".seg")[0];
        let mut bytes = fs::read(path).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        fs::write(path, &bytes).unwrap();

        let mut spool = open(dir.path());
        let left = contents(&mut spool);
        prop_assert!(left.len() >= 8, "{} left", left.len());
        let mut rest = all.iter();
        prop_assert!(left.iter().all(|record| rest.any(|one| one == record)), "in order and unaltered");
        let lost: usize = all.iter().filter(|record| !left.contains(record)).map(|record| RECORD_HEADER + record.len()).sum();
        prop_assert_eq!(kept_aside(dir.path()).len(), lost.max(if at < HEADER { HEADER } else { 0 }));
        // The next opening finds the same, and a new record goes behind.
        spool.append(&[payload(99)], 0).unwrap();
        drop(spool);
        let mut spool = open(dir.path());
        prop_assert_eq!(contents(&mut spool), [left, vec![payload(99)]].concat());
    }
}

#[test]
fn a_write_that_is_torn_at_any_byte_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.append(&[payload(3), payload(4)], 1).unwrap();
    let kept = spool.bytes();
    spool.append(&[payload(5)], 2).unwrap();
    drop(spool);
    let path = files(dir.path(), ".seg").remove(0);
    let whole = fs::read(&path).unwrap();
    for len in (kept as usize)..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let mut spool = open(dir.path());
        assert_eq!(contents(&mut spool), [payload(3), payload(4)], "cut at {len}");
        assert_eq!(fs::metadata(&path).unwrap().len(), kept, "cut off");
        assert!(files(dir.path(), ".damaged").is_empty(), "a torn tail is no damage");
    }
    for len in 0..8 {
        fs::write(&path, &whole[..len]).unwrap();
        let mut spool = open(dir.path());
        assert!(spool.is_empty(), "a torn header is an empty segment");
        spool.append(&[payload(6)], 3).unwrap();
        assert_eq!(contents(&mut spool), [payload(6)]);
        spool.acknowledge(u64::MAX);
    }
}

#[test]
fn damage_in_the_middle_is_kept_aside() {
    let dir = tempfile::tempdir().unwrap();
    // The second record: 8 + (20 + 2), then its header.
    let (_, bytes) = spoilt(dir.path(), &[payload(1), payload(2), payload(3)], 30 + RECORD_HEADER, 0xff);
    let mut spool = open(dir.path());
    assert_eq!(contents(&mut spool), [payload(1), payload(3)]);
    let aside = files(dir.path(), "30.damaged").remove(0);
    assert_eq!(fs::read(aside).unwrap(), bytes[30..30 + 23]);
}

#[test]
fn a_last_record_whose_length_rots_is_kept_aside_and_not_taken_for_a_torn_write() {
    let dir = tempfile::tempdir().unwrap();
    let last = HEADER + RECORD_HEADER + payload(1).len();
    let (_, bytes) = spoilt(dir.path(), &[payload(1), payload(2)], last + 5, 1);
    let mut spool = open(dir.path());
    assert_eq!(contents(&mut spool), [payload(1)]);
    assert_eq!(kept_aside(dir.path()), bytes[last..]);
}

#[test]
fn damage_that_cannot_be_kept_does_not_hold_up_the_records_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = spoilt(dir.path(), &[payload(1), payload(2), payload(3)], 30 + RECORD_HEADER, 1);
    // In the way of the file that it is to be kept in, as a full disk would be.
    fs::create_dir(path.with_extension("30.damaged")).unwrap();
    let mut spool = open(dir.path());
    assert_eq!(contents(&mut spool), [payload(1), payload(3)]);
}

#[test]
fn a_record_that_rots_while_the_spool_is_open_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.append(&[payload(1), payload(2)], 0).unwrap();
    let path = files(dir.path(), ".seg").remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER + RECORD_HEADER] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(contents(&mut spool), [payload(2)]);
    assert_eq!(spool.len(), 1);
}

#[test]
fn what_rots_takes_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(options(dir.path(), 600, 600)).unwrap();
    spool.append(&[vec![1; 400]], 0).unwrap();
    assert!(matches!(spool.append(&[vec![2; 400]], 0), Err(SpoolError::Full { .. })));
    let path = files(dir.path(), ".seg").remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER + RECORD_HEADER] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(contents(&mut spool).is_empty());
    spool.append(&[vec![2; 400]], 0).unwrap();
    assert_eq!(contents(&mut spool), [vec![2; 400]]);
}

#[test]
fn a_crash_while_records_are_replaced_leaves_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = open(dir.path());
    spool.append(&[payload(1), payload(2)], 0).unwrap();
    drop(spool);
    let written = &files(dir.path(), ".seg")[0];
    fs::write(written.with_extension("draft"), &fs::read(written).unwrap()[..20]).unwrap();
    let mut spool = open(dir.path());
    assert_eq!(contents(&mut spool), [payload(1), payload(2)]);
    assert!(files(dir.path(), ".draft").is_empty());
}

#[test]
fn a_foreign_file_is_not_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("00000000000000000007.seg"), "somebody's notes").unwrap();
    let mut spool = open(dir.path());
    assert!(spool.is_empty());
    spool.append(&[payload(1)], 0).unwrap();
    assert_eq!(fs::read(&files(dir.path(), ".damaged")[0]).unwrap(), b"somebody's notes");
}

#[test]
fn a_full_spool_says_so_and_takes_again_after_an_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let max = 4 * 1024;
    let mut spool = Spool::open(options(dir.path(), max, 512)).unwrap();
    let one = || [vec![0; 100]];
    let mut taken = 0;
    let error = loop {
        match spool.append(&one(), 0) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(spool.bytes() <= max);
    };
    assert!(matches!(error, SpoolError::Full { .. }), "{error}");
    assert!(error.to_string().contains("raise spool.max_mb"), "{error}");
    assert_eq!(spool.len(), taken);
    let first: Vec<_> = spool.peek(6).unwrap();
    spool.acknowledge(first[5].seq);
    spool.append(&one(), 0).unwrap();
    assert!(matches!(spool.append(&[vec![0; 5 << 20]], 0), Err(SpoolError::TooLarge(_))));
}

#[test]
fn two_processes_cannot_share_a_spool() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path());
    let error = Spool::open(options(dir.path(), 1, 1)).unwrap_err();
    assert!(matches!(error, SpoolError::InUse(_)) && error.to_string().contains("another process"), "{error}");
}

#[test]
fn the_oldest_make_room_for_the_newest_where_that_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(options(dir.path(), 2_000, 256)).unwrap();
    assert_eq!(spool.drop_oldest(), 0);
    let mut all = 0;
    while spool.append(&[payload(all)], 0).is_ok() {
        all += 1;
    }
    let dropped = spool.drop_oldest();
    assert!((1..usize::from(all)).contains(&dropped), "{dropped} of {all}");
    spool.append(&[payload(all)], 0).unwrap();
    let left = contents(&mut spool);
    assert_eq!(left.len(), usize::from(all) - dropped + 1);
    assert_eq!((left.first(), left.last()), (Some(&payload(dropped as u8)), Some(&payload(all))));
}
