//! `HorizontalPodAutoscalers`: `autoscaling/v1` knows one metric, the share of cpu; what else `autoscaling/v2` says is kept in
//! annotations, in the form that Kubernetes has used since there were two versions.

use serde_json::{Map, Value, json};

use super::{put_json, take_json};

pub(crate) const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
pub(crate) const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
pub(crate) const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
pub(crate) const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const TARGET: &str = "targetCPUUtilizationPercentage";
const CURRENT: &str = "currentCPUUtilizationPercentage";

/// What a metric is called in `autoscaling/v1`, by its field: pointers in v2 and keys in v1.
const WISHED: &[(&str, &[(&str, &str)])] = &[
    (
        "object",
        &[
            ("/describedObject", "target"),
            ("/metric/name", "metricName"),
            ("/metric/selector", "selector"),
            ("/target/value", "targetValue"),
            ("/target/averageValue", "averageValue"),
        ],
    ),
    (
        "pods",
        &[
            ("/metric/name", "metricName"),
            ("/metric/selector", "selector"),
            ("/target/averageValue", "targetAverageValue"),
        ],
    ),
    (
        "resource",
        &[
            ("/name", "name"),
            ("/target/averageUtilization", "targetAverageUtilization"),
            ("/target/averageValue", "targetAverageValue"),
        ],
    ),
    (
        "containerResource",
        &[
            ("/name", "name"),
            ("/container", "container"),
            ("/target/averageUtilization", "targetAverageUtilization"),
            ("/target/averageValue", "targetAverageValue"),
        ],
    ),
    (
        "external",
        &[
            ("/metric/name", "metricName"),
            ("/metric/selector", "metricSelector"),
            ("/target/value", "targetValue"),
            ("/target/averageValue", "targetAverageValue"),
        ],
    ),
];

/// As [`WISHED`], for what is measured.
const MEASURED: &[(&str, &[(&str, &str)])] = &[
    (
        "object",
        &[
            ("/describedObject", "target"),
            ("/metric/name", "metricName"),
            ("/metric/selector", "selector"),
            ("/current/value", "currentValue"),
            ("/current/averageValue", "averageValue"),
        ],
    ),
    (
        "pods",
        &[
            ("/metric/name", "metricName"),
            ("/metric/selector", "selector"),
            ("/current/averageValue", "currentAverageValue"),
        ],
    ),
    (
        "resource",
        &[
            ("/name", "name"),
            ("/current/averageUtilization", "currentAverageUtilization"),
            ("/current/averageValue", "currentAverageValue"),
        ],
    ),
    (
        "containerResource",
        &[
            ("/name", "name"),
            ("/container", "container"),
            ("/current/averageUtilization", "currentAverageUtilization"),
            ("/current/averageValue", "currentAverageValue"),
        ],
    ),
    (
        "external",
        &[
            ("/metric/name", "metricName"),
            ("/metric/selector", "metricSelector"),
            ("/current/value", "currentValue"),
            ("/current/averageValue", "currentAverageValue"),
        ],
    ),
];

type Table = [(&'static str, &'static [(&'static str, &'static str)])];

fn sorted_out(metric: &Value, table: &Table, convert: impl Fn(&Value, &[(&str, &str)]) -> Value) -> Value {
    let mut all = Map::new();
    for (key, value) in metric.as_object().into_iter().flatten() {
        let names = table.iter().find(|(field, _)| field == key).map(|(_, names)| *names);
        let converted = names.map_or_else(|| value.clone(), |names| convert(value, names));
        all.insert(key.clone(), converted);
    }
    Value::Object(all)
}

fn metric_to_v1(metric: &Value, table: &Table) -> Value {
    sorted_out(metric, table, |source, names| {
        let found =
            names.iter().filter_map(|(at, key)| Some(((*key).to_owned(), source.pointer(at)?.clone())));
        Value::Object(found.collect())
    })
}

