use rollcall_reports::{Chart, HeatMap, Histogram, MAX_POINTS, Trend, Unit};

use crate::fixture::day;

fn histogram() -> Histogram {
    Histogram {
        title: "<Arrivals> & \"co\" \u{1}".into(),
        x_label: "minutes".into(),
        y_label: "people".into(),
        first: -10,
        width: 5,
        counts: vec![1, 5, 2],
        marks: vec![(0, "start".into()), (99, "out of sight".into())],
    }
}

fn heat_map() -> HeatMap {
    HeatMap {
        title: "By hour".into(),
        unit: Unit::Count,
        rows: vec!["Mon".into()],
        columns: vec!["8".into(), "9".into()],
        values: vec![vec![Some(4.0), None]],
    }
}

fn trend(points: Vec<(&str, f64)>) -> Chart {
    let points = points.into_iter().map(|(date, value)| (day(date), value)).collect();
    Chart::Trend(Trend { title: "By day".into(), unit: Unit::Share, points })
}

#[test]
fn an_svg_holds_the_figures_and_no_markup_of_others() {
    let svg = Chart::Histogram(histogram()).svg().unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert_eq!(svg.matches("<rect").count(), 3);
    assert!(
        svg.contains("&lt;Arrivals&gt; &amp; &quot;co&quot;") && !svg.contains("<Arrivals>") && !svg.contains('\u{1}')
    );
    assert!(svg.contains(">start<") && !svg.contains("out of sight"));
    assert_eq!(Chart::HeatMap(heat_map()).svg().unwrap().matches("<rect").count(), 2);
    assert!(trend(vec![("2026-09-01", 0.5), ("2026-09-02", 0.25)]).svg().unwrap().contains("2026-09-01"));
    assert!(trend(vec![]).svg().unwrap().contains("no figures"));
}

#[test]
fn nothing_to_draw_is_drawn_too() {
    let flat = Histogram { counts: vec![0; 3], ..histogram() };
    let huge = Histogram { counts: vec![u64::MAX, 0], ..histogram() };
    for svg in
        [Chart::Histogram(flat), Chart::Histogram(huge), trend(vec![("2026-09-01", 0.0)])].map(|c| c.svg().unwrap())
    {
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

#[test]
fn figures_that_do_not_fit_are_refused() {
    let bad = [
        Chart::Histogram(Histogram { counts: vec![], ..histogram() }),
        Chart::Histogram(Histogram { counts: vec![1; MAX_POINTS + 1], ..histogram() }),
        Chart::Histogram(Histogram { width: 0, ..histogram() }),
        Chart::Histogram(Histogram { first: i64::MIN, ..histogram() }),
        Chart::HeatMap(HeatMap { values: vec![vec![None]], ..heat_map() }),
        Chart::HeatMap(HeatMap { rows: vec![], values: vec![], ..heat_map() }),
        Chart::HeatMap(HeatMap { values: vec![vec![Some(f64::NAN), None]], ..heat_map() }),
        trend(vec![("2026-09-02", 0.5), ("2026-09-01", 0.5)]),
        trend(vec![("2026-09-01", f64::INFINITY)]),
    ];
    for chart in bad {
        assert!(chart.svg().is_err(), "{chart:?}");
    }
}
