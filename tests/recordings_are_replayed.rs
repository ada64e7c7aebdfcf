//! `rollcall replay` over real recordings: events, tracks, and what happens with broken input.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::path::Path;
use std::process::{Command, Output};

use kit::{demo_media, media, people, run, stderr};
use serde_json::Value;

fn replay(dir: &Path, video: &Path, people: &Path, more: &[&str]) -> Output {
    let (events, tracks) = (dir.join("events.jsonl"), dir.join("tracks.csv"));
    let mut args = vec!["replay", video.to_str().unwrap(), "--people", people.to_str().unwrap(), "--json"];
    args.extend(["--events", events.to_str().unwrap(), "--tracks", tracks.to_str().unwrap()]);
    args.extend(more);
    run(dir, &args)
}

fn events(dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn tracks(dir: &Path) -> Vec<csv::StringRecord> {
    csv::Reader::from_path(dir.join("tracks.csv")).unwrap().records().map(Result::unwrap).collect()
}

const FRANCK: (&str, &[&str]) = ("Franck", &["franck_01829.jpg", "franck_02045.jpg", "franck_04117.jpg"]);

#[test]
fn an_enrolled_person_is_named_once_and_their_track_bears_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let people = people(dir.path(), &[FRANCK]);
    let done = replay(dir.path(), &demo_media("franck.mp4"), &people, &["--fps", "5"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    let (decoded, analysed) =
        (summary["frames_decoded"].as_u64().unwrap(), summary["frames_analysed"].as_u64().unwrap());
    assert!(analysed > 0 && analysed < decoded, "{summary}");

    let events = events(dir.path());
    let recorded: Vec<_> = events.iter().filter(|e| e["kind"] == "recorded").collect();
    assert_eq!(recorded.len(), 1, "{events:#?}");
    assert_eq!(recorded[0]["person"], "Franck");
    assert!(recorded[0]["shots"].as_u64().unwrap() >= 2);
    for key in [
        "event_id",
        "kind",
        "person",
        "candidates",
        "camera",
        "track_id",
        "media_ms",
        "captured_at",
        "similarity",
        "margin",
        "shots",
        "liveness",
        "liveness_score",
    ] {
        assert!(recorded[0].get(key).is_some(), "{key}");
    }
    let tracks = tracks(dir.path());
    let id = recorded[0]["track_id"].to_string();
    let mine: Vec<_> = tracks.iter().filter(|row| row[1] == id).collect();
    assert_eq!(&mine[0][7], "", "nobody has a name at first sight");
    assert_eq!(&mine[mine.len() - 1][7], "Franck");
}

#[test]
fn someone_else_is_nobody_and_the_same_recording_says_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let people = people(dir.path(), &[FRANCK]);
    let said = || {
        let done = replay(dir.path(), &demo_media("cap13_edit2.mp4"), &people, &["--fps", "5"]);
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        let mut events = events(dir.path());
        for event in &mut events {
            // The connection is another each time, and with it the id.
            event.as_object_mut().unwrap().remove("event_id");
        }
        (events, std::fs::read_to_string(dir.path().join("tracks.csv")).unwrap())
    };
    let (events, tracks) = said();
    assert!(!events.is_empty() && events.iter().all(|e| e["person"].is_null()), "{events:#?}");
    assert_eq!((events, tracks), said());
}

#[test]
fn who_is_not_on_the_roster_is_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let people = people(dir.path(), &[FRANCK]);
    let roster = dir.path().join("roster.csv");
    std::fs::write(&roster, "name\nSomebody Else\n").unwrap();
    let roster = ["--roster", roster.to_str().unwrap(), "--fps", "5"];
    let done = replay(dir.path(), &demo_media("franck.mp4"), &people, &roster);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(stderr(&done).contains("on the roster, but without a picture: Somebody Else"), "{}", stderr(&done));
    let kinds: Vec<_> = events(dir.path()).iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect();
    assert!(kinds.contains(&"off_roster".to_owned()) && !kinds.contains(&"recorded".to_owned()), "{kinds:?}");
}

#[test]
fn a_recording_is_played_at_its_own_speed_where_that_is_wished() {
    let dir = tempfile::tempdir().unwrap();
    let people = people(dir.path(), &[FRANCK]);
    let video = dir.path().join("three-seconds.mp4");
    let pattern = "videotestsrc num-buffers=31 ! video/x-raw,width=320,height=240,framerate=10/1 ! x264enc ! mp4mux";
    let script = format!("-q {pattern} ! filesink location={}", video.display());
    assert!(Command::new("gst-launch-1.0").args(script.split(' ')).status().unwrap().success());
    let done = replay(dir.path(), &video, &people, &["--realtime"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&summary["frames_decoded"], &summary["frames_analysed"]), (&31.into(), &31.into()), "none is lost");
    assert!(summary["wall_seconds"].as_f64().unwrap() >= 3.0, "{summary}");
}

#[test]
fn a_cut_file_gives_what_it_has_and_then_fails_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let people = people(dir.path(), &[FRANCK]);
    let advice = "copy the file again from where it was recorded";
    // An MP4 has its index at the end: without it there is nothing.
    let cut = dir.path().join("cut.mp4");
    let whole = media("franck.mp4");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let done = replay(dir.path(), &cut, &people, &["--fps", "5"]);
    assert_eq!(done.status.code(), Some(1));
    let told = stderr(&done);
    assert!(told.contains("cut.mp4: the file is cut off: 0 frames") && told.contains(advice), "{told}");

    // The same video in Matroska is good up to the cut.
    let (whole, cut) = (dir.path().join("whole.mkv"), dir.path().join("cut.mkv"));
    let script = format!(
        "-q filesrc location={} ! qtdemux ! h264parse ! matroskamux ! filesink location={}",
        demo_media("franck.mp4").display(),
        whole.display()
    );
    assert!(Command::new("gst-launch-1.0").args(script.split(' ')).status().unwrap().success());
    let whole = std::fs::read(whole).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 4]).unwrap();
    let done = replay(dir.path(), &cut, &people, &["--fps", "5"]);
    assert_eq!(done.status.code(), Some(1));
    let told = stderr(&done);
    assert!(told.contains("cut.mkv: the file is cut off: ") && told.contains(advice), "{told}");
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(told.contains(&format!("{} frames", summary["frames_decoded"])), "{summary}");
    let names: Vec<_> = events(dir.path()).iter().map(|event| event["person"].clone()).collect();
    assert!(names.contains(&"Franck".into()), "{names:?}");
    assert!(tracks(dir.path()).iter().any(|row| &row[7] == "Franck"));

    let junk = dir.path().join("junk.mp4");
    std::fs::write(&junk, vec![0x55; 100_000]).unwrap();
    let done = replay(dir.path(), &junk, &people, &[]);
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("junk.mp4"), "{}", stderr(&done));
}

#[test]
fn a_folder_without_a_usable_picture_is_refused_with_the_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let people = dir.path().join("people");
    std::fs::create_dir(&people).unwrap();
    std::fs::write(people.join("Ada.jpg"), b"no picture").unwrap();
    let done = replay(dir.path(), &demo_media("franck.mp4"), &people, &[]);
    assert_eq!(done.status.code(), Some(1));
    let told = stderr(&done);
    assert!(told.contains("Ada.jpg: the picture cannot be read") && told.contains("no picture in"), "{told}");
}
