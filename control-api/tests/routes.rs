//! What the routes answer.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use futures_util::{FutureExt as _, stream};
use rollcall_control_api::ports::cameras::{
    CameraProbe, CameraStatus, Cameras, DeviceStreams, FoundDevice, NoPicture, Overlay, Pictures, StreamsAsk,
};
use rollcall_control_api::ports::faces::{
    BoxView, Certainty, CheckIn, CheckInTrouble, CheckedIn, DecideAsk, EnrolAsk, FaceView, Faces, FacesTrouble,
    GalleryView, Later, Likeness, LiveShot, LivenessView, Matched, NewTemplate, NotTheirs, PictureOutcome,
    PictureReport, QualityView, Turn,
};
use rollcall_control_api::{
    Access, Api, Daemon, Live, Metrics, ModelView, Part, Readiness, VersionView, digest, router,
};
use rollcall_pipeline::config::{CameraConfig, Config, Problem, Secret};
use rollcall_pipeline::{CameraId, Embedding, ModelId, PersonId, SystemClock};
use rollcall_store::{Actor, ApiKeyFields, Grants, Store};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tower::ServiceExt;

struct Fake {
    database: Part,
    licence: &'static str,
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

    fn version(&self) -> VersionView {
        let model = ModelView {
            id: "m-1".into(),
            job: "j".into(),
            licence: self.licence.into(),
            origin: "o".into(),
            runs_on: "cpu".into(),
            fallback: None,
        };
        VersionView { version: "1.2.3".into(), site: "Here".into(), models: vec![model] }
    }
}

/// None run.
struct NoCameras;

impl Cameras for NoCameras {
    fn of_file(&self) -> Vec<CameraConfig> {
        Vec::new()
    }

    fn status(&self, _: &CameraId) -> Option<CameraStatus> {
        None
    }

    fn check(
        &self,
        id: &str,
        room: &str,
        settings: Value,
        credentials: Option<(String, Secret)>,
    ) -> Result<CameraConfig, Vec<Problem>> {
        Config::defaults().camera(id, room, settings, credentials)
    }

    fn room_for(&self, _: usize) -> Result<(), String> {
        Ok(())
    }

    fn probe(&self, _: CameraConfig) -> Later<'_, Result<CameraProbe, NoPicture>> {
        panic!("not asked")
    }

    fn watch(&self, _: &CameraId, _: f32, _: Overlay) -> Result<Box<dyn Pictures>, NoPicture> {
        panic!("not asked")
    }

    fn streams_of(&self, _: StreamsAsk) -> Later<'_, Result<DeviceStreams, NoPicture>> {
        panic!("not asked")
    }

    fn discover(&self, _: Duration, _: Option<Ipv4Addr>) -> Later<'_, Result<Vec<FoundDevice>, NoPicture>> {
        panic!("not asked")
    }
}

/// Every picture shows one face, of nobody. Nobody asks for anything else here.
struct OneFace {
    /// Where requests are answered.
    answering: ThreadId,
}

impl OneFace {
    fn nobody<L>(&self) -> Matched<L> {
        assert_ne!(thread::current().id(), self.answering, "others wait meanwhile");
        Matched { certainty: Certainty::NoMatch, ranking: Vec::new() }
    }
}

impl Faces for OneFace {
    fn model(&self) -> ModelId {
        ModelId::new("m-1")
    }

    fn gallery(&self) -> GalleryView {
        GalleryView { version: 0, people: 0, templates: 0, model: "m-1".into() }
    }

    fn detect(&self, _: Vec<u8>, _: usize) -> Later<'_, Result<Vec<FaceView>, FacesTrouble>> {
        panic!("not asked")
    }

    fn encode(&self, _: Vec<u8>, _: usize) -> Later<'_, Result<Vec<(FaceView, Embedding)>, FacesTrouble>> {
        let face = FaceView {
            bbox: BoxView { x: 0.0, y: 0.0, w: 80.0, h: 80.0 },
            landmarks: Vec::new(),
            score: 0.9,
            quality: QualityView {
                overall: 0.5,
                eye_distance_px: 40.0,
                face_px: 80.0,
                yaw: 0.0,
                pitch: 0.0,
                roll: 0.0,
                sharpness: 0.1,
                brightness: 128.0,
                contrast: 40.0,
            },
            liveness: LivenessView { verdict: "undecided", score: None, reason: Some("off") },
        };
        let embedding = Embedding::normalized(self.model(), vec![1.0, 0.0]).unwrap();
        Box::pin(async { Ok(vec![(face, embedding)]) })
    }

    fn examine(&self, _: Vec<u8>) -> Later<'_, Result<PictureReport, FacesTrouble>> {
        panic!("not asked")
    }

    fn turn(&self) -> Later<'_, Turn> {
        Box::pin(async { Turn(Arc::new(Mutex::new(())).lock_owned().await) })
    }

    fn enrol(&self, ask: EnrolAsk) -> Later<'_, Result<Vec<PictureOutcome>, FacesTrouble>> {
        let outcome = |_| PictureOutcome {
            report: PictureReport {
                sha256: "07".repeat(32),
                accepted: true,
                code: None,
                detail: None,
                bbox: None,
                gates: Vec::new(),
            },
            sha256: [7; 32],
            template: Embedding::normalized(self.model(), vec![1.0, 0.0])
                .map(|embedding| NewTemplate { embedding, quality: 0.5 }),
            looks_like: None,
        };
        let outcomes = ask.pictures.iter().map(outcome).collect();
        Box::pin(async { Ok(outcomes) })
    }

    fn decide(&self, _: DecideAsk) -> Later<'_, Result<Vec<Result<(), NotTheirs>>, FacesTrouble>> {
        panic!("not asked")
    }

    fn best_shots(&self, _: CameraId, _: usize) -> Later<'_, Result<Vec<LiveShot>, FacesTrouble>> {
        panic!("not asked")
    }

    fn match_gallery(&self, _: &Embedding, _: usize) -> Result<Matched<PersonId>, FacesTrouble> {
        Ok(self.nobody())
    }

    fn match_list(&self, _: &Embedding, _: &[(String, Embedding)], _: usize) -> Result<Matched<String>, FacesTrouble> {
        Ok(self.nobody())
    }

    fn check_in(&self, _: CheckIn) -> Later<'_, Result<CheckedIn, CheckInTrouble>> {
        panic!("not asked")
    }

    fn verify(&self, _: &Embedding, _: &Embedding) -> Result<(Certainty, Likeness), FacesTrouble> {
        panic!("not asked")
    }
}

