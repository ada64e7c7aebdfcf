//! One scenario at work: what it may do to a site, and what is checked whatever it did.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::TimeDelta;
use nix::sys::signal::Signal;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rollcall_pipeline::{Clock, MonoTime, SystemClock, WallTime};

use crate::BACK_WITHIN;
use crate::daemon::metric;
use crate::film::{Film, OTHER, USUAL};
use crate::ledger::Said;
use crate::process::{Holdings, holdings};
use crate::report::Outcome;
use crate::scenario::Scenario;
use crate::site::{Plan, Site, Template};
use crate::verdict::{Broken, Case, Excuse, Promise, camera_name, must_be_seen};

/// Events of each camera before anything is broken, and after all is well again.
const EVENTS_EACH: usize = 3;
/// What a frame needs from the camera to the lane: a visit that ends sooner after a camera is live is not held against it.
const GRACE: TimeDelta = TimeDelta::milliseconds(700);
/// What memory may have grown by: caches of the database client, arenas of the allocator, and pictures on their way.
const MORE_MEMORY_MB: f64 = 32.0;
/// Threads and files come and go by a few: tokio's blocking threads, and connections of the pool.
const MORE_THREADS: usize = 4;
const MORE_FILES: usize = 8;
const LOOKS: usize = 5;

/// How hard it is tried.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program.
    pub program: PathBuf,
    /// Nothing takes longer, also on a busy machine; what does has failed.
    pub patience: Duration,
    /// So long a fault lasts at least.
    pub hold: Duration,
    /// How often the daemon is killed.
    pub kills: u32,
    /// How often a camera comes and goes, two seconds each.
    pub flaps: u32,
    /// Where chance begins.
    pub seed: u64,
    /// Cameras beyond the first.
    pub more_cameras: usize,
    /// How long the soak lasts.
    pub soak: Duration,
    /// Where the logs of failures are kept.
    pub keep: PathBuf,
}

/// Everything that scenarios share: an enrolled data directory, and what the cameras show.
#[derive(Debug)]
pub struct Matrix {
    pub(crate) options: Options,
    template: Template,
    film: Arc<Film>,
    other: Arc<Film>,
}

impl Matrix {
    /// Enrols two people and encodes the films: some seconds.
    ///
    /// # Errors
    /// When the program does not run or the demo's media are missing.
    pub fn prepare(options: Options) -> anyhow::Result<Self> {
        let template = Template::make(&options.program)?;
        let (film, other) = (Arc::new(Film::encode(USUAL)?), Arc::new(Film::encode(OTHER)?));
        Ok(Self { options, template, film, other })
    }

    /// Plays a scenario.
    pub fn run(&self, scenario: &Scenario) -> Outcome {
        let clock = SystemClock;
        let begun = clock.mono();
        let mut trial = Trial::new(self);
        let done = (scenario.play)(&mut trial).and_then(|()| trial.finish());
        if let Err(error) = done {
            trial.broken.push(Broken { promise: Promise::Behaves, what: format!("{error:#}") });
        }
        trial.keep_log(scenario.name);
        let Trial { checked, broken, facts, .. } = trial;
        Outcome::new(scenario, clock.mono().since(begun), checked, broken, facts)
    }
}

