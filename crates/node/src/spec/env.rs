//! Environment and command of a container: image, services, `envFrom`, `env`, in that order, and `$(NAME)` references.
//! Pure; the objects referred to were fetched before.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod};

use crate::fault::ConfigFault;
use crate::ports::FoundImage;
use crate::sources::{Source, SourceKey, SourceKind};
use crate::spec::downward::{self, Situation};

/// Objects that environment variables refer to; `None` is one that does not exist.
pub(crate) type Fetched = HashMap<SourceKey, Option<Source>>;

/// What the environment is made from.
pub(crate) struct EnvInputs<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) container: &'a Container,
    pub(crate) image: &'a FoundImage,
    pub(crate) situation: &'a Situation,
    pub(crate) sources: &'a Fetched,
    pub(crate) services: &'a BTreeMap<String, String>,
}

/// Objects the environment of `container` refers to.
pub(crate) fn references(namespace: &str, container: &Container) -> Vec<SourceKey> {
    let key = |kind, name: &str| SourceKey { kind, namespace: namespace.to_owned(), name: name.to_owned() };
    let mut keys = Vec::new();
    for from in container.env_from.iter().flatten() {
        keys.extend(from.config_map_ref.iter().map(|of| key(SourceKind::ConfigMap, &of.name)));
        keys.extend(from.secret_ref.iter().map(|of| key(SourceKind::Secret, &of.name)));
    }
    for from in container.env.iter().flatten().filter_map(|env| env.value_from.as_ref()) {
        keys.extend(from.config_map_key_ref.iter().map(|of| key(SourceKind::ConfigMap, &of.name)));
        keys.extend(from.secret_key_ref.iter().map(|of| key(SourceKind::Secret, &of.name)));
    }
    keys
}

/// The variables, in the order in which they were first set.
pub(crate) fn build(inputs: &EnvInputs<'_>) -> Result<Vec<(String, String)>, ConfigFault> {
    let mut env = Variables::default();
    env.set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned());
    for pair in &inputs.image.env {
        if let Some((name, value)) = pair.split_once('=') {
            env.set(name, value.to_owned());
        }
    }
    let mut known = inputs.services.clone();
    for from in inputs.container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let objects = [
            from.config_map_ref.as_ref().map(|of| (SourceKind::ConfigMap, &of.name, of.optional)),
            from.secret_ref.as_ref().map(|of| (SourceKind::Secret, &of.name, of.optional)),
        ];
        for (kind, name, optional) in objects.into_iter().flatten() {
            let Some(source) = inputs.object(kind, name, optional == Some(true))? else { continue };
            for (key, bytes) in source.text() {
                // What cannot be a variable (not text, `=` in the name) is left out, as Kubernetes does.
                if let (Ok(value), false) = (std::str::from_utf8(bytes), key.contains('=')) {
                    known.insert(format!("{prefix}{key}"), value.to_owned());
                }
            }
        }
    }
    for var in inputs.container.env.iter().flatten() {
        let value = match (&var.value, &var.value_from) {
            (Some(text), None) => Some(expand(text, |name| known.get(name).cloned())),
            (_, Some(from)) => inputs.value_from(from)?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            known.insert(var.name.clone(), value);
        }
    }
    for (name, value) in known {
        env.set(&name, value);
    }
    Ok(env.list)
}

impl EnvInputs<'_> {
    fn object(&self, kind: SourceKind, name: &str, optional: bool) -> Result<Option<&Source>, ConfigFault> {
        let namespace = self.namespace().to_owned();
        let key = SourceKey { kind, namespace, name: name.to_owned() };
        match self.sources.get(&key).and_then(Option::as_ref) {
            None if !optional => {
                Err(ConfigFault::MissingObject { kind: kind.lower(), name: name.to_owned() })
            }
            found => Ok(found),
        }
    }

    fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn value_from(&self, from: &EnvVarSource) -> Result<Option<String>, ConfigFault> {
        if let Some(of) = &from.field_ref {
            return downward::field(self.pod, self.situation, &of.field_path).map(Some);
        }
        if let Some(of) = &from.resource_field_ref {
            return downward::resource(self.container, self.pod, self.situation, of).map(Some);
        }
        if let Some(of) = &from.config_map_key_ref {
            return self.key(SourceKind::ConfigMap, &of.name, &of.key, of.optional == Some(true));
        }
        if let Some(of) = &from.secret_key_ref {
            return self.key(SourceKind::Secret, &of.name, &of.key, of.optional == Some(true));
        }
        Err(ConfigFault::unsupported(
            "env.valueFrom",
            "only field, resource, ConfigMap and Secret references are",
        ))
    }

    fn key(
        &self,
        kind: SourceKind,
        name: &str,
        key: &str,
        optional: bool,
    ) -> Result<Option<String>, ConfigFault> {
        let Some(source) = self.object(kind, name, optional)? else { return Ok(None) };
        match source.get(key) {
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(ConfigFault::NotText {
                    kind: kind.word(),
                    name: name.to_owned(),
                    key: key.to_owned(),
                }),
            },
            None if optional => Ok(None),
            None => Err(ConfigFault::MissingKey {
                kind: kind.word(),
                namespace: self.namespace().to_owned(),
                name: name.to_owned(),
                key: key.to_owned(),
            }),
        }
    }
}

#[derive(Default)]
struct Variables {
    list: Vec<(String, String)>,
}

impl Variables {
    fn set(&mut self, name: &str, value: String) {
        match self.list.iter_mut().find(|(known, _)| known == name) {
            Some(found) => found.1 = value,
            None => self.list.push((name.to_owned(), value)),
        }
    }
}

/// Replaces `$(NAME)`; `$$` is one `$`, and names that are not set stay as they are.
pub(crate) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[at..=at + name.len() + 2]),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Program and arguments: `command` replaces the entrypoint, `args` the default arguments; `command` alone drops both.
pub(crate) fn command(
    container: &Container,
    image: &FoundImage,
    env: &[(String, String)],
) -> Result<Vec<String>, ConfigFault> {
    let lookup = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let expanded = |list: &Option<Vec<String>>| -> Vec<String> {
        list.iter().flatten().map(|text| expand(text, lookup)).collect()
    };
    let (own, args) = (expanded(&container.command), expanded(&container.args));
    let mut all = match (own.is_empty(), args.is_empty()) {
        (false, _) => own,
        (true, false) => image.entrypoint.clone(),
        (true, true) => image.entrypoint.iter().chain(&image.cmd).cloned().collect(),
    };
    all.extend(args);
    if all.is_empty() {
        let image = container.image.clone().unwrap_or_default();
        return Err(ConfigFault::NoCommand { image });
    }
    Ok(all)
}
