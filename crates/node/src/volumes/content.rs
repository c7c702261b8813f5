//! The files of `ConfigMap`, Secret, downward and projected volumes, computed from the objects they show. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, KeyToPath, Pod, Volume};

use crate::config::is_plain_path;
use crate::fault::ConfigFault;
use crate::sources::{Source, SourceKey, SourceKind};
use crate::spec::downward::{self, Situation};
use crate::spec::env::Fetched;
use crate::volumes::payload::{Payload, PayloadFile};

/// One thing a volume shows.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Object { key: SourceKey, items: Option<Vec<KeyToPath>>, optional: bool },
    Downward { items: Vec<DownwardAPIVolumeFile> },
}

/// A volume whose files are computed.
#[derive(Debug, Clone)]
pub(crate) struct Computed {
    pub(crate) parts: Vec<Part>,
    pub(crate) default_mode: u32,
    pub(crate) default_user: Option<u32>,
    /// Keep it in memory only.
    pub(crate) secret: bool,
}

impl Computed {
    /// The plan of a volume; `None` when it is of another kind.
    pub(crate) fn of(namespace: &str, volume: &Volume) -> Result<Option<Self>, ConfigFault> {
        let object =
            |kind, name: &str, items: &Option<Vec<KeyToPath>>, optional: Option<bool>| Part::Object {
                key: SourceKey { kind, namespace: namespace.to_owned(), name: name.to_owned() },
                items: items.clone(),
                optional: optional == Some(true),
            };
        let make = |parts, mode: Option<i32>, user: Option<i64>, secret| {
            let default_mode = mode.unwrap_or(0o644).unsigned_abs() & 0o777;
            let default_user = user.map(|uid| crate::spec::user::id("defaultUser", uid)).transpose()?;
            Ok(Some(Self { parts, default_mode, default_user, secret }))
        };
        if let Some(of) = &volume.config_map {
            let part = object(SourceKind::ConfigMap, &of.name, &of.items, of.optional);
            return make(vec![part], of.default_mode, of.default_user, false);
        }
        if let Some(of) = &volume.secret {
            let name = of.secret_name.as_deref().unwrap_or_default();
            let part = object(SourceKind::Secret, name, &of.items, of.optional);
            return make(vec![part], of.default_mode, of.default_user, true);
        }
        if let Some(of) = &volume.downward_api {
            let part = Part::Downward { items: of.items.clone().unwrap_or_default() };
            return make(vec![part], of.default_mode, of.default_user, false);
        }
        let Some(of) = &volume.projected else { return Ok(None) };
        let mut parts = Vec::new();
        let mut secret = false;
        for source in of.sources.iter().flatten() {
            if let Some(of) = &source.config_map {
                parts.push(object(SourceKind::ConfigMap, &of.name, &of.items, of.optional));
            } else if let Some(of) = &source.secret {
                secret = true;
                parts.push(object(SourceKind::Secret, &of.name, &of.items, of.optional));
            } else if let Some(of) = &source.downward_api {
                parts.push(Part::Downward { items: of.items.clone().unwrap_or_default() });
            } else {
                let field = format!("projected source of volume {}", volume.name);
                return Err(ConfigFault::unsupported(field, "only configMap, secret and downwardAPI are"));
            }
        }
        make(parts, of.default_mode, of.default_user, secret)
    }

    /// Objects the volume shows.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &SourceKey> {
        self.parts.iter().filter_map(|part| match part {
            Part::Object { key, .. } => Some(key),
            Part::Downward { .. } => None,
        })
    }

    /// The files. Parts later in the list win, as in Kubernetes.
    pub(crate) fn files(
        &self,
        pod: &Pod,
        situation: &Situation,
        fetched: &Fetched,
    ) -> Result<Payload, ConfigFault> {
        let mut payload = BTreeMap::new();
        for part in &self.parts {
            match part {
                Part::Object { key, items, optional } => {
                    let source = fetched.get(key).and_then(Option::as_ref);
                    match source {
                        Some(source) => {
                            self.object(&mut payload, key, source, items.as_deref(), *optional)?;
                        }
                        None if *optional => {}
                        None => {
                            let name = key.name.clone();
                            return Err(ConfigFault::MissingObject { kind: key.kind.lower(), name });
                        }
                    }
                }
                Part::Downward { items } => {
                    for item in items {
                        let text = downward_text(pod, situation, item)?;
                        self.put(&mut payload, &item.path, text.into_bytes(), (item.mode, item.user))?;
                    }
                }
            }
        }
        Ok(payload)
    }

    fn object(
        &self,
        payload: &mut Payload,
        key: &SourceKey,
        source: &Source,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), ConfigFault> {
        let Some(items) = items else {
            for (name, bytes) in source.all() {
                self.put(payload, name, bytes.clone(), (None, None))?;
            }
            return Ok(());
        };
        for item in items {
            match source.get(&item.key) {
                Some(bytes) => self.put(payload, &item.path, bytes.clone(), (item.mode, item.user))?,
                None if optional => {}
                None => {
                    return Err(ConfigFault::MissingKey {
                        kind: key.kind.word(),
                        namespace: key.namespace.clone(),
                        name: key.name.clone(),
                        key: item.key.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn put(
        &self,
        payload: &mut Payload,
        path: &str,
        bytes: Vec<u8>,
        (mode, user): (Option<i32>, Option<i64>),
    ) -> Result<(), ConfigFault> {
        if !is_plain_path(path) || path.starts_with("..") {
            let path = path.to_owned();
            return Err(ConfigFault::Path {
                field: "items.path",
                path,
                problem: "must stay below the volume",
            });
        }
        let mode = mode.map_or(self.default_mode, |mode| mode.unsigned_abs() & 0o777);
        let uid = user.map(|uid| crate::spec::user::id("items.user", uid)).transpose()?.or(self.default_user);
        payload.insert(path.to_owned(), PayloadFile { bytes, mode, uid });
        Ok(())
    }
}

fn downward_text(
    pod: &Pod,
    situation: &Situation,
    item: &DownwardAPIVolumeFile,
) -> Result<String, ConfigFault> {
    match (&item.field_ref, &item.resource_field_ref) {
        (Some(of), _) => downward::field(pod, situation, &of.field_path),
        (None, Some(of)) => downward::resource(&Container::default(), pod, situation, of),
        (None, None) => Err(ConfigFault::FieldPath { path: String::new() }),
    }
}
