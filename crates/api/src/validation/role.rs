//! Validation of Roles and `ClusterRoles`.

use serde_json::Value;

use super::{Path, list};
use crate::selector::LabelSelector;
use crate::status::FieldError;

pub(crate) fn validate(role: &Value) -> Vec<FieldError> {
    rules(role, true)
}

pub(crate) fn validate_cluster(role: &Value) -> Vec<FieldError> {
    let mut errors = rules(role, false);
    if let Some(rule) = role.get("aggregationRule") {
        let path = Path::new("aggregationRule").child("clusterRoleSelectors");
        let selectors = list(rule, "clusterRoleSelectors");
        if selectors.is_empty() {
            let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
            errors.push(FieldError::required(path.to_string(), detail));
        }
        for (index, selector) in selectors.iter().enumerate() {
            if let Err(error) = LabelSelector::from_json(selector) {
                let path = path.index(index).to_string();
                errors.push(FieldError::invalid(path, selector.clone(), error.to_string()));
            }
        }
    }
    errors
}

fn rules(role: &Value, namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, item) in list(role, "rules").iter().enumerate() {
        rule(item, namespaced, &Path::new("rules").index(index), &mut errors);
    }
    for (index, _) in
        list(role, "rules").iter().enumerate().filter(|(_, item)| list(item, "verbs").is_empty())
    {
        errors.push(FieldError::required(Path::new("rules").index(index).child("verbs").to_string(), ""));
    }
    errors
}

fn rule(rule: &Value, namespaced: bool, path: &Path, errors: &mut Vec<FieldError>) {
    let required = |key: &str, detail: &str| FieldError::required(path.child(key).to_string(), detail);
    let urls = list(rule, "nonResourceURLs");
    if !urls.is_empty() {
        let invalid =
            |detail: &str| FieldError::invalid(path.child("nonResourceURLs").to_string(), urls, detail);
        if namespaced {
            errors.push(invalid("namespaced rules cannot apply to non-resource URLs"));
        }
        if ["apiGroups", "resources", "resourceNames"].iter().any(|key| !list(rule, key).is_empty()) {
            errors.push(invalid("rules cannot apply to both regular resources and non-resource URLs"));
        }
        return;
    }
    if list(rule, "apiGroups").is_empty() {
        errors.push(required("apiGroups", "resource rules must supply at least one api group"));
    }
    if list(rule, "resources").is_empty() {
        errors.push(required("resources", "resource rules must supply at least one resource"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_about_resources_or_paths() {
        let all = |rule: Value| -> (String, String) {
            let role = json!({ "rules": [rule] });
            let lines = |errors: Vec<FieldError>| {
                errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            };
            (lines(validate(&role)), lines(validate_cluster(&role)))
        };
        let same = |text: &str| (text.to_owned(), text.to_owned());
        assert_eq!(all(json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] })), same(""));
        assert_eq!(
            all(json!({ "apiGroups": [""], "resources": ["pods"] })),
            same("rules[0].verbs: Required value")
        );
        assert_eq!(
            all(json!({ "verbs": ["get"] })),
            same(
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group; \
                 rules[0].resources: Required value: resource rules must supply at least one resource"
            )
        );
        let (namespaced, cluster) = all(json!({ "verbs": ["get"], "nonResourceURLs": ["/x"] }));
        let namespaced_only = r#"rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs"#;
        assert_eq!((namespaced.as_str(), cluster.as_str()), (namespaced_only, ""));
        let (_, mixed) = all(json!({ "verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"] }));
        assert!(
            mixed.ends_with("rules cannot apply to both regular resources and non-resource URLs"),
            "{mixed}"
        );
    }

    #[test]
    fn an_aggregation_selects_something() {
        let errors = |rule: Value| -> Vec<String> {
            validate_cluster(&json!({ "aggregationRule": rule })).iter().map(ToString::to_string).collect()
        };
        let required = "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required \
                        if aggregationRule is non-nil";
        assert_eq!(errors(json!({})), [required]);
        assert!(errors(json!({ "clusterRoleSelectors": [{ "matchLabels": { "a": "b" } }] })).is_empty());
        let bad =
            json!({ "clusterRoleSelectors": [{ "matchExpressions": [{ "key": "a", "operator": "Near" }] }] });
        assert!(errors(bad)[0].starts_with("aggregationRule.clusterRoleSelectors[0]: Invalid value"));
    }
}
