//! [`RawConfig`] → [`Config`]: every value is looked at, and every problem is told.

mod cameras;
mod check;
mod elsewhere;
mod rooms;
mod server;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use check::Checker;
pub(super) use check::read_bounded;

use super::problem::Problem;
use super::raw::{
    RawAttendance, RawCheckIn, RawConfig, RawDatabase, RawLane, RawLiveness, RawModels, RawPrivacy, RawRecognition,
};
use super::secret::Secret;
use super::types::{
    AttendanceConfig, Blink, CheckInConfig, Config, DatabaseConfig, DecisionsConfig, DetectionConfig, LaneConfig,
    LivenessConfig, LogConfig, ModelsConfig, Precision, PrivacyConfig, Provider, RecognitionConfig, RetentionConfig,
    ReviewOrMark, SiteConfig, SpoolConfig,
};

/// Checks everything, beside the `problems` that are known already. What comes with problems does not count: it has stand-ins
/// for what is wrong, or lacks it.
pub(super) fn validate(
    raw: &RawConfig,
    base: &Path,
    env: &HashMap<String, String>,
    problems: Vec<Problem>,
) -> (Config, Vec<Problem>) {
    let mut c = Checker::new(base, env, problems);
    let site_zone = c.time_zone("site.time_zone", &raw.site.time_zone);
    let attendance = attendance(&mut c, &raw.attendance);
    let rooms = rooms::rooms(&mut c, &raw.rooms, site_zone.unwrap_or_default(), &attendance);
    let cameras = cameras::cameras(&mut c, &raw.cameras, &rooms);
    blinks_can_be_seen(&mut c, raw);
    let lane = lane(&mut c, &raw.lane, cameras.len());
    let config = Config {
        site: SiteConfig { name: c.label("site.name", &raw.site.name), time_zone: site_zone.unwrap_or_default() },
        server: server::server(&mut c, &raw.server),
        log: LogConfig { format: raw.log.format, level: raw.log.level, names: raw.log.names },
        database: database(&mut c, &raw.database),
        models: models(&mut c, &raw.models),
        lane,
        detection: DetectionConfig {
            min_score: raw.detection.min_score.map(|v| c.float("detection.min_score", v, 0.1..=0.99)),
        },
        recognition: recognition(&mut c, &raw.recognition),
        liveness: liveness(&mut c, &raw.liveness),
        decisions: DecisionsConfig {
            identified_undecided: raw.decisions.identified_undecided,
            identified_too_poor: raw.decisions.identified_too_poor,
            identified_unclear: raw.decisions.identified_unclear,
            unknown_spoof: raw.decisions.unknown_spoof,
        },
        attendance,
        check_in: check_in(&mut c, &raw.check_in, raw.liveness.enabled),
        spool: SpoolConfig {
            max_bytes: c.int::<u64>("spool.max_mb", raw.spool.max_mb, 1..=1_048_576, "megabytes") << 20,
        },
        retention: RetentionConfig {
            crops_days: days(&mut c, "retention.crops_days", raw.retention.crops_days),
            events_days: days(&mut c, "retention.events_days", raw.retention.events_days),
            audit_days: days(&mut c, "retention.audit_days", raw.retention.audit_days),
        },
        privacy: privacy(&mut c, &raw.privacy),
        rooms,
        cameras,
    };
    (config, c.into_problems())
}

fn attendance(c: &mut Checker<'_>, raw: &RawAttendance) -> AttendanceConfig {
    AttendanceConfig {
        debounce: c.seconds("attendance.debounce_s", raw.debounce_s, 0..=86_400),
        early: c.minutes("attendance.early_min", raw.early_min),
        grace: c.minutes("attendance.grace_min", raw.grace_min),
        leave: c.minutes("attendance.leave_min", raw.leave_min),
        absences_wait: Duration::from_secs(
            3600 * c.int::<u64>("attendance.absences_wait_h", raw.absences_wait_h, 1..=720, "hours"),
        ),
    }
}

fn lane(c: &mut Checker<'_>, raw: &RawLane, cameras: usize) -> LaneConfig {
    let frames_per_camera = c.int("lane.frames_per_camera", raw.frames_per_camera, 1..=32, "frames");
    let budget = c.int::<u64>("lane.memory_budget_mb", raw.memory_budget_mb, 32..=65_536, "megabytes") << 20;
    let lane = LaneConfig {
        frames_per_camera,
        memory_budget_bytes: budget,
        stuck_after: c.seconds("lane.stuck_after_s", raw.stuck_after_s, 5..=600),
        shutdown: c.seconds("lane.shutdown_s", raw.shutdown_s, 1..=300),
    };
    if let Err(why) = lane.room_for(cameras) {
        c.add("lane.memory_budget_mb", why);
    }
    lane
}

fn check_in(c: &mut Checker<'_>, raw: &RawCheckIn, liveness: bool) -> CheckInConfig {
    if raw.require_live == Some(true) && !liveness {
        c.add(
            "check_in.require_live",
            "nobody is known to be alive while liveness.enabled is false: set that to true, or leave this out",
        );
    }
    CheckInConfig {
        min_agreeing: c.int("check_in.min_agreeing", raw.min_agreeing, 1..=8, "views"),
        require_live: raw.require_live.unwrap_or(liveness),
    }
}

