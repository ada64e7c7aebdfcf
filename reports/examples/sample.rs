//! Writes a made-up report: `cargo run --example sample -- FORMAT ROWS FILE`, for looking at and for timing.

use std::error::Error;
use std::fs::File;

use chrono::{DateTime, Datelike, Duration, NaiveDate, TimeZone, Utc};
use chrono_tz::Europe::Berlin;
use rollcall_reports::{
    Cell, Chart, Column, CsvOptions, Figures, Format, HeatMap, Histogram, Kind, Period, Renderer, Report, Row, Tone,
    Trend, Unit,
};

const CHUNK: usize = 500;
const NAMES: [&str; 8] = [
    "Zoë Brontë",
    "Łukasz Żółkiewski",
    "Иван Петров",
    "李小龙",
    "Αλέξανδρος Παπαδόπουλος",
    "محمد علي",
    "Maximiliane-Charlotte von Hohenstein-Weißenfels",
    "Ada Lovelace",
];
const COURSES: [&str; 3] = ["Algebra I", "Physics for engineers, second half", "English"];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [format, rows, file] = args.as_slice() else { return Err("usage: sample json|csv|xlsx|pdf ROWS FILE".into()) };
    let format = match format.as_str() {
        "json" => Format::Json,
        "csv" => Format::Csv(CsvOptions::default()),
        "xlsx" => Format::Xlsx,
        "pdf" => Format::Pdf,
        other => return Err(format!("{other} is no format").into()),
    };
    let rows: usize = rows.parse()?;
    let mut chunks = (0..rows).step_by(CHUNK).map(|from| Ok((from..rows.min(from + CHUNK)).map(row).collect()));
    Renderer::default().render(format, &report()?, &mut chunks, &mut File::create(file)?)?;
    Ok(())
}

fn day(year: i32, month: u32, day: u32) -> Result<NaiveDate, Box<dyn Error>> {
    NaiveDate::from_ymd_opt(year, month, day).ok_or_else(|| "no such day".into())
}

fn report() -> Result<Report, Box<dyn Error>> {
    let from = day(2026, 9, 1)?;
    let hours: Vec<String> = (8..17).map(|hour| format!("{hour}:00")).collect();
    let share = |line: usize, at: usize| (line + at) % 7 != 3 && !(line == 4 && at > 5);
    Ok(Report {
        title: "Attendance in the winter term".into(),
        subtitle: Some("All courses of year 7, by session and person".into()),
        site: "Gymnasium am Lindenplatz".into(),
        time_zone: Berlin,
        period: Some(Period { from, until: day(2026, 12, 18)? }),
        generated_at: instant(0) + Duration::days(120),
        filters: vec![("Group".into(), "Year 7".into()), ("Status".into(), "present, late, absent, excused".into())],
        notes: vec![
            "Sessions that were cancelled are not counted. Percentages are of the sessions a person was expected in."
                .into(),
        ],
        figures: vec![Figures {
            title: "By course".into(),
            columns: vec![
                Column::new("course", "Course", Kind::Text),
                Column::new("sessions", "Sessions", Kind::Integer),
                Column::new("present", "Present", Kind::Percent),
                Column::new("late", "Late", Kind::Percent),
                Column::new("absent", "Absent", Kind::Percent),
                Column::new("excused", "Excused", Kind::Percent),
            ],
            rows: COURSES
                .iter()
                .zip([0.942, 0.871, 0.903])
                .map(|(course, present)| {
                    let rest = 1.0 - present;
                    vec![
                        Cell::text(*course),
                        Cell::Integer(58),
                        Cell::Percent(present),
                        Cell::Percent(rest * 0.5),
                        Cell::Percent(rest * 0.3),
                        Cell::Percent(rest * 0.2),
                    ]
                })
                .collect(),
        }],
        charts: vec![
            Chart::Histogram(Histogram {
                title: "Arrivals".into(),
                x_label: "minutes from the start of the session".into(),
                y_label: "people".into(),
                first: -15,
                width: 1,
                counts: (-15..30i64)
                    .map(|m| (240.0 * (-((m + 3) as f64 / 5.0).powi(2) / 2.0).exp()) as u64 + 3)
                    .collect(),
                marks: vec![(0, "start".into()), (10, "late".into())],
            }),
            Chart::HeatMap(HeatMap {
                title: "Present by weekday and hour".into(),
                unit: Unit::Share,
                rows: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"].map(String::from).to_vec(),
                values: (0..5)
                    .map(|line| {
                        (0..hours.len())
                            .map(|at| share(line, at).then(|| 0.55 + ((line * 13 + at * 7) % 10) as f64 / 22.0))
                            .collect()
                    })
                    .collect(),
                columns: hours,
            }),
            Chart::Trend(Trend {
                title: "Late, by week".into(),
                unit: Unit::Share,
                points: (0..15)
                    .map(|week| (from + Duration::weeks(week), 0.08 + 0.05 * ((week * week) as f64).sin()))
                    .collect(),
            }),
        ],
        columns: vec![
            Column::new("date", "Date", Kind::Date),
            Column::new("person", "Person", Kind::Text),
            Column::new("number", "Number", Kind::Text),
            Column::new("course", "Course", Kind::Text),
            Column::new("status", "Status", Kind::Status),
            Column::new("arrived", "Arrived", Kind::DateTime),
            Column::new("late", "Late by", Kind::Minutes),
            Column::new("presence", "Presence", Kind::Percent),
        ],
    })
}

fn instant(minutes: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(1_788_246_000 + 60 * minutes, 0).single().unwrap_or_default()
}

fn row(n: usize) -> Row {
    let time = instant((n as i64 / 30) * 1440 / 8 + (n as i64 * 7) % 25);
    let late = (n as i64 * 7) % 25 - 10;
    let (label, tone) = match n % 9 {
        3 => ("late", Tone::Warning),
        5 => ("absent", Tone::Bad),
        7 => ("excused", Tone::Neutral),
        _ => ("present", Tone::Good),
    };
    let there = tone != Tone::Bad;
    vec![
        Cell::Date(NaiveDate::from_yo_opt(time.year(), time.ordinal()).unwrap_or_default()),
        Cell::text(NAMES[n % NAMES.len()]),
        Cell::text(format!("S-{:05}", n * 37 % 99_999)),
        Cell::text(COURSES[n / 30 % COURSES.len()]),
        Cell::status(label, tone),
        if there { Cell::DateTime(time) } else { Cell::Empty },
        if there && late > 0 { Cell::Minutes(late) } else { Cell::Empty },
        if there { Cell::Percent(1.0 - (n % 17) as f64 / 100.0) } else { Cell::Percent(0.0) },
    ]
}
