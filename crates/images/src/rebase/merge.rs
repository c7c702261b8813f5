//! The configuration of a rebased image: three-way merge of old base, new base and application. Pure.
//!
//! What the application set stays; what it had from the old base becomes what the new base has. Where both changed the
//! same thing the application wins, and the plan says so.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A setting that the rebased image has from its new base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Which one: `Env PATH`, `Entrypoint`, `Labels version`.
    pub field: String,
    /// Value before; `None` when not set.
    pub from: Option<String>,
    /// Value after; `None` when not set.
    pub to: Option<String>,
}

/// Result of a merge.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Merged {
    pub(super) section: Map<String, Value>,
    pub(super) changes: Vec<ConfigChange>,
    /// Settings that application and new base both changed; the application's stay.
    pub(super) conflicts: Vec<String>,
}

/// Settings that are sets of keys, merged key by key.
const MAPS: [&str; 3] = ["Labels", "ExposedPorts", "Volumes"];

/// The three `config` sections.
#[derive(Clone, Copy)]
pub(super) struct Sections<'a> {
    pub(super) old: &'a Map<String, Value>,
    pub(super) new: &'a Map<String, Value>,
    pub(super) app: &'a Map<String, Value>,
}

/// Merges the `config` sections.
pub(super) fn sections(input: Sections<'_>) -> Merged {
    let mut merged = Merged::default();
    let keys: std::collections::BTreeSet<&String> =
        input.app.keys().chain(input.new.keys()).chain(input.old.keys()).collect();
    for key in keys {
        let [old, new, app] = [input.old, input.new, input.app].map(|section| present(section.get(key)));
        let value = if key == "Env" {
            let parse = |value: Option<&Value>| env_of(value);
            env(&parse(old), &parse(new), &parse(app), &mut merged)
        } else if MAPS.contains(&key.as_str()) {
            map(key, [old, new, app], &mut merged)
        } else {
            let value = pick([old, new, app], key, &mut merged);
            value.cloned()
        };
        if let Some(value) = value {
            merged.section.insert(key.clone(), value);
        }
    }
    merged
}

/// `null`, `""`, `[]` and `{}` are how different tools write "not set".
fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|v| match v {
        Value::Null => false,
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        _ => true,
    })
}

/// One value of three: the application's where it differs from the old base's, the new base's otherwise.
fn pick<'a>([old, new, app]: [Option<&'a Value>; 3], field: &str, merged: &mut Merged) -> Option<&'a Value> {
    if app != old {
        if new != old && new != app {
            merged.conflicts.push(field.to_owned());
        }
        return app;
    }
    if new != app {
        let text = |value: Option<&Value>| value.map(shown_value);
        merged.changes.push(ConfigChange { field: field.to_owned(), from: text(app), to: text(new) });
    }
    new
}

fn shown_value(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn map(key: &str, sides: [Option<&Value>; 3], merged: &mut Merged) -> Option<Value> {
    let empty = Map::new();
    let sides = sides.map(|side| side.and_then(Value::as_object).unwrap_or(&empty));
    let keys: std::collections::BTreeSet<&String> = sides.iter().flat_map(|side| side.keys()).collect();
    let mut result = Map::new();
    for name in keys {
        let values = sides.map(|side| side.get(name));
        if let Some(value) = pick(values, &format!("{key} {name}"), merged) {
            result.insert(name.clone(), value.clone());
        }
    }
    (!result.is_empty()).then_some(Value::Object(result))
}

/// Variables in order; a later one of the same name wins, as in a process.
fn env_of(value: Option<&Value>) -> Vec<(String, Value)> {
    let lines = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut variables: Vec<(String, Value)> = Vec::new();
    for line in lines {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        match variables.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = json!(value),
            None => variables.push((key.to_owned(), json!(value))),
        }
    }
    variables
}

type Variables = [(String, Value)];

/// Variables of the new base first, in its order, then the application's own in theirs.
fn env(old: &Variables, new: &Variables, app: &Variables, merged: &mut Merged) -> Option<Value> {
    let index = |side: &Variables| -> BTreeMap<String, Value> { side.iter().cloned().collect() };
    let (old_by, new_by, app_by) = (index(old), index(new), index(app));
    let mut lines = Vec::new();
    let own = app.iter().filter(|(key, _)| !new_by.contains_key(key));
    let dropped = old.iter().filter(|(key, _)| !new_by.contains_key(key) && !app_by.contains_key(key));
    for (key, _) in new.iter().chain(own).chain(dropped) {
        let sides = [&old_by, &new_by, &app_by].map(|side| side.get(key));
        let field = format!("Env {key}");
        let value = match extended_path(key, sides) {
            Some(path) => {
                let from = sides[2].map(shown_value);
                merged.changes.push(ConfigChange { field, from, to: Some(path.clone()) });
                Some(path)
            }
            None => pick(sides, &field, merged).map(shown_value),
        };
        if let Some(value) = value {
            lines.push(json!(format!("{key}={value}")));
        }
    }
    (!lines.is_empty()).then_some(Value::Array(lines))
}

/// A search path that the application only put something before or behind: the new base's, extended likewise.
fn extended_path(key: &str, [old, new, app]: [Option<&Value>; 3]) -> Option<String> {
    let (old, new, app) = (old?.as_str()?, new?.as_str()?, app?.as_str()?);
    if !key.ends_with("PATH") || old.is_empty() || old == new || old == app {
        return None;
    }
    if let Some(before) = app.strip_suffix(old).filter(|b| b.ends_with(':')) {
        return Some(format!("{before}{new}"));
    }
    app.strip_prefix(old).filter(|a| a.starts_with(':')).map(|after| format!("{new}{after}"))
}

