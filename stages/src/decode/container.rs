//! Whether a recording is shorter than it says. GStreamer's demuxers end a cut file like a whole one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// A container never needs this many top-level parts; more is an attack or noise.
const MAX_PARTS: usize = 100_000;
/// The longest beginning of a part that tells its length.
const HEAD: u64 = 16;

/// What Matroska begins with, what holds the rest of it, and what fills gaps.
const EBML: &[u8] = &[0x1a, 0x45, 0xdf, 0xa3];
const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
const VOID: &[u8] = &[0xec];

/// Bytes that the container announces beyond the end of the file: 0 for a whole file and for containers that announce
/// nothing. Matroska and AVI announce nothing while they are being written, and MPEG streams (`ts`, `mpg`) never do: they are
/// made to be cut anywhere, and a cut one passes as whole.
///
/// Knows ISO base media (`mp4`, `mov`, `3gp`), RIFF (`avi`) and EBML (`mkv`, `webm`): chains of parts, each with its length.
pub(super) fn missing_bytes(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let actual = file.metadata()?.len();
    let head = head_at(&mut file, 0)?;
    let length: fn(&[u8]) -> Option<u64> = if head.starts_with(b"RIFF") {
        riff_chunk
    } else if head.starts_with(EBML) {
        ebml_element
    } else if matches!(head.get(4..8), Some(b"ftyp" | b"moov" | b"mdat" | b"free" | b"skip" | b"wide")) {
        iso_box
    } else {
        return Ok(0);
    };
    let mut at = 0u64;
    for _ in 0..MAX_PARTS {
        let Some(part) = length(&head_at(&mut file, at)?) else { return Ok(0) };
        let end = at.saturating_add(part);
        if end > actual {
            return Ok(end - actual);
        }
        at = end;
    }
    Ok(0)
}

fn head_at(file: &mut File, at: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut head = Vec::with_capacity(HEAD as usize);
    file.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// The whole length of the part that begins so; `None` where it goes to the end of the file, or where there is none: what is
/// appended to a file is no loss.
fn iso_box(head: &[u8]) -> Option<u64> {
    let Some(short) = head.get(..8).map(|head| big_endian(&head[..4])) else {
        return (!head.is_empty()).then_some(8);
    };
    let length = match short {
        1 => head.get(8..16).map_or(16, big_endian),
        short => short,
    };
    (length >= 8).then_some(length)
}

/// See [`iso_box`]. A long AVI is a chain of them.
fn riff_chunk(head: &[u8]) -> Option<u64> {
    let length = head.strip_prefix(b"RIFF")?.get(..4)?;
    Some(8 + length.iter().rev().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte)))
}

/// See [`iso_box`]. RFC 8794: before the first set bit of an id or length stand as many zeros as bytes follow; a length of
/// nothing but set bits is not known.
fn ebml_element(head: &[u8]) -> Option<u64> {
    let width = |bytes: &[u8]| Some(1 + bytes.first()?.leading_zeros() as usize);
    let (id, rest) = head.split_at_checked(width(head)?)?;
    let size = rest.get(..width(rest).filter(|&bytes| bytes <= 8)?)?;
    let unknown = (1u64 << (7 * size.len())) - 1;
    let length = big_endian(size) & unknown;
    let is_known = [EBML, SEGMENT, VOID].contains(&id) && length != unknown;
    is_known.then(|| (id.len() + size.len()) as u64 + length)
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte))
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

        #[test]
        fn any_chain_of_elements_is_survived(
            elements in proptest::collection::vec(
                (prop_oneof![Just(EBML), Just(SEGMENT), Just(VOID)], any::<[u8; 9]>(), 0usize..=9),
                1..8,
            ),
        ) {
            let mut bytes = [EBML, &[0x80]].concat();
            for (id, after, kept) in elements {
                bytes.extend(id);
                bytes.extend(&after[..kept]);
            }
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
    fn a_cut_matroska_file_lacks_what_its_segment_announces() {
        let header = [EBML, &[0x84], b"webm"].concat();
        let file = |segment: &[u8]| [&header[..], SEGMENT, segment].concat();
        let whole = file(b"\x01\0\0\0\0\0\0\x0812345678");
        check(&whole, 0);
        check(&whole[..whole.len() - 3], 3);
        check(&[&header[..], VOID, b"\x82--", SEGMENT, b"\x884567"].concat(), 4);
        // Not told before the file is finished, or ever, where it is a stream.
        check(&file(b"\x01\xff\xff\xff\xff\xff\xff\xff12345"), 0);
        check(&file(b"\xff12345"), 0);
        // What was appended is no loss, and nor is what nobody can read.
        check(&[&whole[..], b"and more"].concat(), 0);
        check(&file(b"\0\x01\x02\x03\x04\x05\x06\x07\x08\x09"), 0);
    }

    #[test]
    fn other_containers_announce_nothing() {
        check(b"", 0);
        check(b"GIF89a, then whatever comes", 0);
        check(b"RIFF\x10\0\0\0AVI LIST1234xxxx", 0);
        check(b"RIFF\x20\0\0\0AVI LIST1234xxxx", 16);
        // A transport stream is made to be cut anywhere.
        check(b"G@\0\x10, and then packets of 188 bytes", 0);
    }
}