async fn served(database: Part, licence: &'static str) -> (Store, Router) {
    let store = rollcall_store::testing::store().await;
    let api = Api {
        store: store.clone(),
        daemon: Arc::new(Fake { database, licence }),
        cameras: Arc::new(NoCameras),
        faces: Arc::new(OneFace { answering: thread::current().id() }),
        live: Live::default(),
        access: Access::new(Config::defaults().server),
        privacy: Config::defaults().privacy,
        clock: Arc::new(SystemClock),
    };
    (store, router(Arc::new(api), Metrics::detached().unwrap()))
}

async fn get(database: Part, path: &str) -> (StatusCode, String) {
    let (_, router) = served(database, "MIT").await;
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
async fn the_version_is_told() {
    assert_eq!(json_of("/api/v1/version").await["site"], "Here");
    assert_eq!(json_of("/api/v1/version").await["models"][0]["licence"], "MIT");
}

#[tokio::test]
async fn what_is_not_there_is_told_as_a_problem() {
    let (status, body) = get(Part::ready(""), "/api/v1/nothing").await;
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["status"]), (StatusCode::NOT_FOUND, &json!(404)));
    let (status, _) = get(Part::ready(""), "/api/v1/cameras").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "nobody asked");
}

#[tokio::test]
async fn the_document_and_its_page_are_served() {
    assert_eq!(json_of("/api/openapi.json").await["openapi"], "3.1.0");
    assert_eq!(get(Part::ready(""), "/docs/").await.0, StatusCode::OK);
}

/// Lets `rck_client` do this everywhere.
async fn add_key(store: &Store, rights: &[&str]) {
    let mut change = store.change(Actor::system("a test")).await.unwrap();
    let key = ApiKeyFields {
        name: "a client".into(),
        rights: rights.iter().map(|right| (*right).to_owned()).collect(),
        grants: Grants { everywhere: true, ..Grants::default() },
        rate_per_minute: None,
        expires_at: None,
    };
    change.add_api_key(&key, &digest("rck_client"), "rck_", None).await.unwrap();
    change.commit().await.unwrap();
}

fn keyed(path: &str, body: &Value) -> Request<Body> {
    let request = Request::post(path).header("x-api-key", "rck_client").header("content-type", "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

#[tokio::test]
async fn a_subject_is_stored_with_its_face_or_not_at_all() {
    // The second: a text that no database keeps.
    for (licence, status, people) in [("MIT", StatusCode::CREATED, 1), ("MIT\0", StatusCode::BAD_REQUEST, 0)] {
        let (store, router) = served(Part::ready(""), licence).await;
        add_key(&store, &["people:write"]).await;
        let request = keyed("/api/v1/recognition/faces?subject=Ada", &json!({ "file": "eA==" }));
        assert_eq!(router.oneshot(request).await.unwrap().status(), status);
        assert_eq!(store.people().await.unwrap().len(), people, "{licence:?}");
    }
}

#[tokio::test]
async fn whoever_answers_requests_compares_no_faces() {
    let (store, router) = served(Part::ready(""), "MIT").await;
    add_key(&store, &["faces:use", "people:read"]).await;
    let ben = json!({ "label": "Ben", "embedding": { "model": "m-1", "values": [0.0, 1.0] } });
    for (path, body) in [
        ("faces/match", json!({ "image": "eA==" })),
        ("faces/match", json!({ "image": "eA==", "candidates": [ben] })),
        ("faces/match-batch", json!({ "images": ["eA==", "eA=="] })),
        ("recognition/recognize", json!({ "file": "eA==" })),
    ] {
        let response = router.clone().oneshot(keyed(&format!("/api/v1/{path}"), &body)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path} {body}");
    }
}

#[tokio::test]
async fn requests_count_also_where_they_fail_and_where_nobody_waits() {
    let metrics = Metrics::install().unwrap();
    let (store, router) = served(Part::ready(""), "MIT").await;
    add_key(&store, &["faces:use"]).await;
    // Nobody is asked for this here: it panics.
    let panicking = keyed("/api/v1/faces/detect", &json!({ "image": "eA==" }));
    let failed = router.clone().oneshot(panicking).await.unwrap();
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let endless = Body::from_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
    let login = Request::post("/api/v1/auth/login").header("content-type", "application/json").body(endless).unwrap();
    assert!(router.oneshot(login).now_or_never().is_none(), "its body never ends");
    let text = metrics.render();
    for (route, status) in [("/api/v1/faces/detect", "5xx"), ("/api/v1/auth/login", "gone")] {
        let labels = format!("method=\"POST\",route=\"{route}\",status=\"{status}\"");
        let series = format!("rollcall_http_request_duration_seconds_count{{{labels}}} 1");
        assert!(text.lines().any(|line| line == series), "no {series} in\n{text}");
    }
}

#[tokio::test]
async fn metrics_are_text() {
    let (status, _) = get(Part::ready(""), "/metrics").await;
    assert_eq!(status, StatusCode::OK);
}
