//! The way in for the first admin.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use chrono::Duration;
use rollcall_control_api::{NewSecret, SecretKind};
use rollcall_pipeline::Clock;
use rollcall_store::{Actor, PasswordLink, Store};

use crate::output::explained;

/// How long the link is good; each start makes a new one.
const LINK_FOR: Duration = Duration::hours(24);

/// Says in the log how to make the first admin, if there is none.
pub(super) async fn offer_set_up(store: Store, clock: Arc<dyn Clock>, address: SocketAddr, public_url: Option<String>) {
    store.until_prepared().await;
    if let Err(error) = offer(store, clock, address, public_url).await {
        tracing::warn!("the first admin has to be made with `rollcall admin create`: {}", explained(&error));
    }
}

async fn offer(
    store: Store,
    clock: Arc<dyn Clock>,
    address: SocketAddr,
    public_url: Option<String>,
) -> anyhow::Result<()> {
    if store.has_admin().await? {
        return Ok(());
    }
    let secret = NewSecret::random(SecretKind::Link)?;
    let mut change = store.change(Actor::system("daemon")).await?;
    let until = clock.wall() + LINK_FOR;
    change.add_password_link(PasswordLink::FirstAdmin, &secret.digest(), until).await.context("set-up link")?;
    change.commit().await?;
    let place = public_url.unwrap_or_else(|| {
        // Whoever listens everywhere is found here.
        let here = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
        format!("http://{}", SocketAddr::new(here, address.port()))
    });
    tracing::warn!(
        url = format!("{place}/setup#{}", secret.told()),
        "there is no admin yet: open the link within 24 hours, or use `rollcall admin create`"
    );
    Ok(())
}
