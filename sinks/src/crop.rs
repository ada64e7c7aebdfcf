//! A face for the review queue.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use rollcall_pipeline::Chip;

/// Good enough to enrol from, a tenth of the pixels' size.
const QUALITY: u8 = 95;

/// The chip as a JPEG; `None` if it is none.
pub(crate) fn jpeg(chip: &Chip) -> Option<Vec<u8>> {
    let side = u32::from(u16::try_from(chip.side).ok()?);
    // The encoder panics otherwise.
    if chip.rgb.len() != chip.side * chip.side * 3 {
        return None;
    }
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, QUALITY)
        .write_image(&chip.rgb, side, side, ExtendedColorType::Rgb8)
        .ok()?;
    Some(out)
}
