//! Broken configurations: each is told with its key and what to do, all at once.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::path::Path;

use rollcall_pipeline::config::{CameraSource, Config, LogFormat, Reload, RtspTransport};

const GOOD: &str = r#"
[[rooms]]
id = "hall"
[[rooms.sessions]]
name = "Day"
days = ["mon"]
start = "08:00"
end = "17:00"
[[cameras]]
id = "door-1"
room = "hall"
streams.detect = "rtsp://192.0.2.1/live"
"#;

fn parse(text: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    let env: HashMap<_, _> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::parse(text, Path::new("rollcall.toml"), env).map_err(|e| match e.problems() {
        [] => e.to_string(),
        problems => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    })
}

/// `GOOD` with `from` replaced by `to` has exactly these problems.
#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from) || from.is_empty());
    let text = if from.is_empty() { format!("{to}\n{GOOD}") } else { GOOD.replace(from, to) };
    assert_eq!(parse(&text, &[]).unwrap_err(), expected);
}

/// A blink is asked of everybody.
const BLINKS: &str = "[liveness]\nblink = \"required\"\n[decisions]\nidentified_undecided = \"review\"\n";

#[test]
fn blinks_may_be_required_of_cameras_that_can_see_them() {
    let analyses = |fps: &str| GOOD.replace("room = \"hall\"", &format!("room = \"hall\"\nanalysis_fps = {fps}"));
    let required = |fps: &str| parse(&format!("{BLINKS}{}", analyses(fps)), &[]);
    required("10").unwrap();
    required("0").unwrap();
    required("9.9").unwrap_err();
    parse(&format!("[liveness]\nenabled = false\nblink = \"required\"\n{GOOD}"), &[]).unwrap();
    let from_afar = parse(&format!("[liveness]\nblink = \"required\"\n{}", analyses("10")), &[]).unwrap_err();
    let expected = "decisions.identified_undecided: \"mark\" marks faces that are too small for a blink without one, and \
                    liveness.blink is \"required\": set \"review\", or liveness.blink = \"off\"";
    assert_eq!(from_afar, expected);
    let in_the_dark = BLINKS.replace("= \"review\"", "= \"review\"\nidentified_too_poor = \"mark\"");
    let in_the_dark = parse(&format!("{in_the_dark}{}", analyses("10")), &[]).unwrap_err();
    assert_eq!(in_the_dark, expected.replace("undecided", "too_poor").replace("too small", "too poor"));
}

