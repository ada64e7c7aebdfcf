//! Whoever looks at a camera may go while packets to them are under way.
#![allow(clippy::unwrap_used)]

use std::sync::mpsc;
use std::thread;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use rollcall_test_camera::{Clip, Codec, Format, Options, TestCamera};

const CLIENTS: usize = 3;
const VISITS: usize = 40;
const TOO_LONG: gst::ClockTime = gst::ClockTime::from_seconds(20);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Leaves(usize),
    Left(usize),
}

/// A client that has seen the camera's picture.
fn look(url: &str) -> gst::Pipeline {
    let client = gst::parse::launch(&format!(
        "rtspsrc location={url} protocols=tcp latency=0 ! appsink name=seen sync=false max-buffers=1 drop=true"
    ));
    let client = client.unwrap().downcast::<gst::Pipeline>().unwrap();
    let seen = client.by_name("seen").unwrap().downcast::<gst_app::AppSink>().unwrap();
    client.set_state(gst::State::Playing).unwrap();
    assert!(seen.try_pull_sample(TOO_LONG).is_some(), "a camera that is well shows its picture");
    client
}

#[test]
fn a_camera_that_stands_still_now_and_then_outlives_clients_that_come_and_go() {
    gst::init().unwrap();
    // Many packets a second, as a large picture has.
    let format = Format { width: 320, height: 240, fps: 100, codec: Codec::H264 };
    let camera = TestCamera::start(Clip::pattern(format).unwrap(), Options::default()).unwrap();
    let url = camera.url();
    let (says, hears) = mpsc::channel();
    thread::scope(|scope| {
        for who in 0..CLIENTS {
            let (url, says) = (&url, says.clone());
            scope.spawn(move || {
                for _ in 0..VISITS {
                    let client = look(url);
                    says.send(Client::Leaves(who)).unwrap();
                    client.set_state(gst::State::Null).unwrap();
                    says.send(Client::Left(who)).unwrap();
                }
            });
        }
        drop(says);
        while let Ok(said) = hears.recv() {
            let Client::Leaves(who) = said else { continue };
            camera.freeze();
            while hears.recv().is_ok_and(|said| said != Client::Left(who)) {}
            camera.resume();
        }
    });
    look(&url).set_state(gst::State::Null).unwrap();
}
