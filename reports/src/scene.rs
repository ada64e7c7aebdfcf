//! A page or a picture as plain shapes, before anybody decides whether they become SVG or PDF.
//!
//! Lengths are points, y grows downwards, texts stand on their baseline.

/// A colour as 0xRRGGBB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour(pub(crate) u32);

pub(crate) const INK: Colour = Colour(0x1F2933);
pub(crate) const FAINT: Colour = Colour(0x5A6672);
pub(crate) const RULE: Colour = Colour(0xD5DBE1);
pub(crate) const SHADE: Colour = Colour(0xF3F5F7);
pub(crate) const ACCENT: Colour = Colour(0x2B5C8A);
/// The colours of [`crate::report::Tone`], in its order: dark enough to be read in print and by those who see no red.
pub(crate) const TONES: [Colour; 4] = [Colour(0x1B6B3A), Colour(0x8A5A00), Colour(0xA61B1B), INK];

impl Colour {
    /// Red, green, blue.
    pub(crate) fn parts(self) -> [u8; 3] {
        let [_, r, g, b] = self.0.to_be_bytes();
        [r, g, b]
    }

    /// The colour between white (0) and this one (1).
    pub(crate) fn tint(self, share: f64) -> Self {
        let mix = |part: u8| 255.0 - (255.0 - f64::from(part)) * share.clamp(0.0, 1.0);
        let [r, g, b] = self.parts().map(|part| mix(part).round() as u8);
        Self(u32::from_be_bytes([0, r, g, b]))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Weight {
    #[default]
    Regular,
    Bold,
}

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Anchor {
    #[default]
    Start,
    Middle,
    End,
}

#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Rect {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        fill: Colour,
    },
    /// An open polygon.
    Line {
        points: Vec<(f32, f32)>,
        stroke: Colour,
        width: f32,
    },
    Text {
        x: f32,
        y: f32,
        size: f32,
        weight: Weight,
        anchor: Anchor,
        colour: Colour,
        text: String,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) width: f32,
    pub(crate) height: f32,
    pub(crate) shapes: Vec<Shape>,
}

impl Scene {
    pub(crate) fn new(width: f32, height: f32) -> Self {
        Self { width, height, shapes: Vec::new() }
    }

    pub(crate) fn rect(&mut self, x: f32, y: f32, width: f32, height: f32, fill: Colour) {
        self.shapes.push(Shape::Rect { x, y, width, height, fill });
    }

    pub(crate) fn line(&mut self, from: (f32, f32), to: (f32, f32), stroke: Colour, width: f32) {
        self.shapes.push(Shape::Line { points: vec![from, to], stroke, width });
    }

    pub(crate) fn text(&mut self, (x, y): (f32, f32), style: Style, text: impl Into<String>) {
        let Style { size, weight, anchor, colour } = style;
        self.shapes.push(Shape::Text { x, y, size, weight, anchor, colour, text: text.into() });
    }

    /// Puts another scene's shapes into this one.
    pub(crate) fn place(&mut self, other: Scene, (left, top): (f32, f32)) {
        self.shapes.extend(other.shapes.into_iter().map(|mut shape| {
            match &mut shape {
                Shape::Rect { x, y, .. } | Shape::Text { x, y, .. } => (*x, *y) = (*x + left, *y + top),
                Shape::Line { points, .. } => points.iter_mut().for_each(|p| *p = (p.0 + left, p.1 + top)),
            }
            shape
        }));
    }
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) size: f32,
    pub(crate) weight: Weight,
    pub(crate) anchor: Anchor,
    pub(crate) colour: Colour,
}

impl Style {
    pub(crate) const fn new(size: f32, colour: Colour) -> Self {
        Self { size, weight: Weight::Regular, anchor: Anchor::Start, colour }
    }

    pub(crate) const fn bold(self) -> Self {
        Self { weight: Weight::Bold, ..self }
    }

    pub(crate) const fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }
}
