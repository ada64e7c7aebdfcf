//! The configuration of the demo's site: the text that an operator would write.

use chrono::{Duration, Timelike};
use rollcall_pipeline::WallTime;

use super::cast::{PEOPLE, ROOM, Scene};

/// One room, a session that is on at `now`, and a camera for each scene at its address.
pub(super) fn config(now: WallTime, scenes: &[(&Scene, String)]) -> String {
    // Long enough for whoever stays; short of a day, so that it may cross midnight.
    let (start, end) = (now - Duration::minutes(1), now + Duration::hours(12));
    let clock = |at: WallTime| format!("{:02}:{:02}", at.hour(), at.minute());
    let expected: Vec<_> = PEOPLE.iter().filter(|p| p.expected).map(|p| format!("{:?}", p.name)).collect();
    let mut text = format!(
        r#"[site]
name = "Demo"
time_zone = "UTC"

[server]
# Any free port.
listen = "127.0.0.1:0"

[[rooms]]
id = "{ROOM}"

[[rooms.sessions]]
name = "Demo"
days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
start = "{}"
end = "{}"
expected = [{}]
"#,
        clock(start),
        clock(end),
        expected.join(", "),
    );
    for (scene, url) in scenes {
        text.push_str(&format!(
            "\n[[cameras]]\nid = \"{}\"\nroom = \"{ROOM}\"\ndirection = \"entry\"\nstreams.detect = \"{url}\"\n",
            scene.camera
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use chrono::{TimeZone, Utc};
    use rollcall_pipeline::config::Config;

    use super::super::cast::scenes;
    use super::*;

    #[test]
    fn the_configuration_is_valid_at_any_time_of_day() {
        let scenes = scenes();
        let cameras: Vec<_> = scenes.iter().map(|s| (s, "rtsp://127.0.0.1:5554/stream".to_owned())).collect();
        for hour in 0..24 {
            let now = Utc.with_ymd_and_hms(2026, 3, 29, hour, 0, 30).unwrap();
            let config = Config::parse(&config(now, &cameras), Path::new("demo.toml"), HashMap::new());
            let config = config.unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(config.cameras.len(), scenes.len());
            assert_eq!(config.rooms[0].sessions[0].expected.as_deref().map(<[String]>::len), Some(2));
        }
    }
}
