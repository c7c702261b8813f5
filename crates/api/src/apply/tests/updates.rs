//! Ownership after creates, updates and patches.

use super::*;

#[test]
fn a_create_owns_everything_with_its_defaults() {
    let kind = kind("apps", "deployments");
    let object = created(&kind, &deployment(2), "kubectl-create");
    let entry = entries(&object).remove(0);
    assert_eq!(entry["operation"], "Update");
    let spec = &entry["fieldsV1"]["f:spec"];
    // Structs that are always there are not owned themselves, lists that are always written neither.
    assert_eq!(spec["f:strategy"]["f:type"], json!({}));
    assert!(spec["f:strategy"].get(".").is_none());
    assert_eq!(spec["f:strategy"]["f:rollingUpdate"][".".to_owned()], json!({}));
    assert_eq!(spec["f:template"]["f:metadata"], json!({ "f:labels": { ".": {}, "f:app": {} } }));
    let containers = &spec["f:template"]["f:spec"]["f:containers"];
    assert!(containers.get(".").is_none());
    assert_eq!(containers[r#"k:{"name":"main"}"#]["f:imagePullPolicy"], json!({}));
    assert_eq!(containers[r#"k:{"name":"main"}"#]["."], json!({}));
    assert!(entry["fieldsV1"].get("f:metadata").is_none(), "{entry}");
    assert!(entry["fieldsV1"].get("f:apiVersion").is_none());
}

#[test]
fn an_update_takes_what_it_changes() {
    let kind = kind("", "configmaps");
    let live = created(&kind, &config_map(&json!({ "a": "1", "b": "1" })), "one");
    let mut new = live.clone();
    new["data"] = json!({ "a": "2", "c": "1" });
    let new = updated(&kind, &live, &new, "two", 5);
    assert_eq!(fields(&new, "one"), json!({ "f:data": {} }));
    assert_eq!(fields(&new, "two"), json!({ "f:data": { "f:a": {}, "f:c": {} } }));
    assert_eq!(entries(&new)[1]["time"], "2023-11-14T22:13:25Z");
    // The same values again: nothing changes, no time either.
    assert_eq!(updated(&kind, &new, &new, "three", 9), new);
    // The same manager again: one entry, a new time.
    let mut more = new.clone();
    more["data"]["a"] = json!("3");
    let more = updated(&kind, &new, &more, "two", 9);
    assert_eq!(entries(&more).len(), 2);
    assert_eq!(entries(&more)[1]["time"], "2023-11-14T22:13:29Z");
    assert_eq!(fields(&more, "two"), fields(&new, "two"));
}

#[test]
fn only_removing_leaves_no_entry_and_no_time() {
    let kind = kind("", "configmaps");
    let live = created(&kind, &config_map(&json!({ "a": "1", "b": "1" })), "one");
    let mut new = live.clone();
    new["data"] = json!({ "a": "1" });
    let new = updated(&kind, &live, &new, "two", 5);
    assert_eq!(entries(&new).len(), 1);
    assert_eq!(fields(&new, "one"), json!({ "f:data": { ".": {}, "f:a": {} } }));
    assert_eq!(entries(&new)[0]["time"], entries(&live)[0]["time"]);
}

#[test]
fn status_and_object_are_owned_apart() {
    let kind = kind("apps", "deployments");
    let live = created(&kind, &deployment(2), "one");
    let mut sneaky = live.clone();
    sneaky["status"] = json!({ "replicas": 9 });
    assert_eq!(entries(&updated(&kind, &live, &sneaky, "two", 5)), entries(&live));
    let mut new = live.clone();
    new["spec"]["replicas"] = json!(9);
    new["status"] = json!({ "replicas": 2, "conditions": [{ "type": "Available", "status": "True" }] });
    let status =
        Writer { manager: "controller", subresource: "status", reset: Reset::AllButStatus, now: at(3) };
    Tracker::new(&kind, &[], status).update(&live, &mut new);
    let entry = entries(&new).into_iter().find(|e| e["manager"] == "controller").unwrap();
    assert_eq!(entry["subresource"], "status");
    assert_eq!(
        entry["fieldsV1"],
        json!({ "f:status": {
            "f:replicas": {},
            "f:conditions": { ".": {}, r#"k:{"type":"Available"}"#: { ".": {}, "f:type": {}, "f:status": {} } },
        } })
    );
}

#[test]
fn entries_in_a_request() {
    let kind = kind("", "configmaps");
    let live = created(&kind, &config_map(&json!({ "a": "1" })), "one");
    let with = |entries: Value| {
        let mut new = live.clone();
        new["metadata"]["managedFields"] = entries;
        new["data"]["a"] = json!("2");
        updated(&kind, &live, &new, "two", 5)
    };
    for reset in [json!([]), json!([{}])] {
        assert_eq!(with(reset).pointer("/metadata/managedFields"), None);
    }
    let moved = json!([{
        "manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": { "f:data": { "f:b": {}, "f:a": {} } },
    }]);
    let new = with(moved);
    assert_eq!(fields(&new, "kubectl"), json!({ "f:data": { "f:b": {} } }));
    assert_eq!(fields(&new, "one"), Value::Null);
    for nonsense in
        [json!("x"), json!([{ "operation": "Guess" }]), json!([{ "manager": "x", "operation": "Apply" }])]
    {
        let new = with(nonsense);
        assert_eq!(fields(&new, "two"), json!({ "f:data": { "f:a": {} } }));
    }
}

#[test]
fn objects_that_nobody_recorded_stay_so_until_the_first_apply() {
    let kind = kind("", "configmaps");
    let live = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c", "uid": "u" }, "data": { "a": "1" } });
    let mut new = live.clone();
    new["data"]["a"] = json!("2");
    assert_eq!(updated(&kind, &live, &new, "two", 5), new);
}

#[test]
fn old_updates_are_merged() {
    let kind = kind("", "configmaps");
    let mut live = created(&kind, &config_map(&json!({ "k": "v" })), "m00");
    for n in 1..20 {
        let mut new = live.clone();
        new["data"][format!("k{n}")] = json!("v");
        live = updated(&kind, &live, &new, &format!("m{n:02}"), n);
    }
    let entries = entries(&live);
    assert_eq!(entries.len(), 10, "{entries:#?}");
    let ancient = fields(&live, "ancient-changes");
    assert!(ancient["f:data"].get("f:k5").is_some(), "{ancient}");
    assert_eq!(fields(&live, "m19"), json!({ "f:data": { "f:k19": {} } }));
}

#[test]
fn times_alone_are_no_change() {
    let kind = kind("", "configmaps");
    let live = created(&kind, &config_map(&json!({ "a": "1" })), "one");
    let mut later = live.clone();
    later["metadata"]["managedFields"][0]["time"] = json!("2030-01-01T00:00:00Z");
    keep_times(&live, &mut later);
    assert_eq!(later, live);
    later["metadata"]["managedFields"][0]["time"] = json!("2030-01-01T00:00:00Z");
    later["data"]["a"] = json!("2");
    let other = later.clone();
    keep_times(&live, &mut later);
    assert_eq!(later, other);
}

#[test]
fn names_of_managers() {
    assert_eq!(manager_of_user_agent("kubectl/v1.37.1 (linux/amd64)"), "kubectl");
    assert_eq!(manager_of_user_agent("a\u{7}b"), "ab");
    assert_eq!(manager_of_user_agent(&"é".repeat(100)).len(), 128);
    assert!(validate_manager_name("fieldManager", "my manager").is_empty());
    assert_eq!(validate_manager_name("fieldManager", &"x".repeat(129)).len(), 1);
    let wrong = validate_manager_name("fieldManager", "a\u{7}");
    assert!(wrong[0].to_string().contains("invalid character U+0007 (at position 1)"), "{}", wrong[0]);
    let object = json!({ "metadata": { "managedFields": [{ "manager": "x".repeat(200), "subresource": "y".repeat(300) }] } });
    assert_eq!(validate_managed_fields(&object).len(), 2);
}
