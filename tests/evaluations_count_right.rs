//! `rollcall eval lfw|door|liveness` over a few pictures whose answer is known, and the files that they write.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::fs;
use std::path::Path;

use kit::{demo_media, people, run, stderr, stdout};
use serde_json::{Value, json};

/// Measures, and reads what was written.
#[track_caller]
fn eval(dir: &Path, args: &[&str]) -> (Value, String) {
    let figures = dir.join("figures.json");
    let done = run(dir, &[&["eval"], args, &["--json", figures.to_str().unwrap()]].concat());
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    (serde_json::from_str(&fs::read_to_string(figures).unwrap()).unwrap(), stdout(&done))
}

/// A picture in which there is nobody.
fn wall(path: &Path) {
    image::RgbImage::from_pixel(250, 250, image::Rgb([90, 90, 90])).save(path).unwrap();
}

#[test]
fn a_face_that_is_not_found_is_an_error_of_its_pair() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, number: u32| {
        let folder = dir.path().join("lfw").join(name);
        fs::create_dir_all(&folder).unwrap();
        folder.join(format!("{name}_{number:04}.jpg"))
    };
    for (name, number, picture) in [
        ("Obama", 1, "obama.jpg"),
        ("Obama", 2, "obama2.jpg"),
        ("Obama", 3, "obama3.jpg"),
        ("Franck", 1, "franck_01829.jpg"),
        ("Franck", 2, "franck_02045.jpg"),
        ("Franck", 3, "franck_04117.jpg"),
        ("Audrey", 1, "audrey.jpg"),
    ] {
        fs::copy(demo_media(picture), put(name, number)).unwrap();
    }
    wall(&put("Wall", 1));
    let (images, pairs) = (dir.path().join("lfw"), dir.path().join("pairs.txt"));
    let obama = "Obama\t1\t2\nObama\t1\t3\nObama\t1\tFranck\t1\nObama\t2\tFranck\t2\n";
    let franck = "Franck\t1\t2\nFranck\t1\t3\nAudrey\t1\tFranck\t1\nObama\t2\tWall\t1\n";
    fs::write(&pairs, format!("2\t2\n{obama}{franck}")).unwrap();

    let (images, pairs) = (images.to_str().unwrap(), pairs.to_str().unwrap());
    let (figures, told) = eval(dir.path(), &["lfw", "--images", images, "--pairs", pairs]);
    assert_eq!((&figures["pairs"], &figures["pictures"]), (&json!(8), &json!(8)));
    assert_eq!(figures["accuracy_of_folds"], json!([1.0, 0.75]));
    assert_eq!(figures["accuracy"], 0.875);
    assert_eq!(figures["failed_to_detect"], json!(["Wall/Wall_0001.jpg"]));
    assert_eq!(figures["tar_at_far_1e_3"], 1.0);
    assert!(told.contains("accuracy 87.50 %"), "{told}");
    assert!(fs::read_to_string(dir.path().join("figures.svg")).unwrap().contains("<svg"), "the curve lies beside it");
}

/// A recording of a man, and its boxes: he is labelled where he is tracked; a smaller face, far from him, is in no frame.
fn door(dir: &Path) -> (String, String) {
    let video = demo_media("cap13_edit2.mp4").to_str().unwrap().to_owned();
    let others = people(dir, &[("Audrey", &["audrey.jpg"])]);
    let tracks = dir.join("tracks.csv");
    let (others, written) = (others.to_str().unwrap(), tracks.to_str().unwrap());
    let done = run(dir, &["replay", &video, "--people", others, "--fps", "5", "--tracks", written]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let mut boxes = "video_frame,id,x,y,w,h,is_single_face\n".to_owned();
    let mut labelled = 0;
    for row in csv::Reader::from_path(&tracks).unwrap().records().map(Result::unwrap) {
        let frame = row[0].parse::<u64>().unwrap() - 1;
        boxes.push_str(&format!(
            "{frame},Alex,{},{},{},{},1\n{frame},Nobody,0,0,30,30,1\n",
            &row[2], &row[3], &row[4], &row[5]
        ));
        labelled += 1;
    }
    assert!(labelled > 100, "{labelled}");
    let file = dir.join("boxes.csv");
    fs::write(&file, boxes).unwrap();
    (video, file.to_str().unwrap().to_owned())
}

#[test]
fn a_door_counts_who_was_enrolled_marked_and_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let (video, boxes) = door(dir.path());
    let (figures, told) = eval(dir.path(), &["door", "--video", &video, "--boxes", &boxes, "--fps", "5"]);
    assert_eq!(figures["detection_recall"], 0.5, "{figures:#}");
    assert_eq!((&figures["enrolled"], &figures["marked_right"]), (&json!(["Alex"]), &json!(["Alex"])), "{figures:#}");
    assert_eq!((&figures["missed"], &figures["marked_wrong"]), (&json!([]), &json!([])), "{figures:#}");
    assert_eq!((&figures["identity_switches"], &figures["judged"]), (&json!(0), &json!(1)), "{figures:#}");
    assert!(told.contains("marked right Alex"), "{told}");
}

