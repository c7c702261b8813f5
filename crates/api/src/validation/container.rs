//! Validation of containers: what all have in common, and what main, init and ephemeral ones may not have.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Errors, choice, duplicate, forbidden, invalid, not_found, required, shaped, unsupported};
use super::podspec::Surroundings;
use super::{
    Path, env, integer, list, mount, names, port_number, probe, protocol, resources, security, text,
};

const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: &[&str] = &["File", "FallbackToLogsOnError"];
const RESIZABLE: &[&str] = &["cpu", "memory"];
const RESIZE_POLICIES: &[&str] = &["NotRequired", "RestartContainer"];
const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
/// What a container that only looks around cannot have.
const NOT_EPHEMERAL: &[&str] = &[
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// `containers` of a pod.
pub(super) fn main(around: &Surroundings<'_>, path: &Path, errors: &mut Errors) {
    let containers = list(around.spec, "containers");
    if containers.is_empty() {
        return required(path, "", errors);
    }
    let mut taken = BTreeSet::new();
    for (index, container) in containers.iter().enumerate() {
        let path = path.index(index);
        common(container, around, &path, errors);
        let name = text(container, "name");
        if !taken.insert(name) {
            duplicate(&path.child("name"), name, errors);
        }
        running(container, around, &path, errors);
        if container.get("restartPolicy").is_some() {
            forbidden(&path.child("restartPolicy"), "may not be set for non-init containers", errors);
        }
    }
    host_ports(containers, path, errors);
}

/// `initContainers` of a pod.
pub(super) fn init(around: &Surroundings<'_>, path: &Path, errors: &mut Errors) {
    let mut taken: BTreeSet<&str> = list(around.spec, "containers").iter().map(|c| text(c, "name")).collect();
    for (index, container) in list(around.spec, "initContainers").iter().enumerate() {
        let item = path.index(index);
        common(container, around, &item, errors);
        let policy = container.get("restartPolicy").and_then(Value::as_str);
        if let Some(policy) = policy.filter(|p| *p != "Always") {
            unsupported(&item.child("restartPolicy"), policy, &["Always"], errors);
        }
        let name = text(container, "name");
        if taken.contains(name) {
            duplicate(&item.child("name"), name, errors);
        } else if !name.is_empty() {
            taken.insert(name);
        }
        // They run one after the other, so each is alone with its ports.
        host_ports(std::slice::from_ref(container), path, errors);
        if policy == Some("Always") {
            running(container, around, &item, errors);
            continue;
        }
        for key in ["lifecycle"].iter().chain(&PROBES).filter(|key| container.get(**key).is_some()) {
            let detail = "may not be set for init containers without restartPolicy=Always";
            forbidden(&item.child(key), detail, errors);
        }
        if let Some(policies) =
            container.get("resizePolicy").filter(|_| !list(container, "resizePolicy").is_empty())
        {
            let detail = "must not be set for init containers";
            invalid(&item.child("resizePolicy"), policies.clone(), detail, errors);
        }
    }
}

/// `ephemeralContainers` of a pod.
pub(super) fn ephemeral(around: &Surroundings<'_>, path: &Path, errors: &mut Errors) {
    let others: BTreeSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|key| list(around.spec, key))
        .map(|container| text(container, "name"))
        .collect();
    let mut taken = others.clone();
    for (index, container) in list(around.spec, "ephemeralContainers").iter().enumerate() {
        let path = path.index(index);
        common(container, around, &path, errors);
        image_is_trimmed(container, &path, errors);
        let (name, target) = (text(container, "name"), text(container, "targetContainerName"));
        if !taken.insert(name) {
            duplicate(&path.child("name"), name, errors);
        }
        if !target.is_empty() && !others.contains(target) {
            not_found(&path.child("targetContainerName"), target, errors);
        }
        let detail = "cannot be set for an Ephemeral Container";
        let is_set = |key: &&&str| match container.get(**key) {
            None | Some(Value::Null) => false,
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
            Some(_) => true,
        };
        for key in NOT_EPHEMERAL.iter().filter(is_set) {
            forbidden(&path.child(key), detail, errors);
        }
        for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
            let path = path.child("volumeMounts").index(index);
            for key in ["subPath", "subPathExpr"].iter().filter(|key| !text(mount, key).is_empty()) {
                forbidden(&path.child(key), detail, errors);
            }
        }
    }
}

