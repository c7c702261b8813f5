//! Eviction: deletion of a pod, as far as the disruption budget that covers it allows.
//!
//! The budget's controller counts healthy pods; an eviction takes one from `status.disruptionsAllowed` by compare-and-swap before
//! the pod is deleted, so that two evictions never share one allowance. Pods that are not running yet or not any more cost
//! nothing. What a dry run would take is checked and not taken.

use bytes::Bytes;
use konzert_api::selector::LabelSelector;
use konzert_api::{ApiError, GroupResource, meta};
use konzert_store::Page;
use serde_json::{Value, json};

use super::create::settle_namespace;
use super::subresource::success;
use super::{DeleteOptions, Mode, Place, Registry, now};
use crate::decode::{RawBody, expect_kind};
use crate::error::revision_gone;
use crate::options::{Query, WriteOptions};

/// Evictions that the budget's controller has not seen yet; more than this means that it does not look.
const UNSEEN_MAX: usize = 2000;
/// After this time the controller has surely looked.
const RETRY_S: u32 = 10;

/// What a budget has to do with a pod.
enum Cover {
    /// No budget, or the pod does not count.
    Free,
    /// The pod is not healthy and enough others are: it may go as long as it stays as it is.
    Unhealthy(String),
    /// One allowance of this budget was taken.
    Taken,
}

impl Registry {
    /// POST `eviction`.
    pub(crate) async fn evict(
        &self,
        place: &Place,
        name: &str,
        body: &RawBody,
        query: &Query,
    ) -> Result<Bytes, ApiError> {
        let mut eviction = body.object("Eviction")?.value;
        expect_kind(&mut eviction, "policy/v1", "Eviction")?;
        settle_namespace(place, &mut eviction)?;
        if meta::name(&eviction) != name {
            return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
        }
        let none = json!({});
        let given = eviction.get("deleteOptions").filter(|o| o.is_object()).unwrap_or(&none);
        let mut options = DeleteOptions::from_json(given, query)?;
        options.dry_run |= WriteOptions::parse(query, "CreateOptions")?.dry_run;

        let pod = place.read(&self.entry(place, name)?.value)?;
        let own_version = options.resource_version.is_some();
        let pinned = Some(meta::resource_version(&pod).to_owned());
        if costs_nothing(&pod) {
            // A pod that becomes ready in between would have counted.
            if !own_version && phase(&pod) == "Pending" && !meta::is_being_deleted(&pod) {
                options.resource_version = pinned;
            }
            self.delete(place, name, &options).await?;
            return success(201);
        }
        let budget = match self.take_allowance(place, &pod, options.dry_run).await? {
            Cover::Unhealthy(budget) => {
                if !own_version {
                    options.resource_version = pinned;
                }
                Some(budget)
            }
            Cover::Free | Cover::Taken => None,
        };
        match (self.delete(place, name, &options).await, budget) {
            (Err(error), Some(budget)) if error.code == 409 && !own_version => Err(in_progress(&budget)),
            (Err(error), _) => Err(error),
            (Ok(_), _) => success(201),
        }
    }

    async fn take_allowance(&self, place: &Place, pod: &Value, dry_run: bool) -> Result<Cover, ApiError> {
        let served = self.served();
        let budgets = served.place("policy", "v1", "poddisruptionbudgets", place.namespace.as_deref());
        let Some(budgets) = budgets else { return Ok(Cover::Free) };
        let covering = self.covering(&budgets, pod)?;
        let budget = match covering.as_slice() {
            [] => return Ok(Cover::Free),
            [one] => one,
            _ => {
                let mut error = ApiError::internal("");
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
                    .clone_into(&mut error.message);
                error.details = None;
                return Err(error);
            }
        };
        let name = meta::name(budget).to_owned();
        let count = |key: &str| number(budget, key);
        let always = budget.pointer("/spec/unhealthyPodEvictionPolicy") == Some(&json!("AlwaysAllow"));
        let enough = count("currentHealthy") >= count("desiredHealthy") && count("desiredHealthy") > 0;
        if !is_ready(pod) && (always || enough) {
            return Ok(Cover::Unhealthy(name));
        }
        let (pod_name, at) = (meta::name(pod).to_owned(), meta::format_time(now()));
        let take = |current: &Value| taken(current, &pod_name, &at);
        self.modify(&budgets, &name, Mode::Status, dry_run, take).await?;
        Ok(Cover::Taken)
    }

