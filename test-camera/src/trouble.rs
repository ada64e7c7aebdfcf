//! Ports that are open but no camera's.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Somebody else at a camera's port.
#[derive(Debug)]
pub(crate) struct Impostor {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Impostor {
    /// `serve` is given whoever connects, one after the other.
    pub(crate) fn start(port: u16, serve: impl Fn(TcpStream) + Send + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let port = listener.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = crate::server::spawn("impostor", move || {
            for peer in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                serve(peer);
            }
        })?;
        Ok(Self { port, stop, thread: Some(thread) })
    }
}

/// Sends noise.
pub(crate) fn make_noise(mut peer: TcpStream) {
    // Neither text nor a pattern, and always the same.
    let noise: Vec<u8> = (0u32..4096).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    // The peer may hang up whenever it has had enough.
    if peer.write_all(&noise).is_ok() && peer.shutdown(Shutdown::Write).is_err() {
        tracing::debug!("the peer was faster");
    }
}

/// Takes no password, and counts how often one is told.
pub(crate) fn refuse_logins(peer: &TcpStream, digest: bool, logins: &AtomicU64) {
    let challenge = if digest { "Digest realm=\"door\", nonce=\"1\"" } else { "Basic realm=\"door\"" };
    let (mut status, mut number) = ("", String::new());
    for line in BufReader::new(peer).lines().map_while(Result::ok) {
        if line.ends_with("RTSP/1.0") {
            status = if line.starts_with("OPTIONS") { "200 OK" } else { "401 Unauthorized" };
        } else if line.starts_with("CSeq:") {
            number = line;
        } else if line.starts_with("Authorization:") {
            logins.fetch_add(1, Ordering::Relaxed);
        } else if line.is_empty() {
            let answer = format!("RTSP/1.0 {status}\r\n{number}\r\nWWW-Authenticate: {challenge}\r\n\r\n");
            let mut peer = peer;
            if peer.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread out of `accept`.
        let woken = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken)
            && thread.join().is_err()
        {
            tracing::warn!("an impostor panicked");
        }
    }
}
