//! Streams for whoever reads them as they come. A server waits for ever for somebody who reads no more, and asks for nothing
//! meanwhile; so what comes is handed on by a task of its own, which gives up.

use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What comes of `stream`, until nobody takes any of it for as long as `patience`. One is on its way and one waits; then
/// nothing is asked for.
pub(crate) fn unstalled<T: Send + 'static>(
    stream: impl Stream<Item = T> + Send + 'static,
    patience: Duration,
) -> impl Stream<Item = T> + Send + 'static {
    let (feed, taken) = mpsc::channel(1);
    tokio::spawn(hand_on(stream, feed, patience));
    stream::unfold(taken, |mut taken| async move { Some((taken.recv().await?, taken)) })
}

async fn hand_on<T>(stream: impl Stream<Item = T>, feed: mpsc::Sender<T>, patience: Duration) {
    let mut stream = pin!(stream);
    loop {
        let next = tokio::select! {
            next = stream.next() => next,
            () = feed.closed() => return,
        };
        let Some(next) = next else { return };
        if !matches!(timeout(patience, feed.send(next)).await, Ok(Ok(()))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    /// Numbers without end, and whoever is told when they are let go.
    fn numbers() -> (impl Stream<Item = u32> + Send, oneshot::Receiver<()>) {
        let (seat, gone) = oneshot::channel();
        let numbers = stream::unfold((0, seat), |(n, seat)| async move { Some((n, (n + 1, seat))) });
        (numbers, gone)
    }

    #[tokio::test]
    async fn who_takes_nothing_any_more_loses_the_seat() {
        let (numbers, gone) = numbers();
        let mut taken = Box::pin(unstalled(numbers, Duration::from_millis(1)));
        assert_eq!(taken.next().await, Some(0));
        gone.await.expect_err("nobody sends anything there");
        // What was on its way still comes, and then the end.
        assert!(taken.count().await <= 2);
    }

    #[tokio::test]
    async fn who_leaves_gives_the_seat_back_at_once() {
        let (numbers, gone) = numbers();
        let mut taken = Box::pin(unstalled(numbers, LONG));
        assert_eq!(taken.next().await, Some(0));
        drop(taken);
        gone.await.expect_err("nobody sends anything there");
    }
}
