//! How a campaign moves on: one function from spec, status, observation and time to the next status and its effects.
//!
//! Flow: `Running` starts a wave, waits for its gate (ready, nothing old left, re-scan clean), soaks, starts the next;
//! a failed gate goes to `RollingBack`, which puts the wave back and ends in `RolledBack`, `Aborted` or, when the user asked
//! for it, `Undone`. The status is the journal: it is written before its effects are carried out, and effects may be
//! carried out again after a restart.

use jiff::{SignedDuration, Timestamp};
use konzert_api::own::{
    CampaignPhase, PatchCampaignSpec, PatchCampaignStatus, WorkloadProgress, WorkloadState,
};

/// What was seen of one workload; in the order of the status's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Whether the object with the planned UID is there.
    pub exists: bool,
    /// Which images its template names.
    pub template: Template,
    /// Whether it is up.
    pub health: Health,
    /// Whether a container with an old digest still runs.
    pub before_runs: bool,
    /// Whether a container with a new digest still runs.
    pub after_runs: bool,
    /// What the scan says of what runs.
    pub rescan: Rescan,
}

/// Which images a workload's template names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// Those from before the patch.
    Before,
    /// Those of the patch.
    After,
    /// Others: somebody else changed it, or it was changed in part.
    Other,
}

/// Whether a workload is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// All of it is ready, and of the current template.
    Ready,
    /// Not yet; why.
    Waiting(String),
    /// It will not become ready; why.
    Failed(String),
}

/// What a scan of the running containers says about the campaign's advisories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rescan {
    /// None of them has it; the evidence in a sentence.
    Clean(String),
    /// Some have it still.
    Exposed(usize),
    /// It cannot be told; why.
    Unknown(String),
}

/// A change to carry out, with the UID precondition of its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the new images into the workload with this index.
    Patch(usize),
    /// Write the old images back.
    Restore(usize),
}

/// Whether a phase is an end.
pub fn is_final(phase: CampaignPhase) -> bool {
    matches!(
        phase,
        CampaignPhase::Completed
            | CampaignPhase::RolledBack
            | CampaignPhase::Refused
            | CampaignPhase::Aborted
            | CampaignPhase::Undone
    )
}

/// When the campaign must be looked at again although nothing happens.
pub fn wakes_at(spec: &PatchCampaignSpec, status: &PatchCampaignStatus) -> Option<Timestamp> {
    if is_final(status.phase) {
        return None;
    }
    let soaked = parse(status.wave_ready_at.as_deref()).map(|at| after(at, spec.soak_seconds));
    let deadline = parse(status.wave_started_at.as_deref()).map(|at| after(at, spec.ready_seconds));
    soaked.or(deadline)
}

fn parse(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

fn after(at: Timestamp, seconds: u32) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(Timestamp::MAX)
}

/// The next status, and what to carry out once it is written.
pub fn step(
    spec: &PatchCampaignSpec,
    status: &PatchCampaignStatus,
    observed: &[Observed],
    now: Timestamp,
) -> (PatchCampaignStatus, Vec<Effect>) {
    let mut next = Campaign { spec, status: status.clone(), observed, now, effects: Vec::new() };
    next.advance();
    next.status.patched = next.count(WorkloadState::Patched);
    (next.status, next.effects)
}

struct Campaign<'a> {
    spec: &'a PatchCampaignSpec,
    status: PatchCampaignStatus,
    observed: &'a [Observed],
    now: Timestamp,
    effects: Vec<Effect>,
}

