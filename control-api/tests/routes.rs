//! What the routes answer.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use rollcall_control_api::{CameraView, Daemon, Metrics, ModelView, Part, Readiness, VersionView, router};
use serde_json::{Value, json};
use tower::ServiceExt;

struct Fake {
    database: Part,
}

impl Daemon for Fake {
    fn readiness(&self) -> Readiness {
        Readiness {
            database: self.database.clone(),
            models: Part::ready("4 models"),
            cameras: Part::ready("1 of 1 live"),
            lane: Part::ready("running"),
        }
    }

    fn cameras(&self) -> Vec<CameraView> {
        vec![CameraView {
            id: "door-1".into(),
            room: "hall".into(),
            direction: Some("entry"),
            state: "live".into(),
            reason: None,
            codec: Some("H.264".into()),
            width: Some(1920),
            height: Some(1080),
            fps: Some(25.0),
            frame_age_ms: Some(20),
            reconnects: 0,
            time_source: Some("ntp"),
            clock_skew_ms: Some(-3),
        }]
    }

    fn version(&self) -> VersionView {
        let model = ModelView { id: "m-1".into(), job: "j".into(), licence: "MIT".into(), origin: "o".into() };
        VersionView { version: "1.2.3".into(), site: "Here".into(), models: vec![model] }
    }
}

async fn get(database: Part, path: &str) -> (StatusCode, String) {
    let router = router(Arc::new(Fake { database }), Metrics::detached().unwrap());
    let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn json_of(path: &str) -> Value {
    let (status, body) = get(Part::ready("ok"), path).await;
    assert_eq!(status, StatusCode::OK, "{path}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn ready_only_when_every_part_is_and_the_reasons_are_told() {
    assert_eq!(json_of("/health/ready").await["ready"], true);

    let (status, body) = get(Part::not_ready("the server refuses connections"), "/health/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["ready"], false);
    assert_eq!(body["database"], json!({"ready": false, "reason": "the server refuses connections"}));
    assert_eq!(body["lane"]["ready"], true);
}

#[tokio::test]
async fn live_does_not_depend_on_anything() {
    let (status, _) = get(Part::not_ready("away"), "/health/live").await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn cameras_and_version_are_told() {
    assert_eq!(json_of("/api/v1/cameras").await[0]["codec"], "H.264");
    assert_eq!(json_of("/api/v1/cameras/door-1").await["clock_skew_ms"], -3);
    assert_eq!(get(Part::ready(""), "/api/v1/cameras/door-9").await.0, StatusCode::NOT_FOUND);
    assert_eq!(json_of("/api/v1/version").await["site"], "Here");
    assert_eq!(json_of("/api/v1/version").await["models"][0]["licence"], "MIT");
}

#[tokio::test]
async fn metrics_are_text() {
    let (status, _) = get(Part::ready(""), "/metrics").await;
    assert_eq!(status, StatusCode::OK);
}
