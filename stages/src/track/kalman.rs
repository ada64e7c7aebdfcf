//! A Kalman filter for the box of a face that moves at a constant velocity through the room: centre x, centre y and the logarithm
//! of its size.
//!
//! Of such a face the reciprocal of the size, and the centre in sizes, change at constant rates, since both are coordinates of
//! the room over the distance. So all that moves in the picture gains pace as the face comes near: a displacement becomes
//! `1/(1 − g)` times as long, and a speed `1/(1 − g)²` times as large, in the time in which its size would have grown by the part
//! `g` at its present pace. Beside that factor, which is taken as known, the three axes do not mix, and the usual 6×6 filter falls
//! apart into three of 2×2, which are written out here.

use rollcall_pipeline::Rect;

/// Standard deviation of a detector's box centre, as a share of the box height.
const CENTER_NOISE: f32 = 0.06;
/// Standard deviation of the logarithm of a detector's box size.
const SIZE_NOISE: f32 = 0.08;
/// White acceleration of a walking head, in box heights per second^1.5.
const CENTER_ACCELERATION: f32 = 2.0;
/// Spectral density of the change of the growth rate, per second^3.
const SIZE_ACCELERATION: f32 = 0.5;
/// A new track's speed is unknown by this many measurement variances per second².
const UNKNOWN_SPEED: f32 = 100.0;
/// From one detection to the next a face is not predicted to gain more than this by coming near, as one does at half of its distance:
/// who is missed for longer would be at the camera, without end.
const MOST_NEARING: f32 = 2.0;

#[derive(Clone, Copy, Debug)]
struct Axis {
    x: f32,
    v: f32,
    // Covariance of (x, v).
    pxx: f32,
    pxv: f32,
    pvv: f32,
}

impl Axis {
    fn new(x: f32, variance: f32) -> Self {
        Self { x, v: 0.0, pxx: variance, pxv: 0.0, pvv: variance * UNKNOWN_SPEED }
    }

    /// Moves on by `dt` seconds, in which displacements become `nearing` times as long.
    fn predict(&mut self, dt: f32, nearing: f32, density: f32) {
        let (step, gain) = (dt * nearing, nearing * nearing);
        self.x += self.v * step;
        self.v *= gain;
        self.pxx += step * (2.0 * self.pxv + step * self.pvv) + density * dt * dt * dt / 3.0;
        self.pxv = gain * (self.pxv + step * self.pvv) + density * dt * dt / 2.0;
        self.pvv = gain * gain * self.pvv + density * dt;
    }

    fn update(&mut self, z: f32, variance: f32) {
        let s = self.pxx + variance;
        let (kx, kv) = (self.pxx / s, self.pxv / s);
        let innovation = z - self.x;
        self.x += kx * innovation;
        self.v += kv * innovation;
        self.pvv -= kv * self.pxv;
        self.pxv -= kx * self.pxv;
        self.pxx -= kx * self.pxx;
    }
}

/// The motion of one face.
#[derive(Clone, Debug)]
pub(super) struct Motion {
    cx: Axis,
    cy: Axis,
    ln_size: Axis,
    /// By how much displacements have become longer since the last detection.
    neared: f32,
    /// Width over height, smoothed.
    aspect: f32,
}

impl Motion {
    pub(super) fn new(bbox: &Rect) -> Self {
        let c = bbox.center();
        let r = (CENTER_NOISE * bbox.h).powi(2);
        Self {
            cx: Axis::new(c.x, r),
            cy: Axis::new(c.y, r),
            ln_size: Axis::new(ln_size(bbox), SIZE_NOISE.powi(2)),
            neared: 1.0,
            aspect: bbox.w / bbox.h.max(1.0),
        }
    }

