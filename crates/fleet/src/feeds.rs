//! Short names for the public feeds, so that nobody has to remember addresses.

/// A row: name, addresses with `{}` for what follows the colon in the name, and what it is.
const FEEDS: &[(&str, &[&str])] = &[
    ("osv", &["https://osv-vulnerabilities.storage.googleapis.com/{}/all.zip"]),
    (
        "alpine",
        &["https://secdb.alpinelinux.org/{}/main.json", "https://secdb.alpinelinux.org/{}/community.json"],
    ),
    ("debian-tracker", &["https://security-tracker.debian.org/tracker/data/json"]),
    ("wolfi", &["https://packages.wolfi.dev/os/security.json"]),
    ("chainguard", &["https://packages.cgr.dev/chainguard/security.json"]),
    ("kev", &["https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json"]),
    ("epss", &["https://epss.empiricalsecurity.com/epss_scores-current.csv.gz"]),
];

/// The addresses of a feed: `osv:Debian`, `alpine:v3.20`, `debian-tracker`, `wolfi`, `chainguard`, `kev`, `epss`.
pub fn feed_addresses(name: &str) -> Option<Vec<String>> {
    let (feed, part) = name.split_once(':').unwrap_or((name, ""));
    let addresses = FEEDS.iter().find(|(known, _)| *known == feed).map(|(_, addresses)| *addresses)?;
    let wants_part = addresses.iter().any(|address| address.contains("{}"));
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ' | ':');
    if wants_part == part.is_empty() || !part.chars().all(safe) || part.starts_with('.') {
        return None;
    }
    let part = part.replace(' ', "%20");
    Some(addresses.iter().map(|address| address.replace("{}", &part)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_addresses_and_nothing_else_does() {
        assert_eq!(feed_addresses("kev").unwrap().len(), 1);
        assert!(feed_addresses("osv:Rocky Linux").unwrap()[0].ends_with("/Rocky%20Linux/all.zip"));
        assert_eq!(feed_addresses("alpine:v3.20").unwrap().len(), 2);
        for bad in ["osv", "osv:", "kev:x", "alpine:../x", "osv:a/b", "file.json", ""] {
            assert_eq!(feed_addresses(bad), None, "{bad}");
        }
    }
}
