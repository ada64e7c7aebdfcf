//! Whom it names, and when.

use std::sync::Arc;

use rollcall_pipeline::{Decision, Embedding, Lack, LivenessVerdict, MatchOutcome, PersonId};
use rollcall_stages::matching::LivenessSettings;

use crate::kit::{ADA, BOB, Door, SMALL, Seen, View, clock_ms, face, names, somebody_else};

#[test]
fn two_shots_name_only_when_they_are_overwhelming() {
    let mut door = Door::new();
    assert!(door.shot(1, face(0.9, 0.0)).is_empty(), "one shot never names");
    assert_eq!(names(&door.shot(1, face(0.9, 0.0))), [Some(ADA)]);

    let mut door = Door::new();
    for shot in 1..=3 {
        assert!(door.shot(1, face(0.56, 0.0)).is_empty(), "shot {shot}");
    }
    let named: Vec<_> = (0..10).flat_map(|_| names(&door.shot(1, face(0.56, 0.0)))).collect();
    assert_eq!(named, [Some(ADA)], "many good shots name, once");
}

#[test]
fn a_few_sharp_views_outweigh_many_blurred_ones() {
    let mut door = Door::new();
    let mut see = |sharpness, like_ada| {
        let seen = Seen { track: 1, face: face(like_ada, 0.0), live: None, x: 0.0 };
        names(&door.see_as(View { sharpness, ..SMALL }, seen))
    };
    assert!((0..4).all(|_| see(0.02, 0.2).is_empty()));
    let named: Vec<_> = (0..3).flat_map(|_| see(0.4, 0.75)).collect();
    assert_eq!(named, [Some(ADA)]);
}

#[test]
fn a_look_alike_and_a_thin_margin_go_to_review_with_the_right_candidate_first() {
    for (shown, lacks) in [(face(0.45, 0.0), Lack::Similarity), (face(0.70, 0.66), Lack::Margin)] {
        let mut door = Door::new();
        for _ in 0..20 {
            assert!(door.shot(1, shown.clone()).is_empty());
        }
        door.lose(1);
        let said = door.wait(5000);
        assert_eq!(said.len(), 1);
        assert_eq!((said[0].outcome, said[0].candidates[0].person), (MatchOutcome::Ambiguous, ADA));
        assert_eq!(said[0].grounds.lacks, Some(lacks));
    }
}

#[test]
fn a_decision_says_what_it_rests_on() {
    let check = |said: Vec<Decision>, needed: f32, agreeing: u32, lacks: Option<Lack>| {
        let grounds = said[0].grounds;
        assert!((grounds.needed - needed).abs() < 1e-6, "{grounds:?}");
        assert_eq!((grounds.agreeing, grounds.lacks), (agreeing, lacks));
    };
    let mut door = Door::new();
    door.shot(1, face(0.9, 0.0));
    check(door.shot(1, face(0.9, 0.0)), 0.62, 2, None);

    let mut door = Door::new();
    door.shot(1, face(0.9, 0.0));
    check(door.close(), 0.62, 1, Some(Lack::Agreement));

    let mut door = Door::new();
    (0..3).for_each(|_| drop(door.shot(1, face(0.1, 0.0))));
    check(door.close(), 0.52, 3, Some(Lack::Similarity));
}

#[test]
fn a_stranger_is_unknown_once_they_cannot_come_back() {
    let mut door = Door::new();
    door.shot(1, somebody_else());
    door.shot(1, somebody_else());
    door.lose(1);
    assert!(door.wait(1000).is_empty(), "they may come back");
    assert_eq!(door.wait(5000).iter().map(|d| d.outcome).collect::<Vec<_>>(), [MatchOutcome::Unknown]);
    assert!(door.close().is_empty(), "said once");
}

#[test]
fn nobody_is_named_by_a_picture_that_shows_somebody_else() {
    let mut door = Door::with(None, LivenessSettings::default());
    let crossing = |face| Seen { track: 1, face, live: Some(0.9), x: 0.0 };
    assert!(door.see(crossing(face(0.9, 0.0))).is_empty());
    assert!(door.see(crossing(face(0.9, 0.0))).is_empty(), "liveness is not told yet");
    assert!(door.see(crossing(face(0.0, 0.6))).is_empty(), "whoever it is, they are not in this picture");
    assert_eq!(names(&door.see(crossing(face(0.9, 0.0)))), [Some(ADA)]);
}

#[test]
fn the_clock_starts_with_the_first_usable_face_and_poor_ones_still_count() {
    let shown = || Seen { track: 1, face: face(0.57, 0.0), live: None, x: 0.0 };
    let poor = [View { eye_distance_px: 12.0, ..SMALL }, View { sharpness: 0.05, ..SMALL }];
    let mut door = Door::new();
    assert!(poor.iter().all(|&view| door.see_as(view, shown()).is_empty()));
    let named: Vec<_> = (0..3).flat_map(|_| door.see_as(SMALL, shown())).collect();
    assert_eq!((named.len(), named[0].shots, clock_ms(&named[0])), (1, 4, 200), "two poor ones and two usable ones");

    let mut door = Door::new();
    let named: Vec<_> = (0..9).flat_map(|_| door.see_as(poor[0], shown())).collect();
    assert_eq!((named.len(), clock_ms(&named[0])), (1, 0), "nobody had to wait for what could not be seen");
}

#[test]
fn who_stays_is_judged_again_for_the_next_session() {
    let mut door = Door::new();
    let said: Vec<_> = (0..400).flat_map(|_| door.shot(1, face(0.9, 0.0))).collect();
    assert_eq!(names(&said), [Some(ADA); 3], "80 s in view, every 30 s");
    assert_eq!(said.iter().map(clock_ms).collect::<Vec<_>>(), [200, 0, 0], "nobody waited half a minute for a name");
    assert!(door.close().is_empty());
}

