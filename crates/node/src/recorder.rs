//! Events on pods, as `kubectl describe` shows them. Repetitions raise the count of one Event object. Recording never
//! waits: when the queue is full, events are lost and the loss is logged.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;

const QUEUE: usize = 1024;
const REMEMBERED: usize = 2048;
const MAX_MESSAGE: usize = 1024;

/// Whether an event is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Severity {
    Normal,
    Warning,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Happening {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    /// `spec.containers{app}`, or nothing for the whole pod.
    pub(crate) field: Option<String>,
    pub(crate) severity: Severity,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// Takes events in.
#[derive(Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<(Happening, Timestamp)>,
}

impl Recorder {
    /// A recorder and the task that writes for it until the last recorder is dropped.
    pub(crate) fn start(client: Client, node: &str) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let writer = Writer { client, node: node.to_owned(), known: HashMap::new() };
        (Self { queue }, tokio::spawn(writer.run(inbox)))
    }

    pub(crate) fn record(&self, mut happening: Happening) {
        if happening.message.len() > MAX_MESSAGE {
            let mut end = MAX_MESSAGE;
            while !happening.message.is_char_boundary(end) {
                end -= 1;
            }
            happening.message.truncate(end);
        }
        if let Err(error) = self.queue.try_send((happening, Timestamp::now())) {
            tracing::warn!(%error, "an event was lost");
        }
    }
}

struct Writer {
    client: Client,
    node: String,
    /// Name and count of the Event that stands for a happening.
    known: HashMap<Happening, (String, i32)>,
}

impl Writer {
    async fn run(mut self, mut inbox: mpsc::Receiver<(Happening, Timestamp)>) {
        while let Some((happening, at)) = inbox.recv().await {
            if let Err(error) = self.write(happening, at).await {
                tracing::debug!(%error, "an event was not written");
            }
        }
    }

    async fn write(&mut self, happening: Happening, at: Timestamp) -> Result<(), kube::Error> {
        let api = Api::<Event>::namespaced(self.client.clone(), &happening.namespace);
        if let Some((name, count)) = self.known.get_mut(&happening) {
            *count += 1;
            let patch = json!({"count": *count, "lastTimestamp": Time(at)});
            match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Err(error) if is_missing(&error) => {}
                other => return other.map(drop),
            }
        }
        let event = self.event(&happening, at);
        let name = event.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &event).await?;
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(happening, (name, 1));
        Ok(())
    }

    fn event(&self, happening: &Happening, at: Timestamp) -> Event {
        let severity = match happening.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:x}", happening.name, at.as_nanosecond())),
                namespace: Some(happening.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                namespace: Some(happening.namespace.clone()),
                name: Some(happening.name.clone()),
                uid: Some(happening.uid.clone()),
                field_path: happening.field.clone(),
                ..ObjectReference::default()
            },
            type_: Some(severity.to_owned()),
            reason: Some(happening.reason.to_owned()),
            message: Some(happening.message.clone()),
            count: Some(1),
            first_timestamp: Some(Time(at)),
            last_timestamp: Some(Time(at)),
            source: Some(EventSource {
                component: Some("kubelet".to_owned()),
                host: Some(self.node.clone()),
            }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(self.node.clone()),
            ..Event::default()
        }
    }
}

/// Whether the API says that the object does not exist.
pub(crate) fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
