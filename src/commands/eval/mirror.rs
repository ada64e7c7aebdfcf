//! A recording turned left to right: other faces to the embedder, other ways to the tracker, and the same people.

use rollcall_pipeline::image::I420;
use rollcall_pipeline::{Image, Rect};

use super::boxes::{Labelled, Truth};

/// A picture, turned.
pub(super) fn picture(image: &Image) -> Image {
    let view = image.view();
    let mut turned = I420::filled(view.width, view.height, [0; 3]);
    let widths = [view.width, view.width.div_ceil(2), view.width.div_ceil(2)];
    for ((channel, plane), width) in view.channels().iter().zip(turned.planes_mut()).zip(widths) {
        for (from, to) in channel.rows().zip(plane.chunks_exact_mut(width)) {
            from.zip(to.iter_mut().rev()).for_each(|(value, place)| *place = value);
        }
    }
    Image::new(turned)
}

/// Boxes in pictures of that width, turned.
pub(super) fn boxes(truth: Truth, width: f32) -> Truth {
    let turn = |face: Labelled| {
        let bbox = Rect { x: width - face.bbox.x - face.bbox.w, ..face.bbox };
        Labelled { bbox, ..face }
    };
    truth.into_iter().map(|(frame, faces)| (frame, faces.into_iter().map(turn).collect())).collect()
}

#[cfg(test)]
mod tests {
    use rollcall_pipeline::image::{ImageView, PixelBuffer, PixelFormat, Plane};

    use super::*;

    /// Four by two pixels, with padding: rows of luma, then chroma.
    struct Padded(PixelFormat);

    impl PixelBuffer for Padded {
        fn view(&self) -> ImageView<'_> {
            let plane = |data, stride| Plane { data, stride };
            let luma = plane(&[1, 2, 3, 4, 0, 5, 6, 7, 8], 5);
            let planes = match self.0 {
                PixelFormat::I420 => [luma, plane(&[10, 11, 0], 3), plane(&[20, 21], 2)],
                PixelFormat::Nv12 => [luma, plane(&[10, 20, 11, 21], 4), plane(&[], 0)],
            };
            ImageView { format: self.0, width: 4, height: 2, planes }
        }

        fn byte_len(&self) -> usize {
            0
        }
    }

    #[test]
    fn left_is_right_in_either_layout() {
        for format in [PixelFormat::I420, PixelFormat::Nv12] {
            let turned = picture(&Image::new(Padded(format)));
            let planes = turned.view().planes.map(|plane| plane.data.to_vec());
            assert_eq!(planes, [vec![4, 3, 2, 1, 8, 7, 6, 5], vec![11, 10], vec![21, 20]], "{format:?}");
            let again = picture(&turned);
            assert_eq!(again.view().planes[0].data, [1, 2, 3, 4, 5, 6, 7, 8], "{format:?}");
        }
    }

    #[test]
    fn boxes_go_along() {
        let face = |x| Labelled { id: "1".to_owned(), bbox: Rect { x, y: 3.0, w: 10.0, h: 12.0 }, face: true };
        let turned = boxes(Truth::from([(7, vec![face(5.0)])]), 100.0);
        assert_eq!(turned, Truth::from([(7, vec![face(85.0)])]));
    }
}
