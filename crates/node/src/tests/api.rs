//! A small API server in memory: get, list, watch, create, merge patch, delete.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use super::soon;

type Answer = http_body_util::combinators::BoxBody<Bytes, Infallible>;

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    /// Revision, type and path of every change.
    changes: Vec<(u64, &'static str, String, Value)>,
    patches: Vec<(String, Value)>,
}

/// The server.
pub(crate) struct FakeApi {
    state: Mutex<State>,
    revision: watch::Sender<u64>,
}

impl Default for FakeApi {
    fn default() -> Self {
        Self { state: Mutex::default(), revision: watch::channel(1).0 }
    }
}

impl FakeApi {
    pub(crate) fn client(self: &Arc<Self>) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.store(&mut self.state.lock(), path, object);
    }

    fn store(&self, state: &mut State, path: &str, mut object: Value) -> Value {
        let revision = *self.revision.borrow() + 1;
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        let kind = if state.objects.contains_key(path) { "MODIFIED" } else { "ADDED" };
        state.objects.insert(path.to_owned(), object.clone());
        state.changes.push((revision, kind, path.to_owned(), object.clone()));
        self.revision.send_replace(revision);
        object
    }

    /// Reads, changes and writes an object with nobody in between.
    pub(crate) fn change(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut state = self.state.lock();
        let mut object = state.objects[path].clone();
        change(&mut object);
        self.store(&mut state, path, object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().objects.get(path).cloned()
    }

    pub(crate) fn remove(&self, path: &str) -> Option<Value> {
        let mut state = self.state.lock();
        let object = state.objects.remove(path)?;
        let revision = *self.revision.borrow() + 1;
        state.changes.push((revision, "DELETED", path.to_owned(), object.clone()));
        self.revision.send_replace(revision);
        Some(object)
    }

    /// The object as it was last, even when it is gone.
    pub(crate) fn last(&self, path: &str) -> Value {
        let state = self.state.lock();
        let found = state.changes.iter().rev().find(|change| change.2 == path);
        found.map(|change| change.3.clone()).unwrap_or_default()
    }

    /// Status writes so far.
    pub(crate) fn status_writes(&self, path: &str) -> usize {
        let wanted = format!("{path}/status");
        self.state.lock().patches.iter().filter(|(path, _)| *path == wanted).count()
    }

    pub(crate) async fn until<T>(&self, path: &str, wanted: impl Fn(Option<&Value>) -> Option<T>) -> T {
        let mut revision = self.revision.subscribe();
        let work = async {
            loop {
                if let Some(found) = wanted(self.state.lock().objects.get(path)) {
                    return found;
                }
                revision.changed().await.unwrap();
            }
        };
        soon(&format!("{path} as wanted: {:?}", self.get(path)), work).await
    }

    pub(crate) async fn until_any<T>(&self, prefix: &str, wanted: impl Fn(&Value) -> Option<T>) -> T {
        let mut revision = self.revision.subscribe();
        let work = async {
            loop {
                let found = {
                    let state = self.state.lock();
                    state
                        .objects
                        .iter()
                        .filter(|(path, _)| path.starts_with(prefix))
                        .find_map(|(_, one)| wanted(one))
                };
                if let Some(found) = found {
                    return found;
                }
                revision.changed().await.unwrap();
            }
        };
        soon(prefix, work).await
    }

    async fn answer(self: Arc<Self>, request: Request<Body>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let query: BTreeMap<String, String> = parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.replace("%3D", "=")))
            .collect();
        let bytes = body.collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match parts.method {
            Method::GET if self.get(&path).is_some() => ok(&self.get(&path).unwrap()),
            Method::GET if !is_collection(&path) => status(404),
            Method::GET if query.contains_key("watch") => self.watch(&path, &query),
            Method::GET => self.list(&path, &query),
            Method::POST => self.create(&path, value),
            Method::PATCH => self.patch(&path, &value),
            Method::DELETE => self.delete(&path, &value),
            _ => status(405),
        }
    }

    fn list(&self, path: &str, query: &BTreeMap<String, String>) -> Response<Answer> {
        let state = self.state.lock();
        let items: Vec<_> = state
            .objects
            .iter()
            .filter(|(of, object)| belongs(path, of) && selected(query, object))
            .map(|(_, object)| object.clone())
            .collect();
        let revision = self.revision.borrow().to_string();
        ok(
            &json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": revision}, "items": items}),
        )
    }

    fn watch(self: Arc<Self>, path: &str, query: &BTreeMap<String, String>) -> Response<Answer> {
        let mut seen: u64 = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
        let (path, query, api) = (path.to_owned(), query.clone(), self.clone());
        let lines = WatchStream::new(self.revision.subscribe()).flat_map(move |_| {
            let state = api.state.lock();
            let fresh: Vec<_> = state.changes.iter().filter(|change| change.0 > seen).cloned().collect();
            seen = fresh.last().map_or(seen, |change| change.0);
            let wanted =
                fresh.into_iter().filter(|(_, _, of, object)| belongs(&path, of) && selected(&query, object));
            let frames: Vec<_> = wanted
                .map(|(_, kind, _, object)| {
                    let line = format!("{}\n", json!({"type": kind, "object": object}));
                    Ok::<_, Infallible>(Frame::data(Bytes::from(line)))
                })
                .collect();
            futures::stream::iter(frames)
        });
        Response::new(BodyExt::boxed(StreamBody::new(SyncStream(Box::pin(lines)))))
    }

    fn create(&self, path: &str, mut object: Value) -> Response<Answer> {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!("{path}/{name}");
        if self.get(&path).is_some() {
            return status(409);
        }
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{name}"));
        }
        self.put(&path, object);
        ok(&self.get(&path).unwrap())
    }

    fn patch(&self, path: &str, patch: &Value) -> Response<Answer> {
        let mut state = self.state.lock();
        state.patches.push((path.to_owned(), patch.clone()));
        let of = path.strip_suffix("/status").unwrap_or(path);
        let Some(mut object) = state.objects.get(of).cloned() else { return status(404) };
        let uid = &patch["metadata"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return status(409);
        }
        merge(&mut object, patch);
        ok(&self.store(&mut state, of, object))
    }

    fn delete(&self, path: &str, options: &Value) -> Response<Answer> {
        let Some(object) = self.get(path) else { return status(404) };
        let uid = &options["preconditions"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return status(409);
        }
        self.remove(path);
        ok(&object)
    }
}

