//! Delete and deletecollection: preconditions, grace, finalizers, propagation.
//!
//! What is to happen is decided by [`decide`], a pure function; the rest carries it out with compare-and-swap.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use konzert_api::{ApiError, FieldError, GroupResource, Gvk, meta, schema};
use konzert_store::Expect;
use serde_json::{Value, json};

use super::create::as_if_stored;
use super::list::ListAnswer;
use super::{MAX_ATTEMPTS, Place, Registry, now};
use crate::decode::{RawBody, not_registered};
use crate::error::Failure;
use crate::hooks::{DeletionRules, Hooks};
use crate::options::{ListOptions, Query, dry_run_error, options_errors};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
const UNSAFE_READ: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";
const DELETE_OPTIONS: Gvk = Gvk::fixed("meta.k8s.io", "v1", "DeleteOptions");
const ORPHANED: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to \
    remove them or set propagationPolicy=Orphan to suppress this warning";
/// What holds other objects is looked at before its deletion begins, and says so in other words.
const LOOKED_AT_FIRST: &[&str] = &["namespaces", "customresourcedefinitions"];
const KNOWN_OPTIONS: &[&str] = &[
    "apiVersion",
    "kind",
    "dryRun",
    "gracePeriodSeconds",
    UNSAFE_READ,
    "orphanDependents",
    "preconditions",
    "propagationPolicy",
];

/// What happens to the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// Collected after it is gone.
    Background,
    /// Collected before it goes.
    Foreground,
    /// Left alone, without their owner.
    Orphan,
}

impl Propagation {
    fn parse(text: &str) -> Result<Self, FieldError> {
        match text {
            "Background" => Ok(Self::Background),
            "Foreground" => Ok(Self::Foreground),
            "Orphan" => Ok(Self::Orphan),
            other => {
                let known = ["Foreground", "Background", "Orphan", "nil"];
                Err(FieldError::not_supported("propagationPolicy", other, &known))
            }
        }
    }
}

/// How a deletion is meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) propagation: Option<Propagation>,
    pub(crate) dry_run: bool,
}

impl DeleteOptions {
    /// From the body, or from the query when there is no body.
    pub(crate) fn parse(body: &RawBody, query: &Query) -> Result<Self, ApiError> {
        match body.options()? {
            Some(options) => Self::from_json(&options, query),
            None => Self::from_json(&json!({}), query),
        }
    }

    /// What the client should be told who leaves the fate of the dependents to an unusual custom of the kind.
    pub(crate) fn advice(&self, place: &Place) -> Option<String> {
        let left = Hooks::deletion_rules(place).default_propagation == Propagation::Orphan;
        (left && self.propagation.is_none()).then(|| ORPHANED.to_owned())
    }

    /// From a `DeleteOptions` object; the query fills in what it leaves out.
    pub(crate) fn from_json(options: &Value, query: &Query) -> Result<Self, ApiError> {
        check_options(options, query)?;
        let text = |key: &str| options.get(key).and_then(Value::as_str).map(str::to_owned);
        let precondition = |key: &str| options.get("preconditions")?.get(key)?.as_str().map(str::to_owned);
        let grace = match options.get("gracePeriodSeconds").and_then(Value::as_i64) {
            Some(grace) => Some(grace),
            None => query.number("gracePeriodSeconds")?,
        };
        let body_dry_run: Vec<String> = options
            .get("dryRun")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default();
        let given: Vec<&String> =
            body_dry_run.iter().chain(query.texts("dryRun")).filter(|v| !v.is_empty()).collect();
        let (propagation, mut errors) = propagation(options, query, text("propagationPolicy"));
        errors.extend(dry_run_error(&given));
        if !errors.is_empty() {
            return Err(options_errors("DeleteOptions", errors));
        }
        Ok(Self {
            // Negative periods have always been read as the shortest one.
            grace_seconds: grace.map(|g| if g < 0 { 1 } else { g }),
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            propagation,
            dry_run: !given.is_empty(),
        })
    }
}

/// One of the policy and its older spelling, a flag, may be given.
fn propagation(
    options: &Value,
    query: &Query,
    policy: Option<String>,
) -> (Option<Propagation>, Vec<FieldError>) {
    let orphan = options.get("orphanDependents").and_then(Value::as_bool);
    let orphan = orphan.or_else(|| query.optional_flag("orphanDependents"));
    let Some(policy) = policy.or_else(|| query.text("propagationPolicy").map(str::to_owned)) else {
        let spelled = |orphan| if orphan { Propagation::Orphan } else { Propagation::Background };
        return (orphan.map(spelled), Vec::new());
    };
    let mut errors = Vec::new();
    if orphan.is_some() {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        errors.push(FieldError::invalid("propagationPolicy", policy.as_str(), why));
    }
    match Propagation::parse(&policy) {
        Ok(propagation) => (Some(propagation), errors),
        Err(error) => {
            errors.push(error);
            (None, errors)
        }
    }
}

