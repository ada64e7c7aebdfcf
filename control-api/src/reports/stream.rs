//! From the database to the caller, piece by piece: a task reads rows, a thread writes the report, the connection takes it
//! away. Whoever is slow slows down the ones before; when one ends, so do the others.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use rollcall_reports::{Chunk, Format, Renderer, Report, ReportError, Row};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::problem::{Answer, Problem};

/// Reports that are made at once: each holds a connection to the database, of which there are few.
const AT_ONCE: usize = 3;
/// Chunks of rows, and pieces of the report, that wait.
const WAITING: usize = 2;
/// How long a caller may take nothing before the report is given up.
const STALLED: Duration = Duration::from_secs(60);
/// Seconds after which to try again when too many are made.
const RETRY_AFTER_S: u64 = 5;

/// Makes reports, a few at once.
#[derive(Clone)]
pub(crate) struct Reports {
    renderer: Arc<Renderer>,
    places: Arc<Semaphore>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { renderer: Arc::default(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// Where the rows of a report go.
pub(crate) type Rows = mpsc::Sender<Chunk>;

/// A place among those that are made.
pub(crate) struct Place {
    renderer: Arc<Renderer>,
    permit: OwnedSemaphorePermit,
}

impl Reports {
    /// A place, or 503 where all are taken.
    pub(crate) fn place(&self) -> Answer<Place> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let detail = format!("{AT_ONCE} reports are being made already; try again");
            Problem::busy(StatusCode::SERVICE_UNAVAILABLE, detail, RETRY_AFTER_S)
        })?;
        Ok(Place { renderer: Arc::clone(&self.renderer), permit })
    }
}

impl Place {
    /// Answers with a report, whose rows `read` sends. What goes wrong before its first piece is a problem; later the
    /// connection is cut, so that nobody takes a part for all.
    pub(crate) async fn answer<F>(
        self,
        format: Format,
        report: Report,
        read: impl FnOnce(Rows) -> F,
    ) -> Answer<Response>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (rows, mut chunks) = mpsc::channel(WAITING);
        let (pieces, mut taken) = mpsc::channel(WAITING);
        tokio::spawn(read(rows));
        let name = format.file_name(&report);
        let runtime = Handle::current();
        let written = tokio::task::spawn_blocking(move || {
            // Workbooks and PDFs are written when all rows are there: look before each whether anybody still waits.
            let waited_for = pieces.clone();
            let mut chunks = std::iter::from_fn(|| match waited_for.is_closed() {
                true => Some(Err(io::Error::from(io::ErrorKind::BrokenPipe).into())),
                false => chunks.blocking_recv(),
            });
            let mut out = Pieces { runtime, pieces };
            let result = self.renderer.render(format, &report, &mut chunks, &mut out).map(drop);
            drop(self.permit);
            result
        });
        let Some(first) = taken.recv().await else {
            return match written.await {
                Ok(Ok(())) => Ok(response(format, &name, Body::empty())),
                Ok(Err(error)) => Err(problem(error)),
                Err(error) => Err(Problem::internal(error)),
            };
        };
        let rest = stream::unfold(Some((Some(first), taken, written)), |state| async move {
            let (first, mut taken, written) = state?;
            let piece = match first {
                Some(piece) => Some(piece),
                None => taken.recv().await,
            };
            match piece {
                Some(piece) => Some((Ok(piece), Some((None, taken, written)))),
                None => end(written).await.map(|error| (Err(error), None)),
            }
        });
        Ok(response(format, &name, Body::from_stream(rest)))
    }
}

/// Sends rows that are there already.
pub(crate) async fn all_at_once(lines: Vec<Row>, rows: Rows) {
    // Nobody takes them any more: that is for the writer to tell.
    drop(rows.send(Ok(lines)).await);
}

/// How a report ended whose pieces are all out.
async fn end(written: JoinHandle<Result<(), ReportError>>) -> Option<io::Error> {
    let error = match written.await {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => io::Error::other(error),
        Err(error) => io::Error::other(error),
    };
    tracing::warn!(%error, "a report ended before its end");
    Some(error)
}

fn problem(error: ReportError) -> Problem {
    match error {
        ReportError::TooManyRows { .. } | ReportError::TooManyColumns { .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too-long", "Too long for this format", error.to_string())
        }
        ReportError::Source(_) => {
            tracing::warn!(%error, "a report could not be read");
            Problem::busy(StatusCode::SERVICE_UNAVAILABLE, "the database is away; try again", RETRY_AFTER_S)
        }
        other => Problem::internal(other),
    }
}

