//! What every test stands on: a run directory, a root filesystem, a cgroup of its own, and a check that nothing is left.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use konzert_runtime::{
    ContainerId, ContainerSpec, Exit, LogSpec, Resources, Runtime, RuntimeConfig, RuntimeEvent, Security,
    Status, User,
};

pub(crate) struct Bed {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) runtime: Runtime,
    pub(crate) cgroup: String,
}

/// Longest wait for something that should be there at once; only a hang gets near it.
const PATIENCE: Duration = Duration::from_mins(1);

fn cgroup_root() -> String {
    format!("/konzert-test-{}", std::process::id())
}

/// Every place the given cgroup path could be.
pub(crate) fn cgroup_dirs(path: &str) -> Vec<PathBuf> {
    let mut roots = vec![PathBuf::from("/sys/fs/cgroup")];
    roots.extend(fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path()));
    roots.into_iter().map(|root| root.join(path.trim_start_matches('/'))).filter(|dir| dir.is_dir()).collect()
}

/// The first of these files that a container's cgroup has, trimmed.
pub(crate) fn cgroup_file(path: &str, names: &[&str]) -> String {
    let dirs = cgroup_dirs(path);
    let found =
        names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name))).find(|file| file.exists());
    fs::read_to_string(found.unwrap_or_else(|| panic!("none of {names:?} below {dirs:?}")))
        .unwrap()
        .trim()
        .to_owned()
}

/// Removes what the tests made above their own cgroups.
pub(crate) fn remove_cgroups() {
    for dir in cgroup_dirs(&cgroup_root()) {
        fs::remove_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    }
}

/// Where the test executable was copied to, to be linked from.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Copies the test executable to where root filesystems can link it; the copy goes away with what is returned.
pub(crate) fn copy_program() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    fs::copy("/proc/self/exe", &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    PROGRAM.set(path).unwrap();
    dir
}

pub(crate) fn config(run_dir: &Path) -> RuntimeConfig {
    RuntimeConfig {
        run_dir: run_dir.to_owned(),
        shim_exe: fs::read_link("/proc/self/exe").unwrap(),
        shim_args: vec!["shim".into()],
    }
}

impl Bed {
    pub(crate) fn new(name: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let runtime = Runtime::open(config(&temp.path().join("run"))).unwrap();
        Self { temp, runtime, cgroup: format!("{}/{name}", cgroup_root()) }
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.temp.path().join("run")
    }

    /// Where the shims' directories are.
    pub(crate) fn shims_dir(&self) -> PathBuf {
        self.run_dir().join("containers")
    }

    /// The engine is gone; what stands in for it knows nothing.
    pub(crate) fn drop_runtime(&mut self) {
        self.runtime = Runtime::open(config(&self.temp.path().join("nothing"))).unwrap();
    }

    /// A new engine on the same run directory.
    pub(crate) fn reopen(&mut self) {
        self.drop_runtime();
        self.runtime = Runtime::open(config(&self.run_dir())).unwrap();
    }

    /// PID of a container's shim, from its start record.
    pub(crate) fn shim_pid(&self, name: &str) -> u32 {
        let bytes = fs::read(self.shims_dir().join(name).join("start.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        u32::try_from(record["shim_pid"].as_u64().unwrap()).unwrap()
    }

    pub(crate) fn id(name: &str) -> ContainerId {
        ContainerId::new(name).unwrap()
    }

    /// A container whose program is this executable with the given payload words.
    pub(crate) fn spec(&self, name: &str, words: &[&str]) -> ContainerSpec {
        let rootfs = self.temp.path().join("rootfs").join(name);
        fs::create_dir_all(rootfs.join("bin")).unwrap();
        let target = rootfs.join("bin/program");
        if !target.exists() {
            fs::hard_link(PROGRAM.get().unwrap(), target).unwrap();
        }
        let mut args = vec!["program".to_owned(), "payload".to_owned()];
        args.extend(words.iter().map(ToString::to_string));
        ContainerSpec {
            id: Self::id(name),
            rootfs,
            args,
            env: vec!["PATH=/sbin:/bin".into(), "COLOUR=blue".into()],
            cwd: String::new(),
            user: User::default(),
            hostname: name.into(),
            mounts: Vec::new(),
            netns: None,
            share_ipc: None,
            share_uts: None,
            share_pid: None,
            cgroup_path: format!("{}/pod/{name}", self.cgroup),
            resources: Resources::default(),
            security: Security::default(),
            log: LogSpec { path: self.log_path(name), max_bytes: 0, max_files: 0 },
            stop_signal: 15,
            oom_score_adj: None,
            labels: BTreeMap::from([("name".to_owned(), name.to_owned())]),
        }
    }

    pub(crate) fn log_path(&self, name: &str) -> PathBuf {
        self.temp.path().join(format!("{name}.log"))
    }

    /// The text of a container's log without times; only standard output unless asked.
    pub(crate) fn log(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.log_path(name)).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    /// `key=value` lines of a container's standard output.
    pub(crate) fn facts(&self, name: &str) -> BTreeMap<String, String> {
        let lines = self.log(name);
        let facts = lines.iter().filter_map(|line| line.strip_prefix("stdout F ")?.split_once('='));
        facts.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// Starts a container and waits for its end.
    pub(crate) async fn run(&self, spec: &ContainerSpec) -> Exit {
        let mut events = self.runtime.events();
        self.runtime.create_and_start(spec).await.unwrap();
        wait_exit(&mut events, &spec.id).await
    }

    pub(crate) async fn status(&self, name: &str) -> Option<Status> {
        let all = self.runtime.list().await;
        all.into_iter().find(|state| state.id.as_str() == name).map(|state| state.status)
    }

    /// Waits until a container is listed as ended.
    pub(crate) async fn wait_exited(&self, name: &str) -> Exit {
        let wait = async {
            loop {
                if let Some(Status::Exited(exit)) = self.status(name).await {
                    return exit;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{name} does not end"))
    }

    /// Waits until a container's log has a line.
    pub(crate) async fn wait_log(&self, name: &str, line: &str) {
        let wait = async {
            while !self.log(name).iter().any(|known| known == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("no {line:?} in {:?}", self.log(name)));
    }

    /// Removes everything and looks for leftovers.
    pub(crate) async fn clean(&self) {
        for state in self.runtime.list().await {
            self.runtime.remove(&state.id).await.unwrap();
        }
        self.runtime.release_cgroups(&self.cgroup).await;
        let wait = async {
            // The shims' own cgroup empties when the last of them has exited.
            while !cgroup_dirs(&self.cgroup).is_empty() {
                self.runtime.release_cgroups(&self.cgroup).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("cgroups left: {:?}", cgroup_dirs(&self.cgroup)));
        let left: Vec<_> = fs::read_dir(self.shims_dir()).unwrap().collect();
        assert!(left.is_empty(), "left in the run directory: {left:?}");
    }
}

pub(crate) async fn wait_exit(
    events: &mut tokio::sync::broadcast::Receiver<RuntimeEvent>,
    wanted: &ContainerId,
) -> Exit {
    let wait = async {
        loop {
            let RuntimeEvent::Exited { id, exit } = events.recv().await.unwrap();
            if id == *wanted {
                return exit;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{wanted} does not end"))
}
