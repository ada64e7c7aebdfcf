//! The rules of attendance in force: configuration and people → [`Schedule`], and the register that outlives lanes and reloads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rollcall_attendance::{DecisionPolicy, MadeMark, Register, RoomPlan, Roster, Schedule, SessionPlan, SitePlan};
use rollcall_pipeline::config::{Config, ReviewOrMark};
use rollcall_pipeline::ports::{Expectations, Judge};
use rollcall_pipeline::{AttendanceEvent, Decision, Direction, EventId, Mark, PersonId, RoomId, SessionId, WallTime};
use rollcall_store::SeenAt;

/// The rules of the moment. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Rules {
    current: Arc<ArcSwap<InForce>>,
    register: Arc<Mutex<Register>>,
    names: Arc<ArcSwap<HashMap<PersonId, String>>>,
    /// Whether names may stand in the log.
    tell_names: bool,
}

/// What a reload swaps as one.
struct InForce {
    schedule: Schedule,
    policy: DecisionPolicy,
}

impl Rules {
    /// Begins with these, and with what `register` remembers.
    pub(crate) fn new(schedule: Schedule, policy: DecisionPolicy, register: Register) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(InForce { schedule, policy })),
            register: Arc::new(Mutex::new(register)),
            names: Arc::default(),
            tell_names: false,
        }
    }

    /// Lets names stand in the log, or not.
    #[must_use]
    pub(crate) fn telling_names(self, tell_names: bool) -> Self {
        Self { tell_names, ..self }
    }

    /// Other rules from the next decision on; what was marked stays marked.
    pub(crate) fn put_in_force(&self, schedule: Schedule, policy: DecisionPolicy, debounce: Duration) {
        self.register.lock().set_debounce(debounce);
        self.current.store(Arc::new(InForce { schedule, policy }));
    }

    /// Remembers marks of before the start.
    pub(crate) fn restore(&self, debounce: Duration, marks: impl IntoIterator<Item = MadeMark>) {
        let mut register = self.register.lock();
        *register = Register::restore(debounce, marks);
    }

    /// Who everybody is.
    pub(crate) fn name(&self, names: HashMap<PersonId, String>) {
        self.names.store(Arc::new(names));
    }

    /// The mark of somebody who has none yet and was first seen at `first`.
    pub(crate) fn mark_of(&self, seen: SeenAt<'_>, first: WallTime) -> Mark {
        let SeenAt { room, at, person, leaving } = seen;
        let direction = leaving.then_some(Direction::Exit);
        let occasion = self.current.load().schedule.occasion_for(&RoomId::new(room), at, person, direction);
        let status = occasion.status(person, first);
        Mark { person, session: occasion.session, status }
    }

    /// Who somebody is.
    pub(crate) fn name_of(&self, person: PersonId) -> Option<String> {
        self.names.load().get(&person).cloned()
    }

    /// The port that `match` asks for rosters.
    pub(crate) fn expectations(&self) -> Arc<dyn Expectations> {
        Arc::new(self.clone())
    }
}

impl Rules {
    /// The open cells of the decision matrix.
    pub(crate) fn policy(&self) -> DecisionPolicy {
        self.current.load().policy
    }

    /// What comes of a decision by a decision matrix of its own. Nothing is remembered of it before it is [kept](Self::keep).
    pub(crate) fn propose_by(&self, decision: Decision, policy: &DecisionPolicy) -> AttendanceEvent {
        let event = self.register.lock().propose(decision, &self.current.load().schedule, policy);
        self.log_name(&event);
        event
    }

    /// Remembers the mark of an event that was kept.
    pub(crate) fn keep(&self, event: &AttendanceEvent) {
        self.register.lock().keep(event);
    }

    /// Whether that session is on in the room then.
    pub(crate) fn is_on(&self, room: &RoomId, at: WallTime, session: SessionId) -> bool {
        self.current.load().schedule.is_on(room, at, session)
    }

    /// Takes back the mark of an event that will never be kept.
    pub(crate) fn forget(&self, person: PersonId, event: EventId) {
        self.register.lock().forget(person, event);
    }

    /// The name behind an event, where names may stand in the log. The decision itself is logged by the `match` stage, which
    /// knows no names.
    fn log_name(&self, event: &AttendanceEvent) {
        let Some(person) = event.person().filter(|_| self.tell_names) else { return };
        let names = self.names.load();
        let status = event.mark.as_ref().map(|mark| mark.status.as_str());
        tracing::info!(event = %event.id, kind = event.kind.as_str(), name = names.get(&person), status, "named");
    }
}

impl Judge for Rules {
    fn judge(&mut self, decision: Decision) -> AttendanceEvent {
        let current = self.current.load();
        let event = self.register.lock().judge(decision, &current.schedule, &current.policy);
        self.log_name(&event);
        event
    }

    fn waits_when_small(&self) -> bool {
        self.current.load().policy.identified_undecided == ReviewOrMark::Review
    }
}

impl Expectations for Rules {
    fn expected(&self, room: &RoomId, at: WallTime) -> Option<Arc<[PersonId]>> {
        self.current.load().schedule.expected(room, at)
    }
}

/// The open cells of the decision matrix as configured.
pub(crate) fn policy(config: &Config) -> DecisionPolicy {
    DecisionPolicy::from(&config.decisions)
}

/// The timetables as configured. A name on a roster that nobody is enrolled under expects nobody, and is returned.
pub(crate) fn plan(config: &Config, people: &HashMap<String, PersonId>) -> (SitePlan, Vec<String>) {
    let mut strangers = Vec::new();
    let mut roster = |names: &[String]| {
        let (known, unknown): (Vec<_>, Vec<_>) = names.iter().partition(|name| people.contains_key(*name));
        strangers.extend(unknown.into_iter().cloned());
        Roster::people(known.into_iter().map(|name| people[name]))
    };
    let mut rooms = Vec::new();
    for room in &config.rooms {
        let mut plan = RoomPlan::new(room.id.clone());
        plan.time_zone = Some(room.time_zone);
        plan.expected = room.expected.as_deref().map_or(Roster::Everybody, &mut roster);
        for session in &room.sessions {
            let days = session.days.iter().copied().collect();
            plan.sessions.push(SessionPlan {
                valid_from: session.valid_from,
                valid_to: session.valid_to,
                expected: session.expected.as_deref().map(&mut roster),
                early: session.early,
                grace: session.grace,
                leave: session.leave,
                ..SessionPlan::new(&session.name, days, session.start, session.end)
            });
        }
        rooms.push(plan);
    }
    strangers.sort_unstable();
    strangers.dedup();
    (SitePlan { time_zone: config.site.time_zone, rooms }, strangers)
}

/// A plan, checked and ready.
pub(crate) fn schedule(plan: &SitePlan) -> anyhow::Result<Schedule> {
    Schedule::new(plan).or_else(|errors| {
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        bail!("the timetables cannot be used:\n  {}", told.join("\n  "))
    })
}