fn metric_to_v2(metric: &Value, table: &Table) -> Value {
    sorted_out(metric, table, |source, names| {
        let mut made = json!({});
        for (at, key) in names {
            let Some(value) = source.get(*key) else { continue };
            let mut place = &mut made;
            for part in at.split('/').skip(1) {
                place = &mut place[part];
            }
            *place = value.clone();
        }
        if let Some(target) = made.get_mut("target").and_then(Value::as_object_mut) {
            let kind = if target.contains_key("averageUtilization") {
                "Utilization"
            } else if target.contains_key("averageValue") {
                "AverageValue"
            } else {
                "Value"
            };
            target.insert("type".to_owned(), json!(kind));
        }
        made
    })
}

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric.pointer("/resource/name") == Some(&json!("cpu"))
}

/// The list under a pointer, taken out of the object.
fn take_list(object: &mut Value, part: &str, key: &str) -> Vec<Value> {
    let taken = object.get_mut(part).and_then(Value::as_object_mut).and_then(|map| map.remove(key));
    taken.and_then(|list| list.as_array().cloned()).unwrap_or_default()
}

fn set(object: &mut Value, part: &str, key: &str, value: Value) {
    if let Some(map) = object.get_mut(part).and_then(Value::as_object_mut) {
        map.insert(key.to_owned(), value);
    }
}

fn all(metrics: &[Value], table: &Table, convert: fn(&Value, &Table) -> Value) -> Vec<Value> {
    metrics.iter().map(|metric| convert(metric, table)).collect()
}

/// From the stored version.
pub(crate) fn to_v1(autoscaler: &mut Value) {
    let mut metrics = take_list(autoscaler, "spec", "metrics");
    let share =
        |metric: &Value| is_cpu(metric) && metric.pointer("/resource/target/averageUtilization").is_some();
    if let Some(index) = metrics.iter().position(share) {
        let cpu = metrics.remove(index);
        set(autoscaler, "spec", TARGET, cpu["resource"]["target"]["averageUtilization"].clone());
    }
    if !metrics.is_empty() {
        put_json(autoscaler, METRICS, &Value::Array(all(&metrics, WISHED, metric_to_v1)));
    }
    let behavior =
        autoscaler.get_mut("spec").and_then(Value::as_object_mut).and_then(|s| s.remove("behavior"));
    if let Some(behavior) = behavior {
        put_json(autoscaler, BEHAVIOR, &behavior);
    }
    let current = take_list(autoscaler, "status", "currentMetrics");
    let mut measured = current.iter().filter(|metric| is_cpu(metric));
    let share = measured.find_map(|m| m.pointer("/resource/current/averageUtilization")).cloned();
    if let Some(share) = share {
        set(autoscaler, "status", CURRENT, share);
    }
    if !current.is_empty() {
        put_json(autoscaler, CURRENT_METRICS, &Value::Array(all(&current, MEASURED, metric_to_v1)));
    }
    let conditions = take_list(autoscaler, "status", "conditions");
    if !conditions.is_empty() {
        put_json(autoscaler, CONDITIONS, &Value::Array(conditions));
    }
}

/// To the stored version.
pub(crate) fn to_v2(autoscaler: &mut Value) {
    let annotated = take_json(autoscaler, METRICS);
    let wished = annotated.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut metrics = all(wished, WISHED, metric_to_v2);
    let spec = autoscaler.get_mut("spec").and_then(Value::as_object_mut);
    if let Some(share) = spec.and_then(|spec| spec.remove(TARGET)) {
        let target = json!({ "type": "Utilization", "averageUtilization": share });
        metrics.push(json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } }));
    }
    if !metrics.is_empty() {
        set(autoscaler, "spec", "metrics", Value::Array(metrics));
    }
    if let Some(behavior) = take_json(autoscaler, BEHAVIOR) {
        set(autoscaler, "spec", "behavior", behavior);
    }
    let annotated = take_json(autoscaler, CURRENT_METRICS);
    let measured = annotated.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut current = all(measured, MEASURED, metric_to_v2);
    let status = autoscaler.get_mut("status").and_then(Value::as_object_mut);
    if let Some(share) = status.and_then(|status| status.remove(CURRENT))
        && !current.iter().any(is_cpu)
    {
        let measured = json!({ "averageUtilization": share });
        current.push(json!({ "type": "Resource", "resource": { "name": "cpu", "current": measured } }));
    }
    if !current.is_empty() {
        set(autoscaler, "status", "currentMetrics", Value::Array(current));
    }
    if let Some(conditions) = take_json(autoscaler, CONDITIONS) {
        set(autoscaler, "status", "conditions", conditions);
    }
}