#[test]
fn each_problem_has_its_key_and_says_what_to_do() {
    parse(GOOD, &[]).unwrap();
    let forms = r#"write it as "rtsp://host/path", "v4l2:///dev/video0" or "file:clip.mp4""#;
    // Sections.
    check("", "[attendance]\ndebounce_s = -1", "attendance.debounce_s: -1 is out of bounds: 0 to 86400 seconds");
    check(
        "",
        "[recognition]\nearly_similarity = 1.5",
        "recognition.early_similarity: 1.5 is out of bounds: 0.1 to 0.95",
    );
    check("", "[recognition]\nmargin = nan", "recognition.margin: NaN is out of bounds: 0 to 0.5");
    check(
        "",
        BLINKS,
        "cameras[0].analysis_fps: 5 a second is too slow to see blinks, and liveness.blink is \"required\": set 10 or more, or \
         liveness.blink = \"off\"",
    );
    check("", "[spool]\nmax_mb = 0", "spool.max_mb: 0 is out of bounds: 1 to 1048576 megabytes");
    check(
        "",
        "[site]\ntime_zone = \"Berlin\"",
        "site.time_zone: \"Berlin\" is no IANA time zone: write it as \"Europe/Berlin\" or \"UTC\"",
    );
    check(
        "",
        "[server]\nlisten = \"8080\"",
        "server.listen: \"8080\" is no address: write it as \"127.0.0.1:8080\" or \"[::1]:8080\"",
    );
    check(
        "",
        "[database]\nurl = \"mysql://root:hunter2@db\"",
        "database.url: is no PostgreSQL address: write it as \"postgres://user:password@host:5432/database\"",
    );
    check(
        "",
        "[lane]\nframes_per_camera = 32\nmemory_budget_mb = 64",
        "lane.memory_budget_mb: 1 cameras with 32 frames of 1920x1080 each need 143 MB: raise it, lower \
         lane.frames_per_camera or use fewer cameras",
    );
    // Rooms.
    check(
        "id = \"hall\"",
        "id = \"The Hall\"",
        concat!(
            "rooms[0].id: \"The Hall\" is no short name: 1 to 40 of a-z, 0-9, - and _\n",
            "cameras[0].room: there is no room \"hall\": add it under [[rooms]]"
        ),
    );
    check(
        "[[rooms]]\nid = \"hall\"",
        "[[rooms]]\nid = \"hall\"\n[[rooms]]\nid = \"hall\"",
        "rooms[1].id: \"hall\" is the id of an earlier room: each needs its own",
    );
    check(
        "\"08:00\"",
        "\"8 o'clock\"",
        "rooms[0].sessions[0].start: \"8 o'clock\" is no time: write it as \"08:00\" (00:00 to 23:59)",
    );
    check("end = \"17:00\"", "", "rooms[0].sessions[0].end: is missing: a local time such as \"08:00\"");
    check("[\"mon\"]", "[]", "rooms[0].sessions[0].days: must name one to seven different days");
    check(
        "end = \"17:00\"",
        "end = \"17:00\"\nvalid_from = \"2026-09-01\"\nvalid_to = \"2026-08-01\"",
        "rooms[0].sessions[0].valid_to: 2026-08-01 is before valid_from (2026-09-01): swap them",
    );
    check(
        "end = \"17:00\"",
        "end = \"17:00\"\nexpected = []",
        "rooms[0].sessions[0].expected: names nobody: leave it out where everybody is expected",
    );
    // Cameras.
    check("room = \"hall\"", "room = \"attic\"", "cameras[0].room: there is no room \"attic\": add it under [[rooms]]");
    check("streams.detect = \"rtsp://192.0.2.1/live\"", "", &format!("cameras[0].streams.detect: is missing: {forms}"));
    check(
        "rtsp://192.0.2.1/live",
        "rtsp://admin:hunter2@192.0.2.1/live",
        "cameras[0].streams.detect: carries a user or a password: move them to username and password_file",
    );
    check(
        "rtsp://192.0.2.1/live",
        "http://cam",
        &format!("cameras[0].streams.detect: is no address of a camera: {forms}"),
    );
    check(
        "rtsp://192.0.2.1/live",
        "rtsp://192.0.2.1:554#@192.0.2.2/live",
        "cameras[0].streams.detect: has a # in it: write %23 in a path, and move user and password to username and \
         password_file",
    );
    check("rtsp://192.0.2.1/live", "v4l2:video0", &format!("cameras[0].streams.detect: names no device: {forms}"));
    check("rtsp://192.0.2.1/live", "rtsp://", &format!("cameras[0].streams.detect: has no host: {forms}"));
    check(
        "room = \"hall\"",
        "room = \"hall\"\nusername = \"viewer\"",
        "cameras[0].password: is missing: there is a username; add password_file or password_env, or remove the username",
    );
    check(
        "room = \"hall\"",
        "room = \"hall\"\nusername = \"v\"\npassword_env = \"CAM_PW\"",
        "cameras[0].password_env: the environment variable CAM_PW is not set: set it wherever rollcall runs, or use \
         password_file",
    );
    check(
        "room = \"hall\"",
        "room = \"hall\"\nusb.width = 640",
        "cameras[0].usb: means nothing for an RTSP camera: remove it",
    );
    check(
        "room = \"hall\"",
        "room = \"hall\"\nstill_interval_s = 60",
        "cameras[0].still_interval_s: 60 is out of bounds: 0 to 10",
    );
    check(
        "room = \"hall\"",
        "room = \"hall\"\nmounting.rotate = 45",
        "cameras[0].mounting.rotate: 45 is no quarter turn: 0, 90, 180 or 270 degrees",
    );
    check(
        "room = \"hall\"",
        "room = \"hall\"\nprivacy_masks = [[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [1.5, 0.0], [0.0, 1.0]]]",
        "cameras[0].privacy_masks[0]: 2 corners make no area: 3 to 64\n\
         cameras[0].privacy_masks[1]: [1.5, 0] lies outside the picture: 0 to 1 of its width and height",
    );
}