    /// Moves on by `dt` seconds.
    pub(super) fn predict(&mut self, dt: f32) {
        let q = (CENTER_ACCELERATION * self.bbox().h).powi(2);
        let (ln_size, growth) = (self.ln_size.x, self.ln_size.v);
        let nearing = 1.0 / (1.0 - growth * dt).max(self.neared / MOST_NEARING);
        self.neared *= nearing;
        self.cx.predict(dt, nearing, q);
        self.cy.predict(dt, nearing, q);
        self.ln_size.predict(dt, nearing, SIZE_ACCELERATION);
        // Of a logarithm only the derivatives are those of a displacement.
        (self.ln_size.x, self.ln_size.v) = (ln_size + nearing.ln(), growth * nearing);
        // A face neither vanishes nor fills a city: keeps the exponential finite however long nothing was measured.
        self.ln_size.x = self.ln_size.x.clamp(0.0, 10.0);
    }

    /// Takes a detection in.
    pub(super) fn update(&mut self, bbox: &Rect) {
        let c = bbox.center();
        let r = (CENTER_NOISE * bbox.h).powi(2);
        self.cx.update(c.x, r);
        self.cy.update(c.y, r);
        self.ln_size.update(ln_size(bbox), SIZE_NOISE.powi(2));
        self.neared = 1.0;
        self.aspect += 0.2 * (bbox.w / bbox.h.max(1.0) - self.aspect);
    }

    /// Where the face is thought to be.
    pub(super) fn bbox(&self) -> Rect {
        let size = self.ln_size.x.exp();
        let (w, h) = (size * self.aspect.sqrt(), size / self.aspect.sqrt());
        Rect { x: self.cx.x - w / 2.0, y: self.cy.x - h / 2.0, w, h }
    }
}

fn ln_size(bbox: &Rect) -> f32 {
    bbox.area().max(1.0).ln() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_walk_is_predicted() {
        let at = |i: f32| Rect { x: 100.0 + 12.0 * i, y: 50.0 + 3.0 * i, w: 30.0, h: 40.0 };
        let mut motion = Motion::new(&at(0.0));
        for i in 1..15 {
            motion.predict(0.2);
            motion.update(&at(i as f32));
        }
        motion.predict(0.2);
        assert!(motion.bbox().iou(&at(15.0)) > 0.9, "{:?}", motion.bbox());
    }

    #[test]
    fn who_walks_up_to_the_camera_is_predicted() {
        // 1.4 m a second from 5 m on; a face of 0.2 m that is 0.5 m beside and above the middle, at 900 pixels a radian.
        let at = |i: f32| {
            let distance = 5.0 - 1.4 * 0.2 * i;
            let (size, off) = (900.0 * 0.2 / distance, 900.0 * 0.5 / distance);
            Rect { x: 960.0 + off - size / 2.0, y: 540.0 - off - size / 2.0, w: size, h: size }
        };
        let mut motion = Motion::new(&at(0.0));
        for i in 1..15 {
            motion.predict(0.2);
            motion.update(&at(i as f32));
        }
        motion.predict(0.2);
        assert!(motion.bbox().iou(&at(15.0)) > 0.7, "{:?} instead of {:?}", motion.bbox(), at(15.0));
    }

    #[test]
    fn a_long_silence_of_who_comes_fast_keeps_the_box_finite() {
        let at =
            |i: i32| Rect { x: 300.0 + 9.0 * i as f32, y: 80.0, w: 20.0 * 1.15f32.powi(i), h: 20.0 * 1.15f32.powi(i) };
        for dt in [0.0, 0.04, 10.0] {
            let mut motion = Motion::new(&at(0));
            for i in 1..15 {
                motion.predict(0.04);
                motion.update(&at(i));
            }
            for _ in 0..1000 {
                motion.predict(dt);
            }
            motion.update(&at(15));
            motion.predict(0.04);
            motion.update(&at(16));
            let Rect { x, y, w, h } = motion.bbox();
            assert!([x, y, w, h].iter().all(|figure| figure.is_finite()), "{:?} after {dt} s a time", motion.bbox());
        }
    }
}
