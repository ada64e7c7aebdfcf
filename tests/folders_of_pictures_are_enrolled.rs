//! Folders of pictures on the command line: who is enrolled, and why somebody is not.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::path::Path;
use std::sync::LazyLock;

use image::{Rgb, RgbImage, imageops};
use kit::enrolling::{PEOPLE, at, enroll};
use kit::{Site, demo_media, media, people, stderr, stdout};
use serde_json::{Value, json};

/// Nobody is there but those who consent.
static SITE: LazyLock<Site> = LazyLock::new(|| Site::start("[privacy]\nconsent_required = true\n"));

#[test]
fn a_folder_is_enrolled_with_consent_and_written_down() {
    let folder = people(&SITE.data().join(".."), &[("Audrey", &["audrey.jpg"])]);
    let enrolled = |code: i32| {
        let done = enroll(&SITE, &folder, &["--json"]);
        assert_eq!(done.status.code(), Some(code), "{}", stderr(&done));
        serde_json::from_slice::<Value>(&done.stdout).unwrap()
    };
    let told = enrolled(1);
    assert_eq!((&told["refused"], &told["pictures"][0]["code"]), (&json!(1), &json!("no_consent")), "{told}");
    assert_eq!(SITE.get(PEOPLE).expect(200)["items"], json!([]), "nobody is made of whom nothing may be kept");

    let audrey = SITE.post(PEOPLE, &json!({ "name": "Audrey" })).expect(201);
    let consent = json!({ "text_version": "2026-09", "given_by": "Audrey" });
    SITE.post(&at(&audrey, "/consents"), &consent).expect(201);
    assert_eq!(enrolled(0)["enrolled"], 1);
    assert_eq!(enrolled(0)["known"], 1, "the same again makes nothing");
    let templates = SITE.get(&at(&audrey, "/templates")).expect(200)["items"].clone();
    assert_eq!((templates.as_array().unwrap().len(), &templates[0]["source"]), (1, &json!("folder")));
    let id = templates[0]["id"].as_str().unwrap();
    let audit = SITE.get(&format!("/api/v1/audit?object_id={id}")).expect(200);
    let entry = &audit["items"][0];
    assert_eq!(
        (&entry["action"], &entry["actor_name"]),
        (&json!("template.create"), &json!("command line")),
        "{audit}"
    );
}

#[test]
fn of_two_people_of_one_name_each_is_meant_by_their_number_and_nobody_by_the_name() {
    let site = Site::start("");
    let anna = |number: &str| site.post(PEOPLE, &json!({ "name": "Anna", "external_id": number })).expect(201);
    let [first, second] = ["4711", "4712"].map(anna);
    let all: [(&str, &[&str]); 4] =
        [("4711", &["obama.jpg"]), ("4712", &["cage.jpg"]), ("Anna", &["audrey.jpg"]), ("Zoe", &["biden.jpg"])];
    let folder = people(&site.data().join(".."), &all);
    for state in ["enrolled", "known"] {
        let done = enroll(&site, &folder, &["--json"]);
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
        let told: Value = serde_json::from_slice(&done.stdout).unwrap();
        let states: Vec<_> = told["pictures"].as_array().unwrap().iter().map(|p| &p["state"]).collect();
        assert_eq!(states, [state, state, "refused", state], "{told}");
        assert_eq!(told["pictures"][2]["code"], "ambiguous_name");
        assert!(told["pictures"][2]["reason"].as_str().unwrap().starts_with("2 people are called"), "{told}");
    }
    for anna in [&first, &second] {
        assert_eq!(site.get(&at(anna, "")).expect(200)["templates"], 1);
    }
    assert_eq!(site.get(PEOPLE).expect(200)["items"].as_array().unwrap().len(), 3, "Zoe alone is new");
    // The face of one Anna is not the other's.
    std::fs::copy(demo_media("obama2.jpg"), folder.join("4712").join("obama2.jpg")).unwrap();
    let told: Value = serde_json::from_slice(&enroll(&site, &folder, &["--json"]).stdout).unwrap();
    let codes = told["pictures"].as_array().unwrap().iter().filter(|p| p["person"] == "4712").map(|p| &p["code"]);
    assert_eq!(codes.collect::<Vec<_>>(), [&Value::Null, &json!("looks_like_another")], "{told}");
}

