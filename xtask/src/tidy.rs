//! Rules of the house that no lint knows. Every violation is printed; one is enough to fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Longest file. A flat table may be longer; such files are named here with the reason.
const MAX_LINES: usize = 800;

/// The floors of the house; imports go down, or stay on the floor only where [`NEIGHBOURS`] says so.
const FLOORS: [(u8, &[&str]); 5] = [
    (0, &["api"]),
    (1, &["workloads", "scheduling", "lifecycle", "packages", "advisories", "campaigns", "reaping"]),
    (2, &["store", "fetch", "images", "runtime", "network"]),
    (3, &["apiserver", "controllers", "node", "fleet"]),
    (4, &["konzert"]),
];
/// `advisories` speaks of what `packages` found; `images` pulls through `fetch`.
const NEIGHBOURS: [(&str, &str); 2] = [("advisories", "packages"), ("images", "fetch")];

/// Runs every check.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    imports(root, &mut problems)?;
    let files = sources(root)?;
    for file in &files {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
        check_file(&shown, &text, &mut problems);
    }
    for problem in &problems {
        say(problem);
    }
    if !problems.is_empty() {
        bail!("{} violations", problems.len());
    }
    say(&format!("tidy: {} files, nothing to complain of", files.len()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the one place where this task prints")]
fn say(line: &str) {
    println!("{line}");
}

fn imports(root: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let metadata =
        cargo_metadata::MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let floors: BTreeMap<&str, u8> =
        FLOORS.iter().flat_map(|(floor, names)| names.iter().map(move |name| (*name, *floor))).collect();
    for package in &metadata.packages {
        let manifest = std::fs::read_to_string(&package.manifest_path)?;
        if !manifest.contains("[lints]\nworkspace = true") {
            problems.push(format!("{}: does not inherit the workspace's lints", package.manifest_path));
        }
        let short = package.name.strip_prefix("konzert-").unwrap_or(&package.name);
        if !package.manifest_path.starts_with(root.join("crates").to_string_lossy().as_ref()) {
            continue;
        }
        let Some(floor) = floors.get(short) else {
            problems.push(format!("{}: the crate has no floor; see xtask/src/tidy.rs", package.name));
            continue;
        };
        for dependency in
            package.dependencies.iter().filter(|d| d.kind == cargo_metadata::DependencyKind::Normal)
        {
            let Some(target) = dependency.name.strip_prefix("konzert-") else { continue };
            let down = floors.get(target).is_some_and(|below| below < floor);
            if !down && !NEIGHBOURS.contains(&(short, target)) {
                problems
                    .push(format!("{}: imports {}, which is not below it", package.name, dependency.name));
            }
        }
    }
    Ok(())
}

fn sources(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> =
        ["crates", "xtask", "bench", "fuzz", "examples", "tests"].iter().map(|d| root.join(d)).collect();
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            if path.is_dir() && name != "target" {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn check_file(shown: &str, text: &str, problems: &mut Vec<String>) {
    if !text.starts_with("//!") {
        problems.push(format!(
            "{shown}: does not open with //! (what it is for, what it does not do, its invariants)"
        ));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems
            .push(format!("{shown}: {lines} lines, the limit is {MAX_LINES}; is there a second room in it?"));
    }
    let is_root = shown.ends_with("src/lib.rs") || shown.ends_with("src/main.rs");
    if is_root && !text.contains("#![forbid(unsafe_code)]") && !text.contains("#![deny(unsafe_code)]") {
        problems.push(format!("{shown}: neither forbids unsafe code nor says why it does not"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_its_violation() {
        let long = format!("//! x\n{}", "\n".repeat(MAX_LINES + 1));
        let rows = [
            ("a.rs", "fn x() {}", "//!"),
            ("a.rs", long.as_str(), "limit"),
            ("crates/a/src/lib.rs", "//! x\n", "unsafe"),
        ];
        for (path, text, want) in rows {
            let mut problems = Vec::new();
            check_file(path, text, &mut problems);
            assert!(problems.len() == 1 && problems[0].contains(want), "{problems:?}");
        }
        let mut none = Vec::new();
        check_file("crates/a/src/lib.rs", "//! x\n#![forbid(unsafe_code)]\n", &mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn the_house_is_tidy() {
        let mut problems = Vec::new();
        imports(&crate::root(), &mut problems).unwrap();
        assert_eq!(problems, Vec::<String>::new());
    }
}
