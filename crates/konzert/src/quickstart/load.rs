//! The client that keeps calling a Service while everything below it is replaced, and counts what fails.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Pause between two calls of one caller.
const PAUSE: Duration = Duration::from_millis(10);
/// A call that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many callers there are.
const CALLERS: usize = 3;

/// What the callers saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// The first failure, for the person who has to find out.
    pub(crate) first_failure: Option<String>,
}

/// Callers under way.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    callers: Vec<JoinHandle<Counted>>,
}

impl Load {
    /// Starts calling; every call is a connection of its own, so that each one is routed anew.
    pub(crate) fn start(target: SocketAddr) -> Self {
        let (stop, stopped) = watch::channel(false);
        let callers = (0..CALLERS).map(|_| tokio::spawn(call(target, stopped.clone()))).collect();
        Self { stop, callers }
    }

    /// Ends the callers and adds up.
    pub(crate) async fn finish(self) -> Counted {
        self.stop.send_replace(true);
        let mut sum = Counted::default();
        for caller in self.callers {
            let one = caller.await.unwrap_or_else(|e| Counted {
                failed: 1,
                first_failure: Some(e.to_string()),
                requests: 0,
            });
            sum.requests += one.requests;
            sum.failed += one.failed;
            sum.first_failure = sum.first_failure.or(one.first_failure);
        }
        sum
    }
}

async fn call(target: SocketAddr, stopped: watch::Receiver<bool>) -> Counted {
    let mut counted = Counted::default();
    while !*stopped.borrow() {
        counted.requests += 1;
        let problem = match tokio::time::timeout(PATIENCE, once(target)).await {
            Ok(Ok(answer)) if answer.starts_with(b"HTTP/1.1 200") => None,
            Ok(Ok(answer)) => {
                Some(format!("answer {:?}", String::from_utf8_lossy(&answer[..answer.len().min(40)])))
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_elapsed) => Some("no answer in time".to_owned()),
        };
        if let Some(problem) = problem {
            counted.failed += 1;
            counted.first_failure.get_or_insert(problem);
        }
        tokio::time::sleep(PAUSE).await;
    }
    counted
}

async fn once(target: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(target).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer).await?;
    Ok(answer)
}
