//! Defaults of `HorizontalPodAutoscalers`, in both versions.

use serde_json::{Map, Value, json};

use super::{object, object_or_new, set, spec_mut};
use crate::convert::horizontalpodautoscaler::{CONDITIONS, CURRENT_METRICS, METRICS};
use crate::meta;

/// Share of the requested cpu that is aimed at when nothing is said.
const CPU_PERCENT: i64 = 80;

pub(crate) fn apply(autoscaler: &mut Value) {
    let Some(spec) = spec_mut(autoscaler) else { return };
    set(spec, "minReplicas", 1);
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let target = json!({ "type": "Utilization", "averageUtilization": CPU_PERCENT });
        let cpu = json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } });
        spec.insert("metrics".to_owned(), json!([cpu]));
    }
    if let Some(behavior) = object(spec, "behavior") {
        let percent = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
        let pods = json!({ "type": "Pods", "value": 4, "periodSeconds": 15 });
        if let Some(up) = object_or_new(behavior, "scaleUp") {
            set(up, "stabilizationWindowSeconds", 0);
            rules(up, json!([pods, percent]));
        }
        if let Some(down) = object_or_new(behavior, "scaleDown") {
            rules(down, json!([percent]));
        }
    }
}

fn rules(rules: &mut Map<String, Value>, policies: Value) {
    set(rules, "selectPolicy", "Max");
    set(rules, "policies", policies);
}

pub(crate) fn apply_v1(autoscaler: &mut Value) {
    let other_metrics = meta::annotation(autoscaler, METRICS).is_some();
    let Some(spec) = spec_mut(autoscaler) else { return };
    set(spec, "minReplicas", 1);
    if !other_metrics {
        set(spec, "targetCPUUtilizationPercentage", CPU_PERCENT);
    }
}

/// The part of the status that `autoscaling/v1` holds in annotations is not the client's.
pub(crate) fn keep_status_v1(old: &Value, new: &mut Value) {
    for key in [CURRENT_METRICS, CONDITIONS] {
        let kept = meta::annotation(old, key).map(str::to_owned);
        let Some(metadata) = meta::metadata_mut(new) else { return };
        let there = metadata.contains_key("annotations");
        if kept.is_none() && !there {
            continue;
        }
        let Some(annotations) = object_or_new(metadata, "annotations") else { return };
        match kept {
            Some(text) => annotations.insert(key.to_owned(), json!(text)),
            None => annotations.remove(key),
        };
    }
}
