//! Whether somebody is alive, or a picture.

use rollcall_pipeline::{Decision, LivenessVerdict, UndecidedReason};
use rollcall_stages::matching::LivenessSettings;

use crate::kit::{ADA, AsDecided, BLURRED, Door, NEAR, SMALL, Seen, View, clock_ms, face, names, somebody_else};

#[test]
fn a_name_waits_for_liveness_but_not_for_ever() {
    let mut door = Door::with(None, LivenessSettings::default());
    let shown = |live| Seen { track: 1, face: face(0.9, 0.0), live: Some(live), x: 0.0 };
    assert!(door.see(shown(0.9)).is_empty());
    assert!(door.see(shown(0.9)).is_empty(), "two checks are no verdict");
    let said = door.see(shown(0.9));
    assert!(matches!((said[0].liveness, names(&said)[0]), (LivenessVerdict::Live(_), Some(ADA))));

    let mut door = Door::with(None, LivenessSettings::default());
    let poorly_lit = || Seen { track: 1, face: face(0.9, 0.0), live: None, x: 0.0 };
    let said: Vec<_> = (0..10).flat_map(|_| door.see_as(NEAR, poorly_lit())).collect();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].liveness, LivenessVerdict::Undecided(UndecidedReason::TooPoor));
    assert_eq!(clock_ms(&said[0]), 800);
}

#[test]
fn who_stays_without_a_sign_of_life_is_left_for_review_once() {
    let mut door = Door::with(None, LivenessSettings::default());
    let shown = || Seen { track: 1, face: face(0.9, 0.0), live: Some(0.5), x: 0.0 };
    let said: Vec<_> = (0..400).flat_map(|_| door.see(shown())).collect();
    assert_eq!(said.len(), 1, "80 s in view");
    assert_eq!(said[0].liveness, LivenessVerdict::Undecided(UndecidedReason::Unclear));
    assert!(door.close().is_empty());
}

#[test]
fn a_small_face_waits_for_a_check_only_where_one_can_still_come() {
    let decided_after = |face_px, waits_when_small| {
        let mut door = Door::judged_by(AsDecided { waits_when_small }, None, LivenessSettings::default());
        let far = View { face_px, ..SMALL };
        let shown = || Seen { track: 1, face: face(0.9, 0.0), live: None, x: 0.0 };
        let said: Vec<_> = (0..10).flat_map(|_| door.see_as(far, shown())).collect();
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].liveness, LivenessVerdict::Undecided(UndecidedReason::TooSmall));
        clock_ms(&said[0])
    };
    assert_eq!(decided_after(50.0, false), 200, "the second shot names");
    assert_eq!(decided_after(70.0, false), 800, "who walks may come near in that time");
    assert_eq!(decided_after(50.0, true), 800, "being decided without is no better than being decided late");
}

#[test]
fn a_picture_is_a_spoof_and_one_that_is_found_out_late_corrects_the_name() {
    let mut door = Door::with(None, LivenessSettings::default());
    let said: Vec<_> =
        (0..6).flat_map(|_| door.see(Seen { track: 1, face: face(0.9, 0.0), live: Some(0.01), x: 0.0 })).collect();
    assert_eq!(said.len(), 1);
    assert!(matches!(said[0].liveness, LivenessVerdict::Spoof(_)));

    let mut door = Door::with(None, LivenessSettings::default());
    let small: Vec<_> = (0..10).flat_map(|_| door.shot(1, face(0.9, 0.0))).collect();
    let near: Vec<_> =
        (0..5).flat_map(|_| door.see(Seen { track: 1, face: face(0.9, 0.0), live: Some(0.01), x: 0.0 })).collect();
    assert_eq!((small.len(), near.len()), (1, 1));
    assert!(matches!(near[0].liveness, LivenessVerdict::Spoof(_)));
}

