//! What the clients do: rounds of one kind of request, and watchers with somebody who writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::json;

use super::Extent;
use super::client::Client;
use super::server::Server;

const JSON: &str = "application/json";
/// With metadata an object is about 1.5 KB.
const PAYLOAD_BYTES: usize = 1200;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Create,
    Get,
    Patch,
    List,
    Delete,
}

impl Work {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::Patch => "patch",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }

    /// Every object once, or again and again for a time.
    fn once(self) -> bool {
        matches!(self, Self::Create | Self::Delete)
    }
}

/// One round.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) work: Work,
    pub(super) clients: usize,
    pub(super) namespace: String,
    pub(super) extent: Extent,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Milliseconds of every request, in no order.
    pub(super) taken_ms: Vec<f64>,
    pub(super) wall: Duration,
    /// Of the server.
    pub(super) cpu: Duration,
}

fn block_on<T: Send>(
    server: &Server,
    work: impl AsyncFnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    server.net.run(|| {
        // Its threads are made in the namespace, too.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async { work().await })
    })
}

/// Makes a namespace, and waits until objects can be made in it.
pub(super) fn namespace(server: &Server, name: &str) -> anyhow::Result<()> {
    block_on(server, async || {
        let mut client = Client::connect(&server.address, &server.tls).await?;
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        client.send("POST", "/api/v1/namespaces", JSON, body.to_string().into()).await.map(drop)
    })
}

/// One round of requests.
pub(super) fn round(server: &Server, plan: &Plan) -> anyhow::Result<Round> {
    block_on(server, async || {
        let mut clients = Vec::with_capacity(plan.clients);
        for _ in 0..plan.clients {
            clients.push(Client::connect(&server.address, &server.tls).await?);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let (started, cpu) = (Instant::now(), server.cpu()?);
        let tasks: Vec<_> = clients
            .into_iter()
            .map(|client| tokio::spawn(requests(client, plan.clone(), next.clone())))
            .collect();
        let mut round = Round::default();
        for task in tasks {
            round.taken_ms.extend(task.await??);
        }
        round.wall = started.elapsed();
        round.cpu = server.cpu()?.saturating_sub(cpu);
        Ok(round)
    })
}

/// What one client does.
async fn requests(mut client: Client, plan: Plan, next: Arc<AtomicUsize>) -> anyhow::Result<Vec<f64>> {
    let until = Instant::now() + plan.extent.lasting;
    let objects = plan.extent.objects;
    let mut taken = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if if plan.work.once() { number >= objects } else { Instant::now() >= until } {
            return Ok(taken);
        }
        let started = Instant::now();
        // A step that shares no factor with the number of objects, so that neighbours do not meet.
        let spread = number * 7919 % objects;
        one(&mut client, &plan, number, spread).await?;
        taken.push(started.elapsed().as_secs_f64() * 1000.0);
    }
}

async fn one(client: &mut Client, plan: &Plan, number: usize, spread: usize) -> anyhow::Result<()> {
    let all = format!("/api/v1/namespaces/{}/configmaps", plan.namespace);
    let path = |index: usize| format!("{all}/object-{index:05}");
    let nothing = Bytes::new();
    match plan.work {
        Work::Create => client.send("POST", &all, JSON, object(number)).await.map(drop),
        Work::Get => client.send("GET", &path(spread), JSON, nothing).await.map(drop),
        Work::Patch => {
            let patch = json!({ "metadata": { "labels": { "turn": number.to_string() } } }).to_string();
            client.send("PATCH", &path(spread), "application/merge-patch+json", patch.into()).await.map(drop)
        }
        Work::List => {
            let length = client.send("GET", &all, JSON, nothing).await?;
            if length < plan.extent.objects * PAYLOAD_BYTES {
                bail!("the list has {length} bytes, which cannot be all objects");
            }
            Ok(())
        }
        Work::Delete => client.send("DELETE", &path(number), JSON, nothing).await.map(drop),
    }
}

fn object(number: usize) -> Bytes {
    let payload: String = (0..PAYLOAD_BYTES)
        .map(|at| char::from(b'a' + u8::try_from((at * 7 + number) % 26).unwrap_or(0)))
        .collect();
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": format!("object-{number:05}"), "labels": { "app": "bench", "turn": "0" } },
        "data": { "payload": payload },
    });
    object.to_string().into()
}

/// Watchers, each on a connection of its own, while one client updates an object at a steady rate. `taken_ms` is the time from the
/// start of an update to each delivery of it.
pub(super) fn watch(server: &Server, namespace: &str, extent: Extent) -> anyhow::Result<Round> {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    block_on(server, async || {
        let mut writer = Client::connect(&server.address, &server.tls).await?;
        writer.send("POST", &path, JSON, object(0)).await?;
        let updates = usize::try_from(extent.updates * extent.lasting.as_secs())?;
        let clock = Instant::now();
        let mut watchers = Vec::with_capacity(extent.watchers);
        for _ in 0..extent.watchers {
            let mut client = Client::connect(&server.address, &server.tls).await?;
            let stream = client.open("GET", &format!("{path}?watch=true"), JSON, Bytes::new()).await?;
            watchers.push(tokio::spawn(deliveries(client, stream, updates)));
        }
        // Servers close connections on which nothing was asked for a while.
        let mut writer = Client::connect(&server.address, &server.tls).await?;
        let (started, cpu) = (Instant::now(), server.cpu()?);
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(extent.updates)?);
        let mut sent = Vec::with_capacity(updates);
        for turn in 1..=updates {
            ticks.tick().await;
            let patch = json!({ "metadata": { "labels": { "turn": turn.to_string() } } }).to_string();
            sent.push(clock.elapsed());
            let object = format!("{path}/object-00000");
            writer.send("PATCH", &object, "application/merge-patch+json", patch.into()).await?;
        }
        let mut round = Round::default();
        for watcher in watchers {
            let seen = watcher.await??;
            let taken =
                seen.iter().zip(&sent).map(|(seen, sent)| seen.duration_since(clock).saturating_sub(*sent));
            round.taken_ms.extend(taken.map(|taken| taken.as_secs_f64() * 1000.0));
        }
        round.wall = started.elapsed();
        round.cpu = server.cpu()?.saturating_sub(cpu);
        Ok(round)
    })
}

/// When each update arrived; the first event is the object as it was.
async fn deliveries(
    client: Client,
    mut stream: hyper::body::Incoming,
    updates: usize,
) -> anyhow::Result<Vec<Instant>> {
    let mut seen = Vec::with_capacity(updates);
    let mut first = true;
    while seen.len() < updates {
        let frame = stream.frame().await.context("the watch ended early")??;
        let data = frame.data_ref().map_or(&[][..], |data| &data[..]);
        // Every event ends with a line break.
        let lines = data.split(|byte| *byte == b'\n').count() - 1;
        for _ in 0..lines {
            if !std::mem::take(&mut first) {
                seen.push(Instant::now());
            }
        }
    }
    drop(client);
    Ok(seen)
}