/// A scenario at work.
pub(crate) struct Trial<'a> {
    pub(crate) matrix: &'a Matrix,
    pub(crate) chance: StdRng,
    /// Complaints that the scenario itself brings about: errors with one of these in them are no failure.
    pub(crate) expected_errors: Vec<&'static str>,
    /// From when on the daemon's wall clock was off by how much.
    pub(crate) offsets: Vec<(WallTime, TimeDelta)>,
    /// Accepted events that the scenario itself destroyed.
    pub(crate) destroyed: usize,
    site: Option<Site>,
    excuses: Vec<Excuse>,
    checked: BTreeSet<Promise>,
    broken: Vec<Broken>,
    facts: Vec<(String, String)>,
    slowest_back: Option<Duration>,
    /// What the daemon held, in which of its lives.
    before: Option<(usize, Holdings)>,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(matrix: &'a Matrix) -> Self {
        Self {
            matrix,
            chance: StdRng::seed_from_u64(matrix.options.seed),
            expected_errors: Vec::new(),
            offsets: vec![(WallTime::UNIX_EPOCH, TimeDelta::zero())],
            destroyed: 0,
            site: None,
            excuses: Vec::new(),
            checked: BTreeSet::new(),
            broken: Vec::new(),
            facts: Vec::new(),
            slowest_back: None,
            before: None,
        }
    }

    /// The site.
    pub(crate) fn site(&mut self) -> anyhow::Result<&mut Site> {
        match &mut self.site {
            Some(site) => Ok(site),
            None => bail!("the scenario has opened no site"),
        }
    }

    /// Nothing takes longer.
    pub(crate) fn patience(&self) -> Duration {
        self.matrix.options.patience
    }

    /// Opens a site without starting its daemon.
    pub(crate) fn open(&mut self, plan: Plan) -> anyhow::Result<()> {
        let Matrix { options, template, film, .. } = self.matrix;
        self.site = Some(Site::open(&options.program, template, film, plan)?);
        Ok(())
    }

    /// Opens a site, starts its daemon, and waits until every camera has had its events.
    pub(crate) fn begin(&mut self, plan: Plan) -> anyhow::Result<()> {
        self.open(Plan { more_cameras: plan.more_cameras + self.matrix.options.more_cameras, ..plan })?;
        self.start()?;
        self.until_events_of_all(EVENTS_EACH)?;
        self.hold_to_now()
    }

    /// What the daemon holds now is what it has to come back to.
    pub(crate) fn hold_to_now(&mut self) -> anyhow::Result<()> {
        self.before = Some((self.life()?, self.holdings()?));
        Ok(())
    }

    /// Which process of the daemon it is, counted from one.
    fn life(&mut self) -> anyhow::Result<usize> {
        Ok(self.site()?.ledger.read(|said| said.lives.len()))
    }

    /// Starts the daemon (again) and waits until all cameras are live.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let patience = self.patience();
        self.excuse(None);
        let site = self.site()?;
        let begun = SystemClock.mono();
        site.start()?;
        for number in 0..site.cameras.len() {
            until_live(site, number, begun, patience)?;
        }
        self.well(None);
        Ok(())
    }

    /// From now on nobody need be recognised there.
    pub(crate) fn excuse(&mut self, camera: Option<usize>) {
        self.excuses.push(Excuse { camera, from: SystemClock.wall(), to: None });
    }

    /// From now on they are again.
    pub(crate) fn well(&mut self, camera: Option<usize>) {
        let now = SystemClock.wall() + GRACE;
        let open = self.excuses.iter_mut().filter(|excuse| excuse.camera == camera && excuse.to.is_none());
        open.for_each(|excuse| excuse.to = Some(now));
    }

    /// Waits for so many more accepted events of each camera.
    pub(crate) fn until_events_of_all(&mut self, more: usize) -> anyhow::Result<()> {
        let patience = self.patience();
        let site = self.site()?;
        let names: Vec<_> = (0..site.cameras.len()).map(camera_name).collect();
        let counts = |said: &Said| -> Vec<usize> {
            names.iter().map(|name| said.by_camera.get(name).copied().unwrap_or_default()).collect()
        };
        let before = site.ledger.read(counts);
        site.ledger.wait("events of every camera", patience, |said| {
            counts(said).iter().zip(&before).all(|(now, before)| *now >= before + more).then_some(())
        })
    }

    /// Waits until somebody has come and gone, from now on, whom nothing excuses.
    fn until_somebody_counts(&mut self) -> anyhow::Result<()> {
        let clock = SystemClock;
        let (begun, since) = (clock.mono(), clock.wall());
        loop {
            let visits = self.site()?.witness.visits();
            if visits.iter().any(|visit| visit.from >= since && must_be_seen(visit, &self.excuses)) {
                return Ok(());
            }
            if clock.mono().since(begun) > self.patience() {
                bail!("nobody came who had to be seen");
            }
            self.pass(Duration::from_millis(100))?;
        }
    }

    /// Lets a fault last while so many events are accepted all the same.
    pub(crate) fn hold(&mut self, events: usize) -> anyhow::Result<()> {
        let (patience, hold) = (self.patience(), self.matrix.options.hold);
        let site = self.site()?;
        let before = site.ledger.read(Said::accepted);
        site.ledger.pass(hold);
        site.ledger.wait("events while it lasts", patience, |said| (said.accepted() >= before + events).then_some(()))
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) -> anyhow::Result<()> {
        self.site()?.ledger.pass(time);
        Ok(())
    }

    /// Waits until a camera that was mended at `since` is live, and holds it to the time.
    pub(crate) fn back(&mut self, camera: usize, since: MonoTime) -> anyhow::Result<()> {
        let patience = self.patience();
        let live = until_live(self.site()?, camera, since, patience)?;
        self.back_at(camera, since, live);
        Ok(())
    }

    /// A camera that was mended at `since` gave pictures again at `at`: holds it to the time.
    pub(crate) fn back_at(&mut self, camera: usize, since: MonoTime, at: MonoTime) {
        self.well(Some(camera));
        let took = at.since(since);
        if took > BACK_WITHIN {
            let what = format!("{} was live {:.1} s after it was back", camera_name(camera), took.as_secs_f64());
            self.tell(Promise::BackInTime, what);
        }
        self.slowest_back = self.slowest_back.max(Some(took));
        self.checked.insert(Promise::BackInTime);
    }

    /// A promise was broken.
    pub(crate) fn tell(&mut self, promise: Promise, what: String) {
        self.broken.push(Broken { promise, what });
    }

    /// A figure for the report.
    pub(crate) fn fact(&mut self, name: &str, value: impl ToString) {
        self.facts.push((name.to_owned(), value.to_string()));
    }

    /// Waits for a message of this life, each time for another one.
    pub(crate) fn until_said(&mut self, message: &str) -> anyhow::Result<()> {
        let patience = self.patience();
        self.site()?.ledger.wait(message, patience, |said| {
            let at = said.messages.iter().position(|m| m.starts_with(message))?;
            said.messages.swap_remove(at);
            Some(())
        })
    }

    /// A metric of the daemon, if it has it by now: a counter with labels is there from its first count on.
    fn look_up(&mut self, name: &str) -> anyhow::Result<Option<f64>> {
        let address = self.site()?.ledger.read(|said| said.address.clone());
        metric(&address.unwrap_or_default(), name)
    }

    /// A metric of the daemon.
    pub(crate) fn metric(&mut self, name: &str) -> anyhow::Result<f64> {
        self.look_up(name)?.with_context(|| format!("there is no {name}"))
    }

    /// Waits until a metric is there and as wished.
    pub(crate) fn until_metric(&mut self, name: &str, wished: impl Fn(f64) -> bool) -> anyhow::Result<f64> {
        let clock = SystemClock;
        let begun = clock.mono();
        loop {
            let value = self.look_up(name)?;
            if let Some(value) = value.filter(|value| wished(*value)) {
                return Ok(value);
            }
            if clock.mono().since(begun) > self.patience() {
                let last = value.map_or("absent".to_owned(), |value| value.to_string());
                bail!("{name} stays {last}");
            }
            self.pass(Duration::from_millis(100))?;
        }
    }

    /// Kills the daemon, as a lost power supply would.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.excuse(None);
        match self.site()?.daemon.take() {
            Some(daemon) => daemon.killed(),
            None => bail!("there is no daemon to kill"),
        }
    }

    /// Ends the daemon in an orderly way.
    pub(crate) fn terminate(&mut self) -> anyhow::Result<()> {
        self.excuse(None);
        let patience = self.patience();
        let Some(daemon) = self.site()?.daemon.take() else { return Ok(()) };
        daemon.signal(Signal::SIGTERM)?;
        let status = daemon.ended(patience)?;
        if !status.success() {
            self.tell(Promise::Behaves, format!("after SIGTERM it ended with {status}"));
        }
        Ok(())
    }

    /// The camera shows the other film from now on.
    pub(crate) fn switch_film(&mut self, camera: usize, other: bool) -> anyhow::Result<()> {
        let film = if other { &self.matrix.other } else { &self.matrix.film };
        let site = self.site()?;
        site.cameras[camera].switch(film.clip.clone());
        site.witness.switched(camera, film);
        Ok(())
    }

    /// The median of some looks: pictures come and go.
    pub(crate) fn holdings(&mut self) -> anyhow::Result<Holdings> {
        let mut looks = Vec::new();
        for _ in 0..LOOKS {
            self.pass(Duration::from_millis(200))?;
            looks.push(holdings(self.site()?.daemon()?.pid())?);
        }
        looks.sort_by(|a, b| a.resident_mb.total_cmp(&b.resident_mb));
        Ok(looks[LOOKS / 2])
    }

    /// All is well again: more events come, nothing waits, and what the daemon holds is what it held, if it is the same one.
    fn settle(&mut self) -> anyhow::Result<()> {
        self.until_events_of_all(EVENTS_EACH)?;
        self.until_metric("rollcall_spool_depth", |depth| depth == 0.0)?;
        self.until_somebody_counts()?;
        let after = self.holdings()?;
        let life = self.life()?;
        // A new process holds nothing of what the one before it may have leaked, and a camera that comes later costs what it
        // costs: neither says anything about the promise.
        let before = match self.before {
            Some((of, before)) if of == life => before,
            other => {
                let why = if other.is_some() { "another process" } else { "without all cameras at first" };
                self.fact("memory MB", format!("{:.0} ({why})", after.resident_mb));
                return Ok(());
            }
        };
        self.checked.insert(Promise::HoldingsBack);
        self.fact("memory MB", format!("{:.0} → {:.0}", before.resident_mb, after.resident_mb));
        self.fact("threads", format!("{} → {}", before.threads, after.threads));
        let held = |h: Holdings| h.files + h.sockets + h.local;
        self.fact("files", format!("{} → {}", held(before), held(after)));
        if after.resident_mb > before.resident_mb + MORE_MEMORY_MB
            || after.threads > before.threads + MORE_THREADS
            || held(after) > held(before) + MORE_FILES
        {
            self.tell(Promise::HoldingsBack, format!("before {before:?}, after {after:?}"));
        }
        Ok(())
    }

    /// Ends everything and compares.
    fn finish(&mut self) -> anyhow::Result<()> {
        self.settle()?;
        self.terminate()?;
        if let Some(slowest) = self.slowest_back {
            self.fact("back after s", format!("{:.1}", slowest.as_secs_f64()));
        }
        let site = self.site()?;
        let rows = site.rows()?;
        let visits = site.witness.visits();
        let (lives, errors) = site.ledger.read(|said| {
            let errors: Vec<_> = said.complaints.iter().filter(|c| c.error).map(|c| c.text.clone()).collect();
            (said.lives.clone(), errors)
        });
        let case = Case {
            lives: &lives,
            rows: &rows,
            visits: &visits,
            excuses: &self.excuses,
            offsets: &self.offsets,
            destroyed: self.destroyed,
        };
        let broken = case.broken();
        let accepted: usize = lives.iter().map(|life| life.accepted.len()).sum();
        let counted = case.visits_that_count();
        if accepted == 0 {
            self.tell(Promise::NothingLost, "there was no event to lose".to_owned());
        }
        self.broken.extend(broken);
        self.checked.extend([
            Promise::NothingLost,
            Promise::NoDuplicate,
            Promise::OrderKept,
            Promise::RightPeople,
            Promise::Behaves,
        ]);
        self.fact("events", format!("{accepted} accepted, {} rows", rows.sightings.len()));
        self.fact("visits", format!("{} shown, {counted} had to be seen", visits.len()));
        let unexpected = |text: &&String| !self.expected_errors.iter().any(|expected| text.contains(expected));
        let unexpected: Vec<_> = errors.iter().filter(unexpected).cloned().collect();
        for text in unexpected {
            self.tell(Promise::Behaves, format!("an error in the log: {text}"));
        }
        Ok(())
    }

    /// Keeps the log of a failure.
    fn keep_log(&self, name: &str) {
        let Some(site) = self.site.as_ref().filter(|_| !self.broken.is_empty()) else { return };
        let kept = std::fs::create_dir_all(&self.matrix.options.keep)
            .and_then(|()| std::fs::copy(site.log(), self.matrix.options.keep.join(format!("{name}.log"))));
        if let Err(error) = kept {
            eprintln!("the log of {name} is not kept: {error}");
        }
    }
}

fn until_live(site: &Site, camera: usize, since: MonoTime, patience: Duration) -> anyhow::Result<MonoTime> {
    let name = camera_name(camera);
    site.ledger.wait(&format!("{name} live"), patience, |said| {
        let words = said.cameras.iter().filter(|word| word.camera == name && word.at >= since);
        let mut live = words.filter(|word| word.what == "live");
        live.next().map(|word| word.at)
    })
}
