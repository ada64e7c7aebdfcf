//! What the `match` stage says of shots: when it names, when it waits, when it leaves it to a human.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod kit;
mod life;
mod names;
mod tracks;