#[test]
fn who_is_blurred_is_neither_called_a_picture_nor_alive_until_a_sharp_view_tells() {
    let shown = |live| Seen { track: 1, face: face(0.9, 0.0), live: Some(live), x: 0.0 };
    let mut door = Door::with(None, LivenessSettings::default());
    let blurred: Vec<_> = (0..20).flat_map(|_| door.see_as(BLURRED, shown(0.01))).collect();
    assert_eq!(names(&blurred), [Some(ADA)]);
    assert_eq!(blurred[0].liveness, LivenessVerdict::Undecided(UndecidedReason::Unclear));
    assert_eq!(clock_ms(&blurred[0]), 1600, "twice what a name waits: it might have become a picture");
    let sharp: Vec<_> = (0..3).flat_map(|_| door.see_as(NEAR, shown(0.2))).collect();
    assert!(matches!(sharp[..], [Decision { liveness: LivenessVerdict::Spoof(_), .. }]), "{sharp:?}");

    // Somebody who looks like a picture while they are blurred is alive once three sharp views say so.
    let mut door = Door::with(None, LivenessSettings::default());
    let blurred: Vec<_> = (0..9).flat_map(|_| door.see_as(BLURRED, shown(0.01))).collect();
    assert_eq!(blurred.len(), 1);
    let said: Vec<_> = (0..3).flat_map(|_| door.see_as(NEAR, shown(0.9))).collect();
    assert!(matches!(said[..], [Decision { liveness: LivenessVerdict::Live(_), .. }]), "{said:?}");

    // A picture that looks alive while it is blurred is a picture once three sharp views say so.
    let mut door = Door::with(None, LivenessSettings::default());
    door.see_as(BLURRED, shown(1.0));
    let said: Vec<_> = (0..6).flat_map(|_| door.see_as(NEAR, shown(0.1))).collect();
    assert!(matches!(said[..], [Decision { liveness: LivenessVerdict::Spoof(_), .. }]), "{said:?}");
}

#[test]
fn a_blurred_view_that_looks_alive_does_not_hide_a_picture() {
    let shown = |live| Seen { track: 1, face: face(0.9, 0.0), live: Some(live), x: 0.0 };
    let mut door = Door::with(None, LivenessSettings::default());
    let mut said: Vec<_> = (0..2).flat_map(|_| door.see_as(BLURRED, shown(1.0))).collect();
    said.extend((0..3).flat_map(|_| door.see_as(NEAR, shown(0.01))).collect::<Vec<_>>());
    assert!(matches!(said[..], [Decision { liveness: LivenessVerdict::Spoof(_), .. }]), "{said:?}");
    assert_eq!(clock_ms(&said[0]), 800, "with the third sharp view, though a name waits less");

    // Two sharp views are too few to call it a picture, and enough not to call it alive.
    let mut door = Door::with(None, LivenessSettings::default());
    let mut said: Vec<_> = (0..6).flat_map(|_| door.see_as(BLURRED, shown(0.5))).collect();
    said.extend((0..2).flat_map(|_| door.see_as(NEAR, shown(0.01))).collect::<Vec<_>>());
    said.extend(door.close());
    let unclear = LivenessVerdict::Undecided(UndecidedReason::Unclear);
    assert!(!said.is_empty() && said.iter().all(|decision| decision.liveness == unclear), "{said:?}");
}

#[test]
fn one_bad_check_of_a_living_face_accuses_nobody() {
    let mut door = Door::with(None, LivenessSettings::default());
    door.see(Seen { track: 1, face: somebody_else(), live: Some(0.02), x: 0.0 });
    let said = door.close();
    assert_eq!(said[0].liveness, LivenessVerdict::Undecided(UndecidedReason::Unclear));
}

#[test]
fn who_could_not_be_told_alive_in_time_is_judged_again_when_they_can() {
    let mut door = Door::with(None, LivenessSettings::default());
    let shown = |live| Seen { track: 1, face: face(0.9, 0.0), live: Some(live), x: 0.0 };
    let unclear: Vec<_> = (0..10).flat_map(|_| door.see(shown(0.5))).collect();
    assert_eq!(unclear.len(), 1);
    assert_eq!(unclear[0].liveness, LivenessVerdict::Undecided(UndecidedReason::Unclear));
    let clear: Vec<_> = (0..30).flat_map(|_| door.see(shown(0.99))).collect();
    assert_eq!(clear.len(), 1, "once");
    assert!(matches!(clear[0].liveness, LivenessVerdict::Live(_)));
}

