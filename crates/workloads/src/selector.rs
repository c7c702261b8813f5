//! Label selectors on typed objects (meta/v1 `LabelSelector`).
//!
//! Parsing of selector strings is not done here; that is the API server's business.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Whether the selector chooses these labels. An empty selector chooses everything, as Kubernetes has it; an operator that
/// is not known chooses nothing.
pub fn matches(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    let get = |key: &str| labels.and_then(|labels| labels.get(key));
    let equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, wanted)| get(key).is_some_and(|found| found == wanted));
    equal
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let found = get(&requirement.key);
            let listed =
                |value: &String| requirement.values.as_ref().is_some_and(|values| values.contains(value));
            match requirement.operator.as_str() {
                "In" => found.is_some_and(listed),
                "NotIn" => !found.is_some_and(listed),
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}

/// Whether a plain map selector (as Services have it) chooses these labels. An empty one chooses nothing.
pub fn matches_map(selector: &Labels, labels: Option<&Labels>) -> bool {
    !selector.is_empty()
        && selector.iter().all(|(key, wanted)| {
            labels.and_then(|labels| labels.get(key)).is_some_and(|found| found == wanted)
        })
}

/// Whether the selector has no requirement at all. Controllers refuse to act on such a selector.
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn expressions_follow_the_table() {
        let cases = [
            (json!({}), true),
            (json!({"matchLabels": {"app": "a"}}), true),
            (json!({"matchLabels": {"app": "b"}}), false),
            (json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}), true),
            (json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}), false),
            (json!({"matchExpressions": [{"key": "other", "operator": "NotIn", "values": ["a"]}]}), true),
            (json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}), true),
            (json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}), false),
            (json!({"matchExpressions": [{"key": "app", "operator": "Near"}]}), false),
        ];
        for (selector, expected) in cases {
            let parsed: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
            assert_eq!(matches(&parsed, Some(&labels(&[("app", "a")]))), expected, "{selector}");
        }
    }

    #[test]
    fn an_empty_service_selector_chooses_nothing() {
        assert!(!matches_map(&labels(&[]), Some(&labels(&[("app", "a")]))));
        assert!(matches_map(&labels(&[("app", "a")]), Some(&labels(&[("app", "a"), ("x", "y")]))));
        assert!(!matches_map(&labels(&[("app", "a")]), None));
    }
}
