//! The environment and the file locations: the only place that reads environment variables.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use konzert_images::Credentials;
use sha2::{Digest as _, Sha256};

use crate::cli::Global;
use crate::exit::Failure;

/// Longest file of credentials.
const MAX_CREDENTIALS_BYTES: u64 = 1 << 20;

/// Where everything of one engine lies.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The data directory, canonical.
    pub(crate) data: PathBuf,
    /// Short name of this engine on the machine, made from the data directory.
    pub(crate) instance: String,
    /// Sockets and pins; on a file system that does not survive a reboot.
    pub(crate) run: PathBuf,
}

impl Places {
    /// The places of the engine whose data directory is `data`; creates the directory when asked to.
    pub(crate) fn of(data: &Path, create: Create) -> Result<Self, Failure> {
        let shown = data.display();
        if create == Create::Yes {
            use std::os::unix::fs::DirBuilderExt as _;
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data);
            made.map_err(|e| {
                Failure::usage(format!("data directory {shown}: {e}"), "choose another with --data-dir")
            })?;
        }
        let data = data.canonicalize().map_err(|e| {
            Failure::usage(
                format!("data directory {shown}: {e}"),
                "start an engine with `konzert up`, or name its --data-dir",
            )
        })?;
        let digest = Sha256::digest(data.as_os_str().as_encoded_bytes());
        let instance = hex::encode(&digest[..6]);
        let run = Path::new("/run/konzert").join(&instance);
        Ok(Self { data, instance, run })
    }

    /// The kubeconfig that the engine writes.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig")
    }

    /// The content store.
    pub(crate) fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    /// The advisory database.
    pub(crate) fn advisories(&self) -> PathBuf {
        self.data.join("advisories")
    }
}

/// Whether a directory is made when it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Create {
    /// Make it.
    Yes,
    /// It must be there.
    No,
}

/// `NO_COLOR` (no-color.org).
#[expect(clippy::disallowed_methods, reason = "this is the config module")]
pub(crate) fn no_color() -> bool {
    std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty())
}

/// `KONZERT_LOG`, a filter for what the program says of itself.
#[expect(clippy::disallowed_methods, reason = "this is the config module")]
pub(crate) fn log_filter() -> Option<String> {
    std::env::var("KONZERT_LOG").ok()
}

/// What is known of registries' credentials: the file in `$REGISTRY_AUTH_FILE`, else `~/.docker/config.json` when it is there.
#[expect(clippy::disallowed_methods, reason = "this is the config module")]
pub(crate) fn credentials() -> Result<Credentials, Failure> {
    let named = std::env::var("REGISTRY_AUTH_FILE").ok().filter(|file| !file.is_empty()).map(PathBuf::from);
    let usual = || std::env::var("HOME").ok().map(|home| Path::new(&home).join(".docker/config.json"));
    let must = named.is_some();
    let Some(file) = named.or_else(usual).filter(|file| must || file.exists()) else {
        return Ok(Credentials::default());
    };
    let shown = file.display();
    let hint = "give a file like ~/.docker/config.json, with `auths`, in $REGISTRY_AUTH_FILE";
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(&file);
    let read = opened.and_then(|file| file.take(MAX_CREDENTIALS_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| Failure::usage(format!("cannot read credentials from {shown}: {error}"), hint))?;
    Credentials::from_docker_config(&bytes)
        .map_err(|error| Failure::usage(format!("cannot read credentials from {shown}: {error}"), hint))
}

/// A client for the cluster that the global options name: by flag, else this machine's engine, else the user's kubeconfig.
pub(crate) async fn client(global: &Global) -> Result<kube::Client, Failure> {
    let options = kube::config::KubeConfigOptions { context: global.context.clone(), ..Default::default() };
    let engine = global.data_dir.join("kubeconfig");
    let file = match (&global.kubeconfig, &global.context) {
        (Some(file), _) => Some(file.clone()),
        (None, None) if engine.exists() => Some(engine),
        (None, _) => None,
    };
    let config = match file {
        Some(file) => {
            let read = kube::config::Kubeconfig::read_from(&file).map_err(|e| {
                let error = anyhow::Error::from(e).context(format!("kubeconfig {}", file.display()));
                Failure::failed(error).into_usage().hint("give a kubeconfig, or leave --kubeconfig away")
            })?;
            kube::Config::from_custom_kubeconfig(read, &options).await
        }
        None => kube::Config::from_kubeconfig(&options).await,
    };
    let config = config.map_err(|e| {
        Failure::failed(e)
            .into_usage()
            .hint("start an engine with `konzert up`, or name a cluster with --kubeconfig")
    })?;
    Ok(kube::Client::try_from(config)?)
}

/// Refuses politely where only root can go on.
pub(crate) fn need_root(what: &str) -> Result<(), Failure> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::usage(
        format!("{what} needs root: it makes namespaces, mounts and cgroups"),
        "run it with sudo, or as root in a virtual machine",
    ))
}
