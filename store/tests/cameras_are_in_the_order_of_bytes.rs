//! Cameras come page by page in the order of the bytes of their ids, whatever locale the database has.
#![allow(clippy::unwrap_used, reason = "tests")]

use rollcall_store::testing::{current_database, store};
use rollcall_store::{Actor, CameraFields, Scope, Store};
use serde_json::json;
use sqlx::{ConnectOptions, Executor};

/// In the order of their bytes; most locales have the underscore before the hyphen.
const IDS: [&str; 4] = ["door-1", "door1", "door_1", "doors"];

async fn add(store: &Store, id: &str) {
    let fields = CameraFields {
        room_id: "hall".to_owned(),
        name: id.to_owned(),
        enabled: false,
        settings: json!({ "streams": { "detect": "rtsp://192.0.2.1/1" } }),
    };
    let mut change = store.change(Actor::system("a test")).await.unwrap();
    change.add_camera(id, &fields, None).await.unwrap();
    change.commit().await.unwrap();
}

#[tokio::test]
async fn no_camera_is_lost_between_pages() {
    let store = store().await;
    let mut db = current_database(&store).await.connect().await.unwrap();
    // As where somebody else made the database: `postgres:17` has en_US.
    db.execute(
        "alter table cameras alter column id type text collate \"und-x-icu\";
         insert into rooms (id) values ('hall')",
    )
    .await
    .unwrap();
    for id in IDS {
        add(&store, id).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.cameras(&Scope::Everywhere, None, after.as_deref(), 1).await.unwrap();
        let Some(first) = page.first() else { break };
        seen.push(first.id.clone());
        after = Some(first.id.clone());
    }
    assert_eq!(seen, IDS);
}
