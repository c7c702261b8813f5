//! Which entry of an image index is for a platform.

use std::collections::BTreeSet;

use crate::document::{self, Descriptor, ManifestKind};
use crate::record::Platform;

/// The entries to try, best first: the very platform, one without a variant, another variant (the lowest first), one that does not
/// say; then the indexes in the index. Platforms that do not fit are noted.
pub(super) fn candidates(
    descriptors: Vec<Descriptor>,
    wanted: &Platform,
    others: &mut BTreeSet<Platform>,
) -> Vec<Descriptor> {
    let mut ranked = Vec::new();
    for descriptor in descriptors {
        // Signatures and attestations are neither.
        let Some(kind) = document::manifest_kind(&descriptor.media_type) else { continue };
        let platform = descriptor.platform.as_ref().and_then(document::PlatformDoc::platform);
        if platform.as_ref().is_some_and(|platform| platform.os == "unknown") {
            continue;
        }
        let fit = match &platform {
            None => 3,
            Some(platform) if platform == wanted => 0,
            Some(platform) if !platform.runs_on(wanted) => {
                others.insert(platform.clone());
                continue;
            }
            Some(platform) if platform.variant.is_none() => 1,
            Some(_) => 2,
        };
        let variant = platform.and_then(|platform| platform.variant);
        ranked.push(((kind == ManifestKind::Index, fit, variant), descriptor));
    }
    ranked.sort_by(|(a, _), (b, _)| a.cmp(b));
    ranked.into_iter().map(|(_, descriptor)| descriptor).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(media_type: &str, number: u64, platform: Value) -> Descriptor {
        let digest = format!("sha256:{number:064}");
        let mut entry = json!({"mediaType": media_type, "digest": digest, "size": number});
        if !platform.is_null() {
            entry["platform"] = platform;
        }
        serde_json::from_value(entry).expect("a descriptor")
    }

    #[test]
    fn the_best_entry_is_the_first() {
        let arm = |variant: Option<&str>| json!({"os": "linux", "architecture": "arm64", "variant": variant});
        let all = || {
            vec![
                entry(document::OCI_INDEX, 1, Value::Null),
                entry(document::OCI_MANIFEST, 2, Value::Null),
                entry(document::OCI_MANIFEST, 3, arm(Some("v9"))),
                entry(document::OCI_MANIFEST, 4, arm(Some("v8"))),
                entry(document::DOCKER_MANIFEST, 5, arm(None)),
                entry(document::OCI_MANIFEST, 6, json!({"os": "unknown", "architecture": "unknown"})),
                entry("application/vnd.example", 7, arm(None)),
                entry(document::OCI_MANIFEST, 8, json!({"os": "linux", "architecture": "s390x"})),
            ]
        };
        for (wanted, order, passed) in [
            ("linux/arm64", &[5, 4, 3, 2, 1][..], &["linux/s390x"][..]),
            ("linux/arm64/v8", &[4, 5, 2, 1], &["linux/arm64/v9", "linux/s390x"]),
            ("linux/riscv64", &[2, 1], &["linux/arm64", "linux/arm64/v8", "linux/arm64/v9", "linux/s390x"]),
        ] {
            let mut others = BTreeSet::new();
            let chosen = candidates(all(), &wanted.parse().expect(wanted), &mut others);
            assert_eq!(chosen.iter().map(|d| d.size).collect::<Vec<_>>(), order, "{wanted}");
            assert_eq!(others.iter().map(ToString::to_string).collect::<Vec<_>>(), passed, "{wanted}");
        }
    }
}
