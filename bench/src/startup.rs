//! From the start of the process to a node that is Ready, seen by a client of the API.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use tokio::net::TcpStream;

use crate::numbers::Samples;
use crate::report::{KUBERNETES, Peer, Row};
use crate::support::engine::{Engine, LISTEN, NODE};
use crate::support::{PATIENCE, engine};

/// Looking more often would take time away from the engine.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Starts an engine on a new data directory `times` times, and each time again on what the first left.
pub(crate) fn measure(program: &Path, times: usize) -> anyhow::Result<Vec<Row>> {
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let mut engine = Engine::new(program);
        first.push(ready_after(&mut engine)?.as_secs_f64() * 1000.0);
        engine.stop();
        again.push(ready_after(&mut engine)?.as_secs_f64() * 1000.0);
        engine.purge();
    }
    Ok(vec![
        Row::of("start_ready_ms", "start to Ready, new data directory", &Samples::new(first), "ms")
            .peer(Peer::published(KUBERNETES, "8 000-10 000")),
        Row::of("restart_ready_ms", "start to Ready, again", &Samples::new(again), "ms"),
    ])
}

/// Starts the engine and waits for its node. What the client takes for its TLS handshake is part of it.
fn ready_after(engine: &mut Engine) -> anyhow::Result<Duration> {
    let kubeconfig = engine.kubeconfig();
    let started = Instant::now();
    engine.launch();
    engine.net.clone().run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            // The kubeconfig of an earlier engine names the same address and authority.
            while !kubeconfig.exists() || TcpStream::connect(LISTEN).await.is_err() {
                ensure!(started.elapsed() < PATIENCE, "the engine does not listen");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            let nodes: Api<Node> = Api::all(engine::client(&kubeconfig).await);
            while !nodes.get_opt(NODE).await.is_ok_and(|node| node.is_some_and(|node| is_ready(&node))) {
                ensure!(started.elapsed() < PATIENCE, "the node is not Ready");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(started.elapsed())
        })
    })
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
}
