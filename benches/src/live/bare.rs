//! The same cameras, received and decoded and nothing else: what no daemon on this machine could be cheaper than.

use std::process::{Child, Command};
use std::time::Duration;

use anyhow::Context;
use rollcall_pipeline::Clock;
use rollcall_test_camera::Codec;

use super::process::usage;

/// Connections are made and first key frames decoded by then.
const WARM_UP: Duration = Duration::from_secs(3);

/// CPU seconds a second that GStreamer's own command takes to receive and decode these streams, one thread each.
///
/// # Errors
/// When there is no `gst-launch-1.0`, or it ends before it should.
pub fn decode_cores(clock: &impl Clock, urls: &[String], codec: Codec, watched: Duration) -> anyhow::Result<f64> {
    let decoder = match codec {
        Codec::H264 => "rtph264depay ! h264parse ! avdec_h264 max-threads=1",
        Codec::H265 => "rtph265depay ! h265parse ! avdec_h265 max-threads=1",
        Codec::Mjpeg => "rtpjpegdepay ! jpegparse ! avdec_mjpeg max-threads=1",
    };
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q");
    for url in urls {
        let line = format!("rtspsrc location={url} protocols=tcp latency=200 ! {decoder} ! fakesink sync=false");
        command.args(line.split(' '));
    }
    let running = Running(command.spawn().context("gst-launch-1.0, of GStreamer's tools")?);
    let used = || usage(running.0.id()).context("gst-launch-1.0 has ended: see above");
    std::thread::park_timeout(WARM_UP);
    let (began, before) = (clock.mono(), used()?);
    std::thread::park_timeout(watched);
    let (seconds, after) = (clock.mono().since(began), used()?);
    Ok(after.cpu.saturating_sub(before.cpu).as_secs_f64() / seconds.as_secs_f64())
}

/// Ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait().map(drop)) {
            eprintln!("gst-launch-1.0: {error}");
        }
    }
}
