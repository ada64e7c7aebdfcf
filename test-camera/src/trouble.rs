//! Ports that are open but no camera's.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A port that sends noise to whoever connects.
#[derive(Debug)]
pub(crate) struct Noise {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Noise {
    pub(crate) fn start(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        let port = listener.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = crate::server::spawn("noise", move || {
            // Neither text nor a pattern, and always the same.
            let noise: Vec<u8> = (0u32..4096).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            for peer in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                send(peer, &noise);
            }
        })?;
        Ok(Self { port, stop, thread: Some(thread) })
    }
}

fn send(mut peer: TcpStream, noise: &[u8]) {
    // The peer may hang up whenever it has had enough.
    if peer.write_all(noise).is_ok() && peer.shutdown(Shutdown::Write).is_err() {
        tracing::debug!("the peer was faster");
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread out of `accept`.
        let woken = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken)
            && thread.join().is_err()
        {
            tracing::warn!("the noise thread panicked");
        }
    }
}