/// `/api/v1/pods`, `/api/v1/namespaces/x/pods`: the last part is a plural.
fn is_collection(path: &str) -> bool {
    matches!(
        path.rsplit('/').next(),
        Some(
            "pods" | "configmaps" | "secrets" | "services" | "endpointslices" | "nodes" | "leases" | "events"
        )
    )
}

fn belongs(collection: &str, path: &str) -> bool {
    let plural = collection.rsplit('/').next().unwrap();
    let mut parts = path.rsplit('/');
    let of = parts.nth(1);
    of == Some(plural)
        && (!collection.contains("/namespaces/") || path.starts_with(&format!("{collection}/")))
}

fn selected(query: &BTreeMap<String, String>, object: &Value) -> bool {
    let Some((field, value)) = query.get("fieldSelector").and_then(|text| text.split_once('=')) else {
        return true;
    };
    let found = field.split('.').fold(object, |value, key| &value[key]);
    found == value
}

fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key.as_str()], value);
        }
    }
}

fn ok(value: &Value) -> Response<Answer> {
    Response::new(Full::new(Bytes::from(value.to_string())).boxed())
}

fn status(code: u16) -> Response<Answer> {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "MethodNotAllowed",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason});
    let mut answer = ok(&body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}

/// Makes a stream `Sync` by giving out nothing but exclusive access to it.
struct SyncStream<S>(std::pin::Pin<Box<S>>);

impl<S: futures::Stream + Send + Sync> futures::Stream for SyncStream<S> {
    type Item = S::Item;
    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.0.as_mut().poll_next(context)
    }
}
