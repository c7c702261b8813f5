//! One rule: which verbs on which resources or paths.

use serde_json::{Map, Value};

use crate::auth::{Asked, Attributes};

const ALL: &str = "*";

/// A `PolicyRule`. Either resources or non-resource URLs are named, never both.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) api_groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    pub(crate) non_resource_urls: Vec<String>,
}

impl Rule {
    pub(crate) fn from_json(value: &Value) -> Self {
        let texts = |key: &str| {
            let list = value.get(key).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            verbs: texts("verbs"),
            api_groups: texts("apiGroups"),
            resources: texts("resources"),
            resource_names: texts("resourceNames"),
            non_resource_urls: texts("nonResourceURLs"),
        }
    }

    /// As written in a role: empty lists are left out, but for the verbs.
    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("verbs".to_owned(), self.verbs.clone().into());
        for (key, list) in [
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ] {
            if !list.is_empty() {
                map.insert(key.to_owned(), list.clone().into());
            }
        }
        Value::Object(map)
    }

    /// Whether the rule allows what is asked.
    pub(crate) fn allows(&self, asked: &Asked<'_>) -> bool {
        match asked {
            Asked::Resource(attributes) => self.allows_resource(attributes),
            Asked::Path { verb, path } => {
                matches(&self.verbs, verb) && self.non_resource_urls.iter().any(|url| url_matches(url, path))
            }
        }
    }

    fn allows_resource(&self, asked: &Attributes<'_>) -> bool {
        matches(&self.verbs, asked.verb)
            && matches(&self.api_groups, asked.group)
            && self.resources.iter().any(|resource| resource_matches(resource, asked))
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|name| name == asked.name))
    }
}

fn matches(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == ALL || entry == wanted)
}

/// `*`, `pods`, `pods/log` or `*/scale`.
fn resource_matches(entry: &str, asked: &Attributes<'_>) -> bool {
    if entry == ALL {
        return true;
    }
    if asked.subresource.is_empty() {
        return entry == asked.resource;
    }
    let Some((resource, subresource)) = entry.split_once('/') else { return false };
    subresource == asked.subresource && (resource == ALL || resource == asked.resource)
}

/// A path, or the beginning of one before a closing `*`.
pub(super) fn url_matches(entry: &str, path: &str) -> bool {
    entry == ALL || entry == path || entry.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}
