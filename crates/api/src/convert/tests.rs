//! Conversions: there and back is the same.

use serde_json::{Value, json};

use super::{event, horizontalpodautoscaler};

fn back_and_forth(stored: &Value, from: fn(&mut Value), to: fn(&mut Value)) -> Value {
    let mut seen = stored.clone();
    from(&mut seen);
    let mut back = seen.clone();
    to(&mut back);
    assert_eq!(&back, stored);
    seen
}

#[test]
fn an_event_has_two_sets_of_names() {
    let stored = json!({
        "metadata": {"name": "e"}, "message": "m", "involvedObject": {"kind": "Pod"}, "reason": "r", "type": "Normal",
        "source": {"component": "c"}, "firstTimestamp": "1", "lastTimestamp": "2", "count": 3,
        "reportingComponent": "x", "reportingInstance": "y", "eventTime": null, "series": {"count": 2}
    });
    let seen = back_and_forth(&stored, event::from_core, event::to_core);
    let expected = json!({
        "metadata": {"name": "e"}, "note": "m", "regarding": {"kind": "Pod"}, "reason": "r", "type": "Normal",
        "deprecatedSource": {"component": "c"}, "deprecatedFirstTimestamp": "1", "deprecatedLastTimestamp": "2",
        "deprecatedCount": 3, "reportingController": "x", "reportingInstance": "y", "eventTime": null,
        "series": {"count": 2}
    });
    assert_eq!(seen, expected);
}

#[test]
fn an_autoscaler_keeps_in_annotations_what_v1_cannot_say() {
    let stored = json!({
        "metadata": {"name": "h", "annotations": {"a": "b"}},
        "spec": {
            "maxReplicas": 3,
            "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]}},
            "metrics": [
                {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}}},
                {"type": "Object", "object": {
                    "describedObject": {"kind": "Service", "name": "s"}, "metric": {"name": "q"},
                    "target": {"type": "Value", "value": "5"}
                }},
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}
            ]
        },
        "status": {
            "currentReplicas": 1,
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7, "averageValue": "7m"}}}
            ],
            "conditions": [{"type": "AbleToScale", "status": "True"}]
        }
    });
    let seen = back_and_forth(&stored, horizontalpodautoscaler::to_v1, horizontalpodautoscaler::to_v2);
    assert_eq!(seen["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 60}));
    assert_eq!(seen["status"], json!({"currentReplicas": 1, "currentCPUUtilizationPercentage": 7}));
    let metrics =
        seen["metadata"]["annotations"][horizontalpodautoscaler::METRICS].as_str().expect("an annotation");
    let metrics: Value = serde_json::from_str(metrics).expect("JSON");
    assert_eq!(
        metrics[0],
        json!({"type": "Pods", "pods": {"metricName": "rps", "targetAverageValue": "10"}})
    );
}
