//! The evaluator: tables for what rules, bindings and aggregation say, and a naive model for matching.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::{Asked, Attributes, User};

fn rule(value: &Value) -> Rule {
    Rule::from_json(value)
}

/// `verb group/resource/subresource namespace name`, a dash for nothing.
fn asked(text: &str) -> (Vec<String>, bool) {
    let words: Vec<String> =
        text.split(' ').map(|w| if w == "-" { String::new() } else { w.to_owned() }).collect();
    let path = words[1].starts_with('/');
    (words, path)
}

fn allows(rule: &Rule, text: &str) -> bool {
    let (words, is_path) = asked(text);
    if is_path {
        return rule.allows(&Asked::Path { verb: &words[0], path: &words[1] });
    }
    let mut parts = words[1].split('|');
    let mut next = || parts.next().unwrap_or_default();
    let (group, resource, subresource) = (next(), next(), next());
    rule.allows(&Asked::Resource(Attributes {
        verb: &words[0],
        group,
        resource,
        subresource,
        namespace: words.get(2).map_or("", String::as_str),
        name: words.get(3).map_or("", String::as_str),
    }))
}

#[test]
fn rules_match() {
    let pods = json!({ "verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"] });
    let named = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"] });
    let scales = json!({ "verbs": ["*"], "apiGroups": ["apps"], "resources": ["*/scale"] });
    let all = json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] });
    let paths = json!({ "verbs": ["get"], "nonResourceURLs": ["/healthz", "/apis/*"] });
    let everywhere = json!({ "verbs": ["get"], "nonResourceURLs": ["*"] });
    for (value, question, want) in [
        (&pods, "get |pods", true),
        (&pods, "get |pods|log", true),
        (&pods, "get |pods|exec", false),
        (&pods, "watch |pods", false),
        (&pods, "get apps|pods", false),
        (&pods, "get /healthz", false),
        (&named, "get |pods ns a", true),
        (&named, "get |pods ns b", false),
        (&named, "get |pods ns -", false),
        (&scales, "update apps|deployments|scale", true),
        (&scales, "update apps|deployments", false),
        (&scales, "update apps|deployments|status", false),
        (&all, "delete x.dev|widgets|status ns n", true),
        (&all, "get /metrics", false),
        (&paths, "get /healthz", true),
        (&paths, "get /healthz/ping", false),
        (&paths, "get /apis/apps/v1", true),
        (&paths, "get /apis", false),
        (&paths, "post /healthz", false),
        (&paths, "get |healthz", false),
        (&everywhere, "get /anything", true),
    ] {
        assert_eq!(allows(&rule(value), question), want, "{value} {question}");
    }
}

fn policy(objects: &[Value]) -> Policy {
    let mut policy = Policy::default();
    for object in objects {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let plural = format!("{}s", text("/kind").to_lowercase());
        policy.apply(&plural, text("/metadata/namespace"), text("/metadata/name"), Some(object));
    }
    policy
}

fn reader(kind: &str, namespace: &str, resource: &str) -> Value {
    json!({
        "kind": kind, "metadata": { "name": resource, "namespace": namespace },
        "rules": [{ "verbs": ["get"], "apiGroups": [""], "resources": [resource] }],
    })
}

fn binding(kind: &str, namespace: &str, role: (&str, &str), subject: &Value) -> Value {
    json!({
        "kind": kind, "metadata": { "name": format!("b-{}", role.1), "namespace": namespace },
        "roleRef": { "kind": role.0, "name": role.1 }, "subjects": [subject],
    })
}

fn decide(policy: &Policy, user: &User, namespace: &str, resource: &str) -> String {
    let attributes = Attributes { verb: "get", group: "", resource, subresource: "", namespace, name: "" };
    let decision = policy.decide(user, &Asked::Resource(attributes));
    format!("{} {}", decision.allowed, decision.reason).trim().to_owned()
}

