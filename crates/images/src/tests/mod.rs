//! Tests of the store as a whole: archives in, files and errors out. Tests of single decisions are beside them.

mod archive;
mod building;
mod hostile;
mod loading;
mod processes;
mod rebasing;
mod removal;
mod snapshots;
mod trees;

use std::fs;
use std::path::Path;

use crate::{ContentStore, ImageBuilder, ImageRecord, LayerBuilder, Reference};

/// A store in a directory of its own.
struct TestStore {
    store: ContentStore,
    dir: tempfile::TempDir,
}

impl std::ops::Deref for TestStore {
    type Target = ContentStore;
    fn deref(&self) -> &ContentStore {
        &self.store
    }
}

impl TestStore {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { store: ContentStore::open(&dir.path().join("images")).expect("open"), dir }
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("images")
    }

    /// A small image with one file in one layer.
    fn image(&self, name: &str, path: &str, content: &str) -> ImageRecord {
        let layer = LayerBuilder::new().file(path, 0o644, content);
        ImageBuilder::from_scratch().add_layer(layer).commit(self, &reference(name)).expect("commit")
    }

    /// Everything in the store that an image would leave there.
    fn content(&self) -> Vec<String> {
        ["blobs/sha256", "layers", "tmp", "snapshots"]
            .iter()
            .flat_map(|d| names_in(&self.root().join(d)))
            .collect()
    }
}

fn reference(text: &str) -> Reference {
    Reference::parse(text).expect("a reference")
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a directory")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// False, loudly, where the test cannot mount.
fn can_mount(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {test}: needs root to mount and to set owners");
    }
    root
}

/// Runs in a thread with a mount namespace of its own, so that nothing mounted is seen by or left to others.
fn in_mount_namespace<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("a mount namespace");
            let flags = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
            nix::mount::mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).expect("private mounts");
            run()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
