//! Log: output of a container, fetched from whoever runs the pod.
//!
//! The registry knows which container is meant and whether it exists; where the bytes come from is the business of the
//! [`PodStreams`] that the node agent provides.

use std::io;

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use jiff::Timestamp;
use konzert_api::{ApiError, meta};
use serde_json::Value;

use super::{Place, Registry};
use crate::auth::EndOfStreams;
use crate::encode::decode;
use crate::options::LogOptions;

/// Which log, and which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Uid of the pod.
    pub uid: String,
    /// Container, always named.
    pub container: String,
    /// Go on with what is written later.
    pub follow: bool,
    /// The instance before the present one.
    pub previous: bool,
    /// Only that many of the last lines.
    pub tail_lines: Option<u64>,
    /// Only lines from this instant on.
    pub since: Option<Timestamp>,
    /// Each line starts with its RFC 3339 time.
    pub timestamps: bool,
    /// End after that many bytes.
    pub limit_bytes: Option<u64>,
}

/// What the node agent offers for a pod.
#[async_trait::async_trait]
pub trait PodStreams: Send + Sync {
    /// The bytes of a container's log. The stream ends by itself unless `follow` is set.
    async fn logs(&self, request: LogRequest) -> Result<BoxStream<'static, io::Result<Bytes>>, ApiError>;
}

impl Registry {
    /// GET `log`.
    pub(crate) async fn log(
        &self,
        place: &Place,
        name: &str,
        options: LogOptions,
        mut shutdown: EndOfStreams,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, ApiError> {
        let pod = decode(&self.get(place, name)?)?;
        let container = container(&pod, name, options.container.as_deref())?;
        let node = pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default();
        if node.is_empty() {
            return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
        }
        let streams = self.streams.read().clone();
        let streams =
            streams.ok_or_else(|| ApiError::service_unavailable("no node agent serves logs right now"))?;
        let request = LogRequest {
            namespace: meta::namespace(&pod).to_owned(),
            pod: name.to_owned(),
            uid: meta::uid(&pod).to_owned(),
            container,
            follow: options.follow,
            previous: options.previous,
            tail_lines: options.tail_lines,
            since: options.since,
            timestamps: options.timestamps,
            limit_bytes: options.limit_bytes,
        };
        let stream = streams.logs(request).await?;
        let stop = async move { shutdown.wait_for(|stop| *stop).map(drop).await };
        Ok(stream.take_until(Box::pin(stop)).boxed())
    }
}

/// The container that is meant: the one named, or the only one.
fn container(pod: &Value, name: &str, asked: Option<&str>) -> Result<String, ApiError> {
    let names = |list: &str| -> Vec<String> {
        let containers = pod.pointer(list).and_then(Value::as_array).into_iter().flatten();
        containers.filter_map(|c| c.get("name").and_then(Value::as_str).map(str::to_owned)).collect()
    };
    let (regular, init) = (names("/spec/containers"), names("/spec/initContainers"));
    match asked {
        Some(container) if regular.iter().chain(&init).any(|c| c == container) => Ok(container.to_owned()),
        Some(container) => {
            Err(ApiError::bad_request(format!("container {container} is not valid for pod {name}")))
        }
        None => match regular.as_slice() {
            [one] => Ok(one.clone()),
            many => {
                let mut message = format!(
                    "a container name must be specified for pod {name}, choose one of: [{}]",
                    many.join(" ")
                );
                if !init.is_empty() {
                    message = format!("{message} or one of the init containers: [{}]", init.join(" "));
                }
                Err(ApiError::bad_request(message))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn which_container() {
        let one = json!({"spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}});
        let two = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        assert_eq!(container(&one, "p", None).unwrap(), "a");
        assert_eq!(container(&one, "p", Some("i")).unwrap(), "i");
        assert_eq!(container(&two, "p", Some("b")).unwrap(), "b");
        let error = container(&two, "p", None).unwrap_err();
        assert_eq!(error.message, "a container name must be specified for pod p, choose one of: [a b]");
        let error = container(&two, "p", Some("z")).unwrap_err();
        assert_eq!(error.message, "container z is not valid for pod p");
    }
}
