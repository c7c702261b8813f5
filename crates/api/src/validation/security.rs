//! Validation of security contexts, of containers and of whole pods.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Errors, flag, forbidden, invalid, required, unsupported};
use super::mount::relative_path;
use super::{Path, integer, list, one_of, text};

const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
const PROFILE_PATH_MAX: usize = 4095;
const SYSCTL_MAX: usize = 253;
const SYSCTL_SENTENCE: &str = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

fn id(number: Option<i64>, path: &Path, errors: &mut Errors) {
    if let Some(number) = number.filter(|n| !(0..=i64::from(i32::MAX)).contains(n)) {
        invalid(path, number, "must be between 0 and 2147483647, inclusive", errors);
    }
}

/// `securityContext` of a container.
pub(super) fn container(spec: &Value, context: &Value, path: &Path, errors: &mut Errors) {
    if context.is_null() {
        return;
    }
    for key in ["runAsUser", "runAsGroup"] {
        id(integer(context, key), &path.child(key), errors);
    }
    let proc_mount = text(context, "procMount");
    if !matches!(proc_mount, "" | "Default" | "Unmasked") {
        unsupported(&path.child("procMount"), proc_mount, &["Default", "Unmasked"], errors);
    }
    if proc_mount == "Unmasked" && spec.get("hostUsers") != Some(&Value::Bool(false)) {
        invalid(&path.child("procMount"), proc_mount, "`hostUsers` must be false to use `Unmasked`", errors);
    }
    seccomp(context, &path.child("seccompProfile"), errors);
    if context.get("allowPrivilegeEscalation") == Some(&Value::Bool(false)) {
        if flag(context, "privileged") {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            invalid(path, context.clone(), detail, errors);
        }
        if list(&context["capabilities"], "add").iter().any(|c| c == "CAP_SYS_ADMIN") {
            let detail =
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            invalid(path, context.clone(), detail, errors);
        }
    }
    app_armor(context, &path.child("appArmorProfile"), errors);
}

/// `securityContext` of a pod.
pub(super) fn pod(spec: &Value, spec_path: &Path, errors: &mut Errors) {
    let context = &spec["securityContext"];
    let path = &spec_path.child("securityContext");
    if context.is_null() {
        return;
    }
    for key in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(integer(context, key), &path.child(key), errors);
    }
    for (index, group) in list(context, "supplementalGroups").iter().enumerate() {
        id(group.as_i64(), &path.child("supplementalGroups").index(index), errors);
    }
    if flag(spec, "shareProcessNamespace") && flag(spec, "hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        invalid(&spec_path.child("shareProcessNamespace"), true, detail, errors);
    }
    sysctls(spec, &path.child("sysctls"), errors);
    one_of(context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], path, errors);
    seccomp(context, &path.child("seccompProfile"), errors);
    app_armor(context, &path.child("appArmorProfile"), errors);
    one_of(context, "supplementalGroupsPolicy", &["Merge", "Strict"], path, errors);
    one_of(context, "seLinuxChangePolicy", &["MountOption", "Recursive"], path, errors);
}

/// A pod with users of its own shares no other namespace with the host.
pub(super) fn host_users(spec: &Value, path: &Path, errors: &mut Errors) {
    if spec.get("hostUsers") != Some(&Value::Bool(false)) {
        return;
    }
    for (key, name) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if flag(spec, key) {
            forbidden(&path.child(name), "when `pod.Spec.HostUsers` is false", errors);
        }
    }
}

fn seccomp(context: &Value, path: &Path, errors: &mut Errors) {
    let Some(profile) = context.get("seccompProfile") else { return };
    let kind = text(profile, "type");
    if kind.is_empty() {
        required(&path.child("type"), "type is required when seccompProfile is set", errors);
    } else if !PROFILES.contains(&kind) {
        unsupported(&path.child("type"), kind, PROFILES, errors);
    }
    let local = profile.get("localhostProfile").and_then(Value::as_str);
    let path = path.child("localhostProfile");
    match (kind, local) {
        ("Localhost", None) => required(&path, "must be set when seccomp type is Localhost", errors),
        ("Localhost", Some(file)) => relative_path(file, &path, errors),
        (_, Some(_)) => {
            invalid(&path, profile.clone(), "can only be set when seccomp type is Localhost", errors);
        }
        (_, None) => {}
    }
}

fn app_armor(context: &Value, path: &Path, errors: &mut Errors) {
    let Some(profile) = context.get("appArmorProfile") else { return };
    let local = profile.get("localhostProfile").and_then(Value::as_str);
    let at = path.child("localhostProfile");
    let missing = "must be set when AppArmor type is Localhost";
    match (text(profile, "type"), local) {
        ("", _) => required(&path.child("type"), "type is required when appArmorProfile is set", errors),
        ("Localhost", None) => required(&at, missing, errors),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                invalid(&at, name, "must not be padded with whitespace", errors);
            } else if name.is_empty() {
                required(&at, missing, errors);
            }
            if name.len() > PROFILE_PATH_MAX {
                errors.push(crate::FieldError::too_long(at.to_string(), PROFILE_PATH_MAX));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            invalid(&at, name, "can only be set when AppArmor type is Localhost", errors);
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        (other, _) => unsupported(&path.child("type"), other, PROFILES, errors),
    }
}

fn is_sysctl(name: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let segment = |part: &str| {
        let bytes = part.as_bytes();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(b);
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
    };
    name.len() <= SYSCTL_MAX && name.split(['.', '/']).all(segment)
}

fn sysctls(spec: &Value, path: &Path, errors: &mut Errors) {
    const IPC: &[&str] = &["kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."];
    let mut taken = BTreeSet::new();
    for (index, sysctl) in list(&spec["securityContext"], "sysctls").iter().enumerate() {
        let (name, path) = (text(sysctl, "name"), path.index(index).child("name"));
        if name.is_empty() {
            required(&path, "", errors);
        } else if !is_sysctl(name) {
            invalid(&path, name, SYSCTL_SENTENCE, errors);
        } else if !taken.insert(name) {
            super::check::duplicate(&path, name, errors);
        }
        let dotted = name.replace('/', ".");
        if flag(spec, "hostNetwork") && dotted.starts_with("net.") {
            invalid(&path, name, "may not be specified when 'hostNetwork' is true", errors);
        }
        if flag(spec, "hostIPC") && IPC.iter().any(|prefix| dotted.starts_with(prefix)) {
            invalid(&path, name, "may not be specified when 'hostIPC' is true", errors);
        }
    }
}
