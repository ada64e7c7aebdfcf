//! When people came, counted in minutes from the start.

/// Counts of arrivals in fixed buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Arrivals {
    counts: [u64; Self::EDGES.len() + 1],
}

impl Arrivals {
    /// The buckets' edges in minutes from the start. Each belongs to the bucket above it: the first bucket is everything below
    /// the first edge, the last everything from the last edge on. (It is what PostgreSQL's `width_bucket(minutes, edges)` counts.)
    pub const EDGES: [f32; 10] = [-30.0, -15.0, -10.0, -5.0, 0.0, 5.0, 10.0, 15.0, 30.0, 60.0];

    /// Counts by bucket, earliest first: one more than [`Self::EDGES`].
    pub fn from_counts(counts: [u64; Self::EDGES.len() + 1]) -> Self {
        Self { counts }
    }

    /// Counts one arrival; what is not a number is not counted.
    pub fn add(&mut self, minutes: f32) {
        if !minutes.is_nan() {
            self.counts[Self::EDGES.partition_point(|edge| *edge <= minutes)] += 1;
        }
    }

    /// Takes in other arrivals.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    /// All arrivals.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Arrivals before the start; who comes on the dot is not early.
    pub fn before_start(&self) -> u64 {
        self.buckets().filter(|bucket| bucket.to.is_some_and(|to| to <= 0.0)).map(|bucket| bucket.count).sum()
    }

    /// The buckets, earliest first, also the empty ones.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        let from = std::iter::once(None).chain(Self::EDGES.into_iter().map(Some));
        let to = Self::EDGES.into_iter().map(Some).chain(std::iter::once(None));
        from.zip(to).zip(self.counts).map(|((from, to), count)| Bucket { from, to, count })
    }
}

/// A bucket of [`Arrivals`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// From how many minutes after the start; `None`: however early.
    pub from: Option<f32>,
    /// Up to how many, exclusive; `None`: however late.
    pub to: Option<f32>,
    /// How many arrivals.
    pub count: u64,
}
