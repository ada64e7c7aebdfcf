use lopdf::Document;
use proptest::prelude::*;
use rollcall_pipeline::ErrorClass;
use rollcall_reports::{
    Cell, Chart, Column, Format, HeatMap, Histogram, Kind, PDF_MAX_COLUMNS, PDF_MAX_ROWS, Report, ReportError, Row,
    Trend, Unit,
};

use crate::fixture::{changes_of_the_clock, day, render, report, row, texts, try_render};

/// The text of each page.
fn pages(report: &Report, rows: Vec<Row>) -> Vec<String> {
    let document = Document::load_mem(&render(Format::Pdf, report, vec![rows])).unwrap();
    let numbers = document.get_pages().into_keys();
    numbers.map(|page| document.extract_text(&[page]).unwrap().replace('\n', " ")).collect()
}

#[test]
fn the_title_page_says_what_it_is() {
    let pages = pages(&report(), vec![row("Zoë", 7, "2026-10-01T07:00:00Z")]);
    for expected in ["Lindenschule", "Attendance of 3b", "By person", "Europe/Berlin", "2026-09-01 to 2026-12-18"] {
        assert!(pages[0].contains(expected), "{expected} is not in {}", pages[0]);
    }
    for expected in ["2026-12-18 16:00", "Algebra", "Cancelled sessions", "In all", "50.0 %", "Page 1 of 2"] {
        assert!(pages[0].contains(expected), "{expected} is not in {}", pages[0]);
    }
}

#[test]
fn every_row_is_there_under_a_heading() {
    let rows = (0..500).map(|n| row(&format!("Nr{n:03}"), n, "2026-10-01T07:00:00Z")).collect();
    let pages = pages(&report(), rows);
    let all = pages.concat();
    for n in 0..500 {
        assert_eq!(all.matches(&format!("Nr{n:03}")).count(), 1, "row {n}");
    }
    for (at, page) in pages.iter().enumerate().skip(1) {
        assert!(page.contains("Person") && page.contains("Arrived"), "{page}");
        assert!(page.contains(&format!("Page {} of {}", at + 1, pages.len())), "{page}");
    }
}

#[test]
fn times_are_the_sites_when_the_clocks_change() {
    let pages = pages(&report(), changes_of_the_clock());
    for expected in ["2026-03-29 01:59", "2026-03-29 03:00", "2026-10-25 02:30 CEST", "2026-10-25 02:30 CET"] {
        assert!(pages[1].contains(expected), "{expected} is not in {}", pages[1]);
    }
}

#[test]
fn scripts_of_the_built_in_font_are_shown_and_others_in_latin_letters() {
    let names = ["Zoë", "Łukasz", "Иван", "Ελένη", "李", "Մարիամ", "నమస్తే", "🙂"];
    let pages = pages(&texts(), names.map(|name| vec![Cell::text(name)]).to_vec());
    for expected in ["Zoë", "Łukasz", "Иван", "Ελένη", "Li", "Մարիամ"] {
        assert!(pages[1].contains(expected), "{expected} is not in {}", pages[1]);
    }
    assert!(!pages[1].contains('李'));
    assert!(pages[0].contains("Latin letters"), "{}", pages[0]);
}

#[test]
fn long_texts_are_wrapped_and_at_last_cut_off() {
    let words = "word ".repeat(60);
    let rows = vec![vec![Cell::text(&words)], vec![Cell::text("x".repeat(5_000))], vec![Cell::text("last")]];
    let pages = pages(&texts(), rows);
    assert_eq!(pages.concat().matches("word").count(), 60);
    assert!(pages[1].contains('…') && pages[1].contains("last"), "{}", pages[1]);
}

#[test]
fn too_much_for_paper_is_refused_before_anything_is_written() {
    let mut out = Vec::new();
    let chunks = std::iter::repeat_with(|| Ok(vec![vec![Cell::Empty]; 1_000]));
    let error = try_render(Format::Pdf, &texts(), chunks, &mut out).unwrap_err();
    assert!(matches!(error, ReportError::TooManyRows { limit: PDF_MAX_ROWS }), "{error}");
    assert!(error.to_string().contains("CSV or XLSX"));
    assert_eq!(error.class(), ErrorClass::Permanent);

    let column = |n| Column::new(format!("c{n}"), "Column", Kind::Text);
    let wide = Report { columns: (0..=PDF_MAX_COLUMNS).map(column).collect(), ..report() };
    let error = try_render(Format::Pdf, &wide, std::iter::empty(), &mut out).unwrap_err();
    assert!(matches!(error, ReportError::TooManyColumns { .. }), "{error}");
    assert!(out.is_empty());

    let widest = Report { columns: (0..PDF_MAX_COLUMNS).map(column).collect(), ..report() };
    let row = vec![Cell::text("Donaudampfschifffahrtsgesellschaft"); PDF_MAX_COLUMNS];
    assert_eq!(pages(&widest, vec![row]).len(), 2);
}

#[test]
fn charts_are_drawn() {
    let charts = vec![
        Chart::Histogram(Histogram {
            title: "Arrivals".into(),
            x_label: "minutes".into(),
            y_label: "people".into(),
            first: -2,
            width: 1,
            counts: vec![0, 3, 9],
            marks: vec![(0, "start".into())],
        }),
        Chart::HeatMap(HeatMap {
            title: "By hour".into(),
            unit: Unit::Share,
            rows: vec!["Monday".into()],
            columns: vec!["8:00".into(), "9:00".into()],
            values: vec![vec![Some(0.5), None]],
        }),
        Chart::Trend(Trend {
            title: "By day".into(),
            unit: Unit::Count,
            points: vec![(day("2026-09-01"), 3.0), (day("2026-09-08"), 17.0)],
        }),
    ];
    let pages = pages(&Report { charts, ..report() }, vec![]).concat();
    for expected in ["Arrivals", "start", "Monday", "50 %", "By day", "2026-09-08"] {
        assert!(pages.contains(expected), "{expected} is not in {pages}");
    }
}

proptest! {
    // A document takes a while.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_text_breaks_a_document(
        title in any::<String>(),
        site in any::<String>(),
        filter in any::<String>(),
        mixed in "[a-zא-תا-ي0-9 ()\u{202E}\u{2067}\u{200D}\u{301}\u{FE0F}👩\n\r\t-]{0,80}",
        cells in prop::collection::vec(any::<String>(), 0..20),
    ) {
        let report = Report { title, site, filters: vec![(filter.clone(), filter)], ..texts() };
        let rows: Vec<Row> = cells.into_iter().chain([mixed]).map(|text| vec![Cell::text(text)]).collect();
        let bytes = render(Format::Pdf, &report, vec![rows]);
        prop_assert!(Document::load_mem(&bytes).unwrap().get_pages().len() >= 2);
    }
}
