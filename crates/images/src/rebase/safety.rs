//! May the layers of an application be put on another base? Pure decision over what the layers do.
//!
//! The layers of the application stay as they are, so whatever they hide of the base they will hide of the new one. That
//! is safe only when they hide nothing: a file of the base that the application overwrote or removed, or a package
//! database it wrote, would make the new base's fix invisible or its package list wrong.

use std::sync::Arc;

use super::RebaseRefusal;
use crate::ids::shown;
use crate::layer::ancestors;
use crate::tree::{Effect, Tree};

/// Which base a conflict is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Old,
    New,
}

/// True for files that package managers keep their list of installed packages in.
pub(crate) fn is_package_database(path: &[u8]) -> bool {
    const FILES: [&[u8]; 2] = [b"lib/apk/db/installed", b"usr/lib/apk/db/installed"];
    // `status` also covers `status-old` and the files of `status.d/`.
    const PREFIXES: [&[u8]; 3] = [b"var/lib/dpkg/status", b"var/lib/rpm/", b"usr/lib/sysimage/rpm/"];
    FILES.contains(&path) || PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// Refuses when application layers, lowest first, write package databases or hide files of a base.
pub(super) fn check(app: &[Arc<Vec<Effect>>], old: &Tree, new: &Tree) -> Result<(), RebaseRefusal> {
    for effect in app.iter().flat_map(|layer| layer.iter()) {
        check_database(effect, old, new)?;
    }
    for (which, base) in [(Base::Old, old), (Base::New, new)] {
        for effect in app.iter().flat_map(|layer| layer.iter()) {
            if let Some(path) = masked(effect, base) {
                let path = shown(&String::from_utf8_lossy(path));
                return Err(match which {
                    Base::Old => RebaseRefusal::AppMasksBaseFile { path },
                    Base::New => RebaseRefusal::AppMasksNewBaseFile { path },
                });
            }
        }
    }
    Ok(())
}

fn check_database(effect: &Effect, old: &Tree, new: &Tree) -> Result<(), RebaseRefusal> {
    let hit = match effect {
        Effect::Put(path, node) => (!node.is_dir && is_package_database(path)).then_some(path.as_slice()),
        Effect::Remove(path) if is_package_database(path) => Some(path.as_slice()),
        Effect::Remove(path) | Effect::Clear(path) => {
            [old, new].into_iter().flat_map(|base| base.below(path)).find(|p| is_package_database(p))
        }
    };
    match hit {
        Some(path) => {
            let path = shown(&String::from_utf8_lossy(path));
            Err(RebaseRefusal::AppWritesPackageDatabase { path })
        }
        None => Ok(()),
    }
}

/// The path of the base that an effect hides, if any.
fn masked<'a>(effect: &'a Effect, base: &'a Tree) -> Option<&'a [u8]> {
    match effect {
        Effect::Remove(path) if base.get(path).is_some() => Some(path),
        Effect::Remove(path) | Effect::Clear(path) => base.below(path).next(),
        Effect::Put(path, node) => {
            // A directory of the application in place of a file or a link of the base, implied or listed.
            let above = ancestors(path).find(|a| base.get(a).is_some_and(|n| !n.is_dir));
            let same = |known: &crate::tree::Node| match (known.is_dir, node.is_dir) {
                (true, true) => true,
                (false, false) => known.fingerprint == node.fingerprint,
                _ => false,
            };
            above.or_else(|| base.get(path).is_some_and(|known| !same(known)).then_some(path))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    fn file(path: &str, content: u8) -> Effect {
        let node = Node { is_dir: false, mode: 0o644, uid: 0, gid: 0, fingerprint: [content; 32] };
        Effect::Put(path.into(), node)
    }
    fn dir(path: &str) -> Effect {
        Effect::Put(path.into(), Node::implied_dir())
    }
    fn tree(effects: &[Effect]) -> Tree {
        let mut tree = Tree::default();
        tree.apply(effects);
        tree
    }

    #[test]
    fn what_the_application_may_not_do() {
        let old = tree(&[
            file("etc/motd", 1),
            file("usr/lib/libz.so", 1),
            file("var/lib/dpkg/status", 1),
            file("lib", 9),
        ]);
        let new = tree(&[
            file("etc/motd", 1),
            file("usr/lib/libz.so", 2),
            file("var/lib/dpkg/status", 2),
            file("opt/n", 1),
        ]);
        let masks = |p: &str| format!("masks old {p}");
        let masks_new = |p: &str| format!("masks new {p}");
        let writes = |p: &str| format!("writes {p}");
        for (effect, expected) in [
            (file("app/run", 7), String::new()),
            (dir("usr/lib"), String::new()),
            (dir("var/lib/dpkg"), String::new()),
            (file("etc/motd", 1), String::new()),
            (file("etc/motd", 3), masks("etc/motd")),
            (file("usr/lib/libz.so", 1), masks_new("usr/lib/libz.so")),
            (file("opt/n", 2), masks_new("opt/n")),
            (file("opt/n", 1), String::new()),
            (file("usr/lib", 1), masks("usr/lib")),
            (dir("etc/motd"), masks("etc/motd")),
            (file("lib/x", 1), masks("lib")),
            (file("var/lib/dpkg/status", 5), writes("var/lib/dpkg/status")),
            (file("var/lib/dpkg/status.d/app", 5), writes("var/lib/dpkg/status.d/app")),
            (file("lib/apk/db/installed", 5), writes("lib/apk/db/installed")),
            (file("usr/lib/apk/db/installed", 5), writes("usr/lib/apk/db/installed")),
            (file("var/lib/rpm/Packages", 5), writes("var/lib/rpm/Packages")),
            (file("usr/lib/sysimage/rpm/rpmdb.sqlite", 5), writes("usr/lib/sysimage/rpm/rpmdb.sqlite")),
            (Effect::Remove(b"etc/motd".to_vec()), masks("etc/motd")),
            (Effect::Remove(b"usr".to_vec()), masks("usr")),
            (Effect::Remove(b"var/lib".to_vec()), writes("var/lib/dpkg/status")),
            (Effect::Remove(b"opt".to_vec()), masks_new("opt")),
            (Effect::Remove(b"app/old".to_vec()), String::new()),
            (Effect::Clear(b"etc".to_vec()), masks("etc/motd")),
            (Effect::Clear(b"app".to_vec()), String::new()),
            (Effect::Clear(Vec::new()), writes("var/lib/dpkg/status")),
        ] {
            let shown = format!("{effect:?}");
            let got = match check(&[Arc::new(vec![effect])], &old, &new) {
                Ok(()) => String::new(),
                Err(RebaseRefusal::AppMasksBaseFile { path }) => masks(&path),
                Err(RebaseRefusal::AppMasksNewBaseFile { path }) => masks_new(&path),
                Err(RebaseRefusal::AppWritesPackageDatabase { path }) => writes(&path),
                Err(other) => other.to_string(),
            };
            assert_eq!(got, expected, "{shown}");
        }
    }
}
