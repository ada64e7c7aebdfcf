//! Connections of clients: so many at once, and none that never says what it wants.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt as _;

/// Connections at once; others wait to be accepted. Cameras and the database need files too, and a process may open so many.
const MOST: u32 = 4_096;
/// For the head of a request, and between two requests of a connection: longer than proxies keep one that rests (Caddy: two
/// minutes), so that none sends a request into one that is being closed.
const PATIENCE: Duration = Duration::from_secs(150);

/// Serves until `shutdown` is done; requests under way are finished.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()> + Send) {
    serve_at_most(MOST, listener, router, shutdown).await;
}

async fn serve_at_most(most: u32, mut listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    // Done once here, and not for every request.
    let router: Router = router.with_state(());
    let seats = Arc::new(Semaphore::new(most as usize));
    let (stop, stopped) = watch::channel(false);
    let accept = async {
        while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
            // Unlike its own, this one goes on after errors, and waits a moment where no file is left.
            let (stream, peer) = Listener::accept(&mut listener).await;
            tokio::spawn(connection(stream, peer, router.clone(), stopped.clone(), seat));
        }
    };
    tokio::select! {
        () = accept => {}
        () = shutdown => {}
    }
    // Whoever comes now is refused, and not kept waiting.
    drop(listener);
    stop.send_replace(true);
    // All of them: nobody is left.
    drop(seats.acquire_many(most).await);
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    _seat: OwnedSemaphorePermit,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let stop = async { drop(stopped.wait_for(|stopped| *stopped).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, %peer, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::net::Ipv4Addr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;
    use tokio::time::{Instant, timeout};

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";

    /// Says who asks.
    fn router() -> Router {
        Router::new().route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        (listener, address)
    }

    async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(address).await.expect("it is accepted");
        client.write_all(bytes).await.expect("it is sent");
        client
    }

    async fn answer(mut client: TcpStream) -> String {
        let mut text = String::new();
        let read = timeout(10 * PATIENCE, client.read_to_string(&mut text)).await;
        read.expect("it is let go").expect("it is answered");
        text
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_request_is_let_go_while_others_are_served() {
        let (listener, address) = listener().await;
        tokio::spawn(serve(listener, router(), pending()));
        let half = send(address, &REQUEST[..20]).await;
        let nothing = send(address, b"").await;
        let whole = send(address, REQUEST).await;
        let own = whole.local_addr().expect("an address").to_string();
        assert!(answer(whole).await.ends_with(&own));
        assert!(!answer(half).await.contains("200 OK"));
        assert_eq!(answer(nothing).await, "");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_when_all_connections_are_taken_waits_for_one() {
        let (listener, address) = listener().await;
        tokio::spawn(serve_at_most(1, listener, router(), pending()));
        let _idle = send(address, b"").await;
        let begun = Instant::now();
        assert!(answer(send(address, REQUEST).await).await.contains("200 OK"));
        assert!(begun.elapsed() >= PATIENCE, "the first was let go before");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_under_way_are_finished_and_nothing_else_is_waited_for() {
        let (listener, address) = listener().await;
        let (begun, has_begun) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel::<()>();
        let once = Arc::new(parking_lot::Mutex::new(Some((begun, may_go_on))));
        let router = Router::new().route(
            "/",
            get(async move || {
                let (begun, may_go_on) = once.lock().take().expect("asked once");
                begun.send(()).expect("the test waits");
                may_go_on.await.expect("the test goes on");
                "done"
            }),
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, router, async move { drop(stopped.await) }));
        let idle = send(address, b"").await;
        let asks = send(address, REQUEST).await;
        has_begun.await.expect("it is asked");
        stop.send(()).expect("it is served");
        assert_eq!(answer(idle).await, "");
        assert!(!serving.is_finished(), "a request is under way");
        go_on.send(()).expect("the request waits");
        assert!(answer(asks).await.ends_with("done"));
        serving.await.expect("it ends");
    }
}
