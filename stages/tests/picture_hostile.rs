//! Files that claim to be pictures.

use std::io::{Cursor, Write as _};

use image::{ImageFormat, Rgb, RgbImage};
use rollcall_pipeline::Image;
use rollcall_stages::picture::{MAX_BYTES, RefusedPicture, decode, read};

/// Left half red, right half blue.
fn halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| if x < width / 2 { Rgb([220, 30, 30]) } else { Rgb([30, 30, 220]) })
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    halves(64, 32).write_to(&mut bytes, format).expect("memory takes it");
    bytes.into_inner()
}

/// Whether the pixel is rather red than blue.
fn is_red(image: &Image, x: usize, y: usize) -> bool {
    let view = image.view();
    let at = |n: usize| view.planes[n].data[y / 2 * view.planes[n].stride + x / 2];
    at(2) > at(1)
}

fn check_refused(bytes: &[u8], code: &str) {
    match decode(bytes) {
        Ok(image) => panic!("{image:?} instead of {code}"),
        Err(refused) => assert_eq!(refused.code(), code, "{refused}"),
    }
}

#[test]
fn every_format_is_told_by_its_content() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp] {
        let image = decode(&encoded(format)).unwrap_or_else(|e| panic!("{format:?}: {e}"));
        assert_eq!((image.width(), image.height()), (64, 32), "{format:?}");
        assert!(is_red(&image, 10, 10) && !is_red(&image, 50, 10), "{format:?}");
    }
}

/// A JPEG with an EXIF block that holds nothing but the orientation tag.
fn with_orientation(orientation: u8) -> Vec<u8> {
    let jpeg = encoded(ImageFormat::Jpeg);
    let mut exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xFF, 0xE1]);
    bytes.extend(u16::try_from(exif.len() + 2).expect("a short block").to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn phones_that_lie_on_their_side_are_put_upright() {
    let upright = decode(&with_orientation(1)).unwrap();
    assert!(upright.width() == 64 && is_red(&upright, 10, 10));
    let upside_down = decode(&with_orientation(3)).unwrap();
    assert!(upside_down.width() == 64 && is_red(&upside_down, 50, 10));
    let quarter = decode(&with_orientation(6)).unwrap();
    assert_eq!((quarter.width(), quarter.height()), (32, 64));
    assert!(is_red(&quarter, 10, 10) && !is_red(&quarter, 10, 50));
    let other_quarter = decode(&with_orientation(8)).unwrap();
    assert!(!is_red(&other_quarter, 10, 10) && is_red(&other_quarter, 10, 50));
    assert_eq!(decode(&with_orientation(77)).unwrap().width(), 64, "a senseless tag is ignored");
}

/// A PNG of which only the header exists.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = encoded(ImageFormat::Png);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// CRC-32 of PNG, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn a_hundred_megapixels_are_refused_by_the_header() {
    check_refused(&png_header(10_000, 10_000), "too_large");
    check_refused(&png_header(u32::MAX >> 1, u32::MAX >> 1), "too_large");
    check_refused(&png_header(8_000, 5_001), "too_large");
    let Err(RefusedPicture::TooLarge { what }) = decode(&png_header(10_000, 10_000)) else { panic!("not refused") };
    assert!(what.contains("10000×10000"), "{what}");
}

#[test]
fn what_is_broken_is_refused() {
    let jpeg = encoded(ImageFormat::Jpeg);
    for missing in [2, 20, jpeg.len() / 2] {
        check_refused(&jpeg[..jpeg.len() - missing], "unreadable");
    }
    check_refused(b"", "unreadable");
    check_refused(b"hello, this is no picture at all", "unreadable");
    check_refused(&png_header(0, 10), "unreadable");
    let png = encoded(ImageFormat::Png);
    check_refused(&png[..png.len() / 2], "unreadable");
    check_refused(&encoded(ImageFormat::Jpeg)[..30], "unreadable");
    // A format that is not taken, by its magic bytes.
    check_refused(b"II*\0\x08\0\0\0\0\0\0\0\0\0", "unreadable");
}

/// Whatever byte is hit: an answer, no panic.
#[test]
fn altered_bytes_are_survived() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp] {
        let bytes = encoded(format);
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 300) {
            let mut altered = bytes.clone();
            altered[at] ^= 0xA5;
            let (Ok(_) | Err(_)) = decode(&altered);
            let (Ok(_) | Err(_)) = decode(&bytes[..at]);
        }
    }
}

#[test]
fn files_are_read_up_to_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no-extension");
    std::fs::write(&path, encoded(ImageFormat::Jpeg)).unwrap();
    assert_eq!(read(&path).unwrap().width(), 64);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&vec![0; MAX_BYTES as usize]).unwrap();
    assert_eq!(read(&path).unwrap_err().code(), "too_large");
    assert_eq!(read(&dir.path().join("missing.jpg")).unwrap_err().code(), "unreadable");
    assert_eq!(read(dir.path()).unwrap_err().code(), "unreadable");
}
