//! `rollcall calibrate` over real pictures, and `rollcall eval all` without data.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use kit::{demo_media, people, run, stderr};
use serde_json::Value;

const FRANCK: (&str, &[&str]) = ("Franck", &["franck_01829.jpg", "franck_02045.jpg", "franck_04117.jpg"]);
const OBAMA: (&str, &[&str]) = ("Obama", &["obama.jpg", "obama2.jpg"]);
const AUDREY: (&str, &[&str]) = ("Audrey", &["audrey.jpg"]);

#[test]
fn a_folder_of_people_says_how_alike_they_are_and_what_strangers_may_expect() {
    let dir = tempfile::tempdir().unwrap();
    let people = people(dir.path(), &[FRANCK, OBAMA, AUDREY]);
    let calibrate = |more: &[&str]| {
        let mut args = vec!["calibrate", "--people", people.to_str().unwrap(), "--json"];
        args.extend(more);
        let done = run(dir.path(), &args);
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    let told = calibrate(&["--visitors-per-day", "10"]);
    assert_eq!((&told["people"], &told["templates"], &told["pairs"]), (&3.into(), &6.into(), &3.into()));
    let highest = told["strangers"]["highest"].as_f64().unwrap();
    let lowest = told["genuine"]["lowest"].as_f64().unwrap();
    assert!((-0.3..0.45).contains(&highest) && lowest > highest + 0.1, "{highest} {lowest}");
    assert_eq!(told["genuine"]["templates"], 5);
    let threshold = |told: &Value| told["recommended"]["similarity"].as_f64().unwrap();
    let busy = calibrate(&["--visitors-per-day", "10000"]);
    assert!(threshold(&busy) > threshold(&told));
    let crowded = calibrate(&["--visitors-per-day", "10", "--roster", "500"]);
    assert!(threshold(&crowded) > threshold(&told), "names of those who are not enrolled yet count, too");
    assert!(told["recommended"]["false_names_per_day"].as_f64().unwrap() <= 1.0 / 365.0);
    let advice = told["advice"].to_string();
    assert!(advice.contains("3 people cannot say much about rare strangers"), "{advice}");
}

#[test]
fn one_person_alone_cannot_be_compared() {
    let dir = tempfile::tempdir().unwrap();
    let people = people(dir.path(), &[FRANCK]);
    let done = run(dir.path(), &["calibrate", "--people", people.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("two people with a template"), "{}", stderr(&done));
}

#[test]
fn an_evaluation_without_data_says_so_and_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none");
    let done = run(dir.path(), &["eval", "all", "--data", missing.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(told.contains("nothing was measured") && told.contains("docs/evaluation.md"), "{told}");
    let done = run(dir.path(), &["eval", "all", "--data", missing.to_str().unwrap(), "--json"]);
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(told["parts"].as_array().unwrap().len(), 0);
    assert!(stderr(&done).contains("nothing was measured"), "{}", stderr(&done));

    let empty = tempfile::tempdir().unwrap();
    let done = run(dir.path(), &["eval", "all", "--data", empty.path().to_str().unwrap(), "--json"]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    let why: Vec<_> = told["parts"].as_array().unwrap().iter().map(|p| p["not_measured"].as_str()).collect();
    assert_eq!(why.len(), 4);
    assert!(why.iter().all(|why| why.is_some_and(|why| why.contains("missing"))), "{why:?}");
}

#[test]
fn an_evaluation_of_data_that_cannot_be_read_fails_and_measures_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (faces, selfies) = (data.join("lfw/Ada"), data.join("live_enrol/Franck"));
    [&faces, &selfies].into_iter().for_each(|dir| std::fs::create_dir_all(dir).unwrap());
    std::fs::write(data.join("lfw_pairs.txt"), "1\t1\nAda\t1\t2\nAda\t1\tAda\t2\n").unwrap();
    std::fs::write(faces.join("Ada_0001.jpg"), b"no picture").unwrap();
    std::fs::write(selfies.join("selfie.jpg"), std::fs::read(demo_media("franck_01829.jpg")).unwrap()).unwrap();
    std::fs::write(selfies.join("video.mp4"), b"no video").unwrap();
    let done = run(dir.path(), &["eval", "all", "--data", data.to_str().unwrap(), "--json"]);
    assert_eq!(done.status.code(), Some(1), "{}", stderr(&done));
    assert!(
        stderr(&done).contains("recognition of LFW: ") && stderr(&done).contains("Ada_0001.jpg"),
        "{}",
        stderr(&done)
    );
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(told["parts"][0]["failed"].as_str().unwrap().contains("Ada_0001.jpg"), "{told:#}");
    let selfies = &told["parts"][2];
    assert_eq!(
        (&selfies["rows"][0]["measured"], &selfies["rows"][0]["met"]),
        (&"0 of 1".into(), &false.into()),
        "{told:#}"
    );
    assert!(selfies["trouble"].to_string().contains("video.mp4"), "{told:#}");
    assert!(selfies["not_measured"].as_str().unwrap().contains("attack_replay is missing"), "{told:#}");
}

#[test]
fn a_blink_that_is_required_is_not_looked_for_too_slowly() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("blinks.toml");
    std::fs::write(&config, "[liveness]\nblink = \"required\"\n[decisions]\nidentified_undecided = \"review\"\n")
        .unwrap();
    let people = people(dir.path(), &[FRANCK]);
    let (config, people) = (config.to_str().unwrap(), people.to_str().unwrap());
    let done = run(dir.path(), &["replay", "any.mp4", "--people", people, "--fps", "5", "--config", config]);
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("too few to see blinks"), "{}", stderr(&done));
}
