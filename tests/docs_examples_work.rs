//! Every example of docs/api.md, in its order, against a daemon: a block of `sh` is run, and the block of `json` after it is
//! part of what it printed. `…` stands for whatever is there. And the lines with which README.md begins, and those that
//! docs/cameras.md has for a camera without a picture.
#![allow(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use kit::{Daemon, demo_media, until};
use rollcall_test_camera::{Clip, Codec, Format, Options, Segment, TestCamera};
use serde_json::Value;
use tempfile::TempDir;

const GUIDE: &str = include_str!("../docs/api.md");
const CAMERAS: &str = include_str!("../docs/cameras.md");
const README: &str = include_str!("../README.md");
const ANYTHING: &str = "…";

/// The blocks of a document: language, text, and the line on which it begins.
fn blocks(document: &'static str) -> Vec<(&'static str, String, usize)> {
    let mut blocks: Vec<(&str, String, usize)> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(document.lines()) {
        match line.strip_prefix("```") {
            Some(language) if !inside => blocks.push((language, String::new(), number)),
            None if inside => writeln!(blocks.last_mut().unwrap().1, "{line}").unwrap(),
            Some(_) | None => {}
        }
        inside ^= line.starts_with("```");
    }
    blocks
}

/// Where `told` is not what the guide shows.
fn difference(shown: &Value, told: &Value, place: &str) -> Option<String> {
    match (shown, told) {
        (Value::String(text), told) if text == ANYTHING && !told.is_null() => None,
        (Value::Object(shown), Value::Object(told)) => {
            shown.iter().filter(|(key, _)| *key != ANYTHING).find_map(|(key, value)| {
                difference(value, told.get(key).unwrap_or(&Value::Null), &format!("{place}/{key}"))
            })
        }
        (Value::Array(shown), Value::Array(told)) => {
            if shown.is_empty() != told.is_empty() {
                return Some(format!("{place}: {} items", told.len()));
            }
            let items = shown.iter().enumerate();
            items
                .into_iter()
                .find_map(|(i, value)| difference(value, told.get(i).unwrap_or(&Value::Null), &format!("{place}/{i}")))
        }
        (shown, told) if shown == told => None,
        (shown, told) => Some(format!("{place}: {told}, not {shown}")),
    }
}

/// A directory that a database's user may enter.
fn place() -> TempDir {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    tempfile::Builder::new().prefix("rollcall-guide").permissions(mode).tempdir().unwrap()
}

/// A shell that finds `rollcall`.
fn shell(script: &str, work: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_rollcall"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(work).env("PATH", path);
    command
}

#[test]
fn the_readme_makes_an_admin_who_can_log_in() {
    let dir = place();
    let (config, data) = (dir.path().join("my.toml"), dir.path().join("data"));
    std::fs::write(&config, "").unwrap();
    let daemon = Daemon::start(&data, &config);
    let (_, block, _) = blocks(README).into_iter().find(|(_, text, _)| text.contains("admin create")).unwrap();
    let ran = shell(&block.replace("127.0.0.1:8080", &daemon.address), dir.path())
        .env("PASSWORD", kit::PASSWORD)
        .env("ROLLCALL_DATA_DIR", &data)
        .output()
        .expect("bash and curl");
    assert!(ran.status.success(), "{}", kit::stderr(&ran));
    let printed = kit::stdout(&ran);
    let told: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert!(told["access_token"].is_string(), "{told}");
}

#[test]
fn it_is_told_on_the_page_of_cameras_why_there_is_no_picture() {
    let dir = place();
    let config = dir.path().join("rollcall.toml");
    let clip = Clip::pattern(Format { width: 320, height: 240, fps: 5, codec: Codec::H264 }).unwrap();
    let credentials = Some(("me".to_owned(), "secret".to_owned()));
    let open = TestCamera::start(clip.clone(), Options::default()).unwrap();
    let locked = TestCamera::start(clip, Options { credentials, ..Options::default() }).unwrap();
    let camera =
        |id: &str, url: String| format!("[[cameras]]\nid = \"{id}\"\nroom = \"hall\"\nstreams.detect = \"{url}\"\n");
    let cameras = camera("door-1", open.url()) + &camera("door-2", locked.url());
    std::fs::write(&config, format!("[[rooms]]\nid = \"hall\"\n{cameras}")).unwrap();
    let daemon = Daemon::start(&dir.path().join("data"), &config);
    let mut page = blocks(CAMERAS).into_iter().skip_while(|(_, text, _)| !text.contains("/health/ready"));
    let ((_, asks, _), (_, shown, _)) = (page.next().unwrap(), page.next().unwrap());
    let asks = asks.replace("127.0.0.1:8080", &daemon.address);
    let ask = || kit::stdout(&shell(&asks, dir.path()).output().expect("bash, curl and jq"));
    until("what the page shows", || ask() == shown);
}

#[test]
fn every_example_of_the_guide_does_what_it_says() {
    let dir = place();
    let (config, data, work) = (dir.path().join("rollcall.toml"), dir.path().join("data"), dir.path().join("work"));
    std::fs::write(&config, "[privacy]\nkeep_unknown_faces = true\ncluster_unknown = true\n").unwrap();
    let format = Format { width: 320, height: 240, fps: 10, codec: Codec::H264 };
    let camera = TestCamera::start(Clip::pattern(format).unwrap(), Options::default()).unwrap();
    let (from, to) = (Duration::from_secs(12), Some(Duration::from_secs(18)));
    let stands = Segment::Video { path: demo_media("franck.mp4"), from, to };
    let format = Format { width: 720, height: 576, fps: 12, codec: Codec::H264 };
    let desk = TestCamera::start(Clip::encode(&[stands], format).unwrap(), Options::default()).unwrap();
    std::fs::create_dir(&work).unwrap();
    for (name, picture) in [
        ("barack-1", "obama"),
        ("barack-2", "obama2"),
        ("barack-3", "obama3"),
        ("stranger", "cage"),
        ("parent", "audrey"),
    ] {
        std::fs::copy(demo_media(&format!("{picture}.jpg")), work.join(format!("{name}.jpg"))).unwrap();
    }
    let daemon = Daemon::start(&data, &config);

    // One shell for all of it, as for a reader; what each block prints goes to a file of its own.
    let blocks = blocks(GUIDE);
    let mut script = String::new();
    for (language, text, line) in &blocks {
        if *language == "sh" {
            writeln!(script, "echo 'docs/api.md:{line}' >&2\n{{\n{text}}} >{line}.out").unwrap();
        }
    }
    let ran = shell(&script, &work)
        .env("BASE", format!("http://{}", daemon.address))
        .env("CAMERA", camera.url())
        .env("DESK", desk.url())
        .env("ROLLCALL_DATA_DIR", &data)
        .env("ROLLCALL_CONFIG", &config)
        .output()
        .expect("bash, curl and jq");
    assert!(ran.status.success(), "the last line that is named is the example that failed:\n{}", kit::stderr(&ran));

    let mut wrong = Vec::new();
    for pair in blocks.windows(2) {
        let [("sh", _, line), ("json", shown, _)] = pair else { continue };
        let printed = std::fs::read_to_string(work.join(format!("{line}.out"))).unwrap();
        let shown: Value = serde_json::from_str(shown).unwrap();
        // The last thing that it printed.
        let mut values = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
        let told = values.by_ref().map_while(Result::ok).last().unwrap_or(Value::Null);
        if let Some(difference) = difference(&shown, &told, "") {
            wrong.push(format!("docs/api.md:{line}: {difference}\n{printed}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
