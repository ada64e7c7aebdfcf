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