#[test]
fn a_blink_is_waited_for_as_long_as_people_take() {
    let settings = LivenessSettings { blink_required: true, ..LivenessSettings::default() };
    let mut door = Door::with(None, settings);
    let shown = |_| Seen { track: 1, face: face(0.9, 0.0), live: Some(0.99), x: 0.0 };
    let said: Vec<_> = (0..40).flat_map(|i| door.see(shown(i))).collect();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].liveness, LivenessVerdict::Undecided(UndecidedReason::NoBlink));
    assert_eq!(said[0].decided.media.as_millis() - said[0].first_usable.media.as_millis(), 6000);
}

#[test]
fn a_blink_after_the_last_shot_counts() {
    let settings = LivenessSettings { blink_required: true, ..LivenessSettings::default() };
    let shown = |_| Seen { track: 1, face: face(0.9, 0.0), live: Some(0.99), x: 0.0 };
    let verdict = |shots, blinked| {
        let mut door = Door::with(None, settings);
        let mut said: Vec<_> = (0..shots).flat_map(|i| door.see(shown(i))).collect();
        said.extend(door.end(1, blinked));
        said.extend(door.close());
        said.into_iter().map(|decision| decision.liveness).collect::<Vec<_>>()
    };
    let none = LivenessVerdict::Undecided(UndecidedReason::NoBlink);
    assert_eq!(verdict(8, false), [none]);
    let blinked = verdict(8, true);
    assert!(matches!(blinked[..], [LivenessVerdict::Live(_)]), "{blinked:?}");
    let late = verdict(40, true);
    assert!(late[0] == none && matches!(late[1..], [LivenessVerdict::Live(_)]), "waited for too short: {late:?}");
}

#[test]
fn a_living_person_does_not_vouch_for_a_picture_of_somebody_else() {
    let mut door = Door::with(None, LivenessSettings::default());
    let bob = |live| Seen { track: 1, face: face(0.3, 0.5), live: Some(live), x: 0.0 };
    let ada = |live| Seen { track: 1, face: face(0.98, 0.1), live: Some(live), x: 0.0 };
    let before: Vec<_> = (0..4).flat_map(|_| door.see(bob(0.99))).collect();
    assert!(before.is_empty());
    let after: Vec<_> = (0..12).flat_map(|_| door.see(ada(0.01))).collect();
    assert!(names(&after).contains(&Some(ADA)));
    assert!(after.iter().all(|d| !matches!(d.liveness, LivenessVerdict::Live(_))), "{after:?}");
    assert!(after.last().is_some_and(|d| matches!(d.liveness, LivenessVerdict::Spoof(_))), "{after:?}");
}

#[test]
fn who_blinks_does_not_vouch_for_a_picture_that_they_lift() {
    let settings = LivenessSettings { blink_required: true, ..LivenessSettings::default() };
    let (bob, ada) = (|| face(0.3, 0.5), || face(0.98, 0.1));
    let alive = |said: &[Decision]| said.iter().any(|d| matches!(d.liveness, LivenessVerdict::Live(_)));
    // Told by a shot of Bob, or by the first of the picture: it is his blink either way.
    for blinks in [[false, true, false], [false, false, true]] {
        let mut door = Door::with(None, settings);
        door.see_alive(bob(), blinks[0]);
        door.see_alive(bob(), blinks[1]);
        let mut said = door.see_alive(ada(), blinks[2]);
        said.extend((0..40).flat_map(|_| door.see_alive(ada(), false)));
        assert!(names(&said).contains(&Some(ADA)) && !alive(&said), "{said:?}");
    }
    // Her own counts.
    let mut door = Door::with(None, settings);
    (0..2).for_each(|_| drop(door.see_alive(bob(), true)));
    let said: Vec<_> = (0..40).flat_map(|n| door.see_alive(ada(), n == 20)).collect();
    assert!(alive(&said), "{said:?}");
}
