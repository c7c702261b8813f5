//! The files every container gets from the node: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.
//!
//! There is no cluster DNS in this engine yet: `ClusterFirst` gives the host's resolver, as `Default` does; `None`
//! gives what `dnsConfig` says.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::config::PodDirs;

const MAX_RESOLV: u64 = 64 << 10;

/// The host name of a pod.
pub(crate) fn hostname(pod: &Pod, node: &str) -> String {
    let spec = pod.spec.as_ref();
    if let Some(name) = spec.and_then(|spec| spec.hostname_override.clone()) {
        return name;
    }
    if spec.and_then(|spec| spec.host_network) == Some(true) {
        return node.to_owned();
    }
    let own = spec.and_then(|spec| spec.hostname.clone()).filter(|name| !name.is_empty());
    let mut name = own.or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    name.truncate(63);
    name.trim_end_matches(['-', '.']).to_owned()
}

/// Text of `/etc/hosts`.
pub(crate) fn hosts(pod: &Pod, ips: &[String], hostname: &str, of_host: &str) -> String {
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let mut text = String::from("# Managed by the node.\n");
    if spec.host_network == Some(true) {
        text.push_str(of_host);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    } else {
        text.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        text.push_str("fe00::0\tip6-localnet\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
        let full = spec.subdomain.as_deref().filter(|domain| !domain.is_empty()).map(|domain| {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            format!("{hostname}.{domain}.{namespace}.svc.cluster.local\t")
        });
        for ip in ips {
            let full = full.as_deref().unwrap_or_default();
            writeln!(text, "{ip}\t{full}{hostname}").expect("writing to a String cannot fail");
        }
    }
    for alias in spec.host_aliases.iter().flatten() {
        let names = alias.hostnames.clone().unwrap_or_default().join("\t");
        writeln!(text, "{}\t{names}", alias.ip).expect("writing to a String cannot fail");
    }
    text
}

/// Text of `/etc/resolv.conf`.
pub(crate) fn resolv(spec: &PodSpec, of_host: &str) -> String {
    let mut servers = Vec::new();
    let mut searches = Vec::new();
    let mut options = Vec::new();
    if spec.dns_policy.as_deref() != Some("None") {
        for line in of_host.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().map(str::to_owned)),
                Some("search" | "domain") => searches = words.map(str::to_owned).collect(),
                Some("options") => options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
    }
    if let Some(config) = &spec.dns_config {
        servers.extend(config.nameservers.iter().flatten().cloned());
        searches.extend(config.searches.iter().flatten().cloned());
        for option in config.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            options.push(option.value.as_ref().map_or(name.clone(), |value| format!("{name}:{value}")));
        }
    }
    let mut text = String::new();
    for server in servers {
        writeln!(text, "nameserver {server}").expect("writing to a String cannot fail");
    }
    for (word, list) in [("search", searches), ("options", options)] {
        if !list.is_empty() {
            writeln!(text, "{word} {}", list.join(" ")).expect("writing to a String cannot fail");
        }
    }
    text
}

/// Writes the managed files. They keep their inode over changes: containers have them mounted.
pub(crate) fn write_managed(dirs: &PodDirs, pod: &Pod, ips: &[String], node: &str) -> io::Result<()> {
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let hostname = hostname(pod, node);
    let host_file = |path: &str| read_bounded(Path::new(path)).unwrap_or_default();
    let files = [
        ("hosts", hosts(pod, ips, &hostname, &host_file("/etc/hosts"))),
        ("hostname", format!("{hostname}\n")),
        ("resolv.conf", resolv(spec, &host_file("/etc/resolv.conf"))),
    ];
    fs::create_dir_all(dirs.root.join("files"))?;
    for (name, text) in files {
        let path = dirs.file(name);
        if fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(fs::File::open(path)?, MAX_RESOLV), &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: &serde_json::Value) -> Pod {
        let object = json!({"metadata": {"name": "web-0", "namespace": "shop"}, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn hosts_name_the_pod_and_its_aliases() {
        let pod = pod(&json!({"containers": [], "subdomain": "web",
            "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["db", "db.example"]}]}));
        let text = hosts(&pod, &["10.244.0.5".into()], &hostname(&pod, "node"), "");
        insta::assert_snapshot!(text, @r"
        # Managed by the node.
        127.0.0.1	localhost
        ::1	localhost ip6-localhost ip6-loopback
        fe00::0	ip6-localnet
        ff02::1	ip6-allnodes
        ff02::2	ip6-allrouters
        10.244.0.5	web-0.web.shop.svc.cluster.local	web-0
        192.0.2.9	db	db.example
        ");
    }

    #[test]
    fn resolv_follows_policy_and_config() {
        let of_host = "# c\nnameserver 192.0.2.53\nsearch lan\noptions edns0\n";
        let config = json!({"nameservers": ["192.0.2.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}]});
        let table = [
            (json!({"containers": []}), "nameserver 192.0.2.53\nsearch lan\noptions edns0\n"),
            (
                json!({"containers": [], "dnsPolicy": "None", "dnsConfig": config}),
                "nameserver 192.0.2.1\nsearch a.b\noptions ndots:2\n",
            ),
            (
                json!({"containers": [], "dnsPolicy": "Default", "dnsConfig": config}),
                "nameserver 192.0.2.53\nnameserver 192.0.2.1\nsearch lan a.b\noptions edns0 ndots:2\n",
            ),
        ];
        for (spec, expected) in table {
            assert_eq!(resolv(pod(&spec).spec.as_ref().unwrap(), of_host), expected);
        }
    }

    #[test]
    fn names_of_hosts() {
        let long = "x".repeat(70);
        let table = [
            (json!({"containers": []}), "web-0".to_owned()),
            (json!({"containers": [], "hostname": "h"}), "h".to_owned()),
            (json!({"containers": [], "hostNetwork": true}), "node".to_owned()),
            (json!({"containers": [], "hostname": long}), "x".repeat(63)),
        ];
        for (spec, expected) in table {
            assert_eq!(hostname(&pod(&spec), "node"), expected);
        }
    }
}