fn check_options(options: &Value, query: &Query) -> Result<(), ApiError> {
    let Some(map) = options.as_object() else {
        return Err(ApiError::bad_request("DeleteOptions must be an object"));
    };
    let kind = map.get("kind").and_then(Value::as_str).unwrap_or("DeleteOptions");
    if kind != "DeleteOptions" {
        let version = map.get("apiVersion").and_then(Value::as_str).unwrap_or("v1");
        return Err(ApiError::bad_request(not_registered(version, kind)));
    }
    // What a deletion does not understand may be what was to hold it back.
    if let Some(key) = map.keys().find(|key| !KNOWN_OPTIONS.contains(&key.as_str())) {
        return Err(ApiError::bad_request(format!("DeleteOptions: unknown field {key:?}")));
    }
    schema::check_types(&DELETE_OPTIONS, options).map_err(|mut error| {
        // Options are read without saying what they were to be.
        if let Some((_, why)) = error.message.split_once("cannot be handled as a DeleteOptions: ") {
            error.message = why.to_owned();
        }
        error
    })?;
    if map.get(UNSAFE_READ).and_then(Value::as_bool) == Some(true) || query.flag(UNSAFE_READ) {
        let error =
            FieldError::forbidden(UNSAFE_READ, "objects that cannot be read are never deleted blindly");
        return Err(options_errors("DeleteOptions", vec![error]));
    }
    Ok(())
}

/// What a deletion does to an object.
#[derive(Debug, PartialEq)]
enum Decision {
    /// Takes it away now.
    Remove,
    /// Marks it; somebody finishes the deletion later.
    Mark(Value),
    /// It waits for its deletion already and nothing about that changes.
    Pending,
}

/// Decides from the current object, the options and the rules of the kind.
fn decide(current: &Value, options: &DeleteOptions, rules: &DeletionRules, now: Timestamp) -> Decision {
    let existing_grace = current.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    if let (Some(deadline), Some(existing)) = (meta::deletion_timestamp(current), existing_grace) {
        return shorten(current, deadline, existing, options.grace_seconds, rules);
    }
    let mut next = current.clone();
    set_propagation(&mut next, options.propagation, rules.default_propagation);
    let grace = match (rules.grace)(current) {
        Some(own) => options.grace_seconds.unwrap_or(own).min(if own == 0 { 0 } else { i64::MAX }),
        None => 0,
    };
    let held = !meta::finalizers(&next).is_empty() || (rules.holds)(&next);
    if !held && grace == 0 {
        return Decision::Remove;
    }
    mark(&mut next, now, grace);
    (rules.mark)(&mut next, now);
    Decision::Mark(next)
}

/// An object that is being deleted already: its grace may only get shorter.
fn shorten(
    current: &Value,
    deadline: Timestamp,
    existing: i64,
    asked: Option<i64>,
    rules: &DeletionRules,
) -> Decision {
    let Some(asked) = asked.filter(|asked| *asked < existing) else {
        let held = !meta::finalizers(current).is_empty() || (rules.holds)(current);
        // Grace is over, or was none: whoever finishes the deletion finds nothing that holds it.
        return if asked == Some(0) && !held { Decision::Remove } else { Decision::Pending };
    };
    let held = !meta::finalizers(current).is_empty() || (rules.holds)(current);
    if asked == 0 && !held {
        return Decision::Remove;
    }
    let mut next = current.clone();
    let sooner = deadline.saturating_sub(SignedDuration::from_secs(existing - asked));
    if let Ok(sooner) = sooner {
        meta::set(&mut next, "deletionTimestamp", meta::format_time(sooner));
    }
    meta::set(&mut next, "deletionGracePeriodSeconds", asked);
    Decision::Mark(next)
}

fn mark(object: &mut Value, now: Timestamp, grace: i64) {
    let deadline = now.saturating_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    meta::set(object, "deletionTimestamp", meta::format_time(deadline));
    meta::set(object, "deletionGracePeriodSeconds", grace);
    let generation = meta::generation(object);
    if generation > 0 {
        meta::set_generation(object, generation + 1);
    }
}

