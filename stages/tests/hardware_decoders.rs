//! A hardware decoder that fails. A file of its own: decoders are registered for a whole process.
#![allow(clippy::unwrap_used)]

mod decode_kit;

use decode_kit::{Rig, config, rtsp};
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use rollcall_pipeline::config::RtspTransport;
use rollcall_test_camera::{Clip, Codec, Format, Options, TestCamera};

mod broken {
    use std::sync::LazyLock;

    use gstreamer as gst;
    use gstreamer::glib;
    use gstreamer::prelude::*;
    use gstreamer::subclass::prelude::*;

    /// Ranked before all others, and fails at the first picture.
    #[derive(Default)]
    pub struct Decoder;

    #[glib::object_subclass]
    impl ObjectSubclass for Decoder {
        const NAME: &'static str = "RollcallBrokenDecoder";
        type Type = super::Broken;
        type ParentType = gst::Element;
    }

    impl ObjectImpl for Decoder {
        fn constructed(&self) {
            self.parent_constructed();
            let template = |name| self.obj().pad_template(name).unwrap();
            let sink = gst::Pad::builder_from_template(&template("sink"))
                .chain_function(|_, parent, _| {
                    let element = parent.and_then(|parent| parent.downcast_ref::<gst::Element>()).unwrap();
                    gst::element_error!(element, gst::StreamError::Decode, ["the device went away"]);
                    Err(gst::FlowError::Error)
                })
                .build();
            self.obj().add_pad(&sink).unwrap();
            self.obj().add_pad(&gst::Pad::from_template(&template("src"))).unwrap();
        }
    }

    impl GstObjectImpl for Decoder {}

    impl ElementImpl for Decoder {
        fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
            static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
                gst::subclass::ElementMetadata::new("Broken", "Codec/Decoder/Video/Hardware", "Fails", "Rollcall")
            });
            Some(&METADATA)
        }

        fn pad_templates() -> &'static [gst::PadTemplate] {
            static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
                let template = |name, direction, caps: &str| {
                    let caps = gst::Caps::new_empty_simple(caps);
                    gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).unwrap()
                };
                let (sink, src) = (gst::PadDirection::Sink, gst::PadDirection::Src);
                vec![template("sink", sink, "image/jpeg"), template("src", src, "video/x-raw")]
            });
            &TEMPLATES
        }
    }
}

glib::wrapper! {
    /// See [`broken::Decoder`].
    pub struct Broken(ObjectSubclass<broken::Decoder>) @extends gst::Element, gst::Object;
}

#[test]
fn a_hardware_decoder_that_fails_is_not_taken_again() {
    let format = Format { width: 320, height: 240, fps: 25, codec: Codec::Mjpeg };
    let camera = TestCamera::start(Clip::pattern(format).unwrap(), Options::default()).unwrap();
    gst::Element::register(None, "brokendec", gst::Rank::PRIMARY + 100, Broken::static_type()).unwrap();
    let rig = Rig::start(&config(rtsp(camera.url(), RtspTransport::Tcp)));
    rig.frame();
    let snapshot = rig.control.snapshot();
    assert_eq!((snapshot.disconnects, snapshot.info.decoder.as_str()), (1, "jpegdec"), "{snapshot:#?}");
}