/// The history of a rebased image: all of the new base's, then the application's part.
pub(super) fn history(old: &Value, new: &Value, app: &Value, layers: HistoryLayers) -> Vec<Value> {
    let list = |doc: &Value| doc["history"].as_array().cloned().unwrap_or_default();
    let (old, new, app) = (list(old), list(new), list(app));
    let tail =
        if app.starts_with(&old) { app[old.len()..].to_vec() } else { behind_layers(&app, layers.old) };
    let filled = |entries: &[Value]| entries.iter().filter(|e| e["empty_layer"] != json!(true)).count();
    let mut merged = Vec::new();
    // A history that does not fit its layers is worse than one that only counts them.
    let fill = |entries: Vec<Value>, wanted: usize| {
        if filled(&entries) == wanted { entries } else { vec![json!({"comment": "history unknown"}); wanted] }
    };
    merged.extend(fill(new, layers.new));
    merged.extend(fill(tail, layers.app));
    merged
}

/// How many layers each part has.
#[derive(Clone, Copy)]
pub(super) struct HistoryLayers {
    pub(super) old: usize,
    pub(super) new: usize,
    pub(super) app: usize,
}

fn behind_layers(history: &[Value], layers: usize) -> Vec<Value> {
    let mut left = layers;
    let skipped = history.iter().take_while(|entry| {
        let is_layer = entry["empty_layer"] != json!(true);
        let inside = left > 0;
        if inside && is_layer {
            left -= 1;
        }
        inside
    });
    let count = skipped.count();
    history[count..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(old: Value, new: Value, app: Value) -> Merged {
        let [old, new, app] = [old, new, app].map(|v| v.as_object().expect("object").clone());
        sections(Sections { old: &old, new: &new, app: &app })
    }

    #[test]
    fn settings_of_the_base_follow_the_base_and_settings_of_the_application_stay() {
        let merged = merge(
            json!({"Env": ["PATH=/usr/bin", "V=1", "GONE=x", "SAME=s", "BOTH=0"], "Cmd": ["sh"], "User": "", "Labels": {"v": "1", "k": "k"}}),
            json!({"Env": ["PATH=/usr/local/bin:/usr/bin", "V=2", "NEW=n", "SAME=s", "BOTH=1"], "Cmd": ["bash"], "StopSignal": "SIGINT", "Labels": {"v": "2", "k": "k"}}),
            json!({"Env": ["PATH=/app:/usr/bin", "V=1", "GONE=x", "SAME=s", "BOTH=2", "OWN=o"], "Cmd": ["sh"], "Entrypoint": ["/app"], "User": null, "Labels": {"v": "1", "k": "own", "team": "t"}, "X": {"keep": true}}),
        );
        insta::assert_json_snapshot!(merged.section, @r#"
        {
          "Cmd": [
            "bash"
          ],
          "Entrypoint": [
            "/app"
          ],
          "Env": [
            "PATH=/app:/usr/local/bin:/usr/bin",
            "V=2",
            "NEW=n",
            "SAME=s",
            "BOTH=2",
            "OWN=o"
          ],
          "Labels": {
            "k": "own",
            "team": "t",
            "v": "2"
          },
          "StopSignal": "SIGINT",
          "X": {
            "keep": true
          }
        }
        "#);
        assert_eq!(merged.conflicts, ["Env BOTH"]);
        let fields: Vec<&str> = merged.changes.iter().map(|c| c.field.as_str()).collect();
        assert_eq!(fields, ["Cmd", "Env PATH", "Env V", "Env NEW", "Env GONE", "Labels v", "StopSignal"]);
    }

    #[test]
    fn an_application_that_replaced_the_command_keeps_it() {
        let merged = merge(
            json!({"Entrypoint": ["/docker-entrypoint.sh"], "Cmd": ["nginx"]}),
            json!({"Entrypoint": ["/entry"], "Cmd": ["nginx", "-g"]}),
            json!({"Entrypoint": ["/docker-entrypoint.sh"], "Cmd": ["serve"]}),
        );
        assert_eq!(merged.section["Entrypoint"], json!(["/entry"]));
        assert_eq!(merged.section["Cmd"], json!(["serve"]));
        assert_eq!(merged.conflicts, ["Cmd"]);
    }

    #[test]
    fn history_is_cut_where_the_base_ends() {
        let step = |name: &str, empty: bool| json!({"created_by": name, "empty_layer": empty});
        let old = json!({"history": [step("base", false), step("env", true)]});
        let new = json!({"history": [step("base2", false), step("more", false)]});
        let exact = json!({"history": [step("base", false), step("env", true), step("copy", false)]});
        let layers = HistoryLayers { old: 1, new: 2, app: 1 };
        let names = |entries: Vec<Value>| -> Vec<String> {
            entries.iter().map(|e| e["created_by"].as_str().unwrap_or("?").to_owned()).collect()
        };
        assert_eq!(names(history(&old, &new, &exact, layers)), ["base2", "more", "copy"]);
        let other = json!({"history": [step("squashed", false), step("copy", false), step("cmd", true)]});
        assert_eq!(names(history(&old, &new, &other, layers)), ["base2", "more", "copy", "cmd"]);
        assert_eq!(names(history(&old, &new, &json!({}), layers)), ["base2", "more", "?"]);
    }
}
