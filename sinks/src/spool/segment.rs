//! One file of the spool: its bytes, and what is left of them after a crash.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{MAX_PAYLOAD, SpoolError};

const MAGIC: &[u8; 7] = b"RCSPOOL";
const VERSION: u8 = 1;
pub(super) const HEADER_BYTES: u64 = 8;
/// Extension of a file that is to take the place of another.
const DRAFT: &str = "draft";
const RECORD_MAGIC: &[u8; 4] = b"rec\n";
const RECORD_HEADER: usize = 4 + 4 + 4 + 8;
/// Segments end at 4 MiB plus one batch; what is so much larger is not ours.
const MAX_SEGMENT: u64 = 512 << 20;

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) offset: u64,
    pub(super) time_ms: i64,
    pub(super) len: u32,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// Bytes that are known to be good.
    pub(super) len: u64,
    pub(super) entries: VecDeque<Entry>,
    /// Number of the record after its last.
    pub(super) next_seq: u64,
}

impl Segment {
    pub(super) fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            // It will be delivered again after a restart.
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a finished segment of the spool");
        }
    }

    /// Writes the file anew, with these payloads in the place of theirs.
    pub(super) fn rewrite(&mut self, payloads: &HashMap<u64, Vec<u8>>) -> Result<(), SpoolError> {
        let file = File::open(&self.path).map_err(SpoolError::io("read", &self.path))?;
        let mut bytes = header();
        let mut entries = VecDeque::with_capacity(self.entries.len());
        for entry in &self.entries {
            let old = match payloads.contains_key(&entry.seq) {
                true => None,
                false => read(&file, entry).map_err(SpoolError::io("read", &self.path))?,
            };
            let Some(payload) = payloads.get(&entry.seq).or(old.as_ref()) else {
                keep_damaged(self, &file, entry);
                continue;
            };
            entries.push_back(Entry { offset: bytes.len() as u64, len: payload.len() as u32, ..*entry });
            encode(&mut bytes, entry.time_ms, payload);
        }
        self.exchange(&bytes).map_err(SpoolError::io("write", &self.path))?;
        (self.len, self.entries) = (bytes.len() as u64, entries);
        Ok(())
    }

    /// The file has the old bytes or the new ones, whatever happens meanwhile.
    fn exchange(&self, bytes: &[u8]) -> io::Result<()> {
        let draft = self.path.with_extension(DRAFT);
        let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

/// Removes what a crash left of files that were to be written anew.
pub(super) fn remove_drafts(dir: &Path) -> Result<(), SpoolError> {
    let files = fs::read_dir(dir).map_err(SpoolError::io("read", dir))?.flatten().map(|entry| entry.path());
    for draft in files.filter(|path| path.extension().is_some_and(|extension| extension == DRAFT)) {
        fs::remove_file(&draft).map_err(SpoolError::io("remove", &draft))?;
    }
    Ok(())
}

fn header() -> Vec<u8> {
    [MAGIC.as_slice(), &[VERSION]].concat()
}

pub(super) fn create(dir: &Path, seq: u64) -> Result<(Segment, File), SpoolError> {
    let path = dir.join(format!("{seq:020}.seg"));
    let made = (|| {
        let mut file = File::options().create_new(true).read(true).write(true).mode(0o600).open(&path)?;
        file.write_all(&header())?;
        file.sync_all()?;
        File::open(dir)?.sync_all()?;
        Ok(file)
    })();
    match made {
        Ok(file) => Ok((Segment { path, len: HEADER_BYTES, entries: VecDeque::new(), next_seq: seq }, file)),
        Err(source) => {
            // Half a header would be in the way of the next attempt.
            fs::remove_file(&path).unwrap_or_default();
            Err(SpoolError::io("make", &path)(source))
        }
    }
}

pub(super) fn encode(out: &mut Vec<u8>, time_ms: i64, payload: &[u8]) {
    out.extend_from_slice(RECORD_MAGIC);
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&checksum(time_ms, payload).to_le_bytes());
    out.extend_from_slice(&time_ms.to_le_bytes());
    out.extend_from_slice(payload);
}

fn checksum(time_ms: i64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&time_ms.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

pub(super) fn write_synced(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, at)?;
    file.sync_data()
}

/// The payload of a record; `None` if it is damaged.
pub(super) fn read(file: &File, entry: &Entry) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; RECORD_HEADER + entry.len as usize];
    match file.read_exact_at(&mut bytes, entry.offset) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    Ok(decode(&bytes).map(|(_, payload)| payload.to_vec()))
}

/// Keeps a record that was damaged since it was written.
pub(super) fn keep_damaged(segment: &Segment, mut file: &File, entry: &Entry) {
    let mut bytes = Vec::new();
    let kept = file
        .seek(SeekFrom::Start(entry.offset))
        .and_then(|_| file.take(RECORD_HEADER as u64 + u64::from(entry.len)).read_to_end(&mut bytes))
        .map_err(SpoolError::io("read", &segment.path));
    match kept {
        Ok(_) => set_aside(&segment.path, entry.offset as usize, &bytes),
        Err(error) => tracing::error!(%error, "a damaged record of the spool is left out, and could not be kept"),
    }
}