/// How long something is kept; 0 = for ever.
fn days(c: &mut Checker<'_>, path: &str, value: i64) -> Option<u32> {
    Some(c.int(path, value, 0..=36_500, "days")).filter(|days| *days > 0)
}

fn database(c: &mut Checker<'_>, raw: &RawDatabase) -> DatabaseConfig {
    let url = match (&raw.url, &raw.url_file) {
        (Some(_), Some(_)) => {
            c.add("database.url_file", "stands beside database.url: leave one of them out".to_owned());
            None
        }
        (Some(url), None) => Some(("database.url", url.clone())),
        (None, Some(file)) => c.secret_file("database.url_file", file).map(|url| ("database.url_file", url)),
        (None, None) => None,
    };
    if let Some((path, url)) = &url {
        database_url(c, path, url);
    }
    DatabaseConfig {
        url: url.map(|(_, url)| url),
        max_connections: c.int("database.max_connections", raw.max_connections, 2..=1000, "connections"),
        key_file: raw.key_file.as_deref().map(|p| c.path(p)),
    }
}

/// The address may hold a password, so no message repeats it.
fn database_url(c: &mut Checker<'_>, path: &str, secret: &Secret) {
    let parsed = url::Url::parse(secret.expose());
    if !parsed.is_ok_and(|u| matches!(u.scheme(), "postgres" | "postgresql")) {
        c.add(path, "is no PostgreSQL address: write it as \"postgres://user:password@host:5432/database\"".to_owned());
    }
}

fn recognition(c: &mut Checker<'_>, raw: &RawRecognition) -> RecognitionConfig {
    let mut similarity =
        |key: &str, value: Option<f64>| value.map(|v| c.float(&format!("recognition.{key}"), v, 0.1..=0.95));
    let early_similarity = similarity("early_similarity", raw.early_similarity);
    let settled_similarity = similarity("settled_similarity", raw.settled_similarity);
    let review_similarity = similarity("review_similarity", raw.review_similarity);
    let repeat = raw.repeat_s.map(|v| c.seconds("recognition.repeat_s", v, 1..=86_400));
    RecognitionConfig {
        early_similarity,
        settled_similarity,
        review_similarity,
        margin: raw.margin.map(|v| c.float("recognition.margin", v, 0.0..=0.5)),
        min_agreeing: raw.min_agreeing.map(|v| c.int("recognition.min_agreeing", v, 1..=20, "shots")),
        repeat,
    }
}

fn liveness(c: &mut Checker<'_>, raw: &RawLiveness) -> LivenessConfig {
    let live_from = raw.live_from.map(|v| c.float("liveness.live_from", v, 0.0..=1.0));
    let spoof_below = raw.spoof_below.map(|v| c.float("liveness.spoof_below", v, 0.0..=1.0));
    let patience = raw.patience_ms.map(|v| c.int("liveness.patience_ms", v, 0..=60_000, "milliseconds"));
    LivenessConfig {
        enabled: raw.enabled,
        live_from,
        spoof_below,
        min_face_px: raw.min_face_px.map(|v| c.float("liveness.min_face_px", v, 16.0..=2000.0)),
        patience: patience.map(Duration::from_millis),
        blink: raw.blink,
    }
}

fn blinks_can_be_seen(c: &mut Checker<'_>, raw: &RawConfig) {
    if raw.liveness.enabled && raw.liveness.blink == Blink::Required {
        let cameras = raw.cameras.iter().enumerate();
        cameras.for_each(|(i, camera)| cameras::blinks_can_be_seen(c, &format!("cameras[{i}]"), camera));
        // Or whoever stays far enough away needs no blink, alive or not.
        let cells = [
            ("decisions.identified_undecided", raw.decisions.identified_undecided, "small"),
            ("decisions.identified_too_poor", raw.decisions.identified_too_poor, "poor"),
        ];
        for (key, _, flaw) in cells.into_iter().filter(|(_, cell, _)| *cell == ReviewOrMark::Mark) {
            let problem = format!(
                "\"mark\" marks faces that are too {flaw} for a blink without one, and liveness.blink is \"required\": set \
                 \"review\", or liveness.blink = \"off\""
            );
            c.add(key, problem);
        }
    }
}

fn privacy(c: &mut Checker<'_>, raw: &RawPrivacy) -> PrivacyConfig {
    let most = raw.templates_per_person;
    PrivacyConfig {
        consent_required: raw.consent_required,
        keep_unknown_faces: raw.keep_unknown_faces,
        cluster_unknown: raw.cluster_unknown,
        templates_per_person: c.int("privacy.templates_per_person", most, 1..=100, "templates"),
    }
}

fn models(c: &mut Checker<'_>, raw: &RawModels) -> ModelsConfig {
    ModelsConfig {
        dir: raw.dir.as_deref().map(|p| c.path(p)),
        threads: c.int("models.threads", raw.threads, 1..=64, "threads"),
        liveness: raw.liveness,
        provider: raw.provider,
        precision: precision(c, raw),
        runtime: raw.runtime.as_deref().map(|p| c.path(p)),
    }
}

fn precision(c: &mut Checker<'_>, raw: &RawModels) -> Precision {
    if raw.precision == Precision::Bf16 && raw.provider != Provider::OpenVino {
        c.add("models.precision", "bf16 is for models.provider = \"openvino\" alone: set that, or leave this out");
    }
    raw.precision
}
