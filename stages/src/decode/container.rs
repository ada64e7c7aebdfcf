//! Whether a recording is shorter than it says. GStreamer's demuxers end a cut file like a whole one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// A container never needs this many top-level parts; more is an attack or noise.
const MAX_PARTS: usize = 100_000;

/// Bytes that the container announces beyond the end of the file: 0 for a whole file and for containers that announce
/// nothing (MPEG streams, Matroska being written).
///
/// Knows ISO base media (`mp4`, `mov`, `3gp`: a chain of boxes, each with its length) and RIFF (`avi`).
pub(super) fn missing_bytes(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let actual = file.metadata()?.len();
    let mut head = [0u8; 16];
    let got = read_up_to(&mut file, &mut head)?;
    if got < 12 {
        return Ok(0);
    }
    if &head[..4] == b"RIFF" {
        let announced = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]])) + 8;
        return Ok(announced.saturating_sub(actual));
    }
    if !matches!(&head[4..8], b"ftyp" | b"moov" | b"mdat" | b"free" | b"skip" | b"wide") {
        return Ok(0);
    }
    let mut at = 0u64;
    for _ in 0..MAX_PARTS {
        file.seek(SeekFrom::Start(at))?;
        let got = read_up_to(&mut file, &mut head)?;
        if got == 0 {
            return Ok(0);
        }
        if got < 8 {
            return Ok(8 - got as u64);
        }
        let short = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        let len = match short {
            // The last box may say "to the end of the file".
            0 => return Ok(0),
            1 if got == 16 => {
                u64::from_be_bytes([head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15]])
            }
            // Not a box: something was appended, which is no loss.
            n if n < 8 => return Ok(0),
            n => n,
        };
        let end = at.saturating_add(len);
        if end > actual {
            return Ok(end - actual);
        }
        if len < 8 {
            return Ok(0);
        }
        at = end;
    }
    Ok(0)
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..])? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_chain_of_boxes_is_survived(
            boxes in proptest::collection::vec((prop_oneof![0u32..64, any::<u32>()], any::<[u8; 4]>(), any::<u64>()), 1..12),
            cut in 0usize..40,
        ) {
            let mut bytes = b"\0\0\0\x0cftypisom".to_vec();
            for (len, name, large) in boxes {
                bytes.extend(len.to_be_bytes());
                bytes.extend(name);
                bytes.extend(large.to_be_bytes());
            }
            bytes.truncate(bytes.len() - cut.min(bytes.len() - 12));
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&bytes).unwrap();
            prop_assert!(missing_bytes(file.path()).is_ok());
        }
    }

    #[track_caller]
    fn check(bytes: &[u8], missing: u64) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        assert_eq!(missing_bytes(file.path()).unwrap(), missing);
    }

    #[test]
    fn a_cut_file_lacks_what_its_last_box_announces() {
        let whole = b"\0\0\0\x0cftypisom\0\0\0\x10mdat12345678";
        check(whole, 0);
        check(&whole[..whole.len() - 3], 3);
        check(&whole[..16], 4);
        check(b"\0\0\0\x0cftypisom\0\0\0\0mdat12345678", 0);
        check(b"\0\0\0\x0cftypisom\0\0\0\x01mdat\xff\xff\xff\xff\xff\xff\xff\xff", u64::MAX - 28);
    }

    #[test]
    fn other_containers_announce_nothing() {
        check(b"", 0);
        check(b"GIF89a, then whatever comes", 0);
        check(b"RIFF\x10\0\0\0AVI LIST1234xxxx", 0);
        check(b"RIFF\x20\0\0\0AVI LIST1234xxxx", 16);
    }
}
