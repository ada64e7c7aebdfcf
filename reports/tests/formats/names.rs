use rollcall_reports::{CsvOptions, Format, Period, Report};

use crate::fixture::{day, report};

fn name(site: &str, title: &str, format: Format) -> String {
    format.file_name(&Report { site: site.into(), title: title.into(), period: None, ..report() })
}

#[test]
fn a_file_says_what_is_in_it() {
    assert_eq!(Format::Pdf.file_name(&report()), "rollcall-lindenschule-attendance-of-3b-20260901-20261218.pdf");
    let one_day = Report { period: Some(Period { from: day("2026-09-01"), until: day("2026-09-01") }), ..report() };
    assert_eq!(Format::Xlsx.file_name(&one_day), "rollcall-lindenschule-attendance-of-3b-20260901.xlsx");
    assert_eq!(name("Łódź Liceum №1", "Иван", Format::Json), "rollcall-lodz-liceum-no1-ivan.json");
}

#[test]
fn a_name_needs_no_care() {
    let csv = Format::Csv(CsvOptions::default());
    assert_eq!(name("../../etc", "pass\"wd\r\n; x=/\\..", csv), "rollcall-etc-pass-wd-x.csv");
    assert_eq!(name("", "\u{0}", csv), "rollcall-report.csv");
    let long = name(&"北".repeat(5_000), &"a".repeat(5_000), csv);
    assert!(long.len() < 128 && long.is_ascii(), "{long}");
}

#[test]
fn formats_have_media_types() {
    assert_eq!(Format::Pdf.content_type(), "application/pdf");
    assert!(Format::Csv(CsvOptions::default()).content_type().starts_with("text/csv; charset=utf-8"));
}
