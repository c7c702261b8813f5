//! What a Java archive without `pom.properties` may be called: those of Gradle and Ant (Spring, Kafka, Tomcat, Kotlin) say their
//! artifact in the file name and their group nowhere.
//!
//! Does not know which groups exist: it proposes, the advisories' own names decide, so that a wrong proposal finds nothing.
//! Proposals come from the manifest, from the directories that classes lie in, and from a short list of projects whose
//! group is in neither.

use std::collections::{BTreeMap, BTreeSet};

/// Most directories that are counted in one archive.
const MAX_DIRECTORIES: usize = 512;
/// Deepest directory that can be a group.
const MAX_COMPONENTS: usize = 4;
/// Most proposals that come from directories.
const MAX_FROM_CLASSES: usize = 8;
const MAX_DIRECTORY_BYTES: usize = 200;

/// Beginnings of artifacts (whole names, where they do not end with a dash) and their groups.
const KNOWN: [(&str, &str); 20] = [
    ("spring-security-", "org.springframework.security"),
    ("spring-boot-", "org.springframework.boot"),
    ("spring-boot", "org.springframework.boot"),
    ("spring-cloud-", "org.springframework.cloud"),
    ("spring-data-", "org.springframework.data"),
    ("spring-integration-", "org.springframework.integration"),
    ("spring-kafka", "org.springframework.kafka"),
    ("spring-", "org.springframework"),
    ("tomcat-embed-", "org.apache.tomcat.embed"),
    ("mysql-connector-java", "mysql"),
    ("okhttp", "com.squareup.okhttp3"),
    ("okio", "com.squareup.okio"),
    ("okio-jvm", "com.squareup.okio"),
    ("retrofit", "com.squareup.retrofit2"),
    ("kotlin-", "org.jetbrains.kotlin"),
    ("graphql-java", "com.graphql-java"),
    ("reactor-core", "io.projectreactor"),
    ("xercesImpl", "xerces"),
    ("ant", "org.apache.ant"),
    ("ehcache", "net.sf.ehcache"),
];
/// Files that are named otherwise in the project's own distribution than in the registry.
const RENAMED: [(&str, &str); 4] = [
    ("catalina", "org.apache.tomcat:tomcat-catalina"),
    ("catalina", "org.apache.tomcat:tomcat"),
    ("jasper", "org.apache.tomcat:tomcat-jasper"),
    ("jasper-el", "org.apache.tomcat:tomcat-jasper-el"),
];

/// Directories of many projects, which are nobody's group.
const UMBRELLAS: [&str; 6] =
    ["org/apache", "org/codehaus", "org/eclipse", "com/google", "com/github", "io/github"];

/// How many classes lie below each directory near the top of an archive.
#[derive(Default)]
pub(super) struct Classes {
    below: BTreeMap<String, u32>,
}

impl Classes {
    /// Takes the path of an entry; anything but a class of the archive itself says nothing.
    pub(super) fn see(&mut self, entry: &str) {
        let outside = ["META-INF/", "BOOT-INF/", "WEB-INF/"].iter().any(|dir| entry.starts_with(dir));
        let directory = entry.strip_suffix(".class").and_then(|path| path.rsplit_once('/'));
        let Some((directory, _)) = directory.filter(|(d, _)| !outside && d.len() <= MAX_DIRECTORY_BYTES)
        else {
            return;
        };
        let ends = directory.match_indices('/').map(|(at, _)| at).chain([directory.len()]);
        for prefix in ends.take(MAX_COMPONENTS).map(|end| &directory[..end]) {
            if let Some(count) = self.below.get_mut(prefix) {
                *count += 1;
            } else if self.below.len() < MAX_DIRECTORIES {
                self.below.insert(prefix.to_owned(), 1);
            }
        }
    }

    /// Packages of two parts and more, those with most classes first.
    fn packages(&self) -> Vec<String> {
        let parts = |path: &str| path.matches('/').count();
        let mut all: Vec<(&String, u32)> = self
            .below
            .iter()
            .filter(|(path, _)| parts(path) > 0 && !UMBRELLAS.contains(&path.as_str()))
            .map(|(path, count)| (path, *count))
            .collect();
        all.sort_by(|a, b| {
            b.1.cmp(&a.1).then_with(|| parts(a.0).cmp(&parts(b.0))).then_with(|| a.0.cmp(b.0))
        });
        all.into_iter().take(MAX_FROM_CLASSES).map(|(path, _)| path.replace('/', ".")).collect()
    }
}

/// The names an artifact may have, the most plausible first; never empty.
pub(super) fn names(artifact: &str, manifest: &BTreeMap<String, String>, classes: &Classes) -> Vec<String> {
    let said = |key: &str| manifest.get(key).map(|value| value.trim()).filter(|value| dotted(value));
    let known = KNOWN
        .iter()
        .find(|(begin, _)| artifact == *begin || begin.ends_with('-') && artifact.starts_with(begin));
    let symbolic = manifest.get("Bundle-SymbolicName").and_then(|name| name.split(';').next());
    let symbolic = symbolic.map(|name| name.strip_suffix(artifact).map_or(name, |g| g.trim_end_matches('.')));
    let mut groups: Vec<String> = Vec::new();
    groups.extend(known.map(|(_, group)| (*group).to_owned()));
    groups.extend(said("Implementation-Vendor-Id").map(str::to_owned));
    groups.extend(symbolic.map(str::trim).filter(|name| dotted(name)).map(str::to_owned));
    groups.extend(classes.packages());
    groups.extend(said("Automatic-Module-Name").map(str::to_owned));
    let renamed = RENAMED.iter().filter(|(file, _)| *file == artifact).map(|(_, name)| (*name).to_owned());
    let mut all: Vec<String> = renamed.collect();
    all.extend(groups.into_iter().map(|group| format!("{group}:{artifact}")));
    if all.is_empty() {
        all.push(artifact.to_owned());
    }
    // Maven's oldest artifacts: `dom4j:dom4j`.
    all.push(format!("{artifact}:{artifact}"));
    let mut seen = BTreeSet::new();
    all.retain(|name| seen.insert(name.clone()));
    all
}

fn dotted(group: &str) -> bool {
    group.contains('.')
        && group.len() <= MAX_DIRECTORY_BYTES
        && group.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}
