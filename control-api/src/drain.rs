//! Reads on what a refused request still sends. One whose connection is closed while it writes gets a broken pipe or a
//! reset, and never comes to the answer that says why.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use http_body::{Frame, SizeHint};

/// More than any operation takes: whoever sends more than that is cut off.
const MAX_BYTES: usize = 64 << 20;
/// For all of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets operations answer before they have read their request.
pub(crate) async fn drain(request: Request, next: Next) -> Response {
    // Who asks first sends nothing after a refusal.
    let asks = request.headers().contains_key(header::EXPECT);
    next.run(request.map(|body| Body::new(Drained { body: Some(body), asks, read: 0 }))).await
}

/// A body that is read to its end by somebody else when it is let go before.
struct Drained {
    /// `None` after its end.
    body: Option<Body>,
    asks: bool,
    read: usize,
}

impl HttpBody for Drained {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.read += frame.data_ref().map_or(0, Bytes::len),
            None | Some(Err(_)) => self.body = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let sends = self.read > 0 || !self.asks;
        let Some(body) = self.body.take().filter(|body| sends && !body.is_end_stream()) else { return };
        // Without a runtime there is no connection either.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut left = MAX_BYTES.saturating_sub(self.read);
        let rest = body.into_data_stream().take_while(move |part| {
            let enough = part.as_ref().ok().and_then(|part| left.checked_sub(part.len()));
            left = enough.unwrap_or_default();
            std::future::ready(enough.is_some())
        });
        // Ended by the patience is as well as ended by the sender: nobody waits for it.
        runtime.spawn(tokio::time::timeout(PATIENCE, rest.for_each(|_| std::future::ready(()))));
    }
}
