//! The same cameras, received and decoded and nothing else: what it costs to decode each picture. A daemon
//! that leaves pictures undecoded may be cheaper.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::resource::UsageWho;
use rollcall_test_camera::{Codec, Format};

use crate::cpu;

/// Connections are made and first key frames decoded by then.
const START: Duration = Duration::from_secs(2);

/// CPU seconds a second of these streams that GStreamer's own command takes to receive and decode them, one thread each.
///
/// # Errors
/// When there is no `gst-launch-1.0`, or it ends before it should, as it does when no packet comes for some seconds.
pub fn decode_cores(urls: &[String], format: Format, watched: Duration) -> anyhow::Result<f64> {
    // What its start costs is no part of it.
    let start = cpu_to_decode(urls, format, START)?;
    let used = cpu_to_decode(urls, format, START + watched)?.saturating_sub(start);
    Ok(used.as_secs_f64() / watched.as_secs_f64())
}

/// It ends by itself when it has decoded so much of each stream, so nothing goes uncounted where the machine is too slow for them
/// all at once.
fn cpu_to_decode(urls: &[String], format: Format, video: Duration) -> anyhow::Result<Duration> {
    let decoder = match format.codec {
        Codec::H264 => "rtph264depay ! h264parse ! avdec_h264 max-threads=1",
        Codec::H265 => "rtph265depay ! h265parse ! avdec_h265 max-threads=1",
        Codec::Mjpeg => "rtpjpegdepay ! jpegparse ! avdec_mjpeg max-threads=1",
    };
    let pictures = video.as_secs() * u64::from(format.fps);
    let mut command = Command::new("gst-launch-1.0");
    // What it prints is none of the report.
    command.arg("-q").stdout(Stdio::null());
    for url in urls {
        let end = format!("fakesink sync=false num-buffers={pictures}");
        let line = format!("rtspsrc location={url} protocols=tcp latency=200 ! {decoder} ! {end}");
        command.args(line.split(' '));
    }
    let before = cpu(UsageWho::RUSAGE_CHILDREN)?;
    let status = command.status().context("gst-launch-1.0, of GStreamer's tools")?;
    ensure!(status.success(), "gst-launch-1.0 ended with {status}: see above");
    Ok(cpu(UsageWho::RUSAGE_CHILDREN)?.saturating_sub(before))
}
