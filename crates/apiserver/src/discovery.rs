//! Discovery: which groups, versions and resources there are, in the plain and in the aggregated form; and `OpenAPI`.
//!
//! All documents follow from a catalogue and are made once for it. Discovery documents are small and made together;
//! `OpenAPI` documents are large: they are made when first asked for and kept compressed. Those of group versions that hold
//! built-in kinds only never change and are shared by all catalogues.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use konzert_api::catalogue::Group;
use konzert_api::openapi::{
    OpenApiEntry, OpenApiKind, V2Encoding, document_hash, group_version_path, openapi_v3, openapi_v3_index,
    write_v2,
};
use konzert_api::{Catalogue, Kind, Subresource};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::packed::Packed;

/// Groups in the order in which Kubernetes lists them; others follow by name.
const GROUP_ORDER: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "resource.k8s.io",
    "storagemigration.k8s.io",
];

/// A document that is made when somebody asks for it.
type Lazy = Arc<Mutex<Option<Arc<Packed>>>>;

/// Documents of group versions without custom kinds, by path.
static BUILTIN: LazyLock<Mutex<BTreeMap<String, Lazy>>> = LazyLock::new(Mutex::default);

/// A document with its hash.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) bytes: Bytes,
    /// Hexadecimal, for `ETag` and `?hash=`.
    pub(crate) hash: String,
}

impl Document {
    pub(crate) fn of(value: &Value) -> Self {
        let bytes = Bytes::from(value.to_string());
        let hash = document_hash(&bytes);
        Self { bytes, hash }
    }
}

/// Everything that is published about one catalogue.
pub(crate) struct Documents {
    catalogue: Catalogue,
    /// By path: `/api`, `/apis`, `/api/v1`, `/apis/G`, `/apis/G/V`.
    plain: BTreeMap<String, Document>,
    /// By path (`/api`, `/apis`) and version of the discovery group.
    aggregated: BTreeMap<(&'static str, &'static str), Document>,
    openapi: BTreeMap<String, Lazy>,
    openapi_v2: [Lazy; 2],
}

impl Documents {
    pub(crate) fn of(catalogue: &Catalogue) -> Self {
        let mut groups = catalogue.groups();
        let rank =
            |group: &Group| GROUP_ORDER.iter().position(|name| *name == group.name).unwrap_or(usize::MAX);
        groups.sort_by_key(|group| (rank(group), group.name.clone()));
        let mut plain = BTreeMap::new();
        let mut openapi = BTreeMap::new();
        plain.insert("/api".to_owned(), Document::of(&api_versions()));
        let named: Vec<&Group> = groups.iter().filter(|g| !g.name.is_empty()).collect();
        let list: Vec<Value> = named.iter().map(|g| group_entry(g)).collect();
        let group_list = json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": list });
        plain.insert("/apis".to_owned(), Document::of(&group_list));
        for group in &groups {
            if !group.name.is_empty() {
                let mut entry = group_entry(group);
                entry["kind"] = json!("APIGroup");
                entry["apiVersion"] = json!("v1");
                plain.insert(format!("/apis/{}", group.name), Document::of(&entry));
            }
            for version in &group.versions {
                let path = group_version_path(&group.name, version);
                plain.insert(
                    format!("/{path}"),
                    Document::of(&resource_list(catalogue, &group.name, version)),
                );
                let builtin = catalogue.kinds_in(&group.name, version).all(|kind| !kind.is_custom());
                let document = if builtin {
                    BUILTIN.lock().entry(path.clone()).or_default().clone()
                } else {
                    Lazy::default()
                };
                openapi.insert(path, document);
            }
        }
        let mut aggregated = BTreeMap::new();
        for version in ["v2", "v2beta1"] {
            for (path, core) in [("/api", true), ("/apis", false)] {
                let wanted = groups.iter().filter(|g| g.name.is_empty() == core);
                let document = Document::of(&aggregated_list(catalogue, wanted, version));
                aggregated.insert((path, version), document);
            }
        }
        Self { catalogue: catalogue.clone(), plain, aggregated, openapi, openapi_v2: Default::default() }
    }

    /// The plain document at a path.
    pub(crate) fn plain(&self, path: &str) -> Option<&Document> {
        self.plain.get(path)
    }

