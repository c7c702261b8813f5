//! From what is exposed to a campaign's workloads and waves.

use konzert_api::own::{ImageChange, WorkloadProgress, WorkloadState};

use crate::wave::{WaveSize, split};

/// A workload that runs the advisory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// `Deployment`, `Pod`, …
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Exposed containers that run now.
    pub containers: usize,
    /// The image changes, or why there are none.
    pub remedy: Result<Vec<ImageChange>, String>,
}

/// What a campaign will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planned {
    /// Every workload, patchable ones in the order of their waves.
    pub workloads: Vec<PlannedEntry>,
    /// How many waves there are.
    pub waves: u32,
    /// Why nothing at all is done.
    pub refusal: Option<String>,
}

/// A workload's entry with the number of its exposed containers.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedEntry {
    /// The entry as the status keeps it.
    pub progress: WorkloadProgress,
    /// Exposed containers.
    pub containers: usize,
}

/// Assigns waves. The smallest workloads come first: a canary should disturb as little as possible.
pub fn plan(mut exposed: Vec<Exposed>, sizes: &[WaveSize], max_workloads: u32) -> Planned {
    exposed.sort_by(|a, b| {
        (a.containers, &a.namespace, &a.name, &a.kind).cmp(&(b.containers, &b.namespace, &b.name, &b.kind))
    });
    let (patchable, left): (Vec<Exposed>, Vec<Exposed>) = exposed.into_iter().partition(|e| e.remedy.is_ok());
    let refusal = if patchable.len() > usize::try_from(max_workloads).unwrap_or(usize::MAX) {
        Some(format!("{} workloads would change, the cap is {max_workloads}", patchable.len()))
    } else if patchable.is_empty() && !left.is_empty() {
        Some("none of the exposed workloads can be patched".to_owned())
    } else {
        None
    };
    let waves = split(sizes, patchable.len());
    let numbers = waves.iter().zip(1..).flat_map(|(size, number)| std::iter::repeat_n(number, *size));
    let mut workloads: Vec<PlannedEntry> =
        patchable.into_iter().zip(numbers).map(|(e, wave)| entry(e, wave)).collect();
    workloads.extend(left.into_iter().map(|e| entry(e, 0)));
    Planned { workloads, waves: u32::try_from(waves.len()).unwrap_or(u32::MAX), refusal }
}

fn entry(exposed: Exposed, wave: u32) -> PlannedEntry {
    let (state, changes, message) = match exposed.remedy {
        Ok(changes) => (WorkloadState::Waiting, changes, String::new()),
        Err(reason) => (WorkloadState::NotPatchable, Vec::new(), reason),
    };
    let progress = WorkloadProgress {
        kind: exposed.kind,
        namespace: exposed.namespace,
        name: exposed.name,
        uid: exposed.uid,
        wave,
        state,
        changes,
        message,
    };
    PlannedEntry { progress, containers: exposed.containers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(name: &str, containers: usize, remedy: Result<Vec<ImageChange>, String>) -> Exposed {
        Exposed {
            kind: "Deployment".into(),
            namespace: "n".into(),
            name: name.into(),
            uid: name.into(),
            containers,
            remedy,
        }
    }

    fn rows(planned: &Planned) -> Vec<(&str, u32)> {
        planned.workloads.iter().map(|w| (w.progress.name.as_str(), w.progress.wave)).collect()
    }

    #[test]
    fn the_smallest_go_first_and_the_unpatchable_get_no_wave() {
        let all = vec![
            exposed("big", 9, Ok(vec![])),
            exposed("job", 1, Err("a Job's template cannot change".into())),
            exposed("small", 1, Ok(vec![])),
            exposed("middle", 3, Ok(vec![])),
        ];
        let sizes = WaveSize::parse_all(&["1".into(), "50%".into(), "100%".into()]).unwrap();
        let planned = plan(all, &sizes, 10);
        assert_eq!(rows(&planned), [("small", 1), ("middle", 2), ("big", 3), ("job", 0)]);
        assert_eq!((planned.waves, planned.refusal), (3, None));
        assert_eq!(planned.workloads[3].progress.state, WorkloadState::NotPatchable);
    }

    #[test]
    fn too_many_or_none_at_all_is_refused() {
        let sizes = [WaveSize::Percent(100)];
        let two = vec![exposed("a", 1, Ok(vec![])), exposed("b", 1, Ok(vec![]))];
        assert!(plan(two, &sizes, 1).refusal.is_some_and(|r| r.contains("cap is 1")));
        assert!(plan(vec![exposed("a", 1, Err("x".into()))], &sizes, 1).refusal.is_some());
        assert_eq!(plan(vec![], &sizes, 1).refusal, None);
    }
}
