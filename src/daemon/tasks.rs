//! What goes on beside cameras and lane, and what each of it works with.

use std::sync::Arc;

use rollcall_control_api::{Access, Api, router, serve};
use tokio::net::TcpListener;

use super::closing::Closer;
use super::minutes::Minutes;
use super::status::Status;
use super::{Control, Daemon, access, upkeep, visitors};
use crate::settings::recognition_settings;

impl Daemon {
    /// Starts what brings the database's people, places and cameras in, and what waits for the lane's end.
    pub(super) fn follow(&mut self) -> anyhow::Result<()> {
        let (people, store, loaded) = (Arc::clone(&self.people), self.store(), self.control.clone());
        let (runtime, ending) = (self.runtime.handle().clone(), self.background.ending());
        // A thread of its own: to load a large gallery takes a core for seconds.
        let following = self.supervisor.spawn("people", move |_| {
            let follow = || Arc::clone(&people).follow(store.clone(), loaded.clone());
            runtime.block_on(ending.keep("people", follow));
            Ok(())
        })?;
        self.following = Some(following);
        let (people, store) = (Arc::clone(&self.people), self.store());
        self.background.keep("places", move || Arc::clone(&people).follow_places(store.clone()));
        let (desk, store, changed) = (Arc::clone(&self.desk), self.store(), self.control.clone());
        self.background.keep("cameras", move || Arc::clone(&desk).follow(store.clone(), changed.clone()));
        let (lane, over) = (Arc::clone(&self.lane), self.control.clone());
        self.supervisor.spawn("lane-watch", move |_| {
            // The error is told at the shutdown that this begins.
            drop(lane.wait());
            drop(over.send(Control::LaneOver));
            Ok(())
        })?;
        Ok(())
    }

    /// Starts what writes the database by itself: sessions that close, how cameras are, who came again, what is forgotten.
    pub(super) fn keep_books(&mut self) {
        let clock = self.supervisor.clock();
        let closer = Arc::new(Closer {
            store: self.store(),
            people: Arc::clone(&self.people),
            cameras: Arc::clone(&self.cameras),
            lane: Arc::clone(&self.lane),
            sink: self.sink.clone(),
            clock: Arc::clone(clock),
        });
        self.background.keep("closing", move || Arc::clone(&closer).run());
        let (desk, store) = (Arc::clone(&self.desk), self.store());
        self.background.keep("camera-states", move || Arc::clone(&desk).tell(store.clone()));
        let minutes =
            Arc::new(Minutes { store: self.store(), cameras: Arc::clone(&self.cameras), clock: Arc::clone(clock) });
        self.background.keep("minutes", move || Arc::clone(&minutes).run());
        if self.config.privacy.cluster_unknown {
            let (store, similarity) = (self.store(), recognition_settings(&self.config.recognition).settled_similarity);
            self.background.keep("visitors", move || visitors::tell_apart(store.clone(), similarity));
        }
        let (store, sink, clock, keep) = (self.store(), self.sink.clone(), Arc::clone(clock), self.config.retention);
        self.background.keep("upkeep", move || upkeep::run(store.clone(), sink.clone(), Arc::clone(&clock), keep));
    }

    /// Starts the API, what feeds its live views, and the way in for the first admin.
    pub(super) fn serve(&mut self, listener: TcpListener) {
        let (clock, address) = (Arc::clone(self.supervisor.clock()), self.address);
        let status = Status {
            people: Arc::clone(&self.people),
            sink: self.sink.clone(),
            lane: Arc::clone(&self.lane),
            cameras: Arc::clone(&self.cameras),
            vision: self.vision.clone(),
            recognition: recognition_settings(&self.config.recognition),
            site: self.config.site.name.clone(),
        };
        let api = Api {
            store: self.store(),
            daemon: Arc::new(status),
            cameras: Arc::clone(&self.desk) as _,
            faces: Arc::clone(&self.faces) as _,
            live: self.live.clone(),
            access: Access::new(self.config.server.clone()),
            privacy: self.config.privacy,
            clock: Arc::clone(&clock),
        };
        let routes = router(Arc::new(api), self.metrics.clone());
        let ending = self.background.ending();
        self.background.start("api", serve(listener, routes, ending.come()));
        let (live, store) = (self.live.clone(), self.store());
        self.background.keep("live", move || live.clone().follow(store.clone()));
        let (store, public_url) = (self.store(), self.config.server.public_url.clone());
        let offer = move || access::offer_set_up(store.clone(), Arc::clone(&clock), address, public_url.clone());
        self.background.keep("set-up", offer);
        tracing::info!(%address, "serving /docs, /api/v1, /health and /metrics");
    }
}
