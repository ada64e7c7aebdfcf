//! What the detector's network alone costs on a recording: every frame is decoded and scaled as in the lane, but the clock runs
//! only while the network does.

#![expect(clippy::print_stdout, reason = "a command that reports")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rollcall_benches::{models, thread_cpu};
use rollcall_models::YuNet;
use rollcall_pipeline::SystemClock;
use rollcall_stages::decode::VideoFile;
use rollcall_stages::detect::Letterbox;
use serde_json::json;

#[derive(Parser)]
#[command(about = "CPU seconds of bare detector runs over a recording, as JSON")]
struct Options {
    /// The recording.
    clip: PathBuf,
    /// Longest side that the detector sees.
    #[arg(long, default_value_t = 640)]
    detect_size: u32,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut net = YuNet::load(&models(), 1)?;
    let mut letterbox = Letterbox::default();
    let (mut frames, mut took) = (0u64, Duration::ZERO);
    for frame in VideoFile::open(&options.clip, Default::default(), Arc::new(SystemClock))? {
        let frame = frame?;
        let boxed = letterbox.fill(&frame.image.view(), options.detect_size).map_err(anyhow::Error::msg)?;
        let began = thread_cpu()?;
        net.run(boxed.tensor)?;
        // The first run also plans memory: start-up.
        if frames > 0 {
            took += thread_cpu()?.saturating_sub(began);
        }
        frames += 1;
    }
    println!("{}", json!({ "frames": frames, "cpu_seconds": took.as_secs_f64() }));
    Ok(())
}