/// The record at the start of `bytes`, if there is a whole and undamaged one.
fn decode(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (header, rest) = bytes.split_at_checked(RECORD_HEADER)?;
    let Header { len, crc, time_ms } = Header::read(header)?;
    let payload = rest.get(..len)?;
    (crc == checksum(time_ms, payload)).then_some((time_ms, payload))
}

/// What a record says of itself.
struct Header {
    len: usize,
    crc: u32,
    time_ms: i64,
}

impl Header {
    /// `None` if no record begins so.
    fn read(bytes: &[u8]) -> Option<Self> {
        let numbers = bytes.strip_prefix(RECORD_MAGIC)?;
        let (len, numbers) = numbers.split_first_chunk::<4>()?;
        let (crc, numbers) = numbers.split_first_chunk::<4>()?;
        let len = u32::from_le_bytes(*len) as usize;
        let time_ms = i64::from_le_bytes(*numbers.first_chunk::<8>()?);
        (len <= MAX_PAYLOAD).then_some(Self { len, crc: u32::from_le_bytes(*crc), time_ms })
    }
}

/// Reads a segment and repairs it: a torn tail is cut off, damage in the middle is kept aside.
pub(super) fn load(dir: &Path, first_seq: u64, number: u64, last: bool) -> Result<Segment, SpoolError> {
    let path = dir.join(format!("{number:020}.seg"));
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(MAX_SEGMENT).read_to_end(&mut bytes))
        .map_err(SpoolError::io("read", &path))?;
    let mut segment = Segment { path, len: 0, entries: VecDeque::new(), next_seq: first_seq };
    let header = header();
    // A crash while the file was made leaves a part of the header and nothing else.
    if header.starts_with(&bytes) && bytes.len() < header.len() {
        return Ok(segment);
    }
    // Records say by themselves what they are: what is whole behind a damaged header counts.
    let mut at = if bytes.starts_with(&header) { header.len() } else { 0 };
    while at < bytes.len() {
        if let Some((time_ms, payload)) = decode(&bytes[at..]) {
            let entry = Entry { seq: segment.next_seq, offset: at as u64, time_ms, len: payload.len() as u32 };
            at += RECORD_HEADER + payload.len();
            segment.entries.push_back(entry);
            segment.next_seq += 1;
            continue;
        }
        let next = (at + 1..bytes.len()).find(|&next| decode(&bytes[next..]).is_some());
        match next {
            None if last && is_torn(&bytes[at..]) => {
                let lost = bytes.len() - at;
                tracing::warn!(path = %segment.path.display(), offset = at, bytes = lost, "cut a torn tail off the spool");
                bytes.truncate(at);
                cut(&segment.path, at as u64)?;
            }
            _ => {
                let end = next.unwrap_or(bytes.len());
                set_aside(&segment.path, at, &bytes[at..end]);
                at = end;
            }
        }
    }
    segment.len = bytes.len() as u64;
    Ok(segment)
}

/// A record of which the end is missing: its write was interrupted, so it was never accepted.
fn is_torn(tail: &[u8]) -> bool {
    let Some((header, payload)) = tail.split_at_checked(RECORD_HEADER) else {
        return RECORD_MAGIC.starts_with(&tail[..tail.len().min(RECORD_MAGIC.len())]) || tail.starts_with(RECORD_MAGIC);
    };
    let Some(Header { len, crc, time_ms }) = Header::read(header) else { return false };
    // All of it is there if the checksum is right: then it is its length that is damaged.
    payload.len() < len && crc != checksum(time_ms, payload)
}

fn cut(path: &Path, len: u64) -> Result<(), SpoolError> {
    let done = File::options().write(true).open(path).and_then(|file| {
        file.set_len(len)?;
        file.sync_all()
    });
    done.map_err(SpoolError::io("repair", path))
}

/// Keeps damaged bytes for whoever wants to look at them. A disk that cannot keep them does not hold up the records behind them.
fn set_aside(path: &Path, offset: usize, bytes: &[u8]) {
    let aside = path.with_extension(format!("{offset}.damaged"));
    let kept = File::options().create(true).truncate(true).write(true).mode(0o600).open(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let error = kept.map_err(SpoolError::io("write", &aside)).err();
    let bytes = bytes.len();
    match error {
        None => tracing::error!(
            path = %path.display(), offset, bytes, kept = %aside.display(),
            "a part of the spool is damaged on disk and was left out"
        ),
        Some(error) => tracing::error!(
            path = %path.display(), offset, bytes, %error,
            "a part of the spool is damaged on disk and was left out, and could not be kept"
        ),
    }
}
