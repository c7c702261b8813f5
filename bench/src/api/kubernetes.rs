//! A real `kube-apiserver` over a real etcd, as the peer: `KONZERT_BENCH_KUBE_APISERVER` and `KONZERT_BENCH_ETCD` name them.
//!
//! Limits that would only slow it down are raised, and nothing else is changed.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::server::Server;
use crate::etcd::{CLIENTS, Etcd};
use crate::support::netns::NetNs;
use crate::support::process::{self, Running};

pub(super) const LISTEN: &str = "127.0.0.1:6443";
const START_PATIENCE: Duration = Duration::from_mins(2);

/// Its processes. They end when this is dropped, the server before its etcd.
pub(crate) struct Processes {
    pub(super) name: String,
    server: Running,
    etcd: Etcd,
    dir: tempfile::TempDir,
}

/// Starts the peer, when the environment names one.
pub(super) fn start() -> anyhow::Result<Option<Server>> {
    let program = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (Some(server), Some(etcd)) = (program("KONZERT_BENCH_KUBE_APISERVER"), program("KONZERT_BENCH_ETCD"))
    else {
        crate::note("no peer: KONZERT_BENCH_KUBE_APISERVER and KONZERT_BENCH_ETCD name none");
        return Ok(None);
    };
    let mut processes = Processes::start(&server, &etcd)?;
    processes.wait_ready()?;
    Server::kubernetes(processes).map(Some)
}

impl Processes {
    fn start(program: &Path, etcd: &Path) -> anyhow::Result<Self> {
        let mut version = Command::new(program);
        version.arg("--version");
        let version = process::run(version, None, "").stdout;
        let etcd = Etcd::start(etcd)?;
        let name = format!("{}, {}", version.trim().replace("Kubernetes v", "kube-apiserver "), etcd.name);
        let dir = tempfile::tempdir()?;
        identities(dir.path())?;
        let at = |file: &str| dir.path().join(file).display().to_string();
        let mut command = Command::new(program);
        for (flag, value) in [
            ("etcd-servers", format!("http://{CLIENTS}")),
            ("bind-address", "127.0.0.1".to_owned()),
            ("advertise-address", "192.0.2.1".to_owned()),
            ("endpoint-reconciler-type", "none".to_owned()),
            ("secure-port", "6443".to_owned()),
            ("client-ca-file", at("ca.crt")),
            ("tls-cert-file", at("server.crt")),
            ("tls-private-key-file", at("server.key")),
            ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
            ("service-account-key-file", at("server.pub")),
            ("service-account-signing-key-file", at("server.key")),
            ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
            ("authorization-mode", "RBAC".to_owned()),
            ("enable-priority-and-fairness", "false".to_owned()),
            ("max-requests-inflight", "3000".to_owned()),
            ("max-mutating-requests-inflight", "1000".to_owned()),
        ] {
            command.arg(format!("--{flag}={value}"));
        }
        let server = process::start(command, Some(&etcd.net), "");
        Ok(Self { name, server, etcd, dir })
    }

    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        let file = self.kubeconfig();
        while !self.etcd.net.run(|| ready(&file)) {
            if self.server.has_ended() || Instant::now() > deadline {
                bail!("{} does not start: {}", self.name, last_lines(&self.server.stderr()));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    pub(super) fn net(&self) -> Arc<NetNs> {
        self.etcd.net.clone()
    }

    pub(super) fn pids(&self) -> Vec<i32> {
        vec![self.server.pid(), self.etcd.pid()]
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<String> =
        text.lines().rev().take(10).map(|line| line.chars().take(300).collect()).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn ready(kubeconfig: &Path) -> bool {
    let ask = async {
        let client = crate::support::engine::client(kubeconfig).await;
        let request = hyper::Request::get("/readyz").body(Vec::new())?;
        anyhow::Ok(client.request_text(request).await?)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.is_ok_and(|runtime| runtime.block_on(ask).is_ok_and(|text| text == "ok"))
}

/// A CA, the server's certificate, and the kubeconfig of an administrator.
fn identities(dir: &Path) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| -> anyhow::Result<()> {
        File::create(dir.join(name))?.write_all(text.as_bytes()).with_context(|| name.to_owned())
    };
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "bench");
    let key = KeyPair::generate()?;
    let ca = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    write("ca.crt", &ca)?;

    let server_key = KeyPair::generate()?;
    let server = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&server_key, &issuer)?;
    write("server.crt", &server.pem())?;
    write("server.key", &server_key.serialize_pem())?;
    write("server.pub", &server_key.public_key_pem())?;

    let admin_key = KeyPair::generate()?;
    let mut admin = CertificateParams::default();
    admin.distinguished_name.push(DnType::CommonName, "bench");
    admin.distinguished_name.push(DnType::OrganizationName, "system:masters");
    let admin = admin.signed_by(&admin_key, &issuer)?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{ "name": "bench", "cluster": {
            "server": format!("https://{LISTEN}"), "certificate-authority-data": STANDARD.encode(ca),
        }}],
        "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "bench" } }],
        "users": [{ "name": "bench", "user": {
            "client-certificate-data": STANDARD.encode(admin.pem()),
            "client-key-data": STANDARD.encode(admin_key.serialize_pem()),
        }}],
    });
    write("kubeconfig", &kubeconfig.to_string())
}