#[test]
fn the_roster_comes_first_and_who_is_not_on_it_is_named_all_the_same() {
    // Ada is ahead of Bob by 0.07: too thin, unless Bob is not expected.
    let shown = face(0.70, 0.63);
    let mut anybody = Door::new();
    assert!((0..10).all(|_| anybody.shot(1, shown.clone()).is_empty()));
    let mut ada_only = Door::with(Some(Arc::new([ADA])), LivenessSettings { enabled: false, ..Default::default() });
    let said: Vec<_> = (0..10).flat_map(|_| names(&ada_only.shot(1, shown.clone()))).collect();
    assert_eq!(said, [Some(ADA)]);
    let mut bob_only = Door::with(Some(Arc::new([BOB])), LivenessSettings { enabled: false, ..Default::default() });
    let said: Vec<_> = (0..10).flat_map(|_| names(&bob_only.shot(1, face(0.9, 0.0)))).collect();
    assert_eq!(said, [Some(ADA)], "not expected, and named as such");
}

/// A nearer face and one behind it at the same time, five times in turn.
fn two_at_once(door: &mut Door, nearer: &Embedding, behind: &Embedding) -> Vec<(u64, Option<PersonId>)> {
    let mut said = Vec::new();
    for _ in 0..5 {
        for (track, face, view) in [(1, nearer, View { face_px: 60.0, ..SMALL }), (2, behind, SMALL)] {
            let seen = Seen { track, face: face.clone(), live: None, x: 400.0 * track as f32 };
            said.extend(names(&door.see_as(view, seen)).into_iter().map(|name| (track, name)));
        }
    }
    said
}

#[test]
fn a_mirror_image_has_no_name_of_its_own() {
    let mut door = Door::new();
    assert_eq!(two_at_once(&mut door, &face(0.56, 0.0), &face(0.60, 0.0)), [(1, Some(ADA))]);
    door.lose(1);
    door.lose(2);
    let said = door.wait(5000);
    assert_eq!(
        said.iter().map(|d| (d.outcome, d.grounds.lacks)).collect::<Vec<_>>(),
        [(MatchOutcome::Ambiguous, Some(Lack::Elsewhere))]
    );
}

#[test]
fn who_was_beside_a_nearer_face_is_taken_for_its_image_until_they_cannot_be() {
    let left_behind = || {
        let mut door = Door::new();
        // As like Ada as the image, and never enough for a name.
        assert_eq!(two_at_once(&mut door, &face(0.50, 0.0), &face(0.58, 0.0)), []);
        door.lose(1);
        assert_eq!(names(&door.wait(5000)), [None]);
        door
    };
    let mut door = left_behind();
    assert!((0..9).all(|_| door.shot(2, face(0.58, 0.0)).is_empty()));
    let later: Vec<_> = (0..30).flat_map(|_| names(&door.shot(2, face(0.58, 0.0)))).collect();
    assert_eq!(later, [Some(ADA)], "an image does not stay behind");

    let mut door = left_behind();
    let came = Seen { track: 2, face: face(0.58, 0.0), live: None, x: 800.0 };
    let named = names(&door.see_as(View { face_px: 61.0, ..SMALL }, came));
    assert_eq!(named, [Some(ADA)], "nearer than the other face ever was");
}

#[test]
fn a_face_without_a_shot_for_a_moment_is_in_view_all_the_same() {
    let mut door = Door::new();
    let nearer = || Seen { track: 1, face: face(0.56, 0.0), live: None, x: 400.0 };
    assert!((0..2).all(|_| door.see_as(View { face_px: 60.0, ..SMALL }, nearer()).is_empty()));
    assert!((0..4).all(|_| door.shot(2, face(0.64, 0.0)).is_empty()));
    assert_eq!(door.close().last().map(|d| d.grounds.lacks), Some(Some(Lack::Elsewhere)));
}

#[test]
fn a_picture_that_was_found_out_keeps_nobody_from_their_name() {
    let mut door = Door::with(None, LivenessSettings::default());
    let picture = || Seen { track: 1, face: face(0.7, 0.0), live: Some(0.0), x: 0.0 };
    let said: Vec<_> = (0..4).flat_map(|_| door.see(picture())).collect();
    assert!(matches!(said[0].liveness, LivenessVerdict::Spoof(_)), "{said:?}");
    let named: Vec<_> = (0..4).flat_map(|_| names(&door.shot(2, face(0.7, 0.0)))).collect();
    assert_eq!(named, [Some(ADA)]);
}

#[test]
fn a_nearer_stranger_a_little_like_somebody_does_not_take_their_name() {
    let mut door = Door::new();
    assert_eq!(two_at_once(&mut door, &face(0.45, 0.0), &face(0.70, 0.0)), [(2, Some(ADA))]);
    let mut door = Door::new();
    assert_eq!(two_at_once(&mut door, &face(0.0, 0.8), &face(0.70, 0.0)), [(1, Some(BOB)), (2, Some(ADA))]);
}

#[test]
fn who_has_a_name_keeps_it_when_somebody_nearer_who_is_like_them_comes_by() {
    let mut door = Door::new();
    let named: Vec<_> = (0..9).flat_map(|_| names(&door.shot(2, face(0.60, 0.0)))).collect();
    assert_eq!(named, [Some(ADA)]);
    assert_eq!(two_at_once(&mut door, &face(0.51, 0.0), &face(0.60, 0.0)), []);
    door.lose(1);
    assert_eq!(names(&door.wait(5000)), [None]);
    let again: Vec<_> = (0..200).flat_map(|_| names(&door.shot(2, face(0.60, 0.0)))).collect();
    assert_eq!(again, [Some(ADA)], "for the next session");
}
