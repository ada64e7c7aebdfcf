//! What travels on the edges of the lane.

use crate::ids::StreamKey;

/// An item, or a marker of a stream's start or end.
///
/// Markers are never dropped and never reordered: behind `Open(k)` come the items of `k`, behind them exactly one
/// `Close(k, _)`, and then nothing more of `k`, because an epoch is never used twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<T> {
    /// A stream begins: stages make what they keep for it.
    Open(StreamKey),
    /// An item.
    Data(T),
    /// A stream is over: stages flush and free what they keep for it.
    Close(StreamKey, CloseReason),
}

/// Why a stream ended. For stages all are the same; what went wrong with a camera is the camera's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// A recording came to its end.
    Ended,
    /// The connection was lost.
    Lost,
    /// The camera was removed or changed, or the daemon stops.
    Stopped,
    /// The camera's thread panicked.
    Panicked,
    /// The lane was restarted; the camera goes on in a new epoch.
    Restarted,
}