#[test]
fn a_door_counts_whom_it_knows_and_leaves_for_review() {
    let dir = tempfile::tempdir().unwrap();
    let (video, boxes) = door(dir.path());
    let config = dir.path().join("rollcall.toml");
    fs::write(&config, "[liveness]\nenabled = false\n[decisions]\nidentified_undecided = \"review\"\n").unwrap();
    let config = config.to_str().unwrap();
    let door = ["door", "--config", config, "--video", &video, "--boxes", &boxes, "--fps", "5"];
    let (figures, told) = eval(dir.path(), &door);
    assert_eq!((&figures["marked_right"], &figures["review_right"]), (&json!([]), &json!(["Alex"])), "{figures:#}");
    assert_eq!((&figures["missed"], &figures["marked_wrong"]), (&json!([]), &json!([])), "{figures:#}");
    assert!(told.contains("for review with the right name first Alex"), "{told}");
}

#[test]
fn a_door_says_how_near_whom_it_missed_came() {
    let dir = tempfile::tempdir().unwrap();
    let (video, boxes) = door(dir.path());
    let config = dir.path().join("rollcall.toml");
    let unreachable = "early_similarity = 0.95\nsettled_similarity = 0.95\nreview_similarity = 0.95\n";
    fs::write(&config, format!("[recognition]\n{unreachable}")).unwrap();
    let config = config.to_str().unwrap();
    let door = ["door", "--config", config, "--video", &video, "--boxes", &boxes, "--fps", "5"];
    let (figures, told) = eval(dir.path(), &door);
    assert_eq!(figures["missed"][0]["name"], "Alex", "{figures:#}");
    let nearest = &figures["missed"][0]["nearest"];
    let (similarity, shots) = (nearest["similarity"].as_f64().unwrap(), nearest["shots"].as_u64().unwrap());
    assert!(similarity > 0.5 && shots > 2, "{figures:#}");
    assert!(told.contains("missed Alex (nearest 0."), "{told}");
}

#[test]
fn liveness_is_counted_by_track_and_what_has_none_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (bare, broken) = (dir.path().join("wall.png"), dir.path().join("broken.jpg"));
    wall(&bare);
    fs::write(&broken, b"no picture").unwrap();
    let living = ["franck_01829.jpg", "franck_02045.jpg"].map(demo_media);
    // A picture of somebody who lives: as an attack it must be counted against the model.
    let attack = demo_media("audrey.jpg");
    let [first, second] = living.each_ref().map(|path| path.to_str().unwrap());
    let (bare, broken) = (bare.to_str().unwrap(), broken.to_str().unwrap());

    let (figures, told) =
        eval(dir.path(), &["liveness", "--live", first, second, bare, broken, "--attack", attack.to_str().unwrap()]);
    let side = |side: &str| ["tracks", "live", "spoof", "undecided"].map(|key| figures[side][key].as_u64().unwrap());
    assert_eq!((side("live"), side("attack")), ([2, 2, 0, 0], [1, 1, 0, 0]), "{figures:#}");
    assert_eq!((&figures["apcer"], &figures["bpcer"]), (&json!(1.0), &json!(0.0)));
    assert!(told.contains("APCER 100.00 % (1 of 1 attacks taken for living)"), "{told}");
    assert!(told.contains("wall.png: no face") && told.contains("broken.jpg: "), "{told}");
}
