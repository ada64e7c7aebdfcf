//! A decoded picture that stays in the decoder's own buffer.

use gstreamer as gst;
use gstreamer_video as gst_video;
use gstreamer_video::prelude::*;
use rollcall_pipeline::{ImageView, PixelBuffer, PixelFormat, Plane};

/// A readable mapping of a GStreamer buffer. The buffer goes back to the decoder's pool when this is dropped.
pub(super) struct GstImage {
    frame: gst_video::VideoFrame<gst_video::video_frame::Readable>,
    format: PixelFormat,
    byte_len: usize,
}

impl GstImage {
    /// Maps a buffer without a copy; strides and offsets come from its video meta, where it has one.
    ///
    /// Fails when the format is not I420 or NV12, when the buffer cannot be mapped, or when a plane is laid out bottom up.
    pub(super) fn map(buffer: gst::Buffer, info: &gst_video::VideoInfo) -> Result<Self, String> {
        let format = match info.format() {
            gst_video::VideoFormat::I420 => PixelFormat::I420,
            gst_video::VideoFormat::Nv12 => PixelFormat::Nv12,
            other => return Err(format!("pixel format {other} is neither I420 nor NV12")),
        };
        let byte_len = buffer.size();
        let frame = gst_video::VideoFrame::from_buffer_readable(buffer, info)
            .map_err(|_| "a decoded buffer cannot be mapped".to_owned())?;
        let image = Self { frame, format, byte_len };
        let planes = image.format.planes();
        let (width, rows) = (image.frame.width() as usize, image.frame.height() as usize);
        for plane in 0..planes {
            let stride = image.frame.plane_stride()[plane];
            let (bytes, rows) = match (plane, image.format) {
                (0, _) => (width, rows),
                (_, PixelFormat::I420) => (width.div_ceil(2), rows.div_ceil(2)),
                (_, PixelFormat::Nv12) => (width.div_ceil(2) * 2, rows.div_ceil(2)),
            };
            let data = image.frame.plane_data(plane as u32).map_err(|_| "a decoded buffer lacks a plane".to_owned())?;
            let stride = usize::try_from(stride).map_err(|_| "a decoded plane is laid out bottom up".to_owned())?;
            if stride < bytes || data.len() < stride * rows.saturating_sub(1) + bytes {
                return Err("a decoded plane is shorter than its picture".to_owned());
            }
        }
        Ok(image)
    }

    fn plane(&self, index: usize) -> Plane<'_> {
        // `map` checked that each plane of the format is there; NV12 has no third one.
        Plane {
            data: self.frame.plane_data(index as u32).unwrap_or_default(),
            stride: self.frame.plane_stride().get(index).map_or(0, |&s| s.unsigned_abs() as usize),
        }
    }
}

/// How many planes a format has.
pub(super) trait Planes {
    /// The number of planes.
    fn planes(self) -> usize;
}

impl Planes for PixelFormat {
    fn planes(self) -> usize {
        match self {
            Self::I420 => 3,
            Self::Nv12 => 2,
        }
    }
}

impl PixelBuffer for GstImage {
    fn view(&self) -> ImageView<'_> {
        let third = match self.format {
            PixelFormat::I420 => self.plane(2),
            PixelFormat::Nv12 => Plane { data: &[], stride: 0 },
        };
        ImageView {
            format: self.format,
            width: self.frame.width() as usize,
            height: self.frame.height() as usize,
            planes: [self.plane(0), self.plane(1), third],
        }
    }

    fn byte_len(&self) -> usize {
        self.byte_len
    }
}
