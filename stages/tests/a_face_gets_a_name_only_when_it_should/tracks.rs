//! Whose a track is that broke off, or went over to somebody else.

use rollcall_pipeline::{Embedding, MatchOutcome, TrackId};

use crate::kit::{ADA, BOB, Door, NEAR, SMALL, Seen, View, embedding, face, names, somebody_else};

#[test]
fn a_track_that_broke_is_joined_by_appearance_and_stays_one_person() {
    let mut door = Door::new();
    door.shot(1, face(0.9, 0.0));
    door.shot(1, face(0.9, 0.0));
    door.lose(1);
    assert!(door.shot(2, face(0.9, 0.1)).is_empty(), "the same person, named already");
    assert!(door.shot(3, somebody_else()).is_empty());
    assert_eq!(*door.watched.0.lock().unwrap(), ["2 from 0 is 1"]);
    let said = door.close();
    assert_eq!(said.iter().map(|d| (d.track, d.outcome)).collect::<Vec<_>>(), [(TrackId(3), MatchOutcome::Unknown)]);
}

#[test]
fn what_stands_out_takes_less_likeness_to_join() {
    let is_joined = |beside: f32| {
        let mut door = Door::new();
        door.see(Seen { track: 1, face: embedding(vec![0.0, 0.0, 1.0, 0.0]), live: None, x: 0.0 });
        door.see(Seen { track: 2, face: embedding(vec![0.0, 0.0, 0.0, 1.0]), live: None, x: 900.0 });
        door.lose(1);
        let rest = (1.0 - 0.3 * 0.3 - beside * beside).sqrt();
        door.see(Seen { track: 3, face: embedding(vec![rest, 0.0, 0.3, beside]), live: None, x: 0.0 });
        !door.watched.0.lock().unwrap().is_empty()
    };
    assert_eq!((is_joined(0.0), is_joined(0.25)), (true, false), "0.3 like who left, and so much like who stays");
}

/// Whether a track is joined to one that broke off so many pixels away and so long before, to which it is so similar.
fn is_joined(similarity: f32, x: f32, after_ms: u64) -> bool {
    let mut door = Door::new();
    door.see(Seen { track: 1, face: embedding(vec![0.0, 0.0, 1.0, 0.0]), live: None, x: 0.0 });
    door.lose(1);
    door.now_ms += after_ms;
    let other = (1.0 - similarity * similarity).sqrt();
    door.see(Seen { track: 2, face: embedding(vec![0.0, 0.0, similarity, other]), live: None, x });
    !door.watched.0.lock().unwrap().is_empty()
}

#[test]
fn far_away_it_takes_more_likeness_to_join() {
    assert_eq!((is_joined(0.47, 60.0, 0), is_joined(0.47, 2000.0, 0)), (true, false));
}

#[test]
fn the_longer_ago_a_track_broke_off_the_more_likeness_it_takes_to_join() {
    assert_eq!((is_joined(0.42, 0.0, 0), is_joined(0.42, 0.0, 2000)), (true, false));
}

#[test]
fn a_face_of_half_the_size_takes_more_likeness_to_join() {
    let is_joined = |first: View, second: View| {
        let mut door = Door::new();
        let (somebody, alike) = (embedding(vec![0.0, 0.0, 1.0, 0.0]), embedding(vec![0.0, 0.0, 0.47, 0.88]));
        door.see_as(first, Seen { track: 1, face: somebody, live: None, x: 0.0 });
        door.lose(1);
        door.see_as(second, Seen { track: 2, face: alike, live: None, x: 0.0 });
        !door.watched.0.lock().unwrap().is_empty()
    };
    assert_eq!((is_joined(NEAR, NEAR), is_joined(SMALL, NEAR), is_joined(NEAR, SMALL)), (true, true, false));
}