#[test]
fn bindings_reach_as_far_as_they_say() {
    let jane = json!({ "kind": "User", "name": "jane" });
    let policy = policy(&[
        reader("ClusterRole", "", "nodes"),
        reader("ClusterRole", "", "pods"),
        reader("Role", "a", "secrets"),
        binding(
            "ClusterRoleBinding",
            "",
            ("ClusterRole", "nodes"),
            &json!({ "kind": "Group", "name": "ops" }),
        ),
        binding("RoleBinding", "a", ("ClusterRole", "pods"), &jane),
        binding("RoleBinding", "a", ("Role", "secrets"), &json!({ "kind": "ServiceAccount", "name": "bot" })),
        binding("RoleBinding", "b", ("Role", "secrets"), &jane),
        binding("ClusterRoleBinding", "", ("ClusterRole", "gone"), &jane),
    ]);
    let jane = User::new("jane".to_owned(), Vec::new());
    let ops = User::new("joe".to_owned(), vec!["ops".to_owned()]);
    let bot = User::service_account("a", "bot", "u");
    let gone = "false RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found";
    for (user, namespace, resource, want) in [
        (
            &ops,
            "",
            "nodes",
            "true RBAC: allowed by ClusterRoleBinding \"b-nodes\" of ClusterRole \"nodes\" to Group \"ops\"",
        ),
        (
            &ops,
            "a",
            "nodes",
            "true RBAC: allowed by ClusterRoleBinding \"b-nodes\" of ClusterRole \"nodes\" to Group \"ops\"",
        ),
        (&ops, "", "pods", "false"),
        (
            &jane,
            "a",
            "pods",
            "true RBAC: allowed by RoleBinding \"b-pods/a\" of ClusterRole \"pods\" to User \"jane\"",
        ),
        (&jane, "", "pods", gone),
        (&jane, "c", "pods", gone),
        (
            &bot,
            "a",
            "secrets",
            "true RBAC: allowed by RoleBinding \"b-secrets/a\" of Role \"secrets\" to ServiceAccount \"bot/a\"",
        ),
        (&bot, "b", "secrets", "false"),
        (&jane, "", "nodes", gone),
        // The role of the binding in namespace b does not exist there.
        (
            &jane,
            "b",
            "secrets",
            "false RBAC: [clusterrole.rbac.authorization.k8s.io \"gone\" not found, \
             role.rbac.authorization.k8s.io \"secrets\" not found]",
        ),
    ] {
        assert_eq!(decide(&policy, user, namespace, resource), want, "{} {namespace} {resource}", user.name);
    }
}

#[test]
fn what_is_taken_out_allows_nothing() {
    let jane = json!({ "kind": "User", "name": "jane" });
    let mut policy = policy(&[
        reader("ClusterRole", "", "nodes"),
        binding("ClusterRoleBinding", "", ("ClusterRole", "nodes"), &jane),
    ]);
    let jane = User::new("jane".to_owned(), Vec::new());
    assert!(decide(&policy, &jane, "", "nodes").starts_with("true"));
    policy.apply("clusterrolebindings", "", "b-nodes", None);
    assert_eq!(decide(&policy, &jane, "", "nodes"), "false");
}

#[test]
fn a_rule_with_billions_of_rights_is_refused_without_counting_them() {
    let many: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
    let bomb = rule(&json!({ "verbs": many, "apiGroups": many, "resources": many, "resourceNames": many }));
    let held = rule(&json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] }));
    assert_eq!(missing_rights(&[held], std::slice::from_ref(&bomb)).len(), 1);
    let all = rule(&json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }));
    assert!(missing_rights(&[all], &[bomb]).is_empty());
}

#[test]
fn missing_rights_in_the_words_of_kubernetes() {
    let held = [
        rule(&json!({ "verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "*/scale"] })),
        rule(
            &json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"] }),
        ),
        rule(&json!({ "verbs": ["get"], "nonResourceURLs": ["/apis/*"] })),
    ];
    let missing = |value: Value| missing_rights(&held, &[rule(&value)]).join("; ");
    for (wanted, want) in [
        (json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods", "deployments/scale"] }), ""),
        (
            json!({ "verbs": ["get", "delete", "watch"], "apiGroups": [""], "resources": ["pods"] }),
            r#"{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}"#,
        ),
        (
            json!({ "verbs": ["*"], "apiGroups": [""], "resources": ["pods"] }),
            r#"{APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#,
        ),
        (json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["x"] }), ""),
        (
            json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["secrets"] }),
            r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#,
        ),
        (
            json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a", "b"] }),
            r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["b"], Verbs:["get"]}"#,
        ),
        (json!({ "verbs": ["get"], "nonResourceURLs": ["/apis/x", "/apis/x/*"] }), ""),
        (
            json!({ "verbs": ["get"], "nonResourceURLs": ["/metrics", "/*"] }),
            r#"{NonResourceURLs:["/*"], Verbs:["get"]}; {NonResourceURLs:["/metrics"], Verbs:["get"]}"#,
        ),
    ] {
        assert_eq!(missing(wanted.clone()), want, "{wanted}");
    }
}

