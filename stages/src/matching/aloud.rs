//! Tells what was decided: in metrics, and in one line of the log with the reasons. It deliberately knows no names.

use rollcall_pipeline::ports::Judge;
use rollcall_pipeline::{AttendanceEvent, CameraId, Decision, metrics};

/// Says what another judge makes of each decision, under the name of its camera.
pub struct Aloud<J>(pub J);

impl<J: Judge> Judge for Aloud<J> {
    fn judge(&mut self, decision: Decision) -> AttendanceEvent {
        let event = self.0.judge(decision);
        say(&event.decision.key.camera, &event);
        event
    }

    fn waits_when_small(&self) -> bool {
        self.0.waits_when_small()
    }
}

/// Counts an event under the name of a camera, and logs one line with the reasons: ids and figures, no name, no face.
pub fn say(camera: &CameraId, event: &AttendanceEvent) {
    metrics::record_event(camera, event);
    let decision = &event.decision;
    let (mark, repeats) = (event.mark.as_ref(), event.repeats.as_ref());
    let session = mark.map(|mark| mark.session.id).or(repeats.map(|repeats| repeats.session));
    let similarity = |rank: usize| decision.candidates.get(rank).map(|c| c.similarity);
    tracing::info!(
        %camera,
        room = %decision.tuning.room,
        epoch = %decision.key.epoch,
        track = decision.track.0,
        event = %event.id,
        kind = event.kind.as_str(),
        person = event.person().map(tracing::field::display),
        session = session.map(tracing::field::display),
        status = mark.map(|mark| mark.status.as_str()),
        repeats = repeats.map(|repeats| tracing::field::display(repeats.event)),
        repeats_by = repeats.map(|repeats| repeats.rule.as_str()),
        best = similarity(0),
        needed = decision.grounds.needed,
        runner_up = similarity(1),
        shots = decision.shots,
        agreeing = decision.grounds.agreeing,
        unnamed_because = decision.grounds.lacks.map(|lack| lack.as_str()),
        liveness = decision.liveness.as_str(),
        live_score = decision.liveness.score(),
        undecided_because = decision.liveness.undecided().map(|reason| reason.as_str()),
        media_ms = decision.decided.media.as_millis(),
        usable_for_ms = decision.decided.media.since(decision.first_usable.media).as_millis() as u64,
        seen_for_ms = decision.decided.media.since(decision.first_seen.media).as_millis() as u64,
        gallery = decision.gallery.0,
        "decided"
    );
}
