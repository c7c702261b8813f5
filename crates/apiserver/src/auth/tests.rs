//! The words of refusals.

use super::*;

fn asked<'a>(resource: &'a str, subresource: &'a str, namespace: &'a str, name: &'a str) -> Asked<'a> {
    let group = if resource == "pods" { "" } else { "apps" };
    Asked::Resource(Attributes { verb: "list", group, resource, subresource, namespace, name })
}

#[test]
fn refusals_say_who_what_and_where() {
    let alice = User::new("alice".to_owned(), vec!["dev".to_owned()]);
    for (asked, reason, want) in [
        (
            asked("pods", "", "default", ""),
            "",
            r#"pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "default""#,
        ),
        (
            asked("pods", "log", "ns", "x"),
            "",
            r#"pods "x" is forbidden: User "alice" cannot list resource "pods/log" in API group "" in the namespace "ns""#,
        ),
        (
            asked("deployments", "", "", ""),
            "RBAC: no",
            r#"deployments.apps is forbidden: User "alice" cannot list resource "deployments" in API group "apps" at the cluster scope: RBAC: no"#,
        ),
        (
            Asked::Path { verb: "get", path: "/metrics" },
            "",
            r#"forbidden: User "alice" cannot get path "/metrics""#,
        ),
    ] {
        let error = asked.refuse(&alice, reason);
        assert_eq!((error.code, error.reason, error.message.as_str()), (403, "Forbidden", want));
    }
}

#[test]
fn a_namespace_lies_in_itself() {
    let path = |namespace: Option<&str>, resource: &str, name: Option<&str>| ResourcePath {
        group: String::new(),
        version: "v1".to_owned(),
        namespace: namespace.map(str::to_owned),
        resource: resource.to_owned(),
        name: name.map(str::to_owned),
        subresource: None,
    };
    for (path, selected, want) in [
        (path(None, "namespaces", Some("a")), None, ("a", "a")),
        (path(None, "namespaces", None), None, ("", "")),
        (path(None, "nodes", Some("a")), None, ("", "a")),
        (path(Some("n"), "pods", None), Some("p"), ("n", "p")),
    ] {
        let attributes = Attributes::of(Verb::Get, &path, selected);
        assert_eq!((attributes.namespace, attributes.name), want, "{path:?}");
    }
}

#[tokio::test]
async fn the_acting_user_is_known_where_the_work_is_done() {
    assert_eq!(acting_user(), None);
    let alice = User::new("alice".to_owned(), Vec::new());
    let seen = acting_as(alice.clone(), async { acting_user() }).await;
    assert_eq!(seen, Some(alice));
    assert_eq!(acting_user(), None);
}
