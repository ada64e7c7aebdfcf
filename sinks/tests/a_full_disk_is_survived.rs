//! A full disk: what it does not take is refused and told, and what it took is there.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use rollcall_sinks::{Spool, SpoolError, SpoolOptions};

fn options(dir: &OsStr) -> SpoolOptions {
    SpoolOptions { dir: dir.into(), max_bytes: 1 << 20, segment_bytes: 1 << 20 }
}

fn payload(n: u8) -> Vec<u8> {
    vec![n; usize::from(n) + 1]
}

fn contents(spool: &mut Spool) -> Vec<Vec<u8>> {
    spool.peek(usize::MAX).unwrap().into_iter().map(|record| record.payload).collect()
}

/// Not a test of its own: runs under a limit of the file size that the next test sets.
#[test]
fn a_disk_without_room_for_the_next_test() {
    let Some(dir) = std::env::var_os("ROLLCALL_TEST_SPOOL") else { return };
    let mut spool = Spool::open(options(&dir)).unwrap();
    let mut taken = Vec::new();
    let error = loop {
        match spool.append(&[payload(200)], 0) {
            Ok(()) => taken.push(payload(200)),
            Err(error) => break error,
        }
        assert!(taken.len() < 100, "there is no limit");
    };
    assert!(matches!(error, SpoolError::Io { .. }), "{error}");
    assert_eq!(contents(&mut spool), taken, "what was refused is not in it");
    // A new segment has room again.
    spool.append(&[payload(7)], 0).unwrap();
    taken.push(payload(7));
    drop(spool);
    let mut spool = Spool::open(options(&dir)).unwrap();
    assert_eq!(contents(&mut spool), taken);
}

#[test]
fn a_disk_without_room_is_an_error_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // The kernel then refuses to let any file grow over 2 KiB (blocks of 1 KiB in bash), as a full disk would.
    let output = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$0\" --exact a_disk_without_room_for_the_next_test"])
        .arg(std::env::current_exe().unwrap())
        .env("ROLLCALL_TEST_SPOOL", dir.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        fs::read_dir(dir.path()).unwrap().any(|file| file.unwrap().path().extension() == Some("seg".as_ref())),
        "it ran"
    );
}

#[test]
fn a_full_disk_is_told_with_what_to_do_about_it() {
    let told = |kind: std::io::ErrorKind| {
        SpoolError::Io { what: "cannot write /data/spool/1.seg".to_owned(), source: kind.into() }.to_string()
    };
    let full = told(std::io::ErrorKind::StorageFull);
    assert!(full.starts_with("cannot write /data/spool/1.seg: "), "{full}");
    assert!(full.ends_with(": free space on the disk of the spool"), "{full}");
    assert!(!told(std::io::ErrorKind::Other).contains("free space"));
}
