//! etcd as a peer of the store: one member on the same file system, one kept connection per writer, through the JSON
//! gateway, because a gRPC client needs a compiler that this workspace does without.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::store::{Round, key, value};
use crate::support::netns::NetNs;
use crate::support::process::{self, Running};

type Sender = SendRequest<Full<Bytes>>;

pub(crate) const CLIENTS: &str = "127.0.0.1:2379";
const PEERS: &str = "http://127.0.0.1:2380";
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A running etcd. Ends when dropped.
pub(crate) struct Etcd {
    /// Name and version.
    pub(crate) name: String,
    pub(crate) net: Arc<NetNs>,
    running: Running,
    /// Removed after the process has ended, because fields are dropped in this order.
    _dir: tempfile::TempDir,
}

impl Etcd {
    /// Starts one on a new directory, and waits until it is healthy.
    pub(crate) fn start(program: &Path) -> anyhow::Result<Self> {
        let mut version = Command::new(program);
        version.arg("--version");
        let version = process::run(version, None, "").stdout;
        let name = version.lines().next().unwrap_or("etcd").replace("etcd Version: ", "etcd ");
        let dir = tempfile::tempdir()?;
        let client_url = format!("http://{CLIENTS}");
        let mut command = Command::new(program);
        command.arg("--data-dir").arg(dir.path().join("data"));
        for (flag, url) in [
            ("--listen-client-urls", client_url.as_str()),
            ("--advertise-client-urls", &client_url),
            ("--listen-peer-urls", PEERS),
            ("--initial-advertise-peer-urls", PEERS),
        ] {
            command.args([flag, url]);
        }
        command.arg("--initial-cluster").arg(format!("default={PEERS}"));
        let net = Arc::new(NetNs::new());
        let running = process::start(command, Some(&net), "");
        let mut etcd = Self { name, net, running, _dir: dir };
        etcd.wait_healthy()?;
        Ok(etcd)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> i32 {
        self.running.pid()
    }

    fn wait_healthy(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        // Nothing is written: who uses it finds it empty.
        while self.status().is_err() {
            if self.running.has_ended() || Instant::now() > deadline {
                bail!("{} does not start: {}", self.name, self.running.stderr());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn status(&self) -> anyhow::Result<()> {
        self.net.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (mut sender, connection) = connect().await?;
                let connection = tokio::spawn(connection);
                post(&mut sender, "/v3/maintenance/status", "{}".to_owned()).await?;
                drop(sender);
                connection.await?.context("connection to etcd")
            })
        })
    }

    /// One round of writers; each writes at least once.
    pub(crate) fn round(&self, writers: usize, lasting: Duration) -> anyhow::Result<Round> {
        self.net.run(|| {
            // Its threads are made in the namespace, too.
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(async {
                let started = Instant::now();
                let tasks: Vec<_> =
                    (0..writers).map(|writer| tokio::spawn(write(writer, started + lasting))).collect();
                let mut round = Round::default();
                for task in tasks {
                    round.taken_ms.extend(task.await??);
                }
                round.lasted = started.elapsed();
                Ok(round)
            })
        })
    }
}

async fn write(writer: usize, until: Instant) -> anyhow::Result<Vec<f64>> {
    let (mut sender, connection) = connect().await?;
    let connection = tokio::spawn(connection);
    let value = STANDARD.encode(value());
    let mut taken = Vec::new();
    while taken.is_empty() || Instant::now() < until {
        let key = STANDARD.encode(key(writer, taken.len() as u64));
        let body = json!({"key": key, "value": value}).to_string();
        let started = Instant::now();
        post(&mut sender, "/v3/kv/put", body).await?;
        taken.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    drop(sender);
    connection.await?.context("connection to etcd")?;
    Ok(taken)
}

async fn connect() -> anyhow::Result<(Sender, Connection<TokioIo<TcpStream>, Full<Bytes>>)> {
    let stream = TcpStream::connect(CLIENTS).await?;
    stream.set_nodelay(true)?;
    Ok(handshake(TokioIo::new(stream)).await?)
}

async fn post(sender: &mut Sender, path: &str, body: String) -> anyhow::Result<()> {
    sender.ready().await?;
    let request = Request::post(path).header("host", CLIENTS).header("content-type", "application/json");
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    let status = answer.status();
    let text = answer.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("etcd answers {status}: {}", String::from_utf8_lossy(&text));
    }
    Ok(())
}