    /// Budgets whose selector takes the pod in; an empty one takes in nothing.
    fn covering(&self, budgets: &Place, pod: &Value) -> Result<Vec<Value>, ApiError> {
        let list = self.store.list(&budgets.prefix(), Page::default()).map_err(revision_gone)?;
        let mut covering = Vec::new();
        for entry in list.entries {
            let budget = budgets.read(&entry.value)?;
            let selector = budget.pointer("/spec/selector").map(LabelSelector::from_json);
            if let Some(Ok(selector)) = selector
                && !selector.is_everything()
                && selector.matches_object(pod)
            {
                covering.push(budget);
            }
        }
        Ok(covering)
    }
}

fn phase(pod: &Value) -> &str {
    pod.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default()
}

/// Pods that serve nobody are not protected.
fn costs_nothing(pod: &Value) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed" | "Pending") || meta::is_being_deleted(pod)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn number(budget: &Value, key: &str) -> i64 {
    budget.pointer(&format!("/status/{key}")).and_then(Value::as_i64).unwrap_or(0)
}

/// The budget with one allowance less, or why there is none.
fn taken(budget: &Value, pod: &str, at: &str) -> Result<Value, ApiError> {
    let (name, allowed) = (meta::name(budget), number(budget, "disruptionsAllowed"));
    let resource = GroupResource::new("policy", "poddisruptionbudget");
    if number(budget, "observedGeneration") < meta::generation(budget) {
        return Err(in_progress(name));
    }
    if allowed < 0 {
        return Err(ApiError::forbidden(&resource, name, "pdb disruptions allowed is negative"));
    }
    let unseen =
        budget.pointer("/status/disruptedPods").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    if unseen > UNSEEN_MAX {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(ApiError::forbidden(&resource, name, why));
    }
    if allowed == 0 {
        let (needed, healthy) = (number(budget, "desiredHealthy"), number(budget, "currentHealthy"));
        let why =
            format!("The disruption budget {name} needs {needed} healthy pods and has {healthy} currently");
        return Err(violation(&why, None));
    }
    let mut next = budget.clone();
    next["status"]["disruptionsAllowed"] = json!(allowed - 1);
    next["status"]["disruptedPods"][pod] = json!(at);
    if allowed == 1 {
        exhausted(&mut next, at);
    }
    Ok(next)
}

/// The condition says at once that nothing more may go.
fn exhausted(budget: &mut Value, at: &str) {
    let generation = meta::generation(budget);
    let Some(status) = budget.get_mut("status").and_then(Value::as_object_mut) else { return };
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(list) = conditions.as_array_mut() else { return };
    list.retain(|condition| condition["type"] != "DisruptionAllowed");
    list.push(json!({
        "type": "DisruptionAllowed",
        "status": "False",
        "reason": "InsufficientPods",
        "message": "",
        "lastTransitionTime": at,
        "observedGeneration": generation,
    }));
}

fn in_progress(budget: &str) -> ApiError {
    violation(
        &format!("The disruption budget {budget} is still being processed by the server."),
        Some(RETRY_S),
    )
}

fn violation(cause: &str, retry_after_s: Option<u32>) -> ApiError {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut error = ApiError::too_many_requests(message, retry_after_s.unwrap_or(0));
    let mut details = json!({ "causes": [{ "reason": "DisruptionBudget", "message": cause }] });
    if let Some(seconds) = retry_after_s {
        details["retryAfterSeconds"] = json!(seconds);
    }
    error.details = Some(details);
    error
}
