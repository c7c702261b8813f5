//! One probe as a value: when it runs next and what its runs mean.
//!
//! Failures count once a period. Until a startup or readiness probe passes for the first time it also gets quick
//! tries between two periods (100 ms, doubling), whose failures do not count: Kubernetes allows runs at other times
//! to make a pod ready sooner, and an application that needs 150 ms should not wait for a period of ten seconds.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Probe};

use crate::backoff::{after, seconds};

/// The three probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Gates the other two.
    Startup,
    /// Its failure restarts the container.
    Liveness,
    /// Decides whether traffic is sent.
    Readiness,
}

impl ProbeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// The probe of this kind in a container's spec.
    pub fn of(self, spec: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => spec.startup_probe.as_ref(),
            Self::Liveness => spec.liveness_probe.as_ref(),
            Self::Readiness => spec.readiness_probe.as_ref(),
        }
    }

    /// The word in events: `Readiness probe failed: …`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// Result of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// It passed.
    Success,
    /// It failed; why.
    Failure(String),
}

/// Numbers of a probe with their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeRules {
    /// Counted from the container's start.
    pub initial_delay: SignedDuration,
    /// Between two counted runs.
    pub period: SignedDuration,
    /// Successes in a row until it passes.
    pub success_threshold: u32,
    /// Failures in a row until it fails.
    pub failure_threshold: u32,
}

impl ProbeRules {
    /// The rules of an API probe.
    pub fn of(probe: &Probe) -> Self {
        let at_least_one = |value: Option<i32>, default: i32| value.unwrap_or(default).max(1).unsigned_abs();
        Self {
            initial_delay: seconds(probe.initial_delay_seconds.unwrap_or(0).into()),
            period: seconds(at_least_one(probe.period_seconds, 10).into()),
            success_threshold: at_least_one(probe.success_threshold, 1),
            failure_threshold: at_least_one(probe.failure_threshold, 3),
        }
    }
}

/// What the runs so far mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeVerdict {
    /// Not enough runs.
    Undecided,
    /// Passes.
    Passing,
    /// Fails; message of the last failure.
    Failing(String),
}

/// A probe of a running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeState {
    next_at: Timestamp,
    tick_at: Timestamp,
    in_flight: Option<Timestamp>,
    quick_tries: u32,
    successes: u32,
    failures: u32,
    verdict: ProbeVerdict,
}

impl ProbeState {
    /// A probe whose first run is due `initial_delay` after the container's start, but not before `now`.
    pub fn new(rules: ProbeRules, started_at: Timestamp, now: Timestamp) -> Self {
        let first = after(started_at, rules.initial_delay).max(now);
        Self {
            next_at: first,
            tick_at: first,
            in_flight: None,
            quick_tries: 0,
            successes: 0,
            failures: 0,
            verdict: ProbeVerdict::Undecided,
        }
    }

    /// A probe of an adopted container that passed before.
    pub fn passed_before(rules: ProbeRules, started_at: Timestamp, now: Timestamp) -> Self {
        Self { verdict: ProbeVerdict::Passing, ..Self::new(rules, started_at, now) }
    }

    /// What the runs so far mean.
    pub fn verdict(&self) -> &ProbeVerdict {
        &self.verdict
    }

    /// Whether the probe passes now.
    pub fn is_passing(&self) -> bool {
        self.verdict == ProbeVerdict::Passing
    }

    /// When to run next; `None` while a run is in flight.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.in_flight.is_none().then_some(self.next_at)
    }

    /// A run began.
    pub fn begin(&mut self, now: Timestamp) {
        self.in_flight = Some(now);
    }

    /// A run ended. Answers whether a failure counted (and is worth an event).
    pub fn finish(
        &mut self,
        kind: ProbeKind,
        rules: ProbeRules,
        outcome: &ProbeOutcome,
        now: Timestamp,
    ) -> bool {
        let began = self.in_flight.take().unwrap_or(now);
        let counted = began >= self.tick_at;
        if counted {
            self.tick_at = after(began, rules.period).max(now);
        }
        match outcome {
            ProbeOutcome::Success => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                if self.successes >= rules.success_threshold {
                    self.verdict = ProbeVerdict::Passing;
                }
            }
            ProbeOutcome::Failure(why) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(u32::from(counted));
                if self.failures >= rules.failure_threshold {
                    self.verdict = ProbeVerdict::Failing(why.clone());
                }
            }
        }
        self.next_at = self.next_run(kind, now);
        counted && matches!(outcome, ProbeOutcome::Failure(_))
    }

    fn next_run(&mut self, kind: ProbeKind, now: Timestamp) -> Timestamp {
        let quick = kind != ProbeKind::Liveness && self.verdict == ProbeVerdict::Undecided;
        if !quick || self.quick_tries >= 12 {
            return self.tick_at;
        }
        let delay = SignedDuration::from_millis(100_i64 << self.quick_tries);
        self.quick_tries += 1;
        after(now, delay).min(self.tick_at)
    }
}