#[test]
fn wrong_words_and_types_are_told_together_with_wrong_values() {
    let text = GOOD.replace("[[cameras]]", "[[cameras]]\ncolour = \"red\"\nanalysis_fps = \"fast\"\ndetect_size = 2.5")
        + "[recogniton]\nmargin = 0.5\n[log]\nformat = \"xml\"\n[spool]\nmax_mb = 0\n";
    let told = parse(&text, &[]).unwrap_err();
    let mut lines: Vec<_> = told.lines().map(|line| line.split(", expected").next().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "cameras[0].analysis_fps: invalid type: string \"fast\"",
            "cameras[0].colour: is not a key of Rollcall",
            "cameras[0].detect_size: invalid type: floating point `2.5`",
            "log.format: unknown variant `xml`",
            "recogniton: is not a key of Rollcall",
            "spool.max_mb: 0 is out of bounds: 1 to 1048576 megabytes",
        ]
    );
}

#[test]
fn a_syntax_error_names_its_line_and_hides_it() {
    let told = parse("[site]\nname = \"x\"\npassword = hunter2\n", &[]).unwrap_err();
    assert!(told.starts_with("rollcall.toml is not a TOML file: line 3: "), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[test]
fn no_message_repeats_a_secret() {
    let number = GOOD.replace("room = \"hall\"", "room = \"hall\"\nusername = \"v\"\npassword = 4711");
    assert_eq!(parse(&number, &[]).unwrap_err(), "cameras[0].password: must be a text in quotes");
    let told = parse(GOOD, &[("ROLLCALL__DATABASE__URL", "hunter2")]).unwrap_err();
    assert!(told.starts_with("database.url: is no PostgreSQL address") && !told.contains("hunter2"), "{told}");
    let good = GOOD.replace("room = \"hall\"", "room = \"hall\"\nusername = \"v\"\npassword = \"hunter2\"");
    let config = parse(&good, &[("ROLLCALL__DATABASE__URL", "postgres://u:hunter3@h/d")]).unwrap();
    let debug = format!("{config:?}");
    assert!(!debug.contains("hunter"), "{debug}");
}

#[test]
fn the_environment_wins_over_the_file_and_takes_the_type_of_the_key() {
    let env = [
        ("ROLLCALL__LOG__FORMAT", "json"),
        ("ROLLCALL__LOG__NAMES", "true"),
        ("ROLLCALL__RECOGNITION__MARGIN", "0.2"),
        ("ROLLCALL__ATTENDANCE__DEBOUNCE_S", "60"),
        ("ROLLCALL__SITE__NAME", "0815"),
        ("ROLLCALL_CONFIG", "not ours"),
    ];
    let config = parse(&format!("[attendance]\ndebounce_s = 10\n{GOOD}"), &env).unwrap();
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(config.log.names);
    assert_eq!(config.recognition.margin, Some(0.2));
    assert_eq!(config.attendance.debounce.as_secs(), 60);
    assert_eq!(config.site.name, "0815");

    let told = parse(GOOD, &[("ROLLCALL__LANE__CAPACITY", "7")]).unwrap_err();
    assert!(told.starts_with("lane.capacity: is not a key of Rollcall, expected one of"), "{told}");
    let told = parse(GOOD, &[("ROLLCALL__SPOOL__MAX_MB", "much")]).unwrap_err();
    assert_eq!(told, "spool.max_mb: invalid type: string \"much\", expected a whole number");
}

#[test]
fn secrets_and_rosters_come_from_files_beside_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("pw", "hunter2\nchanged in spring\n");
    write("roster.csv", "name,class\nAda,7a\n\"Hopper, Grace\",7a\nAda,7a\n");
    write("url", "postgres://u:p@h/d\n");
    let text = GOOD
        .replace("room = \"hall\"", "room = \"hall\"\nusername = \"v\"\npassword_file = \"pw\"\ntransport = \"udp\"")
        .replace("end = \"17:00\"", "end = \"17:00\"\nroster_file = \"roster.csv\"")
        + "[database]\nurl_file = \"url\"\n";
    write("rollcall.toml", &text);
    let config = Config::load_with(&dir.path().join("rollcall.toml"), HashMap::new()).unwrap();
    assert_eq!(
        config.rooms[0].sessions[0].expected.as_deref(),
        Some(&["Ada".to_owned(), "Hopper, Grace".to_owned()][..])
    );
    assert_eq!(config.database.url.unwrap().expose(), "postgres://u:p@h/d");
    match &config.cameras[0].streams.detect {
        CameraSource::Rtsp { username: Some(user), password: Some(password), transport, .. } => {
            assert_eq!((user.as_str(), password.expose(), *transport), ("v", "hunter2", RtspTransport::Udp));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load_with(Path::new("/nowhere/rollcall.toml"), HashMap::new()).unwrap_err();
    assert!(error.to_string().starts_with("cannot read the configuration /nowhere/rollcall.toml: "), "{error}");
}

#[test]
fn a_reload_touches_only_what_changed() {
    let second = "[[cameras]]\nid = \"door-2\"\nroom = \"hall\"\nstreams.detect = \"rtsp://192.0.2.2/live\"\n";
    let old = parse(&format!("{GOOD}{second}"), &[]).unwrap();
    let diff = |text: &str| Reload::diff(&old, &parse(text, &[]).unwrap());

    let retuned = diff(&format!("{GOOD}{second}analysis_fps = 8\n"));
    assert_eq!(retuned, Reload { retune: vec![old.cameras[1].id.clone()], ..Reload::default() });

    let moved = diff(&format!("{GOOD}{}", second.replace("192.0.2.2", "192.0.2.3")));
    assert_eq!(moved, Reload { restart: vec![old.cameras[1].id.clone()], ..Reload::default() });

    let gone = diff(GOOD);
    assert_eq!(gone, Reload { removed: vec![old.cameras[1].id.clone()], ..Reload::default() });

    let rules = diff(&format!("{GOOD}{second}[attendance]\ngrace_min = 1\n[spool]\nmax_mb = 1\n"));
    assert_eq!(rules, Reload { rules: true, needs_restart: vec!["spool"], ..Reload::default() });
}

#[test]
fn cameras_made_elsewhere_pass_the_same_check_and_may_open_less() {
    let dir = tempfile::tempdir().unwrap();
    let media = dir.path().join("media");
    std::fs::create_dir(&media).unwrap();
    std::fs::write(media.join("clip.mp4"), "x").unwrap();
    std::fs::write(dir.path().join("secret.mp4"), "x").unwrap();
    std::os::unix::fs::symlink(dir.path(), media.join("link")).unwrap();
    let text = format!("[server]\nmedia_dir = {media:?}\n{BLINKS}");
    let config = parse(&text, &[]).unwrap();
    let told = |config: &Config, mut settings: serde_json::Value| -> Vec<String> {
        if settings["analysis_fps"].is_null() {
            settings["analysis_fps"] = 10.into();
        }
        let outcome = config.camera("door", "hall", settings, None);
        outcome.err().into_iter().flatten().map(|problem| problem.to_string()).collect()
    };
    let detect = |address: &str| serde_json::json!({ "streams": { "detect": address } });
    for good in ["rtsp://192.0.2.1/live", "v4l2:///dev/video0", "file:clip.mp4", "file:not-there-yet.mp4"] {
        assert_eq!(told(&config, detect(good)), Vec::<String>::new(), "{good}");
    }
    for outside in ["file:../secret.mp4", "file:/etc/passwd", "file:link/secret.mp4", "file:./../secret.mp4"] {
        assert!(told(&config, detect(outside))[0].contains("outside of server.media_dir"), "{outside}");
    }
    assert!(told(&Config::defaults(), detect("file:clip.mp4"))[0].contains("is not configured"));
    for device in ["v4l2:///dev/sda", "v4l2:///dev/video", "v4l2:///dev/video0/../sda"] {
        assert!(told(&config, detect(device))[0].contains("is no video device"), "{device}");
    }
    let wrong = serde_json::json!({
        "streams": { "detect": "rtsp://192.0.2.1/live" }, "analysis_fps": 5, "detect_size": 1, "password_env": "HOME",
    });
    let told = told(&config, wrong);
    assert!(told[0].starts_with("settings.password_env: does not belong here"), "{told:?}");
    assert!(told[1].starts_with("settings.detect_size: 1 is out of bounds"), "{told:?}");
    assert!(told[2].starts_with("settings.analysis_fps: 5 a second is too slow to see blinks"), "{told:?}");
    let lane = Config::defaults().lane;
    assert!(lane.room_for(1).is_ok() && lane.room_for(1_000).unwrap_err().contains("5981 MB"));
}
