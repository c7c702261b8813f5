//! The rules, one function each: when something becomes due, and why.

use jiff::{SignedDuration, Timestamp};
use konzert_api::own::ReapPolicySpec;

use crate::annotation::{EXPIRES, TTL, expiry, time_to_live};
use crate::{Candidate, CandidateState, Destroy, ImageCandidate, Ownership};

/// The first rule that applies to an object; the error is an annotation that cannot be read.
pub(crate) fn object(policy: &ReapPolicySpec, candidate: &Candidate) -> Result<Option<Destroy>, String> {
    if policy.ttl
        && !candidate.owned
        && let Some(found) = by_annotation(candidate)?
    {
        return Ok(Some(found));
    }
    Ok(match &candidate.state {
        CandidateState::Job { finished_at: Some(at) } if !candidate.owned => {
            aged(candidate, "finished-job", "the Job", *at, policy.finished_jobs_after_seconds)
        }
        CandidateState::Pod { finished_at: Some(at) } if !candidate.owned => {
            aged(candidate, "finished-pod", "the pod", *at, policy.finished_pods_after_seconds)
        }
        CandidateState::ReplicaSet { replicas: 0, owner: Ownership::Gone }
            if policy.orphaned_replica_sets =>
        {
            let reason = "it has no pods, and the Deployment that owned it is gone".to_owned();
            Some(destroy(candidate, "orphaned-replicaset", reason, candidate.created))
        }
        _ => None,
    })
}

fn by_annotation(candidate: &Candidate) -> Result<Option<Destroy>, String> {
    if let Some(text) = candidate.annotations.get(EXPIRES) {
        let at = expiry(text)?;
        return Ok(Some(destroy(candidate, "expired", format!("{EXPIRES} says {text}"), at)));
    }
    let Some(text) = candidate.annotations.get(TTL) else { return Ok(None) };
    let Some(ttl) = time_to_live(text)? else { return Ok(None) };
    let Ok(at) = candidate.created.checked_add(ttl) else { return Ok(None) };
    let reason = format!("{TTL} says {text}, and it was created at {}", candidate.created);
    Ok(Some(destroy(candidate, "ttl", reason, at)))
}

fn aged(
    candidate: &Candidate,
    rule: &'static str,
    what: &str,
    finished: Timestamp,
    after_seconds: Option<u64>,
) -> Option<Destroy> {
    let due = later(finished, after_seconds?)?;
    Some(destroy(candidate, rule, format!("{what} finished at {finished}"), due))
}

/// An image that nothing needs.
pub(crate) fn image(policy: &ReapPolicySpec, image: &ImageCandidate) -> Option<Destroy> {
    let due = later(image.loaded_at, policy.unused_images_after_seconds?)?;
    (!image.needed).then(|| Destroy {
        api_version: String::new(),
        kind: "Image".to_owned(),
        namespace: String::new(),
        name: image.name.clone(),
        uid: image.digest.clone(),
        rule: "unused-image",
        reason: format!("no workload names it, nothing runs it, and it was loaded at {}", image.loaded_at),
        due,
    })
}

fn later(from: Timestamp, seconds: u64) -> Option<Timestamp> {
    from.checked_add(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok()
}

fn destroy(candidate: &Candidate, rule: &'static str, reason: String, due: Timestamp) -> Destroy {
    Destroy {
        api_version: candidate.api_version.clone(),
        kind: candidate.kind.clone(),
        namespace: candidate.namespace.clone(),
        name: candidate.name.clone(),
        uid: candidate.uid.clone(),
        rule,
        reason,
        due,
    }
}
