//! Order and roles of a pod's containers.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs to completion before the next one starts.
    Init,
    /// Init container with restartPolicy `Always`: starts in order, keeps running, stops last.
    Sidecar,
    /// Ordinary container.
    Main,
}

/// A container as declared in the spec, with its role.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// What it is for.
    pub role: Role,
    /// Its spec.
    pub spec: &'a Container,
}

/// All containers: init containers and sidecars in their order, then the main ones. Ephemeral ones are not run.
pub fn declared(pod: &Pod) -> Vec<Declared<'_>> {
    let Some(spec) = pod.spec.as_ref() else { return Vec::new() };
    let init = spec.init_containers.iter().flatten().map(|spec| Declared { role: role(spec), spec });
    init.chain(spec.containers.iter().map(|spec| Declared { role: Role::Main, spec })).collect()
}

/// The container called `name`.
pub fn find<'a>(pod: &'a Pod, name: &str) -> Option<Declared<'a>> {
    declared(pod).into_iter().find(|declared| declared.spec.name == name)
}

fn role(spec: &Container) -> Role {
    if spec.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init }
}

/// Whether a container that ended with `exit_code` is started again, by the rules of its spec and its pod.
pub(crate) fn restarts(pod: &PodSpec, of: Declared<'_>, exit_code: i32) -> bool {
    if of.role == Role::Sidecar || rule_restarts(of.spec, exit_code) {
        return true;
    }
    let policy = of.spec.restart_policy.as_deref().or(pod.restart_policy.as_deref()).unwrap_or("Always");
    match policy {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ => of.role == Role::Main || exit_code != 0,
    }
}

fn rule_restarts(spec: &Container, exit_code: i32) -> bool {
    spec.restart_policy_rules.iter().flatten().any(|rule| {
        rule.action == "Restart"
            && rule.exit_codes.as_ref().is_some_and(|codes| {
                let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
                match codes.operator.as_str() {
                    "In" => listed,
                    "NotIn" => !listed,
                    _ => false,
                }
            })
    })
}