#[test]
fn poor_views_that_are_like_nobody_are_joined_once_they_say_it_together() {
    let mut door = Door::new();
    // The two poor views are 0.25 like the first, and together 0.29; the noise of each points elsewhere.
    door.see(Seen { track: 1, face: embedding(vec![0.0, 0.0, 1.0, 0.0]), live: None, x: 0.0 });
    door.lose(1);
    door.see(Seen { track: 2, face: embedding(vec![0.5, 0.0, 0.25, 0.83]), live: None, x: 0.0 });
    door.lose(2);
    assert!(door.watched.0.lock().unwrap().is_empty());
    door.see(Seen { track: 3, face: embedding(vec![-0.5, 0.0, 0.25, 0.83]), live: None, x: 0.0 });
    assert_eq!(*door.watched.0.lock().unwrap(), ["3 from 0 is 2", "2 from 0 is 1", "3 from 0 is 1"]);
    assert_eq!(door.close().iter().map(|d| d.track).collect::<Vec<_>>(), [TrackId(1)]);
}

#[test]
fn a_part_of_which_something_is_cut_off_is_not_joined_with_all_of_its_motion_track() {
    let mut door = Door::new();
    door.see(Seen { track: 1, face: embedding(vec![0.0, 0.0, 1.0, 0.0]), live: None, x: 0.0 });
    door.lose(1);
    door.shot(2, embedding(vec![0.5, 0.0, 0.25, 0.83]));
    door.shot(2, face(0.0, 1.0));
    let cut_at = door.now_ms / 40;
    door.shot(3, embedding(vec![-0.5, 0.0, 0.25, 0.83]));
    let told = door.watched.0.lock().unwrap().clone();
    assert_eq!(told, [format!("2 from {cut_at} is {}", 2u64 | 1 << 32), "3 from 0 is 2".to_owned()]);
}

#[test]
fn whoever_follows_on_the_heels_of_somebody_named_does_not_go_by_their_name() {
    let behind_ada = |face_of_other: Embedding| {
        let mut door = Door::new();
        door.shot(1, face(0.9, 0.0));
        assert_eq!(names(&door.shot(1, face(0.9, 0.0))), [Some(ADA)]);
        door.lose(1);
        let mut said = door.shot(2, face_of_other.clone());
        said.extend(door.shot(2, face_of_other));
        (door.watched.0.lock().unwrap().len(), names(&said))
    };
    let like_both_and_more_like_bob = embedding(vec![0.45, 0.8, 0.39, 0.0]);
    assert_eq!(behind_ada(like_both_and_more_like_bob), (0, vec![Some(BOB)]), "0.58 like Ada's track, 0.8 like Bob");
    let a_little_like_ada = embedding(vec![0.0, 0.0, 0.9, 0.44]);
    assert_eq!(behind_ada(a_little_like_ada), (0, vec![]), "0.39 like Ada's track");
}

#[test]
fn a_name_does_not_go_along_when_a_track_goes_over_to_somebody_else() {
    let mut door = Door::new();
    door.shot(1, face(0.9, 0.0));
    assert_eq!(names(&door.shot(1, face(0.9, 0.0))), [Some(ADA)]);
    door.shot(1, somebody_else());
    door.shot(1, somebody_else());
    assert_eq!(door.watched.0.lock().unwrap().len(), 1, "the track was cut");
    let said = door.close();
    assert_eq!(said.iter().map(|d| d.outcome).collect::<Vec<_>>(), [MatchOutcome::Unknown]);
    assert_ne!(said[0].track, TrackId(1));
}

#[test]
fn what_is_cut_off_takes_its_own_rows_along_and_no_others() {
    let mut door = Door::new();
    door.shot(2, somebody_else());
    door.shot(2, somebody_else());
    door.lose(2);
    door.shot(1, face(0.9, 0.0));
    door.shot(1, face(0.9, 0.0));
    door.shot(1, somebody_else());
    let cut_at = door.now_ms / 40;
    let told = door.watched.0.lock().unwrap().clone();
    assert_eq!(told.last(), Some(&format!("1 from {cut_at} is 2")));
}