/// The garbage collector reads the wished propagation from the finalizers.
fn set_propagation(object: &mut Value, asked: Option<Propagation>, default: Propagation) {
    let existing = meta::finalizers(object);
    let effective = asked.unwrap_or_else(|| {
        if existing.contains(&ORPHAN) {
            Propagation::Orphan
        } else if existing.contains(&FOREGROUND) {
            Propagation::Foreground
        } else {
            default
        }
    });
    let mut wished: Vec<String> =
        existing.iter().filter(|f| ![ORPHAN, FOREGROUND].contains(f)).map(|f| (*f).to_owned()).collect();
    match effective {
        Propagation::Background => {}
        Propagation::Foreground => wished.push(FOREGROUND.to_owned()),
        Propagation::Orphan => wished.push(ORPHAN.to_owned()),
    }
    if let Some(metadata) = meta::metadata_mut(object) {
        if wished.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), json!(wished));
        }
    }
}

impl Registry {
    /// Deletes one object. Answers the object, or a `Status` where that is the custom of the kind.
    pub(crate) async fn delete(
        &self,
        place: &Place,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Bytes, ApiError> {
        let rules = Hooks::deletion_rules(place);
        for _ in 0..MAX_ATTEMPTS {
            let entry = self.entry(place, name)?;
            let current = place.read(&entry.value)?;
            check_preconditions(place, name, &current, options)?;
            (rules.may_delete)(&current)?;
            match decide(&current, options, rules, now()) {
                Decision::Pending => return place.present(&entry.value),
                Decision::Remove if options.dry_run => return answer(place, rules, &current, &entry.value),
                Decision::Mark(next) if options.dry_run => return as_if_stored(place, &next, entry.modified),
                Decision::Remove => {
                    if let Some(gone) = self.remove(place, name, entry.modified).await? {
                        return answer(place, rules, &current, &gone.value);
                    }
                }
                Decision::Mark(next) => {
                    if let Some(marked) = self.put(place, name, &next, Expect::At(entry.modified)).await? {
                        return place.present(&marked.value);
                    }
                }
            }
        }
        Err(ApiError::conflict(&place.kind.group_resource(), name))
    }

    /// Deletes what the selectors choose, at most as many as the limit says; the answer lists it.
    pub(crate) async fn delete_collection(
        &self,
        place: &Place,
        selection: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<ListAnswer, Failure> {
        let page = self.page(place, selection)?;
        let mut items = Vec::with_capacity(page.entries.len());
        for entry in &page.entries {
            let home = place.narrowed(&entry.key);
            let name = entry.key.rsplit('/').next().unwrap_or_default();
            match self.delete(&home, name, options).await {
                Ok(_) => items.push(place.present(&entry.value)?),
                // Somebody else deleted it first, which is what was wanted.
                Err(error) if error.code == 404 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ListAnswer { items, ..page.answer })
    }
}

fn check_preconditions(
    place: &Place,
    name: &str,
    current: &Value,
    options: &DeleteOptions,
) -> Result<(), ApiError> {
    let checks = [
        ("UID", options.uid.as_deref(), meta::uid(current), "deleted and then recreated"),
        ("ResourceVersion", options.resource_version.as_deref(), meta::resource_version(current), "modified"),
    ];
    for (what, wanted, found, happened) in checks {
        let Some(wanted) = wanted.filter(|wanted| *wanted != found) else { continue };
        let resource = place.kind.group_resource();
        if LOOKED_AT_FIRST.contains(&resource.resource.as_str()) && !place.kind.is_custom() {
            let failed = if resource.group.is_empty() { "Precondition" } else { "precondition" };
            let why =
                format!("{failed} failed: {what} in precondition: {wanted}, {what} in object meta: {found}");
            return Err(ApiError::conflict_because(&resource, name, &why));
        }
        let why = format!(
            "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might \
             have been {happened}"
        );
        // Kubernetes names the kind here and not the resource.
        let kind = place.kind.group_kind();
        return Err(ApiError::conflict_because(&GroupResource::new(&kind.group, &kind.kind), name, &why));
    }
    Ok(())
}

fn answer(place: &Place, rules: &DeletionRules, current: &Value, stored: &Bytes) -> Result<Bytes, ApiError> {
    if rules.answers_object {
        return place.present(stored);
    }
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {
            "name": meta::name(current),
            "kind": place.kind.plural(),
            "uid": meta::uid(current),
        },
    });
    if !place.kind.group().is_empty() {
        status["details"]["group"] = json!(place.kind.group());
    }
    crate::present::to_bytes(&status)
}

#[cfg(test)]
mod tests;
