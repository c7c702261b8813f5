//! One run of a probe or hook handler, seen from the node: exec through the runtime, HTTP and TCP from the host's
//! network to the pod's address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use konzert_lifecycle::ProbeOutcome;
use konzert_runtime::{ContainerId, ExecExit, ExecRequest};

use crate::http::{Target, get};
use crate::ports::{Containers, chain};

const MAX_OUTPUT: usize = 10 << 10;

/// Where a container can be reached.
pub(crate) struct Reach<'a> {
    pub(crate) containers: &'a dyn Containers,
    pub(crate) id: &'a ContainerId,
    pub(crate) container: &'a Container,
    pub(crate) pod_ip: Option<IpAddr>,
}

/// Runs `probe` once.
pub(crate) async fn run(reach: &Reach<'_>, probe: &Probe) -> ProbeOutcome {
    let timeout = Duration::from_secs(probe.timeout_seconds.unwrap_or(1).max(1).unsigned_abs().into());
    let result = if let Some(of) = &probe.exec {
        reach.exec(of, timeout).await
    } else if let Some(of) = &probe.http_get {
        reach.http(of, timeout).await
    } else if let Some(of) = &probe.tcp_socket {
        reach.tcp(of.host.as_deref(), &of.port, timeout).await
    } else if probe.grpc.is_some() {
        Err("grpc probes are not supported by this engine: use httpGet, tcpSocket or exec".to_owned())
    } else {
        Err("the probe has no handler".to_owned())
    };
    match result {
        Ok(()) => ProbeOutcome::Success,
        Err(why) => ProbeOutcome::Failure(why),
    }
}

impl Reach<'_> {
    pub(crate) async fn exec(&self, of: &ExecAction, timeout: Duration) -> Result<(), String> {
        let args = of.command.clone().unwrap_or_default();
        let request = ExecRequest { args, timeout, output_limit_bytes: MAX_OUTPUT };
        let outcome = self.containers.exec(self.id, request).await.map_err(|error| chain(&*error))?;
        match outcome.exit {
            ExecExit::Code(0) => Ok(()),
            ExecExit::Code(code) => {
                let output = String::from_utf8_lossy(&outcome.output);
                Err(format!("exit code {code}: {}", output.trim()))
            }
            ExecExit::TimedOut => Err(format!("command timed out after {}s", timeout.as_secs())),
        }
    }

    pub(crate) async fn http(&self, of: &HTTPGetAction, timeout: Duration) -> Result<(), String> {
        let target = self.target(of).await?;
        match tokio::time::timeout(timeout, get(&target)).await {
            Ok(Ok((200..=399, _))) => Ok(()),
            Ok(Ok((code, _))) => Err(format!("HTTP probe failed with statuscode: {code}")),
            Ok(Err(error)) => Err(format!("Get \"{}\": {}", shown(&target), chain(&error))),
            Err(_) => Err(format!("Get \"{}\": timed out after {}s", shown(&target), timeout.as_secs())),
        }
    }

    pub(crate) async fn tcp(
        &self,
        host: Option<&str>,
        port: &IntOrString,
        timeout: Duration,
    ) -> Result<(), String> {
        let address = SocketAddr::new(self.ip(host).await?, self.port(port)?);
        match tokio::time::timeout(timeout, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("dial tcp {address}: {error}")),
            Err(_) => Err(format!("dial tcp {address}: timed out after {}s", timeout.as_secs())),
        }
    }

    async fn target(&self, of: &HTTPGetAction) -> Result<Target, String> {
        if of.protocol.is_some() {
            return Err("httpGet.protocol is not supported by this engine: remove it".to_owned());
        }
        let address = SocketAddr::new(self.ip(of.host.as_deref()).await?, self.port(&of.port)?);
        let host = of.host.clone().filter(|host| !host.is_empty());
        let headers =
            of.http_headers.iter().flatten().map(|header| (header.name.clone(), header.value.clone()));
        Ok(Target {
            address,
            tls: of.scheme.as_deref() == Some("HTTPS"),
            host: host.map_or_else(|| address.to_string(), |host| format!("{host}:{}", address.port())),
            path: of.path.clone().unwrap_or_else(|| "/".to_owned()),
            headers: headers.collect(),
        })
    }

    async fn ip(&self, host: Option<&str>) -> Result<IpAddr, String> {
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            return self.pod_ip.ok_or_else(|| "the pod has no address".to_owned());
        };
        if let Ok(ip) = host.parse() {
            return Ok(ip);
        }
        let mut found =
            tokio::net::lookup_host((host, 0)).await.map_err(|error| format!("lookup {host}: {error}"))?;
        found.next().map(|address| address.ip()).ok_or_else(|| format!("lookup {host}: no address"))
    }

    fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(name) => {
                let ports = self.container.ports.iter().flatten();
                let named = ports.into_iter().find(|port| port.name.as_deref() == Some(name));
                named.map(|port| port.container_port).or_else(|| name.parse().ok())
            }
        };
        let valid = number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
        valid.ok_or_else(|| match port {
            IntOrString::Int(number) => format!("{number} is not a port"),
            IntOrString::String(name) => format!("no port is called {name}"),
        })
    }
}

fn shown(target: &Target) -> String {
    let scheme = if target.tls { "https" } else { "http" };
    format!("{scheme}://{}{}", target.host, target.path)
}
