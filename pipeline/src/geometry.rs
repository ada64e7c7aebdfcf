//! Points and boxes, in pixels of the decoded frame unless said otherwise.

/// A point; x to the right, y down.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Pixels from the left edge.
    pub x: f32,
    /// Pixels from the top edge.
    pub y: f32,
}

/// A box, half-open: it covers `x..x + w`, `y..y + h`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

impl Rect {
    /// Area; zero for a box turned inside out.
    pub fn area(&self) -> f32 {
        self.w.max(0.0) * self.h.max(0.0)
    }

    /// Centre.
    pub fn center(&self) -> Point {
        Point { x: self.x + self.w / 2.0, y: self.y + self.h / 2.0 }
    }

    /// The longer side.
    pub fn size(&self) -> f32 {
        self.w.max(self.h)
    }

    /// The area that both cover.
    pub fn intersection(&self, other: &Self) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        w.max(0.0) * h.max(0.0)
    }

    /// Intersection over union, 0 to 1.
    pub fn iou(&self, other: &Self) -> f32 {
        let both = self.intersection(other);
        let union = self.area() + other.area() - both;
        if union > 0.0 { both / union } else { 0.0 }
    }
}

/// The five points of a face, image-left first: eye, eye, nose, mouth corner, mouth corner.
pub type Landmarks = [Point; 5];

/// A closed polygon in relative coordinates: 0 to 1 of the width and the height of the picture as mounted (after rotation).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Polygon(pub Vec<Point>);

impl Polygon {
    /// Whether the point (relative coordinates) lies inside, by the even-odd rule.
    pub fn contains(&self, p: Point) -> bool {
        let mut inside = false;
        let mut j = self.0.len().wrapping_sub(1);
        for (i, a) in self.0.iter().enumerate() {
            let b = self.0[j];
            if (a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x {
                inside = !inside;
            }
            j = i;
        }
        inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iou_of_halves_is_a_third() {
        let a = Rect { x: 0.0, y: 0.0, w: 2.0, h: 2.0 };
        let b = Rect { x: 1.0, y: 0.0, w: 2.0, h: 2.0 };
        assert!((a.iou(&b) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(a.iou(&Rect { x: 9.0, ..a }), 0.0);
    }

    #[test]
    fn polygon_contains_its_middle_and_not_its_notch() {
        let u = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.0, 1.0)];
        let u = Polygon(u.iter().map(|&(x, y)| Point { x, y }).collect());
        assert!(u.contains(Point { x: 0.5, y: 0.25 }));
        assert!(!u.contains(Point { x: 0.5, y: 0.75 }));
    }
}
