use proptest::prelude::*;
use rollcall_reports::{Cell, CsvOptions, Format};

use crate::fixture::{changes_of_the_clock, render, report, row, texts};

const CSV: Format = Format::Csv(CsvOptions { byte_order_mark: false, semicolons: false });

fn parsed(bytes: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[test]
fn values_are_written_as_documented() {
    let bytes = render(CSV, &report(), vec![vec![row("Zoë", 7, "2026-10-01T07:00:00Z")]]);
    let expected = "Person,Sessions,Presence (%),Arrived,Day,Late by (min),Status\r\n\
                    Zoë,7,93.50,2026-10-01T09:00:00+02:00,2026-10-25,-5,present\r\n";
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn times_are_the_sites_when_the_clocks_change() {
    let rows = parsed(&render(CSV, &report(), vec![changes_of_the_clock()]));
    let times: Vec<_> = rows.iter().skip(1).map(|row| row[3].as_str()).collect();
    let expected = [
        "2026-03-29T01:59:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
    ];
    assert_eq!(times, expected);
}

#[test]
fn a_mark_and_semicolons_are_options() {
    let options = CsvOptions { byte_order_mark: true, semicolons: true };
    let bytes = render(Format::Csv(options), &report(), vec![vec![row("Ada; the first", 1, "2026-10-01T07:00:00Z")]]);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("\u{FEFF}Person;Sessions;"), "{text}");
    assert!(text.contains("\"Ada; the first\";1;"), "{text}");
}

#[test]
fn headings_run_no_formula_either() {
    let mut report = texts();
    report.columns[0].title = "=HYPERLINK(\"http://x\")".into();
    assert_eq!(parsed(&render(CSV, &report, vec![]))[0], ["'=HYPERLINK(\"http://x\")"]);
}

/// Texts that are likely to break a table.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[=+@\\-\t\r\n＝＋－＠'\",;\0 a]{0,12}"]
}

proptest! {
    #[test]
    fn no_text_runs_and_none_is_lost(texts_in in prop::collection::vec(hostile(), 1..40), a_chunk in 1..7usize) {
        let chunks = texts_in.chunks(a_chunk).map(|chunk| chunk.iter().map(|text| vec![Cell::text(text)]).collect());
        let bytes = render(CSV, &texts(), chunks.collect());
        let written = parsed(&bytes);
        // A line that is empty but for quotes is a row with an empty text.
        prop_assert_eq!(written.len(), texts_in.len() + 1);
        for (text, field) in texts_in.iter().zip(written.iter().skip(1).map(|row| &row[0])) {
            let kept = text.replace('\0', "");
            prop_assert!(!field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']));
            let guarded = format!("'{kept}");
            prop_assert!(*field == kept || *field == guarded);
        }
    }
}
