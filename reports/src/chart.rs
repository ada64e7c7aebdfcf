//! The charts of a report, as figures; [`Chart::svg`] and the PDF draw them the same way.

mod draw;

use chrono::NaiveDate;

use crate::error::ReportError;
use crate::scene::Scene;
use crate::{svg, text};

/// The most bars, cells in a line of a heat map, or points of a trend.
pub const MAX_POINTS: usize = 2_000;
/// The most lines or columns of a heat map, and the most marks of a histogram.
pub const MAX_LINES: usize = 64;
const LABEL_CHARACTERS: usize = 80;

/// A picture of figures.
#[derive(Clone, Debug, PartialEq)]
pub enum Chart {
    /// How often each value occurs: arrivals by minutes from the start.
    Histogram(Histogram),
    /// A figure by two categories: presence by weekday and hour.
    HeatMap(HeatMap),
    /// A figure by day.
    Trend(Trend),
}

/// How often each value occurs.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Its heading.
    pub title: String,
    /// What is counted: "minutes from the start".
    pub x_label: String,
    /// What a bar's height says: "arrivals".
    pub y_label: String,
    /// Where the first bar begins.
    pub first: i64,
    /// How much a bar covers; at least 1.
    pub width: u32,
    /// The height of each bar; a bar covers `width` values, the first of them included.
    pub counts: Vec<u64>,
    /// Values worth a line and a word: `(10, "late")`.
    pub marks: Vec<(i64, String)>,
}

/// A figure by two categories.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// Its heading.
    pub title: String,
    /// What a figure is.
    pub unit: Unit,
    /// The names of the lines: weekdays.
    pub rows: Vec<String>,
    /// The names of the columns: hours.
    pub columns: Vec<String>,
    /// A figure for each line and column, `None` where there is none.
    pub values: Vec<Vec<Option<f64>>>,
}

/// A figure by day.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    /// Its heading.
    pub title: String,
    /// What a figure is.
    pub unit: Unit,
    /// The figures, by ascending day; a day may be missing.
    pub points: Vec<(NaiveDate, f64)>,
}

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A fraction of 1, shown in percent.
    Share,
    /// A number of things.
    Count,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Share => "fraction",
            Self::Count => "count",
        }
    }

    fn shown(self, value: f64) -> String {
        match self {
            Self::Share => format!("{:.0} %", value * 100.0),
            Self::Count => format!("{value:.0}"),
        }
    }
}

impl Chart {
    /// Its heading.
    pub fn title(&self) -> &str {
        match self {
            Self::Histogram(chart) => &chart.title,
            Self::HeatMap(chart) => &chart.title,
            Self::Trend(chart) => &chart.title,
        }
    }

    /// The picture as an SVG document.
    ///
    /// # Errors
    ///
    /// [`ReportError::Shape`] when there are too many figures, when they do not fit together, or when one is not finite.
    pub fn svg(&self) -> Result<String, ReportError> {
        self.check()?;
        Ok(svg::document(&self.scene(SVG_WIDTH), self.title()))
    }

    pub(crate) fn scene(&self, width: f32) -> Scene {
        match self {
            Self::Histogram(chart) => draw::histogram(chart, width),
            Self::HeatMap(chart) => draw::heat_map(chart, width),
            Self::Trend(chart) => draw::trend(chart, width),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ReportError> {
        let good = match self {
            Self::Histogram(c) => {
                // Far from where arithmetic ends.
                let small = |n: i64| n.unsigned_abs() < 1 << 40;
                (1..=MAX_POINTS).contains(&c.counts.len())
                    && c.marks.len() <= MAX_LINES
                    && c.width > 0
                    && small(c.first)
                    && c.marks.iter().all(|mark| small(mark.0))
            }
            Self::HeatMap(c) => {
                (1..=MAX_LINES).contains(&c.rows.len())
                    && (1..=MAX_LINES).contains(&c.columns.len())
                    && c.values.len() == c.rows.len()
                    && c.values.iter().all(|line| line.len() == c.columns.len())
                    && c.values.iter().flatten().flatten().all(|value| value.is_finite())
            }
            Self::Trend(c) => {
                c.points.len() <= MAX_POINTS
                    && c.points.is_sorted_by(|a, b| a.0 < b.0)
                    && c.points.iter().all(|point| point.1.is_finite())
            }
        };
        if good {
            Ok(())
        } else {
            Err(ReportError::shape(format!("the figures of chart {:?} do not fit it", self.title())))
        }
    }
}

const SVG_WIDTH: f32 = 720.0;

fn label(text: &str) -> String {
    text::line(text, LABEL_CHARACTERS).into_owned()
}
