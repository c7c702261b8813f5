//! Records core/v1 events. They are written beside the work, never before it; a burst beyond the buffer is dropped, because events are
//! for people and must not slow down a controller.
//!
//! The same thing said again about the same object counts up the event that is there.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konzert_workloads::pods::stamp;
use konzert_workloads::{EventNote, EventType};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;

/// How many events may wait to be written.
const BUFFER: usize = 4096;
/// How many different events are remembered for counting.
const REMEMBERED: usize = 4096;
/// Longest base of an event name: 253 less a dot and sixteen hex digits.
const MAX_BASE: usize = 236;

/// One event on its way.
struct Message {
    source: &'static str,
    regarding: ObjectReference,
    note: EventNote,
    at: Timestamp,
}

/// Where controllers leave their events.
#[derive(Clone)]
pub(crate) struct Recorder {
    sender: mpsc::Sender<Message>,
}

impl Recorder {
    pub(crate) fn record(&self, source: &'static str, regarding: ObjectReference, note: EventNote) {
        let message = Message { source, regarding, note, at: Timestamp::now() };
        if let Err(refused) = self.sender.try_send(message) {
            tracing::debug!(%refused, "an event was dropped");
        }
    }
}

/// The task that writes them.
pub(crate) struct Writer {
    client: kube::Client,
    receiver: mpsc::Receiver<Message>,
    known: HashMap<Identity, Written>,
    order: VecDeque<Identity>,
    sequence: u64,
}

/// Two events with the same identity are one that happened twice.
type Identity = (&'static str, String, EventNote);

struct Written {
    namespace: String,
    name: String,
    count: i32,
}

pub(crate) fn channel(client: kube::Client) -> (Recorder, Writer) {
    let (sender, receiver) = mpsc::channel(BUFFER);
    let writer = Writer { client, receiver, known: HashMap::new(), order: VecDeque::new(), sequence: 0 };
    (Recorder { sender }, writer)
}

impl Writer {
    /// Writes until every recorder is gone.
    pub(crate) async fn run(mut self) {
        while let Some(message) = self.receiver.recv().await {
            if let Err(refused) = self.write(message).await {
                // Typical: the namespace is being deleted.
                tracing::debug!(error = %refused, "an event was not written");
            }
        }
    }

    async fn write(&mut self, message: Message) -> Result<(), kube::Error> {
        let about =
            message.regarding.uid.clone().or_else(|| message.regarding.name.clone()).unwrap_or_default();
        let identity: Identity = (message.source, about, message.note.clone());
        if let Some(written) = self.known.get_mut(&identity) {
            written.count = written.count.saturating_add(1);
            let patch = json!({"count": written.count, "lastTimestamp": stamp(message.at)});
            let api: Api<Event> = Api::namespaced(self.client.clone(), &written.namespace);
            let answer =
                api.patch_metadata(&written.name, &PatchParams::default(), &Patch::Merge(patch)).await;
            match answer {
                Ok(_) => return Ok(()),
                // Expired or deleted: it starts over.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        self.sequence += 1;
        let event = event(&message, self.sequence);
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let name = event.metadata.name.clone().unwrap_or_default();
        Api::<Event>::namespaced(self.client.clone(), &namespace)
            .create(&PostParams::default(), &event)
            .await?;
        self.remember(identity, Written { namespace, name, count: 1 });
        Ok(())
    }

    fn remember(&mut self, identity: Identity, written: Written) {
        if self.known.insert(identity.clone(), written).is_none() {
            self.order.push_back(identity);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

fn event(message: &Message, sequence: u64) -> Event {
    let about = &message.regarding;
    let base = about.name.as_deref().unwrap_or("unnamed");
    let mut end = base.len().min(MAX_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    // Time alone could repeat within one tick of the clock.
    let unique = u64::try_from(message.at.as_nanosecond()).unwrap_or_default().wrapping_add(sequence);
    let at = stamp(message.at);
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{unique:x}", &base[..end])),
            namespace: Some(about.namespace.clone().unwrap_or_else(|| "default".to_owned())),
            ..ObjectMeta::default()
        },
        involved_object: about.clone(),
        reason: Some(message.note.reason.to_string()),
        message: Some(message.note.message.clone()),
        type_: Some(kind(message.note.kind).to_owned()),
        count: Some(1),
        first_timestamp: Some(at.clone()),
        last_timestamp: Some(at),
        source: Some(EventSource { component: Some(message.source.to_owned()), host: None }),
        reporting_component: Some(message.source.to_owned()),
        ..Event::default()
    }
}

fn kind(kind: EventType) -> &'static str {
    match kind {
        EventType::Normal => "Normal",
        EventType::Warning => "Warning",
    }
}