#[test]
fn who_withdrew_consent_is_enrolled_by_nobody_before_they_agree_again() {
    let site = Site::start("");
    let folder = people(&site.data().join(".."), &[("Audrey", &["audrey.jpg"])]);
    let audrey = site.post(PEOPLE, &json!({ "name": "Audrey", "external_id": "audrey" })).expect(201);
    let none = site.post(&at(&audrey, "/consents/withdraw"), &json!({})).expect(409);
    assert!(none["detail"].as_str().unwrap().contains("DELETE /api/v1/people/{id}/templates"), "{none}");
    let consent = json!({ "text_version": "2026-09", "given_by": "Audrey" });
    site.post(&at(&audrey, "/consents"), &consent).expect(201);
    assert_eq!(enroll(&site, &folder, &[]).status.code(), Some(0));
    let withdrawn = site.post(&at(&audrey, "/consents/withdraw"), &json!({})).expect(200);
    assert_eq!(withdrawn["templates_erased"], 1);

    let done = enroll(&site, &folder, &["--json"]);
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((done.status.code(), &told["pictures"][0]["code"]), (Some(1), &json!("no_consent")), "{told}");
    let picture = media("audrey.jpg");
    let part = |name: &'static str| [(name, "audrey.jpg", "image/jpeg", picture.as_slice())];
    let refused = site.upload(&at(&audrey, "/templates"), &part("pictures")).expect(409);
    assert_eq!(refused["type"], "urn:rollcall:problem:consent-required");
    site.upload("/api/v1/recognition/faces?subject=audrey", &part("file")).expect(409);
    assert_eq!(site.get(&at(&audrey, "")).expect(200)["templates"], 0);

    site.post(&at(&audrey, "/consents"), &consent).expect(201);
    assert_eq!(enroll(&site, &folder, &[]).status.code(), Some(0));
}

/// A picture for each reason to refuse one, called after it; and three people whose pictures are good in themselves.
fn refused_pictures(dir: &Path) {
    let photo = |name: &str| image::open(demo_media(name)).unwrap().into_rgb8();
    let wall = |width, height| RgbImage::from_pixel(width, height, Rgb([110, 120, 130]));
    let scaled = |picture: &RgbImage, factor: f32| {
        let side = |side: u32| (side as f32 * factor).round() as u32;
        imageops::resize(picture, side(picture.width()), side(picture.height()), imageops::FilterType::Triangle)
    };
    let lit = |picture: &RgbImage, from: f32| {
        let mut lit = picture.clone();
        lit.iter_mut().for_each(|value| *value = (f32::from(*value) * 0.1 + from) as u8);
        lit
    };
    let good = photo("obama.jpg");
    let mut two = wall(900, 600);
    imageops::overlay(&mut two, &scaled(&good, 0.4), 20, 20);
    imageops::overlay(&mut two, &scaled(&photo("biden.jpg"), 0.25), 550, 20);
    for (reason, picture) in [
        ("no_face", wall(600, 400)),
        ("several_faces", two),
        ("too_small", scaled(&good, 0.09)),
        ("dark", lit(&good, 0.0)),
        ("over_exposed", lit(&good, 235.0)),
        ("blurred", imageops::blur(&scaled(&good, 0.5), 9.0)),
    ] {
        picture.save(dir.join(format!("{reason}.png"))).unwrap();
    }
    std::fs::write(dir.join("unreadable.jpg"), b"no picture").unwrap();
    std::fs::write(dir.join("too_large.jpg"), vec![0; (20 << 20) + 1]).unwrap();
    std::fs::create_dir(dir.join("Cid")).unwrap();
    for (file, name) in
        [("Ann.jpg", "cage.jpg"), ("Ben.jpg", "cage.jpg"), ("Cid/1.jpg", "obama.jpg"), ("Cid/2.jpg", "biden.jpg")]
    {
        std::fs::copy(demo_media(name), dir.join(file)).unwrap();
    }
}

#[test]
fn every_picture_of_a_folder_that_is_refused_is_told_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    refused_pictures(dir.path());
    let done = enroll(&SITE, dir.path(), &["--json"]);
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(
        stderr(&done),
        "error: nobody is enrolled: 12 pictures refused\n",
        "programs too are told why in a line"
    );
    let told: Value = serde_json::from_slice(&done.stdout).unwrap();
    let pictures = told["pictures"].as_array().unwrap();
    let refused: Vec<_> =
        pictures.iter().map(|p| [&p["person"], &p["code"]].map(|text| text.as_str().unwrap())).collect();
    let of_people =
        [["Ann", "no_consent"], ["Ben", "looks_like_another"], ["Cid", "another_person"], ["Cid", "another_person"]];
    let reasons =
        ["blurred", "dark", "no_face", "over_exposed", "several_faces", "too_large", "too_small", "unreadable"];
    assert_eq!(refused, [&of_people[..], &reasons.map(|reason| [reason; 2])].concat(), "{told:#}");
    assert!(pictures.iter().all(|picture| picture["state"] == "refused" && picture["quality"].is_null()), "{told:#}");
    assert_eq!([&told["enrolled"], &told["known"], &told["refused"]], [&json!(0), &json!(0), &json!(refused.len())]);

    // For people: what to do about each, and whom there is no picture of.
    let done = enroll(&SITE, dir.path(), &[]);
    assert_eq!(done.status.code(), Some(1), "{}", stderr(&done));
    for picture in pictures {
        let line = format!("{}: {}\n", picture["file"].as_str().unwrap(), picture["reason"].as_str().unwrap());
        assert!(stderr(&done).contains(&line), "no {line} in {}", stderr(&done));
    }
    let without = format!("Ann, Ben, Cid, {}", reasons.join(", "));
    let summary =
        "0 templates enrolled, 0 known already, 12 pictures refused\nnot enrolled, since every picture was refused: ";
    assert_eq!(stdout(&done), format!("{summary}{without}\n"));
    assert_eq!(told["people_without_template"], json!(without.split(", ").collect::<Vec<_>>()));
}