    /// All plain paths.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.plain.keys().map(String::as_str)
    }

    /// The aggregated document at `/api` or `/apis`.
    pub(crate) fn aggregated(&self, path: &str, version: &str) -> Option<&Document> {
        self.aggregated.iter().find(|((p, v), _)| *p == path && *v == version).map(|(_, d)| d)
    }

    /// `OpenAPI` v3 of a group version, by `api/v1` or `apis/G/V`. Takes milliseconds when nobody asked before.
    pub(crate) fn openapi(&self, group_version: &str) -> io::Result<Option<Arc<Packed>>> {
        let Some(cell) = self.openapi.get(group_version) else { return Ok(None) };
        made(cell, || {
            let document = self.openapi_value(group_version);
            Packed::of(|out| Ok(serde_json::to_writer(out, &document)?))
        })
        .map(Some)
    }

    fn openapi_value(&self, group_version: &str) -> Value {
        let (group, version) = match group_version.split('/').collect::<Vec<_>>().as_slice() {
            ["apis", group, version] => ((*group).to_owned(), (*version).to_owned()),
            _ => (String::new(), "v1".to_owned()),
        };
        let kinds: Vec<OpenApiKind<'_>> =
            self.catalogue.kinds_in(&group, &version).map(OpenApiKind::from).collect();
        openapi_v3(&kinds)
    }

    /// The index of `OpenAPI` documents; their hashes make the addresses immutable.
    pub(crate) fn openapi_index(&self) -> io::Result<Value> {
        let mut entries = Vec::with_capacity(self.openapi.len());
        for path in self.openapi.keys() {
            if let Some(document) = self.openapi(path)? {
                entries.push(OpenApiEntry { path: path.clone(), hash: document.hash.clone() });
            }
        }
        Ok(openapi_v3_index(&entries))
    }

    /// `OpenAPI` v2 of everything. Takes long when nobody asked before.
    pub(crate) fn openapi_v2(&self, encoding: V2Encoding) -> io::Result<Arc<Packed>> {
        let cell = &self.openapi_v2[match encoding {
            V2Encoding::Json => 0,
            V2Encoding::Protobuf => 1,
        }];
        made(cell, || {
            let paths: Vec<&str> = self.openapi.keys().map(String::as_str).collect();
            Packed::of(|out| write_v2(encoding, &paths, &|path| self.openapi_value(path), out))
        })
    }
}

/// What is in the cell. It is made once, however many clients ask at the same time: each making takes much memory.
fn made(cell: &Lazy, make: impl FnOnce() -> io::Result<Packed>) -> io::Result<Arc<Packed>> {
    let mut found = cell.lock();
    if let Some(found) = &*found {
        return Ok(found.clone());
    }
    let new = Arc::new(make()?);
    *found = Some(new.clone());
    Ok(new)
}

/// Names the version in which objects of a built-in kind are stored, so that a client sees when it changes.
fn storage_version_hash(kind: &Kind) -> String {
    const BYTES: usize = 8;
    let name = format!("{}/{}/{}", kind.group(), kind.version(), kind.kind());
    let hash = document_hash(name.as_bytes());
    let bytes: Vec<u8> =
        (0..BYTES).filter_map(|n| u8::from_str_radix(hash.get(n * 2..n * 2 + 2)?, 16).ok()).collect();
    STANDARD.encode(bytes)
}

fn api_versions() -> Value {
    json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })
}

fn group_entry(group: &Group) -> Value {
    let entry =
        |version: &String| json!({ "groupVersion": format!("{}/{version}", group.name), "version": version });
    let versions: Vec<Value> = group.versions.iter().map(entry).collect();
    json!({ "name": group.name, "versions": versions, "preferredVersion": versions.first() })
}

fn subresource_verbs(subresource: Subresource) -> &'static [&'static str] {
    match subresource {
        Subresource::Status
        | Subresource::Scale
        | Subresource::Approval
        | Subresource::EphemeralContainers
        | Subresource::Resize => &["get", "patch", "update"],
        Subresource::Log => &["get"],
        Subresource::Binding | Subresource::Eviction | Subresource::Token => &["create"],
        Subresource::Finalize => &["update"],
    }
}

