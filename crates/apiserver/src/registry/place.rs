//! Where objects of a kind live, and the set of kinds that are served.
//!
//! Invariant: a key is `/<group or "core">/<plural>/<namespace or "-">/<name>`; none of its parts contains `/`
//! ([`crate::request`] and name validation see to that), so prefixes never overlap.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use konzert_api::{ApiError, Catalogue, GroupResource, Kind, schema};
use serde_json::Value;

use crate::discovery::Documents;
use crate::encode::{decode, encode};

/// What is particular to the definition behind a custom kind.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// `group/version` in which objects are stored.
    pub(crate) storage_api_version: String,
    /// Stored objects may carry another apiVersion than the one asked for.
    pub(crate) mixed: bool,
    /// The definition is going away: nothing new may be created.
    pub(crate) terminating: bool,
    /// Objects that were written before this revision may lack defaults, and have fields that the schema does not know any
    /// more.
    pub(crate) revision: u64,
    /// All versions that are served, by `group/version`.
    pub(crate) versions: BTreeMap<String, Kind>,
}

/// Everything that is served at one moment. Immutable; a new definition makes a new one.
pub(crate) struct Served {
    pub(crate) catalogue: Catalogue,
    definitions: BTreeMap<GroupResource, Arc<Definition>>,
    /// Discovery and `OpenAPI` documents, made when first asked for.
    documents: OnceLock<Arc<Documents>>,
}

impl Served {
    pub(crate) fn builtin() -> Self {
        Self::new(Catalogue::builtin(), BTreeMap::new())
    }

    pub(crate) fn new(catalogue: Catalogue, definitions: BTreeMap<GroupResource, Arc<Definition>>) -> Self {
        Self { catalogue, definitions, documents: OnceLock::new() }
    }

    /// Discovery documents of exactly this state.
    pub(crate) fn documents(&self) -> Arc<Documents> {
        self.documents.get_or_init(|| Arc::new(Documents::of(&self.catalogue))).clone()
    }

    /// The kind behind a path and where its objects live. `None`: not served.
    pub(crate) fn place(
        &self,
        group: &str,
        version: &str,
        plural: &str,
        namespace: Option<&str>,
    ) -> Option<Place> {
        let kind = self.catalogue.by_resource(group, version, plural)?;
        Some(self.place_of(kind, namespace))
    }

    /// As [`Self::place`], for a kind that is known already.
    pub(crate) fn place_of(&self, kind: Kind, namespace: Option<&str>) -> Place {
        let definition = self.definitions.get(&kind.group_resource()).cloned();
        Place { kind, namespace: namespace.map(str::to_owned), definition }
    }

    /// Where namespaces live.
    pub(crate) fn namespaces(&self) -> Place {
        self.place("", "v1", "namespaces", None).expect("namespaces are a built-in kind")
    }

    /// Where definitions of custom kinds live.
    pub(crate) fn definitions_place(&self) -> Place {
        self.place("apiextensions.k8s.io", "v1", "customresourcedefinitions", None)
            .expect("definitions are a built-in kind")
    }
}

/// A kind and a namespace: a collection, or the home of one object.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    /// `None` for cluster-scoped kinds, and for a collection over all namespaces.
    pub(crate) namespace: Option<String>,
    /// For custom kinds.
    pub(crate) definition: Option<Arc<Definition>>,
}

impl Place {
    fn kind_prefix(&self) -> String {
        let group = self.kind.stored_as().map_or(self.kind.group(), |stored| &stored.gvk.group);
        let group = if group.is_empty() { "core" } else { group };
        format!("/{group}/{}/", self.kind.plural())
    }

