//! Who attends most.

use std::cmp::Ordering;

use rollcall_pipeline::PersonId;

use crate::tally::Tally;

/// A line of the leaderboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Rank from 1. Who ties shares one, and the next rank is as far down as if nobody had tied (1, 2, 2, 4).
    pub rank: usize,
    /// Who.
    pub person: PersonId,
    /// What the rank is made of.
    pub tally: Tally,
}

/// Ranks people by attendance, then by punctuality, both compared exactly. People who tie come in the order of their ids, so
/// that the same figures make the same board. Who was expected fewer than `at_least` times, or never, is not ranked.
pub fn leaderboard(people: impl IntoIterator<Item = (PersonId, Tally)>, at_least: u64) -> Vec<Ranked> {
    let mut board: Vec<Ranked> = people
        .into_iter()
        .filter(|(_, tally)| tally.expected() >= at_least.max(1))
        .map(|(person, tally)| Ranked { rank: 0, person, tally })
        .collect();
    board.sort_by(|a, b| better(&a.tally, &b.tally).then(a.person.cmp(&b.person)));
    for i in 0..board.len() {
        let ties = i > 0 && better(&board[i - 1].tally, &board[i].tally) == Ordering::Equal;
        board[i].rank = if ties { board[i - 1].rank } else { i + 1 };
    }
    board
}

/// `Less` where `a` comes first.
fn better(a: &Tally, b: &Tally) -> Ordering {
    let share = |of: fn(&Tally) -> u64| {
        let cross = |part: &Tally, whole: &Tally| u128::from(of(part)) * u128::from(whole.expected());
        cross(b, a).cmp(&cross(a, b))
    };
    share(Tally::attended).then_with(|| share(|tally| tally.present))
}
