//! Tables over a small simulated fleet.

use super::*;

const START: i64 = 1_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

fn spec() -> PatchCampaignSpec {
    PatchCampaignSpec {
        advisories: vec!["CVE-1".into()],
        namespaces: vec![],
        selector: String::new(),
        waves: vec!["1".into(), "100%".into()],
        soak_seconds: 10,
        ready_seconds: 60,
        max_workloads: 10,
        paused: false,
        aborted: false,
        undo: false,
    }
}

fn planned(waves: &[u32]) -> PatchCampaignStatus {
    let workloads = waves.iter().enumerate().map(|(index, wave)| WorkloadProgress {
        kind: "Deployment".into(),
        namespace: "n".into(),
        name: format!("w{index}"),
        uid: format!("u{index}"),
        wave: *wave,
        state: if *wave == 0 { WorkloadState::NotPatchable } else { WorkloadState::Waiting },
        changes: vec![],
        message: String::new(),
    });
    PatchCampaignStatus {
        phase: CampaignPhase::Running,
        waves: waves.iter().copied().max().unwrap_or_default(),
        workloads: workloads.collect(),
        ..PatchCampaignStatus::default()
    }
}

/// A fleet that does at once what it is told.
struct Fleet {
    patched: Vec<bool>,
    health: Vec<Health>,
    dirty: bool,
}

impl Fleet {
    fn new(count: usize) -> Self {
        Self { patched: vec![false; count], health: vec![Health::Ready; count], dirty: false }
    }

    fn observe(&self) -> Vec<Observed> {
        let each = self.patched.iter().zip(&self.health);
        each.map(|(patched, health)| Observed {
            exists: true,
            template: if *patched { Template::After } else { Template::Before },
            health: if *patched { health.clone() } else { Health::Ready },
            before_runs: !patched,
            after_runs: *patched,
            rescan: if self.dirty || !patched { Rescan::Exposed(1) } else { Rescan::Clean("scanned".into()) },
        })
        .collect()
    }

    fn apply(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Patch(index) => self.patched[*index] = true,
                Effect::Restore(index) => self.patched[*index] = false,
            }
        }
    }

    /// Steps once a second until the end, or until `seconds` passed.
    fn play(
        &mut self,
        spec: &PatchCampaignSpec,
        mut status: PatchCampaignStatus,
        seconds: i64,
    ) -> PatchCampaignStatus {
        for second in 0..seconds {
            let (next, effects) = step(spec, &status, &self.observe(), at(second));
            self.apply(&effects);
            status = next;
            if is_final(status.phase) && effects.is_empty() {
                break;
            }
        }
        status
    }
}

#[test]
fn waves_follow_each_other_after_the_soak() {
    let mut fleet = Fleet::new(3);
    let early = fleet.play(&spec(), planned(&[1, 2, 2]), 5);
    assert_eq!((early.wave, &fleet.patched), (1, &vec![true, false, false]));
    let ended = fleet.play(&spec(), planned(&[1, 2, 2]), 100);
    assert_eq!((ended.phase, ended.patched), (CampaignPhase::Completed, 3));
    assert!(ended.finished_at.is_some());
}

#[test]
fn a_wave_that_does_not_become_ready_is_put_back_and_ends_the_campaign() {
    let mut fleet = Fleet::new(3);
    fleet.health[2] = Health::Waiting("0 of 4 ready".into());
    let ended = fleet.play(&spec(), planned(&[1, 2, 2]), 300);
    assert_eq!(ended.phase, CampaignPhase::RolledBack);
    assert_eq!(fleet.patched, [true, false, false], "the first wave was healthy and stays");
    assert!(ended.message.contains("w2") && ended.message.contains("0 of 4 ready"), "{}", ended.message);
    let states: Vec<_> = ended.workloads.iter().map(|w| w.state).collect();
    assert_eq!(states, [WorkloadState::Patched, WorkloadState::RolledBack, WorkloadState::RolledBack]);
}

#[test]
fn a_rescan_that_still_finds_it_fails_the_wave() {
    let mut fleet = Fleet::new(2);
    fleet.dirty = true;
    let ended = fleet.play(&spec(), planned(&[1, 2]), 300);
    assert_eq!((ended.phase, fleet.patched), (CampaignPhase::RolledBack, vec![false, false]));
    assert!(ended.message.contains("re-scan"), "{}", ended.message);
}

#[test]
fn a_wave_that_falls_over_while_it_soaks_is_put_back() {
    let mut fleet = Fleet::new(2);
    let soaking = fleet.play(&spec(), planned(&[1, 2]), 5);
    assert!(soaking.wave_ready_at.is_some());
    fleet.health[0] = Health::Waiting("1 of 2 ready".into());
    let (next, effects) = step(&spec(), &soaking, &fleet.observe(), at(6));
    assert_eq!((next.phase, effects), (CampaignPhase::RollingBack, vec![Effect::Restore(0)]));
}

#[test]
fn pause_holds_before_the_next_wave_and_abort_puts_the_wave_back() {
    let mut fleet = Fleet::new(2);
    let paused = PatchCampaignSpec { paused: true, ..spec() };
    let first = fleet.play(&spec(), planned(&[1, 2]), 5);
    let held = fleet.play(&paused, first, 100);
    assert_eq!((held.phase, held.wave), (CampaignPhase::Paused, 1));
    let aborted = PatchCampaignSpec { aborted: true, ..spec() };
    let ended = fleet.play(&aborted, held, 100);
    assert_eq!((ended.phase, fleet.patched), (CampaignPhase::Aborted, vec![false, false]));
}

#[test]
fn undo_puts_every_wave_back() {
    let mut fleet = Fleet::new(3);
    let done = fleet.play(&spec(), planned(&[1, 2, 2]), 100);
    let ended = fleet.play(&PatchCampaignSpec { undo: true, ..spec() }, done, 100);
    assert_eq!((ended.phase, &fleet.patched), (CampaignPhase::Undone, &vec![false; 3]));
    let again = fleet.play(&PatchCampaignSpec { undo: true, ..spec() }, ended.clone(), 5);
    assert_eq!(again, ended);
}

#[test]
fn a_workload_that_is_gone_holds_nothing_up() {
    let mut fleet = Fleet::new(2);
    let first = fleet.play(&spec(), planned(&[1, 1]), 1);
    let mut seen = fleet.observe();
    seen[0].exists = false;
    let (next, _) = step(&spec(), &first, &seen, at(2));
    assert_eq!(next.workloads[0].state, WorkloadState::Gone);
    assert!(next.wave_ready_at.is_some());
}

#[test]
fn after_a_restart_effects_are_carried_out_again() {
    let fleet = Fleet::new(1);
    let (journal, effects) = step(&spec(), &planned(&[1]), &fleet.observe(), at(0));
    assert_eq!(effects, [Effect::Patch(0)]);
    // The process died between the journal and the change.
    let (_, effects) = step(&spec(), &journal, &fleet.observe(), at(1));
    assert_eq!(effects, [Effect::Patch(0)]);
}

#[test]
fn a_deadline_or_a_soak_wakes_the_campaign() {
    let mut fleet = Fleet::new(1);
    let (started, effects) = step(&spec(), &planned(&[1]), &fleet.observe(), at(0));
    assert_eq!(wakes_at(&spec(), &started), Some(at(60)));
    fleet.apply(&effects);
    let (soaking, _) = step(&spec(), &started, &fleet.observe(), at(3));
    assert_eq!(wakes_at(&spec(), &soaking), Some(at(13)));
    let ended = fleet.play(&spec(), soaking, 100);
    assert_eq!(wakes_at(&spec(), &ended), None);
}
