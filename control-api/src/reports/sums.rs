//! Lines that are sums over the whole part: when people came, and at which hours of the week.

use rollcall_attendance::analytics::{Arrivals, HeatMap};
use rollcall_reports::{Cell, Column, Kind, Row};

use super::columns::{number, of_tally, share_of, tally};
use super::head::WEEKDAYS;

/// Columns, and the lines in them.
pub(super) type Table = (Vec<Column>, Vec<Row>);

/// Arrivals by minutes from the start, earliest first. What is open at an end has nothing there.
pub(super) fn arrivals(arrivals: &Arrivals) -> Table {
    let columns = vec![
        Column::new("from", "From", Kind::Minutes),
        Column::new("to", "To", Kind::Minutes),
        Column::new("arrivals", "Arrivals", Kind::Integer),
        Column::new("share", "Share", Kind::Percent),
    ];
    let total = arrivals.total();
    let lines = arrivals
        .buckets()
        .map(|bucket| vec![edge(bucket.from), edge(bucket.to), number(bucket.count), share_of(bucket.count, total)]);
    (columns, lines.collect())
}

/// Attendance by weekday and the hour in which sessions begin, where something counts.
pub(super) fn hours(map: &HeatMap) -> Table {
    let mut columns = vec![Column::new("weekday", "Weekday", Kind::Text), Column::new("hour", "Hour", Kind::Integer)];
    columns.extend(of_tally());
    let lines = WEEKDAYS.into_iter().zip(map.rows()).flat_map(|(weekday, day)| {
        let counted = (0..).zip(day).filter(|(_, cell)| cell.expected() + cell.excused > 0);
        counted.map(move |(hour, cell)| {
            let mut line = vec![Cell::text(weekday), Cell::Integer(hour)];
            line.extend(tally(cell));
            line
        })
    });
    (columns, lines.collect())
}

/// An edge of a bucket; all of them are whole minutes.
fn edge(minutes: Option<f32>) -> Cell {
    minutes.map_or(Cell::Empty, |minutes| Cell::Minutes(minutes as i64))
}
