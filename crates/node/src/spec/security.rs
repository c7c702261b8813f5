//! Privileges of a container, and the refusal of what this engine does not do: a field that changes meaning is never
//! silently ignored.

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec, SeccompProfile, VolumeMount};
use konzert_runtime::{Seccomp, Security};

use crate::fault::ConfigFault;

/// The privileges of `container`.
pub(crate) fn security(pod: &PodSpec, container: &Container) -> Result<Security, ConfigFault> {
    let own = container.security_context.as_ref();
    let privileged = own.and_then(|own| own.privileged) == Some(true);
    let escalation = own.and_then(|own| own.allow_privilege_escalation);
    let capabilities = own.and_then(|own| own.capabilities.as_ref());
    let list = |list: Option<&Option<Vec<String>>>| list.cloned().flatten().unwrap_or_default();
    let profile = own
        .and_then(|own| own.seccomp_profile.as_ref())
        .or_else(|| pod.security_context.as_ref().and_then(|pod| pod.seccomp_profile.as_ref()));
    Ok(Security {
        privileged,
        read_only_rootfs: own.and_then(|own| own.read_only_root_filesystem) == Some(true),
        no_new_privileges: escalation == Some(false) && !privileged,
        add_capabilities: list(capabilities.map(|all| &all.add)),
        drop_capabilities: list(capabilities.map(|all| &all.drop)),
        seccomp: seccomp(profile, privileged)?,
    })
}

/// Without a profile the default filter is used: a container is never unfiltered because nobody asked.
fn seccomp(profile: Option<&SeccompProfile>, privileged: bool) -> Result<Seccomp, ConfigFault> {
    match profile.map(|profile| profile.type_.as_str()) {
        _ if privileged => Ok(Seccomp::Unconfined),
        None | Some("RuntimeDefault") => Ok(Seccomp::RuntimeDefault),
        Some("Unconfined") => Ok(Seccomp::Unconfined),
        Some(_) => Err(ConfigFault::unsupported(
            "securityContext.seccompProfile.type Localhost",
            "use RuntimeDefault or Unconfined",
        )),
    }
}

/// Whether a field asks for what is not done, its name, and what to do instead.
type Check = (bool, &'static str, &'static str);

/// Refuses fields of the pod and the container that would be ignored otherwise.
pub(crate) fn refuse_unsupported(pod: &PodSpec, container: &Container) -> Result<(), ConfigFault> {
    let all = of_pod(pod).into_iter().chain(of_container(pod, container)).chain(of_mounts(container));
    match all.into_iter().find(|(asked, _, _)| *asked) {
        Some((_, field, hint)) => Err(ConfigFault::unsupported(field, hint)),
        None => Ok(()),
    }
}

fn filled<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

fn of_pod(pod: &PodSpec) -> [Check; 7] {
    let context = pod.security_context.as_ref();
    let shares = pod.share_process_namespace == Some(true) && pod.host_pid != Some(true);
    [
        (pod.resources.is_some(), "resources of the whole pod", "set them on the containers"),
        (pod.os.as_ref().is_some_and(|os| os.name != "linux"), "os.name", "this is Linux"),
        (filled(context.and_then(|all| all.sysctls.as_ref())), "securityContext.sysctls", "remove them"),
        (pod.host_users == Some(false), "hostUsers false", "user namespaces are not made"),
        (pod.runtime_class_name.is_some(), "runtimeClassName", "there is one runtime"),
        (shares, "shareProcessNamespace", "containers have a process namespace each"),
        (pod.set_hostname_as_fqdn == Some(true), "setHostnameAsFQDN", "there is no cluster DNS"),
    ]
}

fn of_container(pod: &PodSpec, container: &Container) -> [Check; 8] {
    let own = container.security_context.as_ref();
    let armor = own
        .and_then(|own| own.app_armor_profile.as_ref())
        .or_else(|| pod.security_context.as_ref().and_then(|pod| pod.app_armor_profile.as_ref()));
    let local = armor.is_some_and(|profile| profile.type_ == "Localhost");
    let masked = own.and_then(|own| own.proc_mount.as_deref()).is_none_or(|kind| kind == "Default");
    let windows = own.is_some_and(|own| own.windows_options.is_some());
    let taken = |port: &ContainerPort| port.host_port.is_some_and(|port| port > 0);
    let host_port = pod.host_network != Some(true) && container.ports.iter().flatten().any(taken);
    let claims = filled(container.resources.as_ref().and_then(|all| all.claims.as_ref()));
    [
        (host_port, "ports.hostPort", "use a Service with a nodePort, or hostNetwork"),
        (container.tty == Some(true), "tty", "there is no terminal to attach to"),
        (container.stdin == Some(true), "stdin", "there is no attach"),
        (filled(container.volume_devices.as_ref()), "volumeDevices", "use volumeMounts"),
        (!masked, "securityContext.procMount", "only Default is"),
        (local, "securityContext.appArmorProfile Localhost", "remove it"),
        (windows, "securityContext.windowsOptions", "this is Linux"),
        (claims, "resources.claims", "there is no dynamic resource allocation"),
    ]
}

fn of_mounts(container: &Container) -> [Check; 3] {
    let any = |asks: &dyn Fn(&VolumeMount) -> bool| container.volume_mounts.iter().flatten().any(asks);
    let propagates = any(&|mount| mount.mount_propagation.as_deref().is_some_and(|kind| kind != "None"));
    let recursive = any(&|mount| mount.recursive_read_only.as_deref() == Some("Enabled"));
    let options = any(&|mount| filled(mount.bind_mount_options.as_ref()));
    [
        (propagates, "volumeMounts.mountPropagation", "only None is"),
        (recursive, "volumeMounts.recursiveReadOnly Enabled", "use IfPossible"),
        (options, "volumeMounts.bindMountOptions", "remove them"),
    ]
}
