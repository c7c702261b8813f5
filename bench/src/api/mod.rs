//! The API under load: create, get, list, patch, delete with 1, 16 and 64 clients, and a thousand watchers.
//!
//! What counts is work per CPU second of the server's processes, because clients and server share the machine; wall time is shown beside
//! it. Writes are durable on both sides: the peer is a `kube-apiserver` over an etcd, both named by the environment.
//! Both servers get the same requests from the same clients: HTTP/1.1 over TLS with a client certificate, connections kept.

mod client;
mod kubernetes;
mod load;
mod server;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use self::load::{Plan, Round, Work};
use self::server::Server;
use crate::note;
use crate::numbers::{Samples, float, shown};
use crate::report::{Peer, Row};

const CLIENTS: [usize; 3] = [1, 16, 64];

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Objects that are listed.
    pub(crate) objects: usize,
    /// How long gets, lists and patches go on.
    pub(crate) lasting: Duration,
    /// Watchers, and updates per second that they see.
    pub(crate) watchers: usize,
    pub(crate) updates: u64,
}

/// Measures our server, and the one that the environment names.
pub(crate) fn measure(program: &Path, extent: Extent) -> anyhow::Result<Vec<Row>> {
    let engine = Server::konzert(program);
    let mut own = Vec::new();
    figures(&engine, extent, &mut own).context("konzert")?;
    engine.stop();
    // What was measured is shown, whatever becomes of the peer.
    let theirs = peer(extent).unwrap_or_else(|error| {
        note(&format!("no figures of the peer: {error:#}"));
        None
    });
    let peer = |index: usize| {
        let (name, figures) = theirs.as_ref()?;
        Some((name.as_str(), figures.get(index)?))
    };
    Ok(own.iter().enumerate().map(|(index, figure)| figure.row(peer(index))).collect())
}

fn peer(extent: Extent) -> anyhow::Result<Option<(String, Vec<Figure>)>> {
    let Some(server) = kubernetes::start()? else { return Ok(None) };
    note(&format!("the same with {}", server.name));
    let mut theirs = Vec::new();
    if let Err(error) = figures(&server, extent, &mut theirs) {
        note(&format!("{}: figures are missing: {error:#}", server.name));
    }
    let name = server.name.clone();
    server.stop();
    Ok(Some((name, theirs)))
}

/// One figure of one server.
struct Figure {
    id: String,
    what: String,
    unit: &'static str,
    value: f64,
    note: String,
}

impl Figure {
    fn row(&self, peer: Option<(&str, &Self)>) -> Row {
        let row = Row::one(self.id.clone(), self.what.clone(), self.value, self.unit);
        match peer {
            None => row.note(self.note.clone()),
            Some((name, theirs)) => row
                .peer(Peer::measured(name, theirs.value))
                .note(format!("{}; peer {}", self.note, theirs.note)),
        }
    }

    fn of(work: Work, clients: usize, round: &Round) -> Self {
        let name = work.name();
        Self {
            id: format!("api_{name}_{clients}"),
            what: format!("{name}, clients: {clients}"),
            unit: "per CPU s",
            value: float(round.taken_ms.len() as u64) / round.cpu.as_secs_f64().max(0.01),
            note: described(round),
        }
    }
}

fn described(round: &Round) -> String {
    let samples = Samples::new(round.taken_ms.clone());
    let rate = float(samples.len() as u64) / round.wall.as_secs_f64();
    let (p50, p99) = (samples.median(), samples.percentile(99));
    format!("{}/s, p50 {} ms, p99 {} ms", shown(rate), shown(p50), shown(p99))
}

fn figures(server: &Server, extent: Extent, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    for clients in CLIENTS {
        note(&format!("{}: {clients} clients", server.name));
        let namespace = format!("bench-{clients}");
        load::namespace(server, &namespace)?;
        for work in [Work::Create, Work::Get, Work::Patch, Work::List, Work::Delete] {
            let plan = Plan { work, clients, namespace: namespace.clone(), extent };
            let round =
                load::round(server, &plan).with_context(|| format!("{work:?} with {clients} clients"))?;
            figures.push(Figure::of(work, clients, &round));
        }
    }
    note(&format!("{}: {} watchers", server.name, extent.watchers));
    figures.push(watching(server, extent)?);
    figures.push(memory(server, extent)?);
    Ok(())
}

fn watching(server: &Server, extent: Extent) -> anyhow::Result<Figure> {
    load::namespace(server, "bench-watch")?;
    let round = load::watch(server, "bench-watch", extent)?;
    Ok(Figure {
        id: "api_watch".to_owned(),
        what: format!("watch deliveries, {} watchers, {} updates/s", extent.watchers, extent.updates),
        unit: "per CPU s",
        value: float(round.taken_ms.len() as u64) / round.cpu.as_secs_f64().max(0.01),
        note: described(&round),
    })
}

/// Resident memory that 10,000 more objects take.
fn memory(server: &Server, extent: Extent) -> anyhow::Result<Figure> {
    const MORE: usize = 10_000;
    load::namespace(server, "bench-memory")?;
    let before = server.memory_mib()?;
    let extent = Extent { objects: MORE, ..extent };
    let plan = Plan { work: Work::Create, clients: 16, namespace: "bench-memory".to_owned(), extent };
    load::round(server, &plan)?;
    let after = server.memory_mib()?;
    Ok(Figure {
        id: "api_memory_10000".to_owned(),
        what: "memory of 10,000 objects of 1.5 KB".to_owned(),
        unit: "MiB",
        value: after - before,
        note: format!("RSS {} to {} MiB", shown(before), shown(after)),
    })
}
