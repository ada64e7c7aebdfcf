//! From what cameras send (BT.601, limited range) to what the face models want (full-range RGB), in fixed point.
//!
//! It deliberately knows no other matrix: HD cameras that send BT.709 are off by a few levels, which no model here minds.

/// One pixel to R, G, B. `y` is 16 to 235, `u` and `v` 16 to 240; what lies outside is clipped.
#[inline]
pub fn yuv_to_rgb(y: i32, u: i32, v: i32) -> [u8; 3] {
    let (c, d, e) = (298 * (y - 16) + 128, u - 128, v - 128);
    let clip = |value: i32| (value >> 8).clamp(0, 255) as u8;
    [clip(c + 409 * e), clip(c - 100 * d - 208 * e), clip(c + 516 * d)]
}

/// One pixel to luma of the same weights, full range, 0 to 255.
#[inline]
pub fn rgb_to_luma(rgb: [u8; 3]) -> u8 {
    ((77 * u32::from(rgb[0]) + 150 * u32::from(rgb[1]) + 29 * u32::from(rgb[2]) + 128) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use rollcall_pipeline::PixelBuffer as _;
    use rollcall_pipeline::image::I420;

    use super::*;

    #[test]
    fn the_limits_become_black_and_white() {
        assert_eq!(yuv_to_rgb(16, 128, 128), [0, 0, 0]);
        assert_eq!(yuv_to_rgb(235, 128, 128), [255, 255, 255]);
        assert_eq!(yuv_to_rgb(0, 128, 128), [0, 0, 0]);
        assert_eq!(yuv_to_rgb(255, 255, 255)[0], 255);
    }

    #[test]
    fn colours_survive_a_round_trip_within_rounding() {
        for rgb in [[200, 120, 90], [10, 240, 30], [60, 60, 250], [128, 128, 128]] {
            let image = I420::from_rgb(2, 2, &rgb.repeat(4));
            let [y, u, v] = image.view().planes.map(|p| i32::from(p.data[0]));
            let back = yuv_to_rgb(y, u, v);
            for (a, b) in rgb.into_iter().zip(back) {
                assert!(a.abs_diff(b) <= 4, "{rgb:?} came back as {back:?}");
            }
        }
    }

    #[test]
    fn luma_weighs_green_most_and_keeps_white() {
        assert_eq!(rgb_to_luma([255; 3]), 255);
        assert!(rgb_to_luma([0, 255, 0]) > rgb_to_luma([255, 0, 255]));
    }
}
