//! Whoever waits for a camera that somebody else changes finds it as it is then.
#![allow(clippy::unwrap_used, reason = "tests")]

use rollcall_store::testing::{current_database, store, until_somebody_waits};
use rollcall_store::{Actor, CameraFields, MAIN_SITE, Scope};
use sqlx::ConnectOptions;

fn in_room(room: &str) -> CameraFields {
    let (room_id, name) = (room.to_owned(), "Door".to_owned());
    CameraFields { room_id, name, enabled: false, settings: serde_json::json!({}) }
}

#[tokio::test]
async fn a_camera_that_is_moved_to_another_room_meanwhile_is_there() {
    let store = store().await;
    let mut change = store.change(Actor::system("test")).await.unwrap();
    for room in ["hall", "gate"] {
        change.add_room(room, MAIN_SITE, None, None).await.unwrap();
    }
    change.add_camera("door", &in_room("hall"), None).await.unwrap();
    change.commit().await.unwrap();

    let mut moving = store.change(Actor::system("test")).await.unwrap();
    let before = moving.lock_camera(&Scope::Everywhere, "door").await.unwrap().unwrap();
    moving.replace_camera(&before, &in_room("gate"), None).await.unwrap();
    let other = store.clone();
    let waiting = tokio::spawn(async move {
        let mut change = other.change(Actor::system("test")).await.unwrap();
        change.lock_camera(&Scope::Everywhere, "door").await.unwrap()
    });
    until_somebody_waits(&mut current_database(&store).await.connect().await.unwrap()).await;
    moving.commit().await.unwrap();
    let found = waiting.await.unwrap().expect("the camera");
    assert_eq!((found.room_id.as_str(), found.version), ("gate", before.version + 1));
}
