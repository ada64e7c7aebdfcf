//! Photographs in front of a camera: shown as a person, or on the screen of a phone. Pure pixel work.

use image::imageops::{FilterType, crop_imm, resize};
use image::{Rgb, RgbImage, Rgba, RgbaImage};

/// A part of a photograph, in its pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Width and height of what the camera sees.
pub(super) type Size = (u32, u32);

/// A photograph that fills the view, as if the person stood there: the view sways and comes nearer.
pub(super) fn person(photo: &RgbImage, window: Window, (width, height): Size, seconds: f32, fps: u32) -> Vec<RgbImage> {
    // A margin, so that what sways in was there before.
    let margin = 1.1;
    let part = cut(photo, window, ((width as f32 * margin) as u32, (height as f32 * margin) as u32));
    let place = |t: f32| Place {
        x: width as f32 / 2.0 + 0.012 * width as f32 * (1.3 * t).sin(),
        y: height as f32 / 2.0 + 0.010 * height as f32 * (1.9 * t).cos(),
        angle: 0.006 * (0.9 * t).sin(),
        scale: 1.0 + 0.01 * t,
    };
    let empty = RgbImage::new(width, height);
    times(seconds, fps).map(|t| put(&empty, &part, place(t))).collect()
}

/// A phone that somebody holds before the camera, with a photograph on its screen.
pub(super) fn phone(photo: &RgbImage, window: Window, (width, height): Size, seconds: f32, fps: u32) -> Vec<RgbImage> {
    let device = device(photo, window, height * 7 / 10);
    let place = |t: f32| Place {
        x: width as f32 * 0.5 + 4.0 * (1.7 * t).sin() + 1.5 * (5.3 * t).sin(),
        y: height as f32 * 0.52 + 3.0 * (1.1 * t).cos() + 1.2 * (4.7 * t).sin(),
        angle: 0.03 + 0.012 * (1.4 * t).sin(),
        scale: 1.0 + 0.01 * (0.8 * t).sin(),
    };
    let wall = wall(width, height);
    times(seconds, fps).map(|t| put(&wall, &device, place(t))).collect()
}

fn times(seconds: f32, fps: u32) -> impl Iterator<Item = f32> {
    let frames = (seconds * fps as f32).round() as u32;
    (0..frames).map(move |i| i as f32 / fps as f32)
}

fn cut(photo: &RgbImage, window: Window, (width, height): Size) -> RgbaImage {
    let part = crop_imm(photo, window.x, window.y, window.width, window.height).to_image();
    let part = resize(&part, width.max(1), height.max(1), FilterType::Triangle);
    RgbaImage::from_fn(width, height, |x, y| {
        let Rgb([r, g, b]) = *part.get_pixel(x, y);
        Rgba([r, g, b, 255])
    })
}

/// A black slab with round corners; the screen with a status bar over the photograph, and light of a lamp on the glass.
fn device(photo: &RgbImage, window: Window, height: u32) -> RgbaImage {
    let (edge, ends) = (height / 40, height / 16);
    let screen_height = height - 2 * ends;
    let screen_width = screen_height * window.width / window.height;
    let screen = cut(photo, window, (screen_width, screen_height));
    let width = screen_width + 2 * edge;
    let radius = height as f32 / 14.0;
    RgbaImage::from_fn(width, height, |x, y| {
        let on_screen = x.checked_sub(edge).zip(y.checked_sub(ends)).and_then(|(x, y)| screen.get_pixel_checked(x, y));
        let Rgba([r, g, b, _]) = on_screen.copied().unwrap_or(Rgba([14, 14, 16, 255]));
        let status_bar = on_screen.is_some() && y < ends + height / 30;
        let glare =
            if (x as f32 * 0.6 + y as f32 - height as f32 * 0.92).abs() < height as f32 * 0.05 { 22 } else { 0 };
        let lit = |v: u8| (if status_bar { v / 3 } else { v }).saturating_add(glare);
        let alpha =
            corner(x, width, radius).zip(corner(y, height, radius)).map_or(1.0, |(dx, dy)| radius - dx.hypot(dy));
        Rgba([lit(r), lit(g), lit(b), (alpha.clamp(0.0, 1.0) * 255.0) as u8])
    })
}

/// How far into a rounded corner a pixel lies along one axis.
fn corner(at: u32, length: u32, radius: f32) -> Option<f32> {
    let at = at as f32 + 0.5;
    let into = (radius - at).max(at - (length as f32 - radius));
    (into > 0.0).then_some(into)
}

/// A painted wall in uneven light, with the grain of a sensor.
fn wall(width: u32, height: u32) -> RgbImage {
    let mut noise = 0x2545_f491_u32;
    RgbImage::from_fn(width, height, |x, y| {
        // Xorshift: the same grain each time.
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        let light = 0.75 + 0.25 * x as f32 / width as f32 - 0.15 * y as f32 / height as f32;
        let grain = (noise & 7) as f32 - 3.5;
        Rgb([172.0, 166.0, 154.0].map(|v: f32| (v * light + grain) as u8))
    })
}

/// Where a picture is: its centre in pixels of the view, its turn in radians, its size.
#[derive(Clone, Copy)]
struct Place {
    x: f32,
    y: f32,
    angle: f32,
    scale: f32,
}

/// Puts a picture in front of a scene, at places between pixels too.
fn put(scene: &RgbImage, picture: &RgbaImage, place: Place) -> RgbImage {
    let (sin, cos) = place.angle.sin_cos();
    let (half_width, half_height) = (picture.width() as f32 / 2.0, picture.height() as f32 / 2.0);
    let mut out = scene.clone();
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let (dx, dy) = ((x as f32 + 0.5 - place.x) / place.scale, (y as f32 + 0.5 - place.y) / place.scale);
        let (u, v) = (dx * cos + dy * sin + half_width - 0.5, dy * cos - dx * sin + half_height - 0.5);
        if let Some(Rgba([r, g, b, a])) = between(picture, u, v) {
            let mix = |front: u8, back: u8| {
                let (front, back, a) = (u32::from(front), u32::from(back), u32::from(a));
                ((front * a + back * (255 - a)) / 255) as u8
            };
            *pixel = Rgb([mix(r, pixel[0]), mix(g, pixel[1]), mix(b, pixel[2])]);
        }
    }
    out
}

/// The bilinear mean of the four pixels around a point inside of a picture.
fn between(picture: &RgbaImage, u: f32, v: f32) -> Option<Rgba<u8>> {
    if u < 0.0 || v < 0.0 {
        return None;
    }
    let (x, y) = (u as u32, v as u32);
    if x + 1 >= picture.width() || y + 1 >= picture.height() {
        return None;
    }
    let (fx, fy) = (u - x as f32, v - y as f32);
    let corners = [
        (picture.get_pixel(x, y), (1.0 - fx) * (1.0 - fy)),
        (picture.get_pixel(x + 1, y), fx * (1.0 - fy)),
        (picture.get_pixel(x, y + 1), (1.0 - fx) * fy),
        (picture.get_pixel(x + 1, y + 1), fx * fy),
    ];
    let channel = |c: usize| corners.iter().map(|(p, weight)| f32::from(p[c]) * weight).sum::<f32>().round() as u8;
    Some(Rgba([channel(0), channel(1), channel(2), channel(3)]))
}
