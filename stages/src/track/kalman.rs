//! A constant-velocity Kalman filter for a face box: centre x, centre y and the logarithm of its size, each on its own.
//!
//! The three axes do not mix in a constant-velocity model with a diagonal measurement, so the usual 6×6 filter falls apart
//! into three of 2×2, which are written out here.

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

    fn predict(&mut self, dt: f32, density: f32) {
        self.x += self.v * dt;
        self.pxx += dt * (2.0 * self.pxv + dt * self.pvv) + density * dt * dt * dt / 3.0;
        self.pxv += dt * self.pvv + density * dt * dt / 2.0;
        self.pvv += density * dt;
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
            aspect: bbox.w / bbox.h.max(1.0),
        }
    }

    /// Moves on by `dt` seconds.
    pub(super) fn predict(&mut self, dt: f32) {
        let q = (CENTER_ACCELERATION * self.bbox().h).powi(2);
        self.cx.predict(dt, q);
        self.cy.predict(dt, q);
        self.ln_size.predict(dt, SIZE_ACCELERATION);
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
    fn a_long_silence_keeps_the_box_finite() {
        let mut motion = Motion::new(&Rect { x: 0.0, y: 0.0, w: 10.0, h: 10.0 });
        for _ in 0..1000 {
            motion.predict(10.0);
        }
        assert!(motion.bbox().area().is_finite());
    }
}
