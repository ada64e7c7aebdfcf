//! JSON: one object, `{"report": {…}, "rows": […], "row_count": n}`. Rows are objects by column key. Shares are fractions, times
//! RFC 3339 with the site's offset, lengths whole minutes. `row_count` stands last: who finds it has everything.

use std::io::Write;

use chrono::SecondsFormat;
use chrono_tz::Tz;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::chart::Chart;
use crate::error::ReportError;
use crate::report::{Cell, Column, Kind, Report};
use crate::rows::Rows;

pub(crate) fn write(report: &Report, rows: &mut Rows, out: &mut dyn Write) -> Result<(), ReportError> {
    out.write_all(b"{\"report\":")?;
    serde_json::to_writer(&mut *out, &head(report))?;
    out.write_all(b",\n\"rows\":[")?;
    let mut separator: &[u8] = b"\n";
    while let Some(chunk) = rows.next_chunk()? {
        for cells in &chunk {
            out.write_all(separator)?;
            separator = b",\n";
            serde_json::to_writer(&mut *out, &RowRef { columns: &report.columns, cells, zone: report.time_zone })?;
        }
    }
    write!(out, "\n],\n\"row_count\":{}}}\n", rows.count())?;
    Ok(())
}

fn head(report: &Report) -> Value {
    let zone = report.time_zone;
    json!({
        "title": report.title,
        "subtitle": report.subtitle,
        "site": report.site,
        "time_zone": zone.name(),
        "period": report.period.map(|p| json!({ "from": p.from, "until": p.until })),
        "generated_at": report.generated_at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true),
        "filters": report.filters.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
        "notes": report.notes,
        "columns": report.columns.iter().map(column).collect::<Vec<_>>(),
        "figures": report.figures.iter().map(|figures| json!({
            "title": figures.title,
            "columns": figures.columns.iter().map(column).collect::<Vec<_>>(),
            "rows": figures.rows.iter().map(|cells| json!(RowRef { columns: &figures.columns, cells, zone })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "charts": report.charts.iter().map(chart).collect::<Vec<_>>(),
    })
}

fn column(column: &Column) -> Value {
    let kind = match column.kind {
        Kind::Text => "text",
        Kind::Integer => "integer",
        Kind::Percent => "fraction",
        Kind::DateTime => "date_time",
        Kind::Date => "date",
        Kind::Minutes => "minutes",
        Kind::Status => "status",
    };
    json!({ "key": column.key, "title": column.title, "type": kind })
}

fn chart(chart: &Chart) -> Value {
    match chart {
        Chart::Histogram(c) => json!({
            "type": "histogram", "title": c.title, "x_label": c.x_label, "y_label": c.y_label,
            "first": c.first, "width": c.width, "counts": c.counts,
            "marks": c.marks.iter().map(|(at, label)| json!({ "at": at, "label": label })).collect::<Vec<_>>(),
        }),
        Chart::HeatMap(c) => json!({
            "type": "heat_map", "title": c.title, "unit": c.unit.name(),
            "rows": c.rows, "columns": c.columns, "values": c.values,
        }),
        Chart::Trend(c) => json!({
            "type": "trend", "title": c.title, "unit": c.unit.name(),
            "points": c.points.iter().map(|(date, value)| json!({ "date": date, "value": value })).collect::<Vec<_>>(),
        }),
    }
}

/// A row as an object, without a copy of its texts.
struct RowRef<'a> {
    columns: &'a [Column],
    cells: &'a [Cell],
    zone: Tz,
}

impl Serialize for RowRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for (column, cell) in self.columns.iter().zip(self.cells) {
            let key = &column.key;
            match cell {
                Cell::Empty => map.serialize_entry(key, &()),
                Cell::Text(text) | Cell::Status { label: text, .. } => map.serialize_entry(key, text),
                Cell::Integer(n) | Cell::Minutes(n) => map.serialize_entry(key, n),
                Cell::Percent(share) => map.serialize_entry(key, share),
                Cell::DateTime(time) => {
                    let there = time.with_timezone(&self.zone);
                    map.serialize_entry(key, &there.to_rfc3339_opts(SecondsFormat::AutoSi, true))
                }
                Cell::Date(date) => map.serialize_entry(key, date),
            }?;
        }
        map.end()
    }
}
