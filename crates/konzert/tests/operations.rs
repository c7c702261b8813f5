//! Ten thousand random operations over TCP against a model, with `kill -9` of the engine in the middle of them.
//!
//! What must hold: an acknowledged write is there after the kill; a write that was under way is there whole or not at all;
//! revisions never go back; a watch that resumes where it was sees every change once and nothing else, or is told with 410 that it
//! has to list again.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use kube::{Client, ResourceExt as _};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use support::engine::Engine;
use support::{PATIENCE, have_root};

const PROGRAM: &str = env!("CARGO_BIN_EXE_konzert");
const NAMES: u8 = 12;
/// Cases times operations per case: ten thousand, with as many kills as there are segments.
const CASES: u32 = 10;
const SEGMENTS: usize = 4;
const OPERATIONS: usize = 250;

#[derive(Clone, Debug)]
enum Operation {
    Create {
        name: u8,
        value: u8,
    },
    /// PUT with the revision we know, or with one that is no longer true.
    Update {
        name: u8,
        value: u8,
        stale: bool,
    },
    Merge {
        name: u8,
        value: u8,
    },
    Apply {
        name: u8,
        value: u8,
    },
    Delete {
        name: u8,
    },
    DeleteSome {
        group: u8,
    },
    Get {
        name: u8,
    },
    List {
        page: u32,
    },
    /// The watch is dropped and taken up again.
    Reconnect,
}

fn operation() -> impl Strategy<Value = Operation> {
    let (name, value) = (0..NAMES, any::<u8>());
    prop_oneof![
        6 => (name.clone(), value).prop_map(|(name, value)| Operation::Create { name, value }),
        5 => (name.clone(), value, prop::bool::weighted(0.2))
            .prop_map(|(name, value, stale)| Operation::Update { name, value, stale }),
        5 => (name.clone(), value).prop_map(|(name, value)| Operation::Merge { name, value }),
        4 => (name.clone(), value).prop_map(|(name, value)| Operation::Apply { name, value }),
        4 => name.clone().prop_map(|name| Operation::Delete { name }),
        1 => (0..3_u8).prop_map(|group| Operation::DeleteSome { group }),
        3 => name.prop_map(|name| Operation::Get { name }),
        2 => (1..8_u32).prop_map(|page| Operation::List { page }),
        1 => Just(Operation::Reconnect),
    ]
}

/// Operations, and the one that the kill meets, with the time until it does.
#[derive(Clone, Debug)]
struct Segment {
    operations: Vec<Operation>,
    last: Operation,
    kill_after_us: u64,
}

fn segment() -> impl Strategy<Value = Segment> {
    (prop::collection::vec(operation(), OPERATIONS), operation(), 0..4_000_u64)
        .prop_map(|(operations, last, kill_after_us)| Segment { operations, last, kill_after_us })
}

/// An object as last acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    revision: u64,
    uid: String,
    value: String,
}

/// What must be true.
#[derive(Debug, Default)]
struct Model {
    objects: BTreeMap<String, Known>,
    /// The highest revision that was told to us.
    newest: u64,
    /// Every acknowledged write that made a revision.
    written: Vec<(u64, String, String)>,
    /// What the watch told, by object; and where it stands.
    watched: BTreeMap<String, Known>,
    seen: Vec<(u64, String, String)>,
    resume: u64,
    /// The server has been killed since the watch was last open.
    restarted: bool,
}

fn name_of(name: u8) -> String {
    format!("c{name}")
}

fn known(object: &ConfigMap) -> Known {
    Known {
        revision: object.resource_version().unwrap().parse().unwrap(),
        uid: object.uid().unwrap(),
        value: object.data.as_ref().and_then(|data| data.get("v")).cloned().unwrap_or_default(),
    }
}

fn wished(name: &str, value: u8) -> ConfigMap {
    let group = name.trim_start_matches('c').parse::<u8>().unwrap() % 3;
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "labels": { "group": group.to_string() } }, "data": { "v": value.to_string() },
    }))
    .unwrap()
}

