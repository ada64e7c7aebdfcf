//! What the benchmarks share: models, and pictures and faces that are the same on every machine.

pub mod live;
pub mod measured;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use rollcall_models::{Models, setup};
use rollcall_pipeline::image::I420;
use rollcall_pipeline::{Detection, Embedding, ModelId, Point, Rect};
use tempfile::TempDir;

/// The source tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a package lies in the workspace")
}

/// Where set-up puts models and demo media.
pub fn cache() -> PathBuf {
    setup::cache_dir(root())
}

/// A new data directory, in which a sync reaches a disk: /tmp is memory on some systems. It is open, because a daemon that is
/// started as root runs PostgreSQL as another user.
///
/// # Errors
/// When it cannot be made.
pub fn data_dir() -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix("rollcall").permissions(Permissions::from_mode(0o755)).tempdir_in("/var/tmp")
}

/// CPU time of this thread so far.
///
/// # Errors
/// When the kernel does not tell.
pub fn thread_cpu() -> nix::Result<Duration> {
    cpu(UsageWho::RUSAGE_THREAD)
}

/// User and system time of a thread, a process, or the processes that it started and that have ended.
fn cpu(of: UsageWho) -> nix::Result<Duration> {
    let usage = getrusage(of)?;
    let of =
        |t: nix::sys::time::TimeVal| Duration::new(t.tv_sec().unsigned_abs(), t.tv_usec().unsigned_abs() as u32 * 1000);
    Ok(of(usage.user_time()) + of(usage.system_time()))
}

/// The default models, and those that operators supply, from the folder that ROLLCALL_BENCH_MODELS names.
///
/// # Panics
/// When the default ones are not there or not whole.
pub fn models() -> Models {
    let models = Models::open(cache()).unwrap_or_else(|error| panic!("{error}: run `make setup`"));
    match std::env::var_os("ROLLCALL_BENCH_MODELS") {
        Some(dir) => models.with_operator_dir(dir),
        None => models,
    }
}

/// Numbers that look random and are always the same (xorshift64*), 0 to 1.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Default for Numbers {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Iterator for Numbers {
    type Item = f32;

    fn next(&mut self) -> Option<f32> {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        Some((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1u64 << 24) as f32)
    }
}

impl Numbers {
    /// A point on the unit sphere, as far from every other as those of strangers are.
    pub fn embedding(&mut self, model: &ModelId, dimension: usize) -> Embedding {
        let values = self.take(dimension).map(|v| v - 0.5).collect();
        Embedding::normalized(model.clone(), values).expect("that many numbers are not all 0")
    }
}

/// A picture with slopes, edges and noise.
pub fn picture(width: usize, height: usize) -> I420 {
    let mut numbers = Numbers::default();
    let rgb = (0..width * height).flat_map(|i| {
        let (x, y) = (i % width, i / width);
        let noise = numbers.next().map_or(0, |n| (n * 24.0) as u8);
        let edge = if (x / 40 + y / 40).is_multiple_of(2) { 40 } else { 0 };
        [(x * 160 / width) as u8 + noise + edge, (y * 160 / height) as u8 + noise, 60 + noise + edge]
    });
    I420::from_rgb(width, height, &rgb.collect::<Vec<_>>())
}

/// A face of `size` pixels at a place, with landmarks where faces have them.
pub fn face(x: f32, y: f32, size: f32, score: f32) -> Detection {
    let at = |(dx, dy): (f32, f32)| Point { x: x + dx * size, y: y + dy * size };
    let landmarks = [(0.3, 0.4), (0.7, 0.42), (0.5, 0.62), (0.34, 0.84), (0.66, 0.85)].map(at);
    Detection { bbox: Rect { x, y, w: size, h: size * 1.2 }, score, landmarks }
}
