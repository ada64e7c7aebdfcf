//! Picture files as frames: whatever somebody uploads or drops into a folder.

use std::fs::File;
use std::io::{Cursor, Read as _};
use std::path::Path;

use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits};
use rollcall_pipeline::Image;
use rollcall_pipeline::image::I420;

use super::RefusedPicture;

/// Bytes of a file, at most.
pub const MAX_BYTES: u64 = 20 << 20;
/// Pixels of a picture, at most: all that phones of today make, and 120 MB as RGB.
pub const MAX_PIXELS: u64 = 40_000_000;
/// What a decoder may allocate beside its output.
const MAX_DECODER_BYTES: u64 = 256 << 20;

/// Reads a picture file; see [`decode`].
///
/// # Errors
/// [`RefusedPicture::Unreadable`], [`RefusedPicture::TooLarge`].
pub fn read(path: &Path) -> Result<Image, RefusedPicture> {
    let unreadable = |error: std::io::Error| RefusedPicture::Unreadable { why: error.to_string() };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits, whatever its metadata say.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    decode(&bytes)
}

/// Decodes JPEG, PNG, WebP, GIF (its first picture) or BMP, told apart by content, and turns it upright by its EXIF tag.
///
/// Size is checked before a pixel is decoded, so a small file that claims to be huge costs nothing.
///
/// # Errors
/// [`RefusedPicture::Unreadable`], [`RefusedPicture::TooLarge`].
pub fn decode(bytes: &[u8]) -> Result<Image, RefusedPicture> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(RefusedPicture::TooLarge { what: format!("more than {} MB", MAX_BYTES >> 20) });
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| refuse(e.into()))?;
    reader.limits(limits);
    if reader.format() == Some(ImageFormat::Jpeg) && !is_whole_jpeg(bytes) {
        let why = "the file ends too early, as after an upload that broke off; send it again";
        return Err(RefusedPicture::Unreadable { why: why.to_owned() });
    }
    let mut decoder = reader.into_decoder().map_err(refuse)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS || decoder.total_bytes() > MAX_DECODER_BYTES {
        return Err(RefusedPicture::TooLarge { what: format!("{width}×{height} pixels") });
    }
    if width == 0 || height == 0 {
        return Err(RefusedPicture::Unreadable { why: "it has no pixels".to_owned() });
    }
    // A broken tag is no reason to refuse a good picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(refuse)?;
    picture.apply_orientation(orientation);
    let rgb = picture.into_rgb8();
    Ok(Image::new(I420::from_rgb(rgb.width() as usize, rgb.height() as usize, rgb.as_raw())))
}

/// Whether a JPEG has its end. The decoder makes up what is missing in grey, and a face may be cut in two.
fn is_whole_jpeg(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[first, marker]) = bytes.get(at..at + 2) {
        at += match (first, marker) {
            (0xFF, 0xD9) => return true,
            // Markers without content, among them those within a scan.
            (0xFF, 0x00 | 0x01 | 0xD0..=0xD8) => 2,
            (0xFF, 0x02..=0xFE) => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            _ => 1,
        };
    }
    false
}

fn refuse(error: ImageError) -> RefusedPicture {
    let why = match error {
        ImageError::Limits(error) => return RefusedPicture::TooLarge { what: error.to_string() },
        ImageError::Unsupported(_) => "it is none of JPEG, PNG, WebP, GIF and BMP".to_owned(),
        error => error.to_string(),
    };
    RefusedPicture::Unreadable { why: format!("{why}; save it again as JPEG or PNG") }
}