impl Model {
    /// An acknowledged write of an object.
    fn acknowledge(&mut self, name: &str, object: &ConfigMap, value: u8) {
        let now = known(object);
        assert_eq!(now.value, value.to_string(), "{name}: what was acknowledged is what was wished");
        if self.objects.get(name) != Some(&now) {
            assert!(now.revision > self.newest, "{name}: revision {} after {}", now.revision, self.newest);
            self.newest = now.revision;
            self.written.push((now.revision, name.to_owned(), now.value.clone()));
            self.objects.insert(name.to_owned(), now);
        }
    }

    fn event(&mut self, event: WatchEvent<ConfigMap>) {
        let (object, gone) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(bookmark) => {
                self.resume = bookmark.metadata.resource_version.parse().unwrap();
                return;
            }
            WatchEvent::Error(status) => panic!("the watch failed: {status:?}"),
        };
        if !object.name_any().starts_with('c') {
            return;
        }
        let now = known(&object);
        assert!(now.revision > self.resume, "revision {} was watched after {}", now.revision, self.resume);
        self.resume = now.revision;
        if gone {
            assert!(self.watched.remove(&object.name_any()).is_some(), "deleted before it was added");
        } else {
            self.seen.push((now.revision, object.name_any(), now.value.clone()));
            self.watched.insert(object.name_any(), now);
        }
    }

    /// The watch has told everything.
    fn check_watch(&self) {
        assert_eq!(self.watched, self.objects, "what the watch told and what is there");
        for write in &self.written {
            assert!(self.seen.contains(write), "the watch missed {write:?}");
        }
    }
}

/// One client with its watch.
struct Session<'a> {
    api: Api<ConfigMap>,
    model: &'a mut Model,
    watch: futures::stream::BoxStream<'static, kube::Result<WatchEvent<ConfigMap>>>,
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("no answer: {other}"),
    }
}

impl<'a> Session<'a> {
    async fn open(client: Client, model: &'a mut Model) -> Self {
        let api: Api<ConfigMap> = Api::default_namespaced(client);
        let mut watch = Self::watch(&api, model.resume).await;
        if model.restarted {
            // History is kept in memory. A restarted server says so (410), and a client lists again.
            model.restarted = false;
            let first = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
            let WatchEvent::Error(status) = first else { panic!("{first:?} from before the restart") };
            assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
            let list = api.list(&ListParams::default()).await.unwrap();
            model.resume = list.metadata.resource_version.as_deref().unwrap().parse().unwrap();
            let ours = list.items.iter().filter(|object| object.name_any().starts_with('c'));
            model.watched = ours.map(|object| (object.name_any(), known(object))).collect();
            watch = Self::watch(&api, model.resume).await;
        }
        Self { api, model, watch }
    }

