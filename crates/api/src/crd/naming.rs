//! Names that a definition asks for, and those that it gets: two kinds of one group cannot share one.
//!
//! A definition whose names are taken is stored, but not served until they are free.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::approval;
use super::definition::{storage_version, strings, text};
use crate::catalogue::Kind;
use crate::meta;

/// Names that are in use in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Taken {
    /// Adds the names of a built-in kind.
    pub fn add_kind(&mut self, kind: &Kind) {
        self.resources.extend([kind.plural().to_owned(), kind.kind().to_lowercase()]);
        self.kinds.extend([kind.kind().to_owned(), format!("{}List", kind.kind())]);
    }

    /// Adds the names that another definition of the group has got.
    pub fn add_definition(&mut self, crd: &Value) {
        let name = |key: &str| text(crd, &format!("/status/acceptedNames/{key}")).to_owned();
        self.resources.extend([name("plural"), name("singular")]);
        self.resources.extend(strings(crd, "/status/acceptedNames/shortNames"));
        self.kinds.extend([name("kind"), name("listKind")]);
    }
}

/// Empties the status of a new definition, but for the version in which objects will be stored.
pub(crate) fn prepare(crd: &mut Value) {
    let storage = storage_version(crd).to_owned();
    if let Some(map) = crd.as_object_mut() {
        let names = json!({ "kind": "", "plural": "" });
        let stored = if storage.is_empty() { Value::Null } else { json!([storage]) };
        let status = json!({ "acceptedNames": names, "conditions": [], "storedVersions": stored });
        map.insert("status".to_owned(), status);
    }
}

/// Notes the storage version as one in which objects may be stored.
pub fn note_storage(crd: &mut Value) {
    let storage = json!(storage_version(crd));
    if storage == "" {
        return;
    }
    let Some(map) = crd.as_object_mut() else { return };
    let Some(status) = map.entry("status").or_insert_with(|| json!({})).as_object_mut() else { return };
    let stored = status.entry("storedVersions").or_insert_with(|| json!([]));
    if let Some(stored) = stored.as_array_mut()
        && !stored.contains(&storage)
    {
        stored.push(storage);
    }
}

/// The names that were asked for, the ones that are had, and the first clash.
struct Settled {
    names: Map<String, Value>,
    clash: Option<(&'static str, String)>,
}

fn settle(crd: &Value, taken: &Taken) -> Settled {
    let wanted = crd.pointer("/spec/names").cloned().unwrap_or_default();
    let had = crd.pointer("/status/acceptedNames").cloned().unwrap_or_default();
    let mut names = had.as_object().cloned().unwrap_or_default();
    let mut clash: Option<(&'static str, String)> = None;
    let mut single =
        |names: &mut Map<String, Value>, key: &str, reason: &'static str, used: &BTreeSet<String>| {
            let (name, own) = (text(&wanted, &format!("/{key}")), text(&had, &format!("/{key}")));
            if name != own && used.contains(name) {
                clash = Some((reason, format!("{name:?} is already in use")));
            } else {
                names.insert(key.to_owned(), json!(name));
            }
        };
    // The last clash is the one that is told.
    single(&mut names, "plural", "PluralConflict", &taken.resources);
    single(&mut names, "singular", "SingularConflict", &taken.resources);
    let short_clash = short_names(&mut names, &wanted, &had, taken);
    single(&mut names, "kind", "KindConflict", &taken.kinds);
    single(&mut names, "listKind", "ListKindConflict", &taken.kinds);
    let clash = match clash {
        Some((reason, message)) if reason.contains("Kind") => Some((reason, message)),
        earlier => short_clash.or(earlier),
    };
    replace(&mut names, "categories", wanted.get("categories"));
    Settled { names, clash }
}

/// Takes the short names if all are free; says which are not.
fn short_names(
    names: &mut Map<String, Value>,
    wanted: &Value,
    had: &Value,
    taken: &Taken,
) -> Option<(&'static str, String)> {
    let own = strings(had, "/shortNames");
    let short = strings(wanted, "/shortNames");
    let used: Vec<String> = short
        .iter()
        .filter(|name| !own.contains(name) && taken.resources.contains(*name))
        .map(|name| format!("{name:?} is already in use"))
        .collect();
    if used.is_empty() {
        replace(names, "shortNames", wanted.get("shortNames"));
        return None;
    }
    let message = if used.len() == 1 { used[0].clone() } else { format!("[{}]", used.join(", ")) };
    Some(("ShortNamesConflict", message))
}

fn replace(names: &mut Map<String, Value>, key: &str, value: Option<&Value>) {
    match value {
        Some(value) => names.insert(key.to_owned(), value.clone()),
        None => names.remove(key),
    };
}

/// Writes what a definition has got: names, conditions, stored versions. Changes nothing when all of it is there already.
pub fn establish(crd: &mut Value, taken: &Taken, now: Timestamp) {
    note_storage(crd);
    let Settled { names, clash } = settle(crd, taken);
    let approval = approval::condition(crd);
    let Some(status) = crd.get_mut("status").and_then(Value::as_object_mut) else { return };
    status.insert("acceptedNames".to_owned(), Value::Object(names));
    let accepted = clash.is_none();
    match clash {
        None => set_condition(status, now, "NamesAccepted", ("True", "NoConflicts", "no conflicts found")),
        Some((reason, message)) => set_condition(status, now, "NamesAccepted", ("False", reason, &message)),
    }
    // Once established, always established: objects may be stored.
    if accepted {
        let facts = ("True", "InitialNamesAccepted", "the initial names have been accepted");
        set_condition(status, now, "Established", facts);
    } else if condition(status, "Established").is_none_or(|c| text(c, "/status") != "True") {
        let facts = ("False", "NotAccepted", "not all names are accepted");
        set_condition(status, now, "Established", facts);
    }
    if let Some((state, reason, message)) = approval {
        set_condition(status, now, "KubernetesAPIApprovalPolicyConformant", (state, reason, &message));
    }
}

fn condition<'a>(status: &'a Map<String, Value>, kind: &str) -> Option<&'a Value> {
    status.get("conditions")?.as_array()?.iter().find(|c| text(c, "/type") == kind)
}

/// Sets status, reason and message; the time is that of the last change of the status.
fn set_condition(status: &mut Map<String, Value>, now: Timestamp, kind: &str, facts: (&str, &str, &str)) {
    let (state, reason, message) = facts;
    let known = condition(status, kind);
    let since = known
        .filter(|c| text(c, "/status") == state)
        .map(|c| text(c, "/lastTransitionTime").to_owned())
        .filter(|time| !time.is_empty());
    let wanted = json!({
        "type": kind,
        "status": state,
        "lastTransitionTime": since.unwrap_or_else(|| meta::format_time(now)),
        "reason": reason,
        "message": message,
    });
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    match conditions.iter_mut().find(|c| text(c, "/type") == kind) {
        Some(known) => *known = wanted,
        None => conditions.push(wanted),
    }
}
