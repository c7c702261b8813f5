//! One engine: started from the real binary, reached by command line and by `kube::Client`, taken away at the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::leftovers;
use super::netns::NetNs;
use super::process::{self, Ran, Running};

/// Free in every namespace of its own.
pub(crate) const LISTEN: &str = "127.0.0.1:6443";
/// The name of the node.
pub(crate) const NODE: &str = "stage";

/// An engine in a namespace of its own. Dropping it takes everything away, and shows its log when the test failed.
pub(crate) struct Engine {
    program: PathBuf,
    dir: TempDir,
    /// The namespace in which the engine is, and its clients have to be.
    pub(crate) net: Arc<NetNs>,
    up: Option<Running>,
    /// What engines on this directory said before the present one.
    said: String,
    purged: bool,
}

impl Engine {
    /// Prepares everything, and starts nothing.
    pub(crate) fn new(program: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("konzert-test-").tempdir().unwrap();
        Self {
            program: program.to_path_buf(),
            dir,
            net: Arc::new(NetNs::new()),
            up: None,
            said: String::new(),
            purged: false,
        }
    }

    /// An engine that is ready.
    pub(crate) fn up(program: &Path) -> Self {
        let mut engine = Self::new(program);
        engine.start();
        engine
    }

    /// A directory for the test's own files.
    pub(crate) fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// The data directory, canonical.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("data")
    }

    /// The name of this engine in control groups and run directories.
    pub(crate) fn instance(&self) -> String {
        leftovers::instance_of(&self.data())
    }

    /// Starts the engine and waits until it says that it is ready.
    pub(crate) fn start(&mut self) {
        self.launch();
        let mut status = self.begin(["status", "--wait", "--timeout", "60s"]);
        super::until("status --wait", || {
            if let Some(up) = &mut self.up
                && up.has_ended()
            {
                panic!("the engine ended at once:\n{}", up.stderr());
            }
            status.has_ended().then_some(())
        });
        status.end().ok();
    }

    /// Starts the engine and does not wait.
    pub(crate) fn launch(&mut self) {
        let command = self.command(["-v", "up", "--listen", LISTEN, "--node-name", NODE]);
        self.up = Some(process::start(command, Some(&self.net), ""));
    }

    /// `kill -9` of the engine.
    pub(crate) fn kill(&mut self) {
        let mut up = self.up.take().unwrap();
        up.kill();
        self.said.push_str(&up.stderr());
        self.said.push_str("--- killed\n");
    }

    /// Stops the engine; containers go on.
    pub(crate) fn stop(&mut self) {
        self.konzert(["down"]).ok();
        let ended = self.up.take().unwrap().end();
        assert_eq!(ended.code, Some(0), "{ended}");
        self.said.push_str(&ended.stderr);
    }

    /// The process of the engine.
    pub(crate) fn pid(&self) -> i32 {
        self.up.as_ref().unwrap().pid()
    }

    /// A command line of konzert on this engine's data directory.
    pub(crate) fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--data-dir").arg(self.data()).args(args);
        // Whatever the user has set is not for the tests.
        command.env_remove("KUBECONFIG").env_remove("KONZERT_LOG");
        command
    }

    /// Runs `konzert …` to its end.
    pub(crate) fn konzert<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ran {
        process::run(self.command(args), Some(&self.net), "")
    }

    /// Starts `konzert …` in the background.
    pub(crate) fn begin<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Running {
        process::start(self.command(args), Some(&self.net), "")
    }

    /// The kubeconfig that the engine wrote.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data().join("kubeconfig")
    }

    /// Talks to the API with a client of its own, inside the namespace.
    pub(crate) fn ask<T: Send>(&self, work: impl AsyncFnOnce(kube::Client) -> T + Send) -> T {
        let file = self.kubeconfig();
        self.net.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { work(client(&file).await).await })
        })
    }

    /// Stops the engine and its containers, deletes its data, and fails when anything is left.
    pub(crate) fn purge(mut self) {
        self.konzert(["down", "--purge"]).ok();
        self.purged = true;
        if let Some(up) = self.up.take() {
            self.said.push_str(&up.end().stderr);
        }
        let mut left = leftovers::of_data_dir(&self.data());
        left.extend(leftovers::of_network(&self.net));
        assert!(left.is_empty(), "`down --purge` left behind:\n{}", left.join("\n"));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let now = self.up.as_ref().map(Running::stderr).unwrap_or_default();
            eprintln!("--- the engine said:\n{}{now}--- end", self.said);
        }
        if !self.purged && self.data().exists() {
            let ran = self.konzert(["down", "--purge"]);
            if ran.code != Some(0) {
                eprintln!("cleaning up failed: {ran}");
            }
        }
    }
}

/// A client for a kubeconfig file.
pub(crate) async fn client(kubeconfig: &Path) -> kube::Client {
    let read = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(read, &options).await.unwrap();
    kube::Client::try_from(config).unwrap()
}