    async fn watch(
        api: &Api<ConfigMap>,
        from: u64,
    ) -> futures::stream::BoxStream<'static, kube::Result<WatchEvent<ConfigMap>>> {
        let api = api.clone();
        let stream = api.watch(&WatchParams::default(), &from.to_string()).await.unwrap();
        stream.boxed()
    }

    /// Reads what the watch has told up to the newest known revision.
    async fn catch_up(&mut self) {
        let wait = async {
            while self.model.resume < self.model.newest || self.model.watched != self.model.objects {
                let event = self.watch.next().await.expect("the watch goes on").unwrap();
                self.model.event(event);
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the watch told everything");
    }

    async fn run(&mut self, operation: &Operation) {
        match operation.clone() {
            Operation::Create { name, value } => self.create(&name_of(name), value).await,
            Operation::Update { name, value, stale } => self.update(&name_of(name), value, stale).await,
            Operation::Merge { name, value } => {
                let patch = Patch::Merge(json!({ "data": { "v": value.to_string() } }));
                self.patch(&name_of(name), value, &PatchParams::default(), &patch).await;
            }
            Operation::Apply { name, value } => {
                let name = name_of(name);
                let applied =
                    self.api.patch(&name, &apply_params(), &Patch::Apply(wished(&name, value))).await;
                self.model.acknowledge(&name, &applied.unwrap(), value);
            }
            Operation::Delete { name } => self.delete(&name_of(name)).await,
            Operation::DeleteSome { group } => {
                let some = ListParams::default().labels(&format!("group={group}"));
                self.api.delete_collection(&DeleteParams::default(), &some).await.unwrap();
                self.model
                    .objects
                    .retain(|name, _| name.trim_start_matches('c').parse::<u8>().unwrap() % 3 != group);
            }
            Operation::Get { name } => {
                let name = name_of(name);
                let got = self.api.get_opt(&name).await.unwrap();
                assert_eq!(got.as_ref().map(known).as_ref(), self.model.objects.get(&name));
            }
            Operation::List { page } => self.list(page).await,
            Operation::Reconnect => {
                self.catch_up().await;
                self.watch = Self::watch(&self.api, self.model.resume).await;
            }
        }
    }

    async fn create(&mut self, name: &str, value: u8) {
        let created = self.api.create(&PostParams::default(), &wished(name, value)).await;
        match (self.model.objects.contains_key(name), created) {
            (false, Ok(object)) => self.model.acknowledge(name, &object, value),
            (true, Err(error)) => assert_eq!(code(&error), 409),
            (there, answer) => panic!("{name} is there: {there}, and a create answers {answer:?}"),
        }
    }

    async fn update(&mut self, name: &str, value: u8, stale: bool) {
        let mut object = wished(name, value);
        let known = self.model.objects.get(name).cloned();
        let revision = known.as_ref().map_or(1, |known| known.revision);
        object.metadata.resource_version = Some((if stale { revision - 1 } else { revision }).to_string());
        let replaced = self.api.replace(name, &PostParams::default(), &object).await;
        match (known.is_some(), stale, replaced) {
            (true, false, Ok(object)) => self.model.acknowledge(name, &object, value),
            (true, true, Err(error)) => assert_eq!(code(&error), 409),
            (false, _, Err(error)) => assert!([404, 409].contains(&code(&error)), "{error}"),
            (there, stale, answer) => {
                panic!("{name} is there: {there}, stale: {stale}, and a PUT answers {answer:?}")
            }
        }
    }

    async fn patch(&mut self, name: &str, value: u8, how: &PatchParams, patch: &Patch<serde_json::Value>) {
        match (self.model.objects.contains_key(name), self.api.patch(name, how, patch).await) {
            (true, Ok(object)) => self.model.acknowledge(name, &object, value),
            (false, Err(error)) => assert_eq!(code(&error), 404),
            (there, answer) => panic!("{name} is there: {there}, and a patch answers {answer:?}"),
        }
    }

    async fn delete(&mut self, name: &str) {
        let known = self.model.objects.get(name).cloned();
        let uid = known.as_ref().map(|known| known.uid.clone());
        let how = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::default()
        };
        match (known, self.api.delete(name, &how).await) {
            (Some(_), Ok(_)) => drop(self.model.objects.remove(name)),
            (None, Err(error)) => assert_eq!(code(&error), 404),
            (known, answer) => panic!("{name} is {known:?}, and a delete answers {answer:?}"),
        }
    }

    async fn list(&mut self, page: u32) {
        let mut all = BTreeMap::new();
        let mut how = ListParams::default().limit(page);
        loop {
            let list = self.api.list(&how).await.unwrap();
            let revision: u64 = list.metadata.resource_version.as_deref().unwrap().parse().unwrap();
            assert!(revision >= self.model.newest, "a list at {revision} after {}", self.model.newest);
            let ours = list.items.iter().filter(|object| object.name_any().starts_with('c'));
            all.extend(ours.map(|object| (object.name_any(), known(object))));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => how.continue_token = Some(token),
                None => break,
            }
        }
        assert_eq!(all, self.model.objects);
    }
}

fn apply_params() -> PatchParams {
    PatchParams::apply("model").force()
}