fn common(container: &Value, around: &Surroundings<'_>, path: &Path, errors: &mut Errors) {
    match text(container, "name") {
        "" => required(&path.child("name"), "", errors),
        name => shaped(name, names::dns1123_label, &path.child("name"), errors),
    }
    if text(container, "image").is_empty() {
        required(&path.child("image"), "", errors);
    }
    choice(container, "terminationMessagePolicy", MESSAGE_POLICIES, path, errors);
    ports(container, &path.child("ports"), errors);
    env::validate(container, path, errors);
    mount::validate(container, &around.volumes, path, errors);
    choice(container, "imagePullPolicy", PULL_POLICIES, path, errors);
    resources::container(&container["resources"], &around.claims, &path.child("resources"), errors);
    resize_policy(container, around, &path.child("resizePolicy"), errors);
    security::container(around.spec, &container["securityContext"], &path.child("securityContext"), errors);
}

/// Only in pods: templates with a blank around the image were always let through.
pub(super) fn image_is_trimmed(container: &Value, path: &Path, errors: &mut Errors) {
    let image = text(container, "image");
    if image.trim() != image {
        invalid(&path.child("image"), image, "must not have leading or trailing whitespace", errors);
    }
}

/// What only a container that goes on running may have.
fn running(container: &Value, around: &Surroundings<'_>, path: &Path, errors: &mut Errors) {
    for hook in ["postStart", "preStop"] {
        if let Some(found) = container["lifecycle"].get(hook) {
            probe::hook(found, &path.child("lifecycle").child(hook), around.grace_seconds, errors);
        }
    }
    let signal = text(&container["lifecycle"], "stopSignal");
    if !signal.is_empty() && text(&around.spec["os"], "name").is_empty() {
        let detail = "may not be set for containers with empty `spec.os.name`";
        forbidden(&path.child("lifecycle").child("stopSignal"), detail, errors);
    }
    for key in PROBES {
        if let Some(found) = container.get(key) {
            probe::validate(found, key, &path.child(key), errors);
        }
    }
}

fn ports(container: &Value, path: &Path, errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    for (index, port) in list(container, "ports").iter().enumerate() {
        let path = path.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            let before = errors.len();
            shaped(name, names::port_name, &path.child("name"), errors);
            if errors.len() == before && !taken.insert(name) {
                duplicate(&path.child("name"), name, errors);
            }
        }
        match integer(port, "containerPort").unwrap_or(0) {
            0 => required(&path.child("containerPort"), "", errors),
            number => port_number(Some(number), &path.child("containerPort"), errors),
        }
        if let Some(host) = integer(port, "hostPort").filter(|n| *n != 0) {
            port_number(Some(host), &path.child("hostPort"), errors);
        }
        protocol(port, &path, errors);
    }
}

/// Two containers cannot take the same port of the host.
fn host_ports(containers: &[Value], path: &Path, errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    for (at, container) in containers.iter().enumerate() {
        for (index, port) in list(container, "ports").iter().enumerate() {
            let Some(number) = integer(port, "hostPort").filter(|n| *n != 0) else { continue };
            let key = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if taken.contains(&key) {
                duplicate(&path.index(at).child("ports").index(index).child("hostPort"), key, errors);
            } else {
                taken.insert(key);
            }
        }
    }
}

fn resize_policy(container: &Value, around: &Surroundings<'_>, path: &Path, errors: &mut Errors) {
    let mut taken = BTreeSet::new();
    for (index, item) in list(container, "resizePolicy").iter().enumerate() {
        let (resource, policy) = (text(item, "resourceName"), text(item, "restartPolicy"));
        if !taken.insert(resource) {
            duplicate(&path.index(index), resource, errors);
        }
        for (found, allowed) in [(resource, RESIZABLE), (policy, RESIZE_POLICIES)] {
            if found.is_empty() {
                required(path, "", errors);
            } else if !allowed.contains(&found) {
                unsupported(path, found, allowed, errors);
            }
        }
        if text(around.spec, "restartPolicy") == "Never" && policy != "NotRequired" {
            invalid(path, policy, "must be 'NotRequired' when `restartPolicy` is 'Never'", errors);
        }
    }
}
