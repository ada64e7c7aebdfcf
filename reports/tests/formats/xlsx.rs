use std::io::Cursor;

use calamine::{Data, ExcelDateTime, Reader, Xlsx, open_workbook_from_rs};
use rollcall_reports::{Cell, Format};

use crate::fixture::{changes_of_the_clock, render, report, row, texts};

fn sheet(bytes: Vec<u8>, name: &str) -> Vec<Vec<Data>> {
    let mut book: Xlsx<_> = open_workbook_from_rs(Cursor::new(bytes)).unwrap();
    book.worksheet_range(name).unwrap().rows().map(<[Data]>::to_vec).collect()
}

fn shown(time: &ExcelDateTime) -> String {
    let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[test]
fn values_have_their_types() {
    let rows = sheet(render(Format::Xlsx, &report(), vec![vec![row("Zoë", 7, "2026-10-01T07:00:05Z")]]), "Rows");
    let headings: Vec<_> = rows[0].iter().map(Data::to_string).collect();
    assert_eq!(headings, ["Person", "Sessions", "Presence", "Arrived", "Day", "Late by", "Status"]);
    let [person, n, share, at, day, late, status] = rows[1].as_slice() else { panic!("{rows:?}") };
    assert_eq!(*person, Data::String("Zoë".into()));
    assert_eq!(*n, Data::Float(7.0));
    assert_eq!(*share, Data::Float(0.935));
    let (Data::DateTime(at), Data::DateTime(day)) = (at, day) else { panic!("{at:?} {day:?}") };
    assert_eq!(shown(at), "2026-10-01 09:00:05");
    assert_eq!(shown(day), "2026-10-25 00:00:00");
    assert_eq!(*late, Data::Float(-5.0));
    assert_eq!(*status, Data::String("present".into()));
}

#[test]
fn the_title_sheet_says_what_it_is() {
    let cells: Vec<String> =
        sheet(render(Format::Xlsx, &report(), vec![]), "Report").iter().flatten().map(Data::to_string).collect();
    for expected in ["Attendance of 3b", "By person", "Lindenschule", "Europe/Berlin", "2026-09-01 to 2026-12-18"] {
        assert!(cells.iter().any(|cell| cell == expected), "{expected} is not in {cells:?}");
    }
    for expected in ["2026-12-18 16:00", "Course", "Algebra", "Cancelled sessions are not counted.", "present", "0.5"] {
        assert!(cells.iter().any(|cell| cell == expected), "{expected} is not in {cells:?}");
    }
}

#[test]
fn times_are_the_sites_when_the_clocks_change() {
    let rows = sheet(render(Format::Xlsx, &report(), vec![changes_of_the_clock()]), "Rows");
    let times: Vec<_> = (rows.iter().skip(1))
        .map(|row| match &row[3] {
            Data::DateTime(time) => shown(time),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = ["2026-03-29 01:59:00", "2026-03-29 03:00:00", "2026-10-25 02:30:00", "2026-10-25 02:30:00"];
    assert_eq!(times, expected);
}

#[test]
fn texts_stay_texts() {
    let long = "x".repeat(40_000);
    let hostile = ["=1+1", "@SUM(A1)", "https://example.org", "007", "a\u{0}b\u{B}c", " two  spaces ", &long];
    let rows = hostile.map(|text| vec![Cell::text(text)]).to_vec();
    let bytes = render(Format::Xlsx, &texts(), vec![rows]);
    let mut book: Xlsx<_> = open_workbook_from_rs(Cursor::new(bytes.clone())).unwrap();
    assert_eq!(book.worksheet_formula("Rows").unwrap().used_cells().count(), 0);
    let rows = sheet(bytes, "Rows");
    let texts: Vec<_> = rows.iter().skip(1).map(|row| row[0].to_string()).collect();
    assert_eq!(texts[..4], hostile[..4]);
    assert_eq!(texts[4], "a b c");
    assert_eq!(texts[5], hostile[5]);
    assert_eq!(texts[6].chars().count(), 32_767);
}

#[test]
fn every_row_is_there() {
    let chunks: Vec<Vec<_>> = (0..37).map(|n| vec![vec![Cell::text(format!("row {n}"))]; n]).collect();
    let count = chunks.iter().map(Vec::len).sum::<usize>();
    assert_eq!(sheet(render(Format::Xlsx, &texts(), chunks), "Rows").len(), count + 1);
}
