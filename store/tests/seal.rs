//! What is sealed opens only with its key, in its place, unaltered.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use rollcall_store::seal::Bound;
use rollcall_store::{SealError, Sealer};
use secrecy::SecretString;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_sealed_value_opens_in_its_place_only() {
    let sealer = Sealer::new([1; 32]);
    let place = Bound::new("template", &[b"id", b"person"]);
    let sealed = sealer.seal(&place, b"face");
    assert_eq!(sealer.open(&place, &sealed).unwrap(), b"face");
    assert_ne!(sealer.seal(&place, b"face"), sealed, "a nonce of its own");

    for other in [Bound::new("crop", &[b"id", b"person"]), Bound::new("template", &[b"idper", b"son"])] {
        assert!(matches!(sealer.open(&other, &sealed), Err(SealError::Altered)));
    }
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert!(sealer.open(&place, &altered).is_err(), "byte {at}");
        assert!(sealer.open(&place, &sealed[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_wrong_key_is_told_from_an_altered_value() {
    let place = Bound::new("template", &[]);
    let sealed = Sealer::new([1; 32]).seal(&place, b"face");
    let error = Sealer::new([2; 32]).open(&place, &sealed).unwrap_err();
    assert!(matches!(error, SealError::WrongKey { .. }));
    assert!(error.to_string().contains("restore the key file"), "{error}");
}

#[test]
fn the_key_is_made_once_and_only_its_owner_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = Bound::new("template", &[]);
    let sealed = Sealer::open_or_create(dir.path()).unwrap().seal(&place, b"face");
    let again = Sealer::open_or_create(dir.path()).unwrap();
    assert_eq!(again.open(&place, &sealed).unwrap(), b"face");

    let path = dir.path().join("keys/biometrics.key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Sealer::open_or_create(dir.path()).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn a_key_file_of_ones_own_is_not_for_everybody() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "0aF".repeat(21) + "1\n").unwrap();
    let open = |mode: u32| {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        Sealer::from_file(file.path())
    };
    for mode in [0o600, 0o400, 0o440] {
        assert!(open(mode).is_ok(), "{mode:o}");
    }
    for mode in [0o644, 0o444, 0o604] {
        let error = open(mode).unwrap_err().to_string();
        assert!(error.contains("chmod 640"), "{error}");
    }
}

#[test]
fn many_processes_that_start_at_once_agree_on_one_key() {
    let dir = tempfile::tempdir().unwrap();
    let ids: Vec<String> = std::thread::scope(|scope| {
        let starts: Vec<_> =
            (0..8).map(|_| scope.spawn(|| format!("{:?}", Sealer::open_or_create(dir.path()).unwrap()))).collect();
        starts.into_iter().map(|s| s.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[test]
fn what_is_not_a_key_is_refused() {
    for text in ["", "abc", &"g".repeat(64), &"0".repeat(63)] {
        let error = Sealer::from_hex("ROLLCALL_KEY", &SecretString::from(text)).unwrap_err().to_string();
        assert!(error.starts_with("ROLLCALL_KEY: expected 64 hexadecimal digits"), "{error}");
    }
    assert!(Sealer::from_hex("k", &SecretString::from(format!("{}\n", "0aF".repeat(21) + "1"))).is_ok());
    assert!(!format!("{:?}", Sealer::new([9; 32])).contains("0909"), "the key is not in Debug");
}
