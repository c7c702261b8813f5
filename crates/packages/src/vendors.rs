//! Whose rpm packages a distribution's advisories say nothing about: those of EPEL and of vendors' own repositories.
//!
//! rpm has no field for the repository, so the vendor tells. Vendors that are not listed count as the distribution's: rebuilds
//! and children of a distribution have vendors of their own, and a finding too many is seen while a missing one is not.

/// Part of the vendor in lower case, and the distributions whose own vendor it is.
const FOREIGN: [(&str, &[&str]); 22] = [
    ("fedora project", &["fedora"]),
    ("microsoft", &["azurelinux", "mariner"]),
    ("docker", &[]),
    ("nodesource", &[]),
    ("nginx", &[]),
    ("oracle and/or its affiliates", &[]),
    ("mariadb", &[]),
    ("mongodb", &[]),
    ("elastic", &[]),
    ("grafana", &[]),
    ("google", &[]),
    ("hashicorp", &[]),
    ("postgresql global development group", &[]),
    ("percona", &[]),
    ("datadog", &[]),
    ("influxdata", &[]),
    ("gitlab", &[]),
    ("nvidia", &[]),
    ("redis", &[]),
    ("remi", &[]),
    ("the kubernetes authors", &[]),
    ("rpm fusion", &[]),
];

/// Whether the vendor of an rpm package is known to be another than the distribution.
pub(crate) fn is_foreign(vendor: &str, distribution: &str) -> bool {
    let vendor = vendor.to_ascii_lowercase();
    FOREIGN.iter().any(|(part, own)| vendor.contains(part) && !own.contains(&distribution))
}

#[cfg(test)]
mod tests {
    use super::is_foreign;

    #[test]
    fn the_vendor_tells_whose_a_package_is() {
        for (vendor, distribution, want) in [
            ("Fedora Project", "almalinux", true),
            ("Fedora Project", "fedora", false),
            ("AlmaLinux", "almalinux", false),
            ("Red Hat, Inc.", "rhel", false),
            ("CentOS", "rocky", false),
            ("Oracle America", "ol", false),
            ("Oracle and/or its affiliates", "ol", true),
            ("Microsoft Corporation", "azurelinux", false),
            ("Microsoft Corporation", "rhel", true),
            ("SUSE LLC <https://www.suse.com/>", "sles", false),
            ("Remi's RPM repository <https://rpms.remirepo.net/>", "rocky", true),
            ("Somebody", "rhel", false),
            ("", "rhel", false),
        ] {
            assert_eq!(is_foreign(vendor, distribution), want, "{vendor} on {distribution}");
        }
    }
}
