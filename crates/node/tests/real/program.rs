//! What runs in the container: a small HTTP server that says what it sees, and leaves politely.

use std::process::ExitCode;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

/// Serves until SIGTERM.
pub(crate) fn serve() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stop = signal(SignalKind::terminate()).unwrap();
        let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await.unwrap();
        println!("serving on 8080");
        loop {
            tokio::select! {
                accepted = listener.accept() => answer(accepted.unwrap().0).await,
                _ = stop.recv() => break,
            }
        }
    });
    let mut last = std::fs::OpenOptions::new().append(true).open("/dev/termination-log").unwrap();
    std::io::Write::write_all(&mut last, b"asked to stop").unwrap();
    ExitCode::SUCCESS
}

async fn answer(mut stream: tokio::net::TcpStream) {
    let mut request = [0; 1024];
    // Whatever was asked, the answer is the same.
    if stream.read(&mut request).await.is_err() {
        return;
    }
    let var = |name: &str| {
        std::env::vars().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
    };
    let color = std::fs::read_to_string("/cfg/color").unwrap_or_default();
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let scratch =
        std::fs::File::create("/scratch/file").map_or_else(|error| error.to_string(), |_| "ok".to_owned());
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let body = format!(
        "color={color} ip={} greeting={} uid={uid} gid={gid} host={} scratch={scratch}",
        var("POD_IP"),
        var("GREETING"),
        host.trim()
    );
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{body}").as_bytes()).await.ok();
}