    /// The key of one object.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{}/{name}", self.kind_prefix(), self.namespace.as_deref().unwrap_or("-"))
    }

    /// The prefix of the collection.
    pub(crate) fn prefix(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}{namespace}/", self.kind_prefix()),
            None => self.kind_prefix(),
        }
    }

    /// The same kind in the namespace of a key of this collection.
    pub(crate) fn narrowed(&self, key: &str) -> Self {
        let mut place = self.clone();
        if self.kind.namespaced() && self.namespace.is_none() {
            let rest = key.strip_prefix(&self.kind_prefix()).unwrap_or_default();
            place.namespace = rest.split_once('/').map(|(namespace, _)| namespace.to_owned());
        }
        place
    }

    /// Whether stored bytes are not yet what the version asked for makes of them.
    fn is_stale(&self, stored: &[u8]) -> bool {
        self.kind.stored_as().is_some()
            || self.definition.as_ref().is_some_and(|definition| {
                definition.mixed || revision_of(stored).is_none_or(|revision| revision <= definition.revision)
            })
    }

    /// Stored bytes as an object in the version asked for.
    pub(crate) fn read(&self, stored: &[u8]) -> Result<Value, ApiError> {
        let mut object = decode(stored)?;
        if let Some(other) = self.kind.stored_as() {
            (other.from_stored)(&mut object);
        }
        if self.is_stale(stored) {
            self.refresh(&mut object);
        }
        Ok(object)
    }

    /// Defaults are those of the version in which the object stands in the store; what that version or the one asked for does
    /// not know goes.
    fn refresh(&self, object: &mut Value) {
        let versions = self.definition.as_ref().map(|definition| &definition.versions);
        let stored = object.get("apiVersion").and_then(Value::as_str);
        let written = versions.zip(stored).and_then(|(versions, stored)| versions.get(stored));
        let api_version = self.kind.api_version();
        if let Some(written) = written.filter(|written| written.api_version() != api_version) {
            written.prune(object);
            written.default(object);
            object["apiVersion"] = api_version.into();
            self.kind.prune(object);
        } else {
            object["apiVersion"] = api_version.into();
            self.kind.prune(object);
            self.kind.default(object);
        }
    }

    /// Stored bytes as they are served in the version asked for; nearly always the very same bytes.
    pub(crate) fn present(&self, stored: &Bytes) -> Result<Bytes, ApiError> {
        if !self.is_stale(stored) {
            return Ok(stored.clone());
        }
        serde_json::to_vec(&self.read(stored)?).map(Bytes::from).map_err(ApiError::internal)
    }

    /// The bytes to store for an object.
    pub(crate) fn to_stored(&self, object: &Value) -> Result<Bytes, ApiError> {
        if let Some(other) = self.kind.stored_as() {
            let mut stored = object.clone();
            (other.to_stored)(&mut stored);
            stored["apiVersion"] = other.gvk.api_version().into();
            schema::normalize(&other.gvk, &mut stored);
            schema::complete(&other.gvk, &mut stored);
            return encode(&stored);
        }
        match &self.definition {
            Some(definition) if definition.storage_api_version != self.kind.api_version() => {
                let mut stored = object.clone();
                stored["apiVersion"] = definition.storage_api_version.as_str().into();
                encode(&stored)
            }
            _ => encode(object),
        }
    }
}

/// The resourceVersion of stored bytes, which stands at their start.
fn revision_of(stored: &[u8]) -> Option<u64> {
    let rest = stored.strip_prefix(br#"{"metadata":{"resourceVersion":""#)?;
    let end = rest.iter().position(|b| *b == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_stands_at_the_start() {
        let stored = br#"{"metadata":{"resourceVersion":"42","name":"a"}}"#;
        assert_eq!(revision_of(stored), Some(42));
        assert_eq!(revision_of(b"{}"), None);
    }

    #[test]
    fn keys_and_prefixes() {
        let served = Served::builtin();
        let pods = |ns| served.place("", "v1", "pods", ns).unwrap();
        assert_eq!(pods(Some("a")).key("b"), "/core/pods/a/b");
        assert_eq!(pods(Some("a")).prefix(), "/core/pods/a/");
        assert_eq!(pods(None).prefix(), "/core/pods/");
        assert_eq!(pods(None).narrowed("/core/pods/x/y").key("y"), "/core/pods/x/y");
        assert_eq!(served.namespaces().key("a"), "/core/namespaces/-/a");
        assert_eq!(
            served.place("apps", "v1", "deployments", Some("a")).unwrap().key("b"),
            "/apps/deployments/a/b"
        );
        assert!(served.place("apps", "v1", "pods", None).is_none());
    }

    #[test]
    fn two_versions_of_one_object_share_a_key() {
        let served = Served::builtin();
        let events = |group| served.place(group, "v1", "events", Some("a")).unwrap();
        let (core, new) = (events(""), events("events.k8s.io"));
        assert_eq!(core.key("e"), new.key("e"));
        let event = serde_json::json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {}, "note": "n"});
        let stored = new.to_stored(&event).unwrap();
        let seen = core.read(&stored).unwrap();
        assert_eq!((&seen["message"], &seen["apiVersion"]), (&"n".into(), &"v1".into()));
        assert_eq!(seen["involvedObject"], serde_json::json!({}), "what is always written is there");
        let read = new.read(&stored).unwrap();
        assert_eq!((&read["note"], &read["apiVersion"]), (&event["note"], &event["apiVersion"]));
        assert_eq!(read["deprecatedSource"], serde_json::json!({}), "what is always written is there");
    }
}
