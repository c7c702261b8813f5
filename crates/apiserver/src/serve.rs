//! The listener: TLS, HTTP/1.1 and HTTP/2, one task per connection, a graceful end.
//!
//! A connection that fails is logged once, at debug: clients come and go. Handshakes and idle header reads have deadlines, so
//! that silent peers cost nothing for long.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::auth::{Caller, EndOfStreams, User, signer};
use crate::dispatch::{App, handle};
use crate::error::{ApiServerError, describe};
use crate::pki::{Pki, identity};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// After a failed accept, for example when file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Requests that run when the server stops get this long.
/// A connection on which nobody asks for anything is closed after this time, or, at the latest, after twice that.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A certificate that is due is looked for at least this often; a laptop that slept wakes up late.
const RENEWAL_CHECK: Duration = Duration::from_hours(12);
const MAX_STREAMS: u32 = 1000;

/// Serves until `shutdown` resolves, then ends watches and lets running requests finish.
pub(crate) async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    pki: &Pki,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ApiServerError> {
    let tls = TlsAcceptor::from(Arc::new(pki.server_config()?));
    let (stop, end_of_streams) = tokio::sync::watch::channel(false);
    let renewal = AbortOnDrop(tokio::spawn(renew(pki.clone(), Timestamp::now)));
    let signing = AbortOnDrop(tokio::spawn(signer::run(app.registry.clone(), pki.clone())));
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((socket, _)) => {
                let connection = Connection {
                    app: app.clone(),
                    tls: tls.clone(),
                    end_of_streams: end_of_streams.clone(),
                    watcher: graceful.watcher(),
                };
                tokio::spawn(connection.run(socket));
            }
            Err(error) if is_fatal(&error) => return Err(ApiServerError::Accept(error)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop((renewal, signing));
    stop.send_replace(true);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::debug!("connections were still open when the server stopped");
    }
    Ok(())
}

/// A listener that is no listener cannot recover; everything else is about one connection or passes.
fn is_fatal(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::NotConnected)
}

pub(crate) struct AbortOnDrop(pub(crate) tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Replaces certificates long before they end.
async fn renew(pki: Pki, clock: fn() -> Timestamp) {
    loop {
        let due = Duration::from_secs(pki.seconds_until_renewal(clock()));
        tokio::time::sleep(due.clamp(Duration::from_mins(1), RENEWAL_CHECK)).await;
        let worker = pki.clone();
        match tokio::task::spawn_blocking(move || worker.renew_if_due(clock())).await {
            Ok(Ok(true)) => tracing::info!("certificates were renewed"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::error!(error = %describe(&error), "certificates could not be renewed"),
            Err(error) => tracing::error!(%error, "the renewal of certificates ended badly"),
        }
    }
}

struct Connection {
    app: Arc<App>,
    tls: TlsAcceptor,
    end_of_streams: EndOfStreams,
    watcher: hyper_util::server::graceful::Watcher,
}

impl Connection {
    async fn run(self, socket: TcpStream) {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, self.tls.accept(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
            Err(_elapsed) => return tracing::debug!("a TLS handshake took too long"),
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let identity = certificate.and_then(identity);
        let until = identity.as_ref().map(|identity| identity.until);
        let user = identity.map(User::of_certificate);
        let caller = Caller { user, until, end_of_streams: self.end_of_streams };
        let (app, mut stop) = (self.app, caller.end_of_streams.clone());
        let activity = Arc::new(Activity::default());
        let counted = activity.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let running = counted.begin();
            let answer = handle(app.clone(), caller.clone(), request);
            async move { Ok::<_, std::convert::Infallible>(answer.await.map(|body| body.guarded(running))) }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
        let stopped = async move { drop(stop.wait_for(|stop| *stop).await) };
        let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = activity.idle() => {
                connection.as_mut().graceful_shutdown();
                // A peer that does not even read that we end is left alone.
                tokio::time::timeout(DRAIN_TIMEOUT, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error = %describe(&*error), "a connection ended with an error");
        }
        drop(self.watcher);
    }
}

/// The requests of one connection.
#[derive(Debug, Default)]
struct Activity {
    begun: AtomicU64,
    running: AtomicUsize,
    none_left: Notify,
}

impl Activity {
    fn begin(self: &Arc<Self>) -> Running {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(self.clone())
    }

    /// Resolves when nothing was asked for a while. Costs nothing while requests come, and sleeps while a stream is open.
    async fn idle(&self) {
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            tokio::time::sleep(IDLE_TIMEOUT).await;
            if self.running.load(Ordering::Relaxed) == 0 {
                if self.begun.load(Ordering::Relaxed) == begun {
                    return;
                }
                continue;
            }
            while self.running.load(Ordering::Relaxed) > 0 {
                self.none_left.notified().await;
            }
        }
    }
}

/// A request from its head to the end of its answer.
#[derive(Debug)]
struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.none_left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    /// The wall clock as the timers of a paused test see it, from a day on which certificates have 121 days left.
    fn later() -> Timestamp {
        static START: std::sync::OnceLock<(tokio::time::Instant, Timestamp)> = std::sync::OnceLock::new();
        let (start, at) = START.get_or_init(|| (tokio::time::Instant::now(), Timestamp::now()));
        *at + i64::try_from(start.elapsed().as_secs()).unwrap().seconds()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_nothing_was_asked_for_a_while() {
        let activity = Arc::new(Activity::default());
        let start = tokio::time::Instant::now();
        activity.idle().await;
        assert_eq!(start.elapsed().as_secs(), IDLE_TIMEOUT.as_secs(), "nothing was ever asked");
        let stream = activity.begin();
        let mut idle = std::pin::pin!(activity.idle());
        assert!(tokio::time::timeout(IDLE_TIMEOUT * 100, idle.as_mut()).await.is_err(), "a stream is open");
        drop(stream);
        drop(activity.begin());
        let start = tokio::time::Instant::now();
        idle.await;
        assert_eq!(start.elapsed().as_secs(), IDLE_TIMEOUT.as_secs(), "from the last request on");
    }

    #[tokio::test(start_paused = true)]
    async fn certificates_are_renewed_when_their_time_comes() {
        let dir = tempfile::tempdir().unwrap();
        let made = later() - (244 * 24).hours();
        let pki = Pki::load_or_create_at(dir.path(), &[], made).unwrap();
        let mut renewals = pki.renewals();
        let _task = AbortOnDrop(tokio::spawn(renew(pki.clone(), later)));
        let start = later();
        renewals.changed().await.unwrap();
        let waited = later().duration_since(start).as_hours();
        assert!((23..=36).contains(&waited), "{waited} hours");
        assert!(pki.seconds_until_renewal(later()) > 200 * 24 * 3600);
    }
}
