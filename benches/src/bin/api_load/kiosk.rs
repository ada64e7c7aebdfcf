//! A machine that checks somebody in by picture, in one room after the other.

use std::fs;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use rollcall_benches::cache;
use rollcall_pipeline::Clock;
use serde_json::{Value, json};

use crate::daemon::{Daemon, POLL, START_UP};
use crate::http::wait_until;

/// Two pictures of the same man.
const ENROLLED: &str = "obama.jpg";
const SHOWN: &str = "obama2.jpg";

/// Who it shows is expected in a session of every room, and known to the daemon.
pub(crate) struct Kiosk {
    key: String,
    picture: String,
    sessions: Vec<String>,
}

impl Kiosk {
    /// Enrols somebody, opens a session in each room, and waits until both are live.
    pub(crate) fn prepare(daemon: &Daemon, rooms: &[String], clock: &dyn Clock) -> anyhow::Result<Self> {
        let read = |name: &str| -> anyhow::Result<String> {
            let path = cache().join("demo").join(name);
            let bytes = fs::read(&path).with_context(|| format!("{}: run `make setup`", path.display()))?;
            Ok(STANDARD.encode(bytes))
        };
        let token = daemon.log_in()?;
        let admin = ("authorization", token.as_str());
        let person = daemon.post("people", &[admin], &json!({ "name": "Comes everywhere" }))?;
        let person = person["id"].as_str().context("no person")?;
        daemon.post(&format!("people/{person}/templates"), &[admin], &json!({ "pictures": [read(ENROLLED)?] }))?;
        let (from, to) = (clock.wall(), clock.wall() + TimeDelta::hours(1));
        let open = |room: &String| -> anyhow::Result<String> {
            let new = json!({ "room_id": room, "starts_at": from, "ends_at": to, "people": [person] });
            let made = daemon.post("sessions", &[admin], &new)?;
            Ok(made["id"].as_str().context("no session")?.to_owned())
        };
        let mut sessions = rooms.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?;
        let key = daemon.key(&token, "kiosk", &["attendance:mark"], None)?;
        let newest = sessions.pop().context("no rooms")?;
        let kiosk = Self { key, picture: read(SHOWN)?, sessions };
        let began = clock.mono();
        // What was opened last and a face that nobody knows yet are refused.
        while !kiosk.show(daemon, &newest).is_ok_and(|told| told["outcome"] == "recorded") {
            if clock.mono().since(began) > START_UP {
                bail!("nobody can check in: {:?}", kiosk.show(daemon, &newest));
            }
            std::thread::park_timeout(POLL);
        }
        Ok(kiosk)
    }

    /// How many marks it makes.
    pub(crate) fn marks(&self) -> usize {
        self.sessions.len()
    }

    /// Makes them one by one, spread over some time. For each the seconds from when it was due to the answer, which comes after
    /// the commit.
    pub(crate) fn check_in(&self, daemon: &Daemon, over: Duration, clock: &dyn Clock) -> anyhow::Result<Vec<f64>> {
        let began = clock.mono();
        let mut took = Vec::with_capacity(self.sessions.len());
        for (n, session) in self.sessions.iter().enumerate() {
            let due = over.mul_f64(n as f64 / self.sessions.len() as f64);
            wait_until(clock, began, due);
            let told = self.show(daemon, session)?;
            ensure!(told["outcome"] == "recorded", "a check-in was not recorded: {told}");
            took.push(clock.mono().since(began).saturating_sub(due).as_secs_f64());
        }
        Ok(took)
    }

    fn show(&self, daemon: &Daemon, session: &str) -> anyhow::Result<Value> {
        let body = json!({ "image": self.picture, "session_id": session });
        daemon.post("attendance/mark", &[("x-api-key", &self.key)], &body)
    }
}