/// Group, version and kind of what a subresource answers.
fn subresource_kind(kind: &Kind, subresource: Subresource) -> (String, String, String) {
    let fixed =
        |group: &str, version: &str, kind: &str| (group.to_owned(), version.to_owned(), kind.to_owned());
    match subresource {
        Subresource::Scale => fixed("autoscaling", "v1", "Scale"),
        Subresource::Binding => fixed("", "v1", "Binding"),
        Subresource::Eviction => fixed("policy", "v1", "Eviction"),
        Subresource::Token => fixed("authentication.k8s.io", "v1", "TokenRequest"),
        Subresource::Status
        | Subresource::Approval
        | Subresource::Log
        | Subresource::Finalize
        | Subresource::EphemeralContainers
        | Subresource::Resize => fixed(kind.group(), kind.version(), kind.kind()),
    }
}

fn resource_list(catalogue: &Catalogue, group: &str, version: &str) -> Value {
    let mut resources = Vec::new();
    for kind in catalogue.kinds_in(group, version) {
        let mut entry = json!({
            "name": kind.plural(),
            "singularName": kind.singular(),
            "namespaced": kind.namespaced(),
            "kind": kind.kind(),
            "verbs": kind.verbs(),
        });
        put_names(&mut entry, kind);
        if !kind.is_custom() {
            entry["storageVersionHash"] = json!(storage_version_hash(kind));
        }
        resources.push(entry);
        for subresource in kind.subresources() {
            let (sub_group, sub_version, sub_kind) = subresource_kind(kind, subresource);
            let mut entry = json!({
                "name": format!("{}/{}", kind.plural(), subresource.name()),
                "singularName": "",
                "namespaced": kind.namespaced(),
                "kind": sub_kind,
                "verbs": subresource_verbs(subresource),
            });
            if (sub_group.as_str(), sub_version.as_str()) != (group, version) {
                entry["group"] = json!(sub_group);
                entry["version"] = json!(sub_version);
            }
            resources.push(entry);
        }
    }
    if catalogue.kinds_in(group, version).all(|kind| !kind.is_custom()) {
        resources.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut list =
        json!({ "kind": "APIResourceList", "groupVersion": group_version, "resources": resources });
    // The list of the first group is older than the member.
    if !group.is_empty() {
        list["apiVersion"] = json!("v1");
    }
    list
}

fn put_names(entry: &mut Value, kind: &Kind) {
    for (key, names) in [("shortNames", kind.short_names()), ("categories", kind.categories())] {
        if !names.is_empty() {
            entry[key] = json!(names);
        }
    }
}

fn aggregated_list<'a>(
    catalogue: &Catalogue,
    groups: impl Iterator<Item = &'a Group>,
    version: &str,
) -> Value {
    let items: Vec<Value> = groups.map(|group| aggregated_group(catalogue, group)).collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(catalogue: &Catalogue, group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            let kinds = catalogue.kinds_in(&group.name, version);
            let mut kinds: Vec<&Kind> = kinds.collect();
            if kinds.iter().all(|kind| !kind.is_custom()) {
                kinds.sort_by_key(|kind| kind.plural());
            }
            let resources: Vec<Value> = kinds.into_iter().map(aggregated_resource).collect();
            json!({ "version": version, "resources": resources, "freshness": "Current" })
        })
        .collect();
    let mut metadata = json!({ "creationTimestamp": null });
    if !group.name.is_empty() {
        metadata["name"] = json!(group.name);
    }
    json!({ "metadata": metadata, "versions": versions })
}

fn aggregated_resource(kind: &Kind) -> Value {
    let response_kind = |(group, version, kind): (String, String, String)| json!({ "group": group, "version": version, "kind": kind });
    let mut entry = json!({
        "resource": kind.plural(),
        "responseKind": response_kind((kind.group().into(), kind.version().into(), kind.kind().into())),
        "scope": if kind.namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular(),
        "verbs": kind.verbs(),
    });
    put_names(&mut entry, kind);
    let subresources: Vec<Value> = kind
        .subresources()
        .into_iter()
        .map(|subresource| {
            json!({
                "subresource": subresource.name(),
                "responseKind": response_kind(subresource_kind(kind, subresource)),
                "verbs": subresource_verbs(subresource),
            })
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = json!(subresources);
    }
    entry
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_document_is_made_once_for_all_who_ask_at_the_same_time() {
        let (cell, count, start) = (Lazy::default(), AtomicUsize::new(0), Barrier::new(8));
        let ask = || {
            start.wait();
            let make = || {
                count.fetch_add(1, Ordering::Relaxed);
                Packed::of(|out| out.write_all(&vec![b'x'; 1 << 20]))
            };
            made(&cell, make).unwrap();
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(ask);
            }
        });
        assert_eq!(count.into_inner(), 1);
    }
}
