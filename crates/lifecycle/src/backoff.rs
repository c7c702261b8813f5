//! Growing delays: crash loops (0, 10 s, 20 s … 300 s), image checks (10 s … 300 s), sandboxes (1 s … 120 s).

use jiff::{SignedDuration, Timestamp};

/// A run this long clears the crash back-off.
const RESET_AFTER_S: i64 = 600;

/// A delay that doubles; `next_s` is what the following failure waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackOff {
    next_s: i64,
    bounds: Bounds,
}

/// All in seconds: the delay of the first failure, what an immediate one is followed by, and the longest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bounds {
    start: i64,
    first: i64,
    longest: i64,
}

impl BackOff {
    fn new(start: i64, first: i64, longest: i64) -> Self {
        Self { next_s: start, bounds: Bounds { start, first, longest } }
    }

    /// Restarts of a container: the first one is immediate.
    pub fn crash() -> Self {
        Self::new(0, 10, 300)
    }

    /// Repeated looks for an image or a missing object.
    pub fn image() -> Self {
        Self::new(10, 10, 300)
    }

    /// Repeated attempts to make the sandbox.
    pub fn sandbox() -> Self {
        Self::new(1, 1, 120)
    }

    /// The delay for this failure; the next one waits longer.
    pub fn step(&mut self) -> SignedDuration {
        let delay = self.next_s;
        self.next_s = (delay * 2).clamp(self.bounds.first, self.bounds.longest);
        SignedDuration::from_secs(delay)
    }

    /// Like [`BackOff::step`] for a container that ran for `ran`: a long run starts over.
    pub fn step_after(&mut self, ran: SignedDuration) -> SignedDuration {
        if ran.as_secs() >= RESET_AFTER_S {
            self.reset();
        }
        self.step()
    }

    /// Starts over.
    pub fn reset(&mut self) {
        self.next_s = self.bounds.start;
    }

    /// Where the back-off stands after `restarts` earlier restarts, when nothing else is known of them.
    #[must_use]
    pub fn resumed(mut self, restarts: u32) -> Self {
        for _ in 0..restarts.min(8) {
            self.step();
        }
        self
    }
}

/// `at + delay`, saturating at the end of time.
pub(crate) fn after(at: Timestamp, delay: SignedDuration) -> Timestamp {
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// Seconds from an API field, never negative.
pub(crate) fn seconds(value: i64) -> SignedDuration {
    SignedDuration::from_secs(value.max(0))
}