impl Campaign<'_> {
    fn advance(&mut self) {
        let undo = self.spec.undo && self.count(WorkloadState::Patched) > 0;
        match self.status.phase {
            CampaignPhase::Refused | CampaignPhase::Undone => {}
            phase if undo && phase != CampaignPhase::RollingBack => self.roll_back("undo was asked for"),
            CampaignPhase::Completed | CampaignPhase::RolledBack | CampaignPhase::Aborted => {}
            CampaignPhase::RollingBack => self.rolling_back(),
            _ if self.spec.aborted => self.roll_back("abort was asked for"),
            CampaignPhase::Pending | CampaignPhase::Running | CampaignPhase::Paused => self.running(),
        }
    }

    fn count(&self, state: WorkloadState) -> u32 {
        let found = self.status.workloads.iter().filter(|w| w.state == state).count();
        u32::try_from(found).unwrap_or(u32::MAX)
    }

    /// Indexes of the entries that the wave under way changes.
    fn in_wave(&self) -> Vec<usize> {
        let wave = self.status.wave;
        (0..self.status.workloads.len())
            .filter(|i| self.status.workloads[*i].wave == wave && wave > 0)
            .collect()
    }

    fn running(&mut self) {
        self.status.phase = CampaignPhase::Running;
        if self.status.wave == 0 {
            return self.next_wave();
        }
        let mut open = false;
        for index in self.in_wave() {
            match self.gate(index) {
                Gate::Passed => {}
                Gate::Open => open = true,
                Gate::Failed(reason) => {
                    let entry = &self.status.workloads[index];
                    let reason = format!("{} {}: {reason}", entry.kind.to_lowercase(), entry.name);
                    return self.roll_back(&reason);
                }
            }
        }
        if open {
            self.status.wave_ready_at = None;
            return;
        }
        let ready_at = parse(self.status.wave_ready_at.as_deref()).unwrap_or(self.now);
        self.status.wave_ready_at = Some(ready_at.to_string());
        if self.now >= after(ready_at, self.spec.soak_seconds) {
            self.next_wave();
        } else {
            self.status.message = format!("wave {} is healthy and soaks", self.status.wave);
        }
    }

    fn next_wave(&mut self) {
        if self.status.wave >= self.status.waves {
            self.status.wave_ready_at = None;
            self.status.wave_started_at = None;
            return self.end(CampaignPhase::Completed, "everything that could be patched is patched");
        }
        if self.spec.paused {
            self.status.phase = CampaignPhase::Paused;
            "paused before the next wave".clone_into(&mut self.status.message);
            return;
        }
        self.status.wave_ready_at = None;
        self.status.wave += 1;
        self.status.wave_started_at = Some(self.now.to_string());
        let wave = self.in_wave();
        self.status.message = format!("patching {} workloads", wave.len());
        for index in wave {
            self.status.workloads[index].state = WorkloadState::Patching;
            self.effects.push(Effect::Patch(index));
        }
    }

    /// Where one workload of the wave is; moves its entry on.
    fn gate(&mut self, index: usize) -> Gate {
        let seen = &self.observed[index];
        let entry = &mut self.status.workloads[index];
        if !seen.exists {
            return gone(entry);
        }
        let late = parse(self.status.wave_started_at.as_deref())
            .is_none_or(|at| self.now >= after(at, self.spec.ready_seconds));
        let soaking = entry.state == WorkloadState::Patched;
        if seen.template != Template::After {
            // A change that somebody else made meanwhile is not ours to overwrite twice.
            if soaking || late {
                return Gate::Failed("its images were changed by somebody else".to_owned());
            }
            self.effects.push(Effect::Patch(index));
            return Gate::Open;
        }
        let waiting = match (&seen.health, &seen.rescan) {
            (Health::Failed(reason), _) => return Gate::Failed(reason.clone()),
            (Health::Waiting(reason), _) => reason.clone(),
            (Health::Ready, _) if seen.before_runs => "containers of the old image still run".to_owned(),
            (Health::Ready, Rescan::Exposed(count)) => {
                return Gate::Failed(format!("the re-scan still finds the advisory in {count} containers"));
            }
            (Health::Ready, Rescan::Unknown(reason)) => format!("the re-scan cannot tell: {reason}"),
            (Health::Ready, Rescan::Clean(evidence)) => {
                entry.state = WorkloadState::Patched;
                entry.message.clear();
                for change in &mut entry.changes {
                    change.evidence.clone_from(evidence);
                }
                return Gate::Passed;
            }
        };
        if late || soaking && matches!(seen.health, Health::Waiting(_)) {
            let when = if soaking { "it did not stay ready" } else { "it is not ready in time" };
            return Gate::Failed(format!("{when}: {waiting}"));
        }
        entry.message = waiting;
        Gate::Open
    }

    fn roll_back(&mut self, reason: &str) {
        self.status.phase = CampaignPhase::RollingBack;
        self.status.message = format!("rolling back: {reason}");
        self.status.finished_at = None;
        self.status.wave_ready_at = None;
        self.status.wave_started_at = Some(self.now.to_string());
        for index in self.to_restore() {
            self.effects.push(Effect::Restore(index));
        }
        if self.to_restore().is_empty() {
            self.rolling_back();
        }
    }

    /// An undo puts everything back, a failed wave only itself.
    fn to_restore(&self) -> Vec<usize> {
        let changed =
            |w: &WorkloadProgress| matches!(w.state, WorkloadState::Patching | WorkloadState::Patched);
        let (all, wave) = (self.spec.undo, self.status.wave);
        let entries = self.status.workloads.iter().enumerate();
        entries.filter(|(_, w)| changed(w) && (all || w.wave == wave)).map(|(index, _)| index).collect()
    }

    fn rolling_back(&mut self) {
        let late = parse(self.status.wave_started_at.as_deref())
            .is_none_or(|at| self.now >= after(at, self.spec.ready_seconds));
        let mut open = Vec::new();
        for index in self.to_restore() {
            let seen = &self.observed[index];
            let entry = &mut self.status.workloads[index];
            if !seen.exists {
                gone(entry);
            } else if seen.template != Template::Before {
                self.effects.push(Effect::Restore(index));
                open.push(entry.name.clone());
            } else if seen.health == Health::Ready && !seen.after_runs || late {
                entry.state = WorkloadState::RolledBack;
                entry.message = if seen.health == Health::Ready {
                    String::new()
                } else {
                    "not ready yet after the rollback".to_owned()
                };
            } else {
                open.push(entry.name.clone());
            }
        }
        if !open.is_empty() {
            return;
        }
        let reason = self.status.message.trim_start_matches("rolling back: ").to_owned();
        let phase = match (self.spec.undo, self.spec.aborted) {
            (true, _) => CampaignPhase::Undone,
            (_, true) => CampaignPhase::Aborted,
            _ => CampaignPhase::RolledBack,
        };
        self.end(phase, &reason);
    }

    fn end(&mut self, phase: CampaignPhase, message: &str) {
        self.status.phase = phase;
        message.clone_into(&mut self.status.message);
        self.status.finished_at = Some(self.now.to_string());
    }
}

enum Gate {
    Passed,
    Open,
    Failed(String),
}

fn gone(entry: &mut WorkloadProgress) -> Gate {
    entry.state = WorkloadState::Gone;
    "it was deleted or replaced after the plan".clone_into(&mut entry.message);
    Gate::Passed
}

#[cfg(test)]
mod tests;
