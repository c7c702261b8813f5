//! The protobuf decoder against an encoder that is not ours: k8s-pb's prost types.
//!
//! Every kind of the table is filled completely along our table, read and written again by prost, and decoded by us. A tag,
//! type or cardinality that is wrong loses a value on the way; a name that is bound to the wrong tag shows in prost's own
//! field names. What prost does not know is listed, so that additions that are newer than it stay visible.
#![allow(clippy::unwrap_used, reason = "this is all test code; a panic is the report")]

use std::collections::{BTreeMap, BTreeSet};

use konzert_api::protobuf::decode;
use konzert_api::schema::{Cardinality, Field, FieldKind, Message, Special, schema};
use prost::Message as _;
use serde_json::{Value, json};

/// Deeper than any built-in kind that is not recursive.
const MAX_DEPTH: usize = 14;
/// No tag of Kubernetes is larger, but for kinds that are not served.
const MAX_TAG: u32 = 1200;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

fn put_bytes(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    varint(out, u64::from(tag) << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, tag: u32, value: u64) {
    varint(out, u64::from(tag) << 3);
    varint(out, value);
}

/// Writes complete messages; every scalar is unique, so that it can be found again.
#[derive(Default)]
struct Filler {
    next: u64,
    /// The JSON name under which each unique scalar must come back.
    names: BTreeMap<String, &'static str>,
    /// Types on the way down; none is entered twice.
    stack: Vec<String>,
}

impl Filler {
    fn unique(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn text(&mut self, name: &'static str) -> String {
        let text = format!("t{}", self.unique());
        self.names.insert(text.clone(), name);
        text
    }

    fn message(&mut self, message: &Message) -> Vec<u8> {
        let mut out = Vec::new();
        if self.stack.len() >= MAX_DEPTH || self.stack.contains(&message.name) {
            return out;
        }
        self.stack.push(message.name.clone());
        for field in (1..MAX_TAG).filter_map(|tag| message.wire_field(tag)) {
            match field.cardinality {
                Cardinality::One | Cardinality::List => self.field(&mut out, field.tag, field),
                Cardinality::Map => {
                    let mut entry = Vec::new();
                    put_bytes(&mut entry, 1, b"key");
                    self.field(&mut entry, 2, field);
                    put_bytes(&mut out, field.tag, &entry);
                }
            }
        }
        self.stack.pop();
        out
    }

    fn field(&mut self, out: &mut Vec<u8>, tag: u32, field: &Field) {
        match field.kind {
            FieldKind::String => {
                let text = self.text(field.name);
                put_bytes(out, tag, text.as_bytes());
            }
            FieldKind::Int32 | FieldKind::Int64 => {
                let number = 1_000_000 + self.unique();
                self.names.insert(number.to_string(), field.name);
                put_varint(out, tag, number);
            }
            FieldKind::Bool => put_varint(out, tag, 1),
            FieldKind::Double => {
                varint(out, u64::from(tag) << 3 | 1);
                out.extend_from_slice(&0.5_f64.to_le_bytes());
            }
            FieldKind::Bytes => put_bytes(out, tag, &[1, 2, 255]),
            FieldKind::Message(id) => {
                let message = schema().get(id);
                let bytes = match message.special {
                    Some(special) => self.special(special),
                    None => self.message(message),
                };
                put_bytes(out, tag, &bytes);
            }
        }
    }

    fn special(&mut self, special: Special) -> Vec<u8> {
        let mut out = Vec::new();
        let text = format!("u{}", self.unique());
        match special {
            Special::Quantity | Special::Strings => put_bytes(&mut out, 1, text.as_bytes()),
            Special::IntOrString => {
                put_varint(&mut out, 1, 1);
                put_bytes(&mut out, 3, text.as_bytes());
            }
            Special::Time | Special::MicroTime => put_varint(&mut out, 1, 1_700_000_000),
            Special::FieldsV1 | Special::RawExtension | Special::Json => {
                put_bytes(&mut out, 1, format!("{{\"f:raw\":{text:?}}}").as_bytes());
            }
            Special::SchemaOrStrings => put_bytes(&mut out, 2, text.as_bytes()),
            Special::SchemaOrArray => put_bytes(&mut out, 1, &Self::json_schema(&text)),
            Special::SchemaOrBool => {
                put_varint(&mut out, 1, 1);
                put_bytes(&mut out, 2, &Self::json_schema(&text));
            }
        }
        out
    }

    /// A small schema; the type contains itself and would never end.
    fn json_schema(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 4, text.as_bytes());
        out
    }
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut type_meta = Vec::new();
    put_bytes(&mut type_meta, 1, api_version.as_bytes());
    put_bytes(&mut type_meta, 2, kind.as_bytes());
    let mut out = b"k8s\0".to_vec();
    put_bytes(&mut out, 1, &type_meta);
    put_bytes(&mut out, 2, raw);
    out
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
}

/// Names that prost's field carries beside unique scalars, for example `pod_ip: Some("t7")`.
fn names_seen_by_prost(debug: &str) -> BTreeMap<String, String> {
    let pattern = regex::Regex::new(r#"(?:r#)?(\w+): (?:Some\(|\[|\{"key": )"?(t\d+|1\d{6})\b"?"#).unwrap();
    pattern.captures_iter(debug).map(|found| (found[2].to_owned(), found[1].to_owned())).collect()
}

/// Leaves of `ours` that `theirs` lost, as `parent.field`.
fn lost(ours: &Value, theirs: Option<&Value>, path: &str, found: &mut BTreeSet<String>) {
    match (ours, theirs) {
        (_, None) => {
            found.insert(path.to_owned());
        }
        (Value::Object(ours), Some(Value::Object(theirs))) => {
            let parent = path.rsplit('.').next().unwrap_or_default();
            for (key, value) in ours {
                lost(value, theirs.get(key), &format!("{parent}.{key}"), found);
            }
        }
        (Value::Array(ours), Some(Value::Array(theirs))) => {
            for (index, value) in ours.iter().enumerate() {
                lost(value, theirs.get(index), path, found);
            }
        }
        (ours, Some(theirs)) => assert_eq!(ours, theirs, "{path}"),
    }
}

/// What prost, and what we made of the same bytes.
struct Compared {
    names: usize,
    lost: BTreeSet<String>,
}

fn compare<M: prost::Message + Default + std::fmt::Debug>(
    group: &str,
    version: &str,
    kind: &str,
) -> Compared {
    let message = schema().by_gvk(group, version, kind).unwrap_or_else(|| panic!("{group}/{version}/{kind}"));
    let mut filler = Filler::default();
    let bytes = filler.message(message);
    let theirs = M::decode(bytes.as_slice()).unwrap_or_else(|error| panic!("{kind}: {error}"));
    let api_version = api_version(group, version);
    let again = decode(&envelope(&api_version, kind, &theirs.encode_to_vec())).unwrap();
    let direct = decode(&envelope(&api_version, kind, &bytes)).unwrap();
    assert_eq!((direct.unknown_fields, again.unknown_fields), (0, 0), "{kind}");
    let mut missing = BTreeSet::new();
    lost(&direct.value, Some(&again.value), kind, &mut missing);
    let mut nothing = BTreeSet::new();
    lost(&again.value, Some(&direct.value), kind, &mut nothing);
    assert!(nothing.is_empty(), "{kind}: {nothing:?}");
    let mut names = 0;
    for (scalar, name) in names_seen_by_prost(&format!("{theirs:?}")) {
        let ours = filler.names.get(&scalar).unwrap_or_else(|| panic!("{kind}: {scalar} in {name}"));
        assert_eq!(plain(ours), plain(&name), "{kind}: {scalar}");
        names += 1;
    }
    Compared { names, lost: missing }
}

macro_rules! kinds {
    ($($group:literal $version:literal : $($kind:ident)* => $($module:ident)::+;)*) => {
        fn every_kind() -> Vec<(&'static str, Compared)> {
            let mut all = Vec::new();
            $({
                use k8s_pb::$($module)::+ as types;
                $(all.push((stringify!($kind), compare::<types::$kind>($group, $version, stringify!($kind))));)*
            })*
            all
        }
    };
}

kinds! {
    "" "v1": Binding ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod
        PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount => api::core::v1;
    "admissionregistration.k8s.io" "v1": MutatingWebhookConfiguration ValidatingWebhookConfiguration
        ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding => api::admissionregistration::v1;
    "apiextensions.k8s.io" "v1": CustomResourceDefinition => apiextensions_apiserver::pkg::apis::apiextensions::v1;
    "apiregistration.k8s.io" "v1": APIService => kube_aggregator::pkg::apis::apiregistration::v1;
    "apps" "v1": ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet => api::apps::v1;
    "authentication.k8s.io" "v1": SelfSubjectReview TokenRequest TokenReview => api::authentication::v1;
    "authorization.k8s.io" "v1": LocalSubjectAccessReview SelfSubjectAccessReview SelfSubjectRulesReview
        SubjectAccessReview => api::authorization::v1;
    "autoscaling" "v1": Scale HorizontalPodAutoscaler => api::autoscaling::v1;
    "autoscaling" "v2": HorizontalPodAutoscaler => api::autoscaling::v2;
    "batch" "v1": CronJob Job => api::batch::v1;
    "certificates.k8s.io" "v1": CertificateSigningRequest => api::certificates::v1;
    "coordination.k8s.io" "v1": Lease => api::coordination::v1;
    "discovery.k8s.io" "v1": EndpointSlice => api::discovery::v1;
    "events.k8s.io" "v1": Event => api::events::v1;
    "flowcontrol.apiserver.k8s.io" "v1": FlowSchema PriorityLevelConfiguration => api::flowcontrol::v1;
    "meta.k8s.io" "v1": DeleteOptions => apimachinery::pkg::apis::meta::v1;
    "networking.k8s.io" "v1": IPAddress Ingress IngressClass NetworkPolicy ServiceCIDR => api::networking::v1;
    "node.k8s.io" "v1": RuntimeClass => api::node::v1;
    "policy" "v1": Eviction PodDisruptionBudget => api::policy::v1;
    "rbac.authorization.k8s.io" "v1": ClusterRole ClusterRoleBinding Role RoleBinding => api::rbac::v1;
    "resource.k8s.io" "v1": DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice => api::resource::v1;
    "scheduling.k8s.io" "v1": PriorityClass => api::scheduling::v1;
    "storage.k8s.io" "v1": CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment VolumeAttributesClass
        => api::storage::v1;
}

#[test]
fn complete_objects_of_every_kind_survive_an_independent_codec() {
    let compared = every_kind();
    let names: usize = compared.iter().map(|(_, compared)| compared.names).sum();
    assert!(names > 3000, "{names} names");
    let newer: BTreeSet<&str> =
        compared.iter().flat_map(|(_, compared)| compared.lost.iter().map(String::as_str)).collect();
    // Fields of Kubernetes 1.36 and 1.37; k8s-pb ends with 1.35.
    insta::assert_snapshot!(newer.into_iter().collect::<Vec<_>>().join("\n"), @r"
    CSINode.status
    clusterTrustBundle.user
    conditions.observedGeneration
    configMap.defaultUser
    consumesCounters.compatibilityGroups
    devices.nodeAllocatableResources
    downwardAPI.defaultUser
    emptyDir.mode
    exactly.derivedAttributes
    firstAvailable.derivedAttributes
    grpc.mode
    httpGet.protocol
    items.user
    key.bools
    key.ints
    key.strings
    key.versions
    nodeInfo.runningInUserNamespace
    podCertificate.user
    projected.defaultUser
    resources.message
    results.skipNodeOperations
    secret.defaultUser
    serviceAccountToken.user
    spec.attestations
    spec.evictionResponders
    spec.partitionTypeAttribute
    spec.podPreemptionPolicy
    spec.preventPodSchedulingIfMissing
    spec.scheduling
    spec.schedulingGroup
    spec.skipNodeOperations
    status.healthStatus
    status.nodeAllocatableResourceClaimStatuses
    status.volumeHealth
    volumeMounts.bindMountOptions
    volumeMounts.volumeStatus
    ");
}

#[test]
fn bodies_as_clients_build_them() {
    use k8s_pb::api::core::v1::{Container, Pod, PodList, PodSpec, Service, ServicePort, ServiceSpec};
    use k8s_pb::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ListMeta, ObjectMeta, Preconditions};
    let meta = |name: &str| {
        Some(ObjectMeta {
            name: Some(name.to_owned()),
            labels: [("app".to_owned(), name.to_owned())].into(),
            ..ObjectMeta::default()
        })
    };
    let container = Container {
        name: Some("main".to_owned()),
        image: Some("web:1".to_owned()),
        command: vec!["serve".to_owned(), String::new()],
        ..Container::default()
    };
    let spec = PodSpec { containers: vec![container], ..PodSpec::default() };
    let pod = |name| Pod { metadata: meta(name), spec: Some(spec.clone()), status: None };
    let list = PodList {
        metadata: Some(ListMeta { resource_version: Some("7".to_owned()), ..ListMeta::default() }),
        items: vec![pod("a"), pod("b")],
    };
    let decoded = decode(&envelope("v1", "PodList", &list.encode_to_vec())).unwrap();
    assert_eq!(decoded.unknown_fields, 0);
    let item = |name: &str| {
        json!({
            "metadata": { "name": name, "labels": { "app": name } },
            "spec": { "containers": [{ "name": "main", "image": "web:1", "command": ["serve", ""] }] },
        })
    };
    let expected = json!({
        "apiVersion": "v1", "kind": "PodList", "metadata": { "resourceVersion": "7" }, "items": [item("a"), item("b")],
    });
    assert_eq!(decoded.value, expected);

    let ports =
        vec![ServicePort { port: Some(80), protocol: Some("TCP".to_owned()), ..ServicePort::default() }];
    let service = Service {
        metadata: meta("s"),
        spec: Some(ServiceSpec { ports, publish_not_ready_addresses: Some(false), ..ServiceSpec::default() }),
        status: None,
    };
    let decoded = decode(&envelope("v1", "Service", &service.encode_to_vec())).unwrap();
    assert_eq!(decoded.value["spec"], json!({ "ports": [{ "port": 80, "protocol": "TCP" }] }));

    let options = DeleteOptions {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: Some("u".to_owned()), resource_version: None }),
        dry_run: vec!["All".to_owned()],
        ..DeleteOptions::default()
    };
    for api_version in ["v1", "meta.k8s.io/v1", "apps/v1"] {
        let decoded = decode(&envelope(api_version, "DeleteOptions", &options.encode_to_vec())).unwrap();
        let expected = json!({
            "apiVersion": api_version, "kind": "DeleteOptions",
            "gracePeriodSeconds": 0, "preconditions": { "uid": "u" }, "dryRun": ["All"],
        });
        assert_eq!(decoded.value, expected);
    }
    assert_eq!(decode(&envelope("v1", "NobodyList", &[])).unwrap_err().code, 400);
}
