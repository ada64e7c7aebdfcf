//! The head of reports: what it is about, key figures, charts.

use chrono::{DateTime, NaiveDate, Utc};
use rollcall_attendance::Tally;
use rollcall_attendance::analytics::{Arrivals, arrivals::Bucket};
use rollcall_reports::{Cell, Chart, Column, Figures, HeatMap, Kind, MAX_POINTS, Period, Report, Row, Trend, Unit};
use rollcall_store::RegisterSummary;

use super::columns::{number, of_tally, share_of, tally};
use crate::figures::Part;

pub(super) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const EXCUSED: &str = "Excused sessions are in no percentage. Off the roster, off schedule and void count nowhere.";

/// A report but for key figures.
pub(super) fn plain(title: &str, part: &Part, columns: Vec<Column>, now: DateTime<Utc>) -> Report {
    Report {
        title: title.to_owned(),
        subtitle: None,
        site: part.site.clone(),
        time_zone: part.zone,
        period: Some(Period { from: part.filter.from, until: part.filter.to }),
        generated_at: now,
        filters: part.chosen.clone(),
        notes: part.notes.clone(),
        figures: Vec::new(),
        charts: Vec::new(),
        columns,
    }
}

/// A report with the figures of what it is about.
pub(super) fn report(
    title: &str,
    part: &Part,
    summary: &RegisterSummary,
    columns: Vec<Column>,
    now: DateTime<Utc>,
) -> Report {
    let mut report = plain(title, part, columns, now);
    report.notes.push(EXCUSED.to_owned());
    report.figures = vec![totals(summary), arrivals(&summary.summary.arrivals)];
    report.charts = charts(summary);
    report
}

fn totals(summary: &RegisterSummary) -> Figures {
    let mut columns = vec![Column::new("sessions", "Sessions", Kind::Integer)];
    columns.extend(of_tally());
    let mut row = vec![number(summary.sessions)];
    row.extend(tally(&summary.summary.tally));
    Figures { title: "Totals".to_owned(), columns, rows: vec![row] }
}

fn arrivals(arrivals: &Arrivals) -> Figures {
    let columns = vec![
        Column::new("minutes", "Minutes from the start", Kind::Text),
        Column::new("arrivals", "Arrivals", Kind::Integer),
        Column::new("share", "Share", Kind::Percent),
    ];
    let total = arrivals.total();
    let line = |bucket: Bucket| -> Row {
        vec![Cell::Text(range(&bucket)), number(bucket.count), share_of(bucket.count, total)]
    };
    Figures { title: "Arrivals".to_owned(), columns, rows: arrivals.buckets().map(line).collect() }
}

fn range(bucket: &Bucket) -> String {
    match (bucket.from, bucket.to) {
        (Some(from), Some(to)) => format!("{from} to {to}"),
        (Some(from), None) => format!("{from} or more"),
        (None, Some(to)) => format!("before {to}"),
        (None, None) => "any".to_owned(),
    }
}

fn charts(summary: &RegisterSummary) -> Vec<Chart> {
    let mut charts = Vec::new();
    for (title, figure) in
        [("Attendance by week", Tally::attendance as fn(&Tally) -> Option<f64>), ("Late by week", Tally::lateness)]
    {
        let points = summary.summary.weeks.iter().filter_map(|(week, tally)| Some((week, figure(&tally)? / 100.0)));
        let mut points: Vec<(NaiveDate, f64)> = points.collect();
        let first = points.len().saturating_sub(MAX_POINTS);
        points.drain(..first);
        // One point is no trend.
        if points.len() > 1 {
            charts.push(Chart::Trend(Trend { title: title.to_owned(), unit: Unit::Share, points }));
        }
    }
    charts.extend(heat_map(summary));
    charts
}

fn heat_map(summary: &RegisterSummary) -> Option<Chart> {
    let cells = summary.summary.heat_map.rows();
    let used = |hour: &usize| cells.iter().any(|day| day[*hour].expected() > 0);
    let (first, last) = ((0..24).find(used)?, (0..24).rev().find(used)?);
    let shares = |day: &[Tally; 24]| day[first..=last].iter().map(|t| Some(t.attendance()? / 100.0)).collect();
    Some(Chart::HeatMap(HeatMap {
        title: "Attendance by weekday and hour".to_owned(),
        unit: Unit::Share,
        rows: WEEKDAYS.map(str::to_owned).to_vec(),
        columns: (first..=last).map(|hour| format!("{hour:02}")).collect(),
        values: cells.iter().map(shares).collect(),
    }))
}
