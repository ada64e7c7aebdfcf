use chrono::DateTime;
use rollcall_pipeline::ErrorClass;
use rollcall_reports::{Cell, Column, Format, Kind, ReportError};
use serde_json::{Value, json};

use crate::fixture::{changes_of_the_clock, render, report, row, texts, try_render};

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_report_is_one_object() {
    let rows = vec![vec![row("Zoë \"Z\" \u{0}", 7, "2026-10-01T07:00:00Z")], vec![], vec![vec![Cell::Empty; 7]]];
    let value = parsed(&render(Format::Json, &report(), rows));
    let head = &value["report"];
    assert_eq!(head["site"], "Lindenschule");
    assert_eq!(head["time_zone"], "Europe/Berlin");
    assert_eq!(head["period"], json!({ "from": "2026-09-01", "until": "2026-12-18" }));
    assert_eq!(head["generated_at"], "2026-12-18T16:00:00+01:00");
    assert_eq!(head["columns"][2], json!({ "key": "share", "title": "Presence", "type": "fraction" }));
    assert_eq!(head["figures"][0]["rows"], json!([{ "what": "present", "share": 0.5 }]));
    let row = json!({
        "person": "Zoë \"Z\" \u{0}", "n": 7, "share": 0.935, "at": "2026-10-01T09:00:00+02:00",
        "day": "2026-10-25", "late": -5, "status": "present",
    });
    assert_eq!(value["rows"][0], row);
    assert!(value["rows"][1].as_object().unwrap().values().all(Value::is_null));
    assert_eq!(value["row_count"], 2);
}

#[test]
fn times_are_the_same_moments() {
    let rows = changes_of_the_clock();
    let value = parsed(&render(Format::Json, &report(), vec![rows.clone()]));
    for (row, written) in rows.iter().zip(value["rows"].as_array().unwrap()) {
        let written = DateTime::parse_from_rfc3339(written["at"].as_str().unwrap()).unwrap();
        assert_eq!(row[3], Cell::DateTime(written.to_utc()));
    }
}

#[test]
fn nothing_is_a_report_too() {
    for format in [Format::Json, Format::Csv(Default::default()), Format::Xlsx, Format::Pdf] {
        assert!(!render(format, &report(), vec![]).is_empty());
    }
    assert_eq!(parsed(&render(Format::Json, &report(), vec![]))["rows"], json!([]));
}

#[test]
fn what_contradicts_itself_is_our_mistake() {
    let mut twice = texts();
    twice.columns.push(Column::new("text", "Again", Kind::Text));
    let mut bare = texts();
    bare.columns.clear();
    let cases = [
        (texts(), vec![Cell::Integer(1)]),
        (texts(), vec![]),
        (texts(), vec![Cell::Empty, Cell::Empty]),
        (twice, vec![Cell::Empty, Cell::Empty]),
        (bare, vec![]),
    ];
    for (report, row) in cases {
        let error = try_render(Format::Json, &report, [Ok(vec![row])].into_iter(), &mut Vec::new()).unwrap_err();
        assert!(matches!(error, ReportError::Shape(_)), "{error}");
        assert_eq!(error.class(), ErrorClass::Bug);
    }
}

#[test]
fn a_share_is_a_number() {
    let mut report = texts();
    report.columns[0].kind = Kind::Percent;
    let row = vec![Cell::Percent(f64::NAN)];
    assert!(try_render(Format::Json, &report, [Ok(vec![row])].into_iter(), &mut Vec::new()).is_err());
}