#[test]
fn aggregation_gathers_by_label_and_settles() {
    let part = |name: &str, label: &str, resource: &str| {
        json!({
            "metadata": { "name": name, "labels": { label: "true" } },
            "rules": [{ "verbs": ["get"], "apiGroups": [""], "resources": [resource] }],
        })
    };
    let whole = |name: &str, labels: &[&str], gathers: &str| {
        let labels: Value =
            labels.iter().map(|l| ((*l).to_owned(), json!("true"))).collect::<serde_json::Map<_, _>>().into();
        json!({
            "metadata": { "name": name, "labels": labels },
            "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { gathers: "true" } }] },
            "rules": [],
        })
    };
    let mut roles = vec![
        whole("admin", &[], "to-admin"),
        whole("edit", &["to-admin"], "to-edit"),
        part("p1", "to-edit", "pods"),
        part("p2", "to-admin", "roles"),
        part("p3", "other", "nodes"),
    ];
    aggregate::settle(&mut roles);
    let resources = |role: &Value| -> Vec<String> {
        role["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["resources"][0].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        (resources(&roles[0]), resources(&roles[1])),
        (vec!["pods".into(), "roles".into()], vec!["pods".into()])
    );
    assert!(roles.iter().all(|role| aggregate::due(role, &roles).is_none()));
    // Two roles that gather each other come to rest.
    let mut circle = vec![whole("a", &["l"], "l"), whole("b", &["l"], "l"), part("c", "l", "x")];
    aggregate::settle(&mut circle);
    assert!(circle.iter().all(|role| aggregate::due(role, &circle).is_none()));
}

#[test]
fn the_default_roles_say_what_people_expect() {
    let mut objects = Vec::new();
    for (kind, list) in [
        ("ClusterRole", defaults::cluster_roles()),
        ("ClusterRoleBinding", defaults::cluster_role_bindings()),
    ] {
        objects.extend(list.into_iter().map(|mut object| {
            object["kind"] = json!(kind);
            object
        }));
    }
    objects.extend(["view", "edit", "admin"].map(|role| {
        binding("RoleBinding", "ns", ("ClusterRole", role), &json!({ "kind": "User", "name": role }))
    }));
    let policy = policy(&objects);
    let user = |name: &str| match name {
        "nobody" => User::anonymous(),
        name => User::new(name.to_owned(), Vec::new()),
    };
    let may = |name: &str, question: &str| {
        let (words, is_path) = asked(question);
        let mut parts = words[1].split('|');
        let mut next = || parts.next().unwrap_or_default();
        let asked = if is_path {
            Asked::Path { verb: &words[0], path: &words[1] }
        } else {
            let (group, resource, subresource) = (next(), next(), next());
            let namespace = words.get(2).map_or("ns", String::as_str);
            Asked::Resource(Attributes { verb: &words[0], group, resource, subresource, namespace, name: "" })
        };
        policy.decide(&user(name), &asked).allowed
    };
    for (question, nobody, anybody, view, edit, admin) in [
        ("get /healthz", true, true, true, true, true),
        ("get /version", true, true, true, true, true),
        ("get /readyz/store", false, false, false, false, false),
        ("get /apis/apps/v1", false, true, true, true, true),
        ("get /openapi/v3", false, true, true, true, true),
        ("get /metrics", false, false, false, false, false),
        ("create authorization.k8s.io|selfsubjectrulesreviews -", false, true, true, true, true),
        ("list |pods", false, false, true, true, true),
        ("list |pods -", false, false, false, false, false),
        ("get |secrets", false, false, false, true, true),
        ("create |pods", false, false, false, true, true),
        ("create |serviceaccounts|token", false, false, false, true, true),
        ("patch apps|deployments|scale", false, false, false, true, true),
        ("get konzert.dev|patchcampaigns", false, false, true, true, true),
        ("create konzert.dev|patchcampaigns", false, false, false, true, true),
        ("create konzert.dev|reappolicies", false, false, false, false, true),
        ("create rbac.authorization.k8s.io|rolebindings", false, false, false, false, true),
        ("create |resourcequotas", false, false, false, false, false),
    ] {
        let found = ["nobody", "anybody", "view", "edit", "admin"].map(|name| may(name, question));
        assert_eq!(found, [nobody, anybody, view, edit, admin], "{question}");
    }
}

#[test]
fn a_start_adds_what_is_missing_and_leaves_the_rest() {
    let wanted = &defaults::cluster_roles()[0];
    assert_eq!(defaults::reconciled(wanted, wanted), None);
    let discovery =
        defaults::cluster_roles().into_iter().find(|r| r["metadata"]["name"] == "system:basic-user").unwrap();
    let mut stored = discovery.clone();
    let own = json!({ "verbs": ["get"], "apiGroups": ["x"], "resources": ["y"] });
    stored["rules"] = json!([own, discovery["rules"][1]]);
    let next = defaults::reconciled(&stored, &discovery).unwrap();
    assert_eq!(next["rules"], json!([own, discovery["rules"][1], discovery["rules"][0]]));
    stored["metadata"]["annotations"][defaults::AUTO_UPDATE] = json!("false");
    assert_eq!(defaults::reconciled(&stored, &discovery), None);
}

/// What a word may be, few enough that matches happen.
const WORDS: &[&str] = &["a", "b", "*", "a/x", "*/x", "b/x"];

fn words(max: usize) -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(proptest::sample::select(WORDS).prop_map(str::to_owned), 0..max)
}

