//! Local time to UTC, for local times that do not exist or exist twice.

use std::ops::Range;

use chrono::{LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use rollcall_pipeline::WallTime;

/// From when to when something lasts that begins on `date` at `start` and ends at `end`: on the next day, if `end` is not
/// after `start`. Never empty: what lies in the hour that the clock jumps over, up to its last minute, keeps its length
/// and begins with the jump.
pub(crate) fn bounds(tz: Tz, date: NaiveDate, start: NaiveTime, end: NaiveTime) -> Range<WallTime> {
    let last = if end > start { date } else { date.succ_opt().unwrap_or(date) };
    let (from, to) = (date.and_time(start), last.and_time(end));
    let (starts_at, ends_at) = (begins(tz, from), ends(tz, to));
    if starts_at < ends_at { starts_at..ends_at } else { starts_at..starts_at + (to - from) }
}

/// When something that begins at `local` begins. A time that exists twice means its first occurrence; a time that the
/// clock jumps over means the moment of the jump.
fn begins(tz: Tz, local: NaiveDateTime) -> WallTime {
    unique(tz, local)
        .unwrap_or_else(|gap| gap.end.as_ref().map_or_else(|| unmoved(tz, local, &gap), |end| end.with_timezone(&Utc)))
}

/// When something that ends at `local` ends. A time that exists twice means its first occurrence; a time that the clock
/// jumps over is counted as if the clock had not jumped (RFC 5545, 3.3.5), so that an end never comes before its beginning.
fn ends(tz: Tz, local: NaiveDateTime) -> WallTime {
    unique(tz, local).unwrap_or_else(|gap| unmoved(tz, local, &gap))
}

/// First moment of a local date.
pub(crate) fn day_begins(tz: Tz, date: NaiveDate) -> WallTime {
    begins(tz, date.and_time(NaiveTime::MIN))
}

fn unique(tz: Tz, local: NaiveDateTime) -> Result<WallTime, GapInfo> {
    match tz.from_local_datetime(&local) {
        LocalResult::Single(time) => Ok(time.with_timezone(&Utc)),
        LocalResult::Ambiguous(first, second) => Ok(first.min(second).with_timezone(&Utc)),
        LocalResult::None => Err(GapInfo::new(&local, &tz).unwrap_or(GapInfo { begin: None, end: None })),
    }
}

fn unmoved(tz: Tz, local: NaiveDateTime, gap: &GapInfo) -> WallTime {
    let offset = gap.begin.as_ref().map_or_else(|| tz.offset_from_utc_datetime(&local).fix(), |(_, o)| o.fix());
    (local - offset).and_utc()
}