/// The operation that the kill meets: nobody knows whether it was carried out.
async fn attempt(api: &Api<ConfigMap>, operation: &Operation) {
    let outcome = match operation.clone() {
        Operation::Create { name, value } => {
            api.create(&PostParams::default(), &wished(&name_of(name), value)).await.map(drop)
        }
        Operation::Update { name, value, .. } | Operation::Merge { name, value } => {
            let patch = Patch::Merge(json!({ "data": { "v": value.to_string() } }));
            api.patch(&name_of(name), &PatchParams::default(), &patch).await.map(drop)
        }
        Operation::Apply { name, value } => {
            let name = name_of(name);
            api.patch(&name, &apply_params(), &Patch::Apply(wished(&name, value))).await.map(drop)
        }
        Operation::Delete { name } => api.delete(&name_of(name), &DeleteParams::default()).await.map(drop),
        Operation::DeleteSome { group } => {
            let some = ListParams::default().labels(&format!("group={group}"));
            api.delete_collection(&DeleteParams::default(), &some).await.map(drop)
        }
        Operation::Get { .. } | Operation::List { .. } | Operation::Reconnect => Ok(()),
    };
    // An error is what a killed server gives.
    drop(outcome);
}

/// What the operation may have done: the names it may have touched, and the value it would have given them.
fn may_have_touched(operation: &Operation) -> (Vec<String>, Option<String>) {
    match operation {
        Operation::Create { name, value }
        | Operation::Update { name, value, .. }
        | Operation::Merge { name, value }
        | Operation::Apply { name, value } => (vec![name_of(*name)], Some(value.to_string())),
        Operation::Delete { name } => (vec![name_of(*name)], None),
        Operation::DeleteSome { group } => {
            ((0..NAMES).filter(|n| n % 3 == *group).map(name_of).collect(), None)
        }
        Operation::Get { .. } | Operation::List { .. } | Operation::Reconnect => (Vec::new(), None),
    }
}

/// After a restart: everything acknowledged is there, and what was under way is there whole or not at all.
async fn settle(api: &Api<ConfigMap>, model: &mut Model, last: &Operation) {
    let (touched, value) = may_have_touched(last);
    for name in (0..NAMES).map(name_of) {
        let now = api.get_opt(&name).await.unwrap().as_ref().map(known);
        let before = model.objects.get(&name).cloned();
        if now == before {
            continue;
        }
        assert!(touched.contains(&name), "{name} was {before:?} and is {now:?} after a kill");
        assert_eq!(now.as_ref().map(|known| known.value.clone()), value, "{name}: a half-done {last:?}");
        match now {
            None => drop(model.objects.remove(&name)),
            Some(known) => {
                assert!(known.revision > model.newest, "{name}: the revision went back");
                model.newest = known.revision;
                model.objects.insert(name, known);
            }
        }
    }
}

fn play(engine: &mut Engine, model: &mut Model, segment: &Segment) {
    let pid = Pid::from_raw(engine.pid());
    engine.ask(async |client| {
        let mut session = Session::open(client, model).await;
        for operation in &segment.operations {
            session.run(operation).await;
        }
        session.catch_up().await;
        session.model.check_watch();
        let strike = async {
            tokio::time::sleep(Duration::from_micros(segment.kill_after_us)).await;
            kill(pid, Signal::SIGKILL).unwrap();
        };
        tokio::join!(attempt(&session.api, &segment.last), strike);
    });
    engine.kill();
    engine.start();
    model.restarted = true;
    engine.ask(async |client| {
        let api = Api::default_namespaced(client.clone());
        settle(&api, model, &segment.last).await;
        let mut session = Session::open(client, model).await;
        session.catch_up().await;
        session.model.check_watch();
    });
}

#[test]
fn no_acknowledged_write_is_lost() {
    if !have_root("random operations with kill -9") {
        return;
    }
    let config =
        Config { cases: CASES, max_shrink_iters: 20, failure_persistence: None, ..Config::default() };
    let strategy = prop::collection::vec(segment(), SEGMENTS);
    TestRunner::new(config)
        .run(&strategy, |segments| {
            let mut engine = Engine::up(Path::new(PROGRAM));
            let mut model = Model::default();
            engine.ask(async |client| {
                let api: Api<ConfigMap> = Api::default_namespaced(client);
                let list = api.list(&ListParams::default()).await.unwrap();
                model.resume = list.metadata.resource_version.as_deref().unwrap().parse().unwrap();
            });
            for segment in &segments {
                play(&mut engine, &mut model, segment);
            }
            engine.purge();
            Ok(())
        })
        .unwrap();
}