fn rules() -> impl Strategy<Value = Rule> {
    (words(3), words(3), words(4), words(3)).prop_map(|(verbs, api_groups, resources, resource_names)| Rule {
        verbs,
        api_groups,
        resources,
        resource_names,
        non_resource_urls: Vec::new(),
    })
}

proptest! {
    /// The model spells every rule out over the few words there are and looks the question up in the list.
    #[test]
    fn matching_agrees_with_a_list_of_all_that_is_allowed(
        rule in rules(),
        verb in 0..2_usize, group in 0..2_usize, resource in 0..2_usize, sub in 0..2_usize, name in 0..3_usize,
    ) {
        let plain = ["a", "b"];
        let spell = |list: &[String]| -> Vec<String> {
            if list.iter().any(|w| w == "*") { plain.map(str::to_owned).to_vec() } else { list.to_vec() }
        };
        let subresource = ["", "x"][sub];
        let full = |r: &str| if subresource.is_empty() { r.to_owned() } else { format!("{r}/{subresource}") };
        let mut resources = Vec::new();
        for word in &rule.resources {
            match word.as_str() {
                "*" => resources.extend(plain.map(full)),
                "*/x" => resources.extend(["a/x".to_owned(), "b/x".to_owned()]),
                other => resources.push(other.to_owned()),
            }
        }
        let name = ["", "a", "b"][name];
        let want = spell(&rule.verbs).contains(&plain[verb].to_owned())
            && spell(&rule.api_groups).contains(&plain[group].to_owned())
            && resources.contains(&full(plain[resource]))
            && (rule.resource_names.is_empty() || rule.resource_names.contains(&name.to_owned()));
        let attributes = Attributes {
            verb: plain[verb], group: plain[group], resource: plain[resource], subresource, namespace: "", name,
        };
        prop_assert_eq!(rule.allows(&Asked::Resource(attributes)), want);
    }

    /// Whoever holds a rule may grant it, and nobody is refused for less than they hold.
    #[test]
    fn rules_cover_themselves_and_their_parts(rules in proptest::collection::vec(rules(), 1..4)) {
        prop_assert_eq!(missing_rights(&rules, &rules), Vec::<String>::new());
        prop_assert_eq!(missing_rights(&rules, &rules[..1]), Vec::<String>::new());
    }

    /// What is granted without being missing can be done by its owner: covering never lets more through than matching.
    #[test]
    fn what_is_covered_is_held(held in rules(), granted in rules(), v in 0..2_usize, g in 0..2_usize, r in 0..2_usize, n in 0..3_usize) {
        let plain = ["a", "b"];
        let attributes = Attributes {
            verb: plain[v], group: plain[g], resource: plain[r], subresource: "", namespace: "", name: ["", "a", "b"][n],
        };
        let asked = Asked::Resource(attributes);
        if granted.allows(&asked) && missing_rights(std::slice::from_ref(&held), std::slice::from_ref(&granted)).is_empty() {
            prop_assert!(held.allows(&asked));
        }
    }
}
