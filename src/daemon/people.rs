//! Who is known: gallery, names and rosters, kept as the database has them; and the marks of before the start.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rollcall_attendance::{MadeMark, Register};
use rollcall_pipeline::config::Config;
use rollcall_pipeline::metrics::record_gallery;
use rollcall_pipeline::{
    Clock, ErrorClass, GalleryVersion, Mark, MarkStatus, ModelId, PersonId, SystemClock, WallTime,
};
use rollcall_stages::matching::{Gallery, GalleryHandle};
use rollcall_store::{Places, RestoredMark, SeenAt, Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::{Control, timetables};
use crate::output::explained;
use crate::rules::{self, Rules};

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Without news for so long the version is asked for: a connection that a firewall dropped tells nothing for ever.
const ASK_AFTER: Duration = Duration::from_secs(45);
/// A database that does not answer a question as small as that for so long is away.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Everything that follows the people of the database.
pub(super) struct People {
    model: ModelId,
    gallery: GalleryHandle,
    rules: Rules,
    /// What the rules are made of beside the people.
    config: ArcSwap<Config>,
    /// Held while rules are made of it, which takes its time: what the API asks for is elsewhere.
    known: Mutex<Known>,
    loaded: watch::Sender<bool>,
    /// Why the database cannot be followed.
    trouble: Mutex<Option<String>>,
    /// Tells whoever plans that the configuration changed.
    pub(super) replan_soon: Notify,
}

#[derive(Default)]
struct Known {
    by_name: HashMap<String, PersonId>,
    /// Rooms and sessions of the database.
    places: Places,
}

impl People {
    pub(super) fn new(model: ModelId, gallery: GalleryHandle, rules: Rules, config: &Config) -> Self {
        Self {
            model,
            gallery,
            rules,
            config: ArcSwap::from_pointee(config.clone()),
            known: Mutex::default(),
            loaded: watch::Sender::new(false),
            trouble: Mutex::default(),
            replan_soon: Notify::new(),
        }
    }

    /// Whether they were there at least once.
    pub(super) fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    /// Waits until they were there.
    pub(super) async fn until_loaded(&self) {
        // The sender lives as long as this does.
        drop(self.loaded.subscribe().wait_for(|loaded| *loaded).await);
    }

    /// The configuration that was read last. Only its rules are in force without a restart.
    pub(super) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// The same, and who its names are.
    pub(super) fn configured(&self) -> (Arc<Config>, HashMap<String, PersonId>) {
        (self.config.load_full(), self.known.lock().by_name.clone())
    }

    /// Puts other rooms and sessions of the database in force.
    pub(super) fn put_places_in_force(&self, places: Places) -> anyhow::Result<()> {
        let mut known = self.known.lock();
        if known.places != places {
            self.put_in_force(&self.config.load(), &known.by_name, &places)?;
            known.places = places;
        }
        Ok(())
    }

    /// The mark of somebody who was seen, as the rules in force have it.
    pub(super) fn mark_of(&self, seen: SeenAt<'_>, first: WallTime) -> Mark {
        self.rules.mark_of(seen, first)
    }

    /// Why the database cannot be followed now.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Puts the rules of a new configuration in force.
    pub(super) fn apply(&self, config: &Config) -> anyhow::Result<()> {
        let known = self.known.lock();
        self.put_in_force(config, &known.by_name, &known.places)?;
        self.config.store(Arc::new(config.clone()));
        self.replan_soon.notify_one();
        Ok(())
    }

    fn put_in_force(
        &self,
        config: &Config,
        by_name: &HashMap<String, PersonId>,
        places: &Places,
    ) -> anyhow::Result<()> {
        let (plan, strangers) = rules::plan(config, by_name);
        let schedule = timetables::schedule(plan, places, &config.attendance)?;
        if !strangers.is_empty() {
            let names = config.log.names.then(|| strangers.join(", "));
            tracing::warn!(people = strangers.len(), names, "on a roster, but not enrolled under that name");
        }
        self.rules.put_in_force(schedule, rules::policy(config), config.attendance.debounce);
        Ok(())
    }

    /// Loads, and loads again whenever something changed; for ever. The database may be away at any time.
    pub(super) async fn follow(self: Arc<Self>, store: Store, control: Sender<Control>) {
        let mut wait = FIRST_RETRY;
        loop {
            let Err(error) = self.follow_while_connected(&store, &control, &mut wait).await;
            let text = explained(&error);
            let news = self.trouble.lock().replace(text.clone()).is_none_or(|before| before != text);
            match error.downcast_ref::<StoreError>().map(StoreError::class) {
                _ if !news => {}
                Some(ErrorClass::Transient) => tracing::warn!("the database is away, trying on: {text}"),
                _ => tracing::error!("people and timetables cannot be read, trying on: {text}"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_RETRY);
        }
    }

    async fn follow_while_connected(
        &self,
        store: &Store,
        control: &Sender<Control>,
        wait: &mut Duration,
    ) -> Result<std::convert::Infallible, anyhow::Error> {
        let clock = SystemClock;
        store.prepare(clock.wall().date_naive()).await?;
        // Listen first: what changes after that is told.
        let mut changes = store.gallery_changes().await?;
        if !self.is_loaded() {
            let since = clock.wall() - Register::RETENTION;
            let marks = store.marks_to_restore(since).await?;
            tracing::info!(marks = marks.len(), "read back the marks of the last day");
            self.rules.restore(self.config.load().attendance.debounce, marks.into_iter().filter_map(made));
        }
        loop {
            let version = self.load(store).await?;
            if !self.is_loaded() {
                // Before the first camera: what it sees belongs to the session that is on.
                self.replan(store).await?;
            }
            *wait = FIRST_RETRY;
            if self.trouble.lock().take().is_some() {
                tracing::info!("the database is back");
            }
            if !self.loaded.send_replace(true) {
                // Nobody listens any more when the daemon ends.
                drop(control.send(Control::Loaded));
            }
            loop {
                if let Ok(told) = timeout(ASK_AFTER, changes.changed()).await {
                    told?;
                    break;
                }
                let asked = timeout(ANSWER_WITHIN, store.gallery_version()).await;
                if asked.context("the database does not answer")?? != version {
                    // It changed and nobody told: the connection that listens is dead.
                    changes = timeout(ANSWER_WITHIN, store.gallery_changes()).await??;
                    break;
                }
            }
        }
    }

    async fn load(&self, store: &Store) -> anyhow::Result<GalleryVersion> {
        let loaded = store.gallery(&self.model).await?;
        let templates = loaded.templates.into_iter().map(|t| (t.person, t.embedding));
        let gallery = Gallery::new(loaded.version, self.model.clone(), templates)?;
        record_gallery(gallery.people(), gallery.templates());
        tracing::info!(
            version = loaded.version.0,
            people = gallery.people(),
            templates = gallery.templates(),
            "gallery loaded"
        );
        let mut by_name = HashMap::new();
        let mut people: Vec<_> = loaded.names.iter().collect();
        // The same one of several with one name at each load.
        people.sort_unstable();
        for (person, name) in people {
            match by_name.entry(name.clone()) {
                Entry::Vacant(entry) => drop(entry.insert(*person)),
                Entry::Occupied(_) => {
                    tracing::warn!(%person, "has the name of somebody else: rosters mean the other one");
                }
            }
        }
        self.rules.name(loaded.names);
        let mut known = self.known.lock();
        // Rosters of the file name people. Faces are no news to them, but at the start no timetable is in force yet.
        if known.by_name != by_name || !self.is_loaded() {
            // Before the gallery: whoever is recognised from now on is on the roster already.
            self.put_in_force(&self.config.load(), &by_name, &known.places).context("the configured timetables")?;
            known.by_name = by_name;
            self.replan_soon.notify_one();
        }
        self.gallery.swap(gallery);
        Ok(loaded.version)
    }
}

fn made(mark: RestoredMark) -> Option<MadeMark> {
    let status = MarkStatus::parse(&mark.status)?;
    Some(MadeMark {
        person: mark.person,
        session: mark.session,
        ends_at: mark.ends_at,
        status,
        camera: mark.camera,
        at: mark.captured_at,
        event: mark.event,
    })
}