fn response(format: Format, name: &str, body: Body) -> Response {
    // The name has no character that needs quoting.
    let disposition = format!("attachment; filename=\"{name}\"");
    let head = [
        (header::CONTENT_TYPE, format.content_type().to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (head, body).into_response()
}

/// What a report is written to.
struct Pieces {
    runtime: Handle,
    pieces: mpsc::Sender<Bytes>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let sent = self.runtime.block_on(async { tokio::time::timeout(STALLED, self.pieces.send(piece)).await });
        match sent {
            Ok(Ok(())) => Ok(bytes.len()),
            Ok(Err(_)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the caller went away")),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the caller takes nothing")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use chrono::{DateTime, Utc};
    use chrono_tz::Tz;
    use futures_util::StreamExt;
    use rollcall_reports::{Cell, Column, CsvOptions, Kind};
    use tokio::sync::oneshot;

    use super::*;

    const CSV: Format = Format::Csv(CsvOptions { byte_order_mark: false, semicolons: false });

    fn report() -> Report {
        Report {
            title: "../../etc/passwd\"\r\nx: y".to_owned(),
            subtitle: None,
            site: "Grundschule Süd".to_owned(),
            time_zone: Tz::UTC,
            period: None,
            generated_at: DateTime::<Utc>::UNIX_EPOCH,
            filters: Vec::new(),
            notes: Vec::new(),
            figures: Vec::new(),
            charts: Vec::new(),
            columns: vec![Column::new("name", "Name", Kind::Text)],
        }
    }

    fn chunk() -> Vec<Row> {
        vec![vec![Cell::text("x".repeat(1_000))]; 500]
    }

    async fn failing(rows: Rows) {
        for _ in 0..5 {
            drop(rows.send(Ok(chunk())).await);
        }
        drop(rows.send(Err("the database went away".into())).await);
    }

    #[tokio::test]
    async fn a_caller_who_leaves_ends_the_report() {
        let reports = Reports::default();
        let places: Vec<_> = (1..AT_ONCE).map(|_| reports.place().unwrap()).collect();
        for format in [CSV, Format::Json] {
            let (ended, end) = oneshot::channel();
            let endless = async |rows: Rows| {
                while rows.send(Ok(chunk())).await.is_ok() {}
                ended.send(()).unwrap();
            };
            let answer = reports.place().unwrap().answer(format, report(), |rows| Box::pin(endless(rows)));
            let mut body = answer.await.unwrap().into_body().into_data_stream();
            assert!(body.next().await.unwrap().is_ok());
            assert!(reports.place().is_err(), "its place is taken");
            drop(body);
            end.await.unwrap();
            assert!(reports.place().is_ok(), "its place is free");
        }
        drop(places);
    }

    #[tokio::test]
    async fn nobody_takes_a_part_for_all() {
        let reports = Reports::default();
        let answer = reports.place().unwrap().answer(CSV, report(), failing).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(to_bytes(answer.into_body(), usize::MAX).await.is_err());
        let problem = reports.place().unwrap().answer(Format::Xlsx, report(), failing).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn what_is_too_long_for_paper_is_refused() {
        let long = async |rows: Rows| {
            for _ in 0..=rollcall_reports::PDF_MAX_ROWS / 500 {
                drop(rows.send(Ok(vec![vec![Cell::text("x")]; 500])).await);
            }
        };
        let place = Reports::default().place().unwrap();
        let problem = place.answer(Format::Pdf, report(), |rows| Box::pin(long(rows))).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[tokio::test]
    async fn names_of_files_are_harmless_and_few_reports_are_made_at_once() {
        let reports = Reports::default();
        let answer = reports.place().unwrap().answer(CSV, report(), |rows| all_at_once(chunk(), rows)).await.unwrap();
        let name = answer.headers()[header::CONTENT_DISPOSITION].to_str().unwrap();
        assert_eq!(name, "attachment; filename=\"rollcall-grundschule-sud-etc-passwd-x-y.csv\"");
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert_eq!(bytes.len(), "Name\r\n".len() + 500 * 1_002);
        let places: Vec<_> = (0..AT_ONCE).map(|_| reports.place().unwrap()).collect();
        let problem = reports.place().err().unwrap().into_response();
        assert_eq!(
            (problem.status(), &problem.headers()[header::RETRY_AFTER]),
            (StatusCode::SERVICE_UNAVAILABLE, &"5".parse().unwrap())
        );
        drop(places);
        assert!(reports.place().is_ok());
    }
}
