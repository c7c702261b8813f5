//! Properties that hold for any object.

use proptest::prelude::*;

use super::*;

fn small_text() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")].prop_map(str::to_owned)
}

fn labels() -> impl Strategy<Value = Value> {
    proptest::collection::btree_map(small_text(), small_text(), 0..4).prop_map(|map| json!(map))
}

fn container() -> impl Strategy<Value = Value> {
    let port = (80..83_i64, any::<bool>()).prop_map(|(port, named)| {
        if named {
            json!({ "containerPort": port, "name": "p", "protocol": "UDP" })
        } else {
            json!({ "containerPort": port })
        }
    });
    let env = (small_text(), small_text()).prop_map(|(name, value)| json!({ "name": name, "value": value }));
    (
        small_text(),
        small_text(),
        proptest::collection::vec(port, 0..3),
        proptest::collection::vec(env, 0..3),
        labels(),
    )
        .prop_map(|(name, image, ports, env, limits)| {
            json!({
                "name": name, "image": image, "ports": unique(ports, &["containerPort", "protocol"]),
                "env": unique(env, &["name"]), "resources": { "limits": limits },
            })
        })
}

/// The first of each key.
fn unique(items: Vec<Value>, keys: &[&str]) -> Vec<Value> {
    let mut seen = std::collections::BTreeSet::new();
    items
        .into_iter()
        .filter(|item| seen.insert(keys.iter().map(|k| item[*k].to_string()).collect::<Vec<_>>()))
        .collect()
}

fn pod_spec() -> impl Strategy<Value = Value> {
    let volumes = proptest::collection::vec(small_text(), 0..3);
    (proptest::collection::vec(container(), 0..3), volumes, labels()).prop_map(
        |(containers, volumes, selector)| {
            let volumes: Vec<Value> =
                volumes.into_iter().map(|name| json!({ "name": name, "emptyDir": {} })).collect();
            json!({
                "containers": unique(containers, &["name"]), "volumes": unique(volumes, &["name"]),
                "nodeSelector": selector, "tolerations": [{ "key": "x" }],
            })
        },
    )
}

/// Some of the members of an object, so that two configurations rarely name the same fields.
fn part_of(object: Value, keep: u32) -> Value {
    let Value::Object(map) = object else { return object };
    Value::Object(
        map.into_iter()
            .enumerate()
            .filter(|(n, _)| keep & (1 << (n % 8)) != 0)
            .map(|(_, member)| member)
            .collect(),
    )
}

/// A kind and a configuration of it.
fn config() -> impl Strategy<Value = (usize, Value)> {
    let metadata = (labels(), labels(), proptest::collection::btree_set(small_text(), 0..3))
        .prop_map(|(labels, annotations, finalizers)| {
            json!({ "name": "x", "labels": labels, "annotations": annotations, "finalizers": finalizers })
        });
    let deployment =
        (pod_spec(), labels(), 0..5_i64, any::<u32>()).prop_map(|(spec, labels, replicas, keep)| {
            let whole = json!({
                "replicas": replicas, "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": part_of(spec, keep) },
            });
            ("apps/v1", "Deployment", part_of(whole, keep >> 8))
        });
    let pod = (pod_spec(), any::<u32>()).prop_map(|(spec, keep)| ("v1", "Pod", part_of(spec, keep)));
    let service = (proptest::collection::vec((80..83_i64, small_text()), 0..3), labels(), any::<u32>())
        .prop_map(|(ports, selector, keep)| {
            let ports = ports.into_iter().map(|(port, name)| json!({ "port": port, "name": name })).collect();
            (
                "v1",
                "Service",
                part_of(json!({ "ports": unique(ports, &["port"]), "selector": selector }), keep),
            )
        });
    let spec = prop_oneof![
        deployment.prop_map(|found| (0, found)),
        pod.prop_map(|found| (1, found)),
        service.prop_map(|found| (2, found)),
    ];
    (metadata, spec).prop_map(|(metadata, (kind, (api_version, name, spec)))| {
        (kind, json!({ "apiVersion": api_version, "kind": name, "metadata": metadata, "spec": spec }))
    })
}

fn kind_of(n: usize) -> Kind {
    match n {
        0 => kind("apps", "deployments"),
        1 => kind("", "pods"),
        _ => kind("", "services"),
    }
}

/// Two configurations of one kind.
fn pair() -> impl Strategy<Value = (usize, Value, Value)> {
    (config(), config())
        .prop_filter_map("of one kind", |((a, first), (b, second))| (a == b).then_some((a, first, second)))
}

fn path_element() -> impl Strategy<Value = PathElement> {
    let scalar = || {
        prop_oneof![
            any::<i64>().prop_map(|n| Scalar::Number(Number::Int(n))),
            ".{0,6}".prop_map(Scalar::Text),
            any::<bool>().prop_map(Scalar::Bool),
            Just(Scalar::Null),
        ]
    };
    prop_oneof![
        ".{0,8}".prop_map(PathElement::Field),
        proptest::collection::btree_map("[a-z]{1,4}", scalar(), 1..3)
            .prop_map(|keys| PathElement::Key(keys.into_iter().collect())),
        scalar().prop_map(PathElement::Value),
        any::<i64>().prop_map(PathElement::Index),
    ]
}

fn field_set() -> impl Strategy<Value = FieldSet> {
    let path = proptest::collection::vec(path_element(), 1..5);
    proptest::collection::vec(path, 0..12).prop_map(|paths| paths.into_iter().collect())
}

/// Values only, without the owners.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = crate::meta::metadata_mut(&mut object) {
        metadata.remove("managedFields");
    }
    object
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn fields_v1_round_trips(set in field_set()) {
        let text = set.to_fields_v1().to_string();
        let read = FieldSet::from_fields_v1(&serde_json::from_str(&text).unwrap()).unwrap();
        prop_assert_eq!(&read, &set);
        prop_assert_eq!(read.paths().into_iter().collect::<FieldSet>(), set);
    }

    #[test]
    fn sets_behave_like_sets(a in field_set(), b in field_set()) {
        let (union, both) = (a.union(&b), a.intersection(&b));
        prop_assert_eq!(a.difference(&b).union(&both), a.clone());
        prop_assert_eq!(union.difference(&b), a.difference(&b));
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert_eq!(b.union(&a), union.clone());
        prop_assert!(a.paths().iter().all(|path| union.contains(path)));
        prop_assert!(union.recursive_difference(&union).is_empty());
        prop_assert!(a.leaves().difference(&a).is_empty());
        // The shortcuts that read encoded sets agree with the decoded ones.
        let encoded = a.to_fields_v1();
        prop_assert_eq!(b.meets(&encoded), !both.is_empty());
        prop_assert_eq!(b.is_within(&encoded), b.difference(&a).is_empty());
    }

    #[test]
    fn apply_is_idempotent((n, config) in config()) {
        let kind = kind_of(n);
        let once = applied_by(&kind, None, &config, "one", Force::No).unwrap();
        let later = Tracker::new(&kind, &[], writer("one", 99)).apply(Some(&once), &config, Force::No).unwrap();
        let mut later = served(&kind, later);
        keep_times(&once, &mut later);
        prop_assert_eq!(later, once);
    }

    #[test]
    fn forced_appliers_never_panic_and_the_last_one_has_its_will((n, first, second) in pair()) {
        let kind = kind_of(n);
        let live = applied_by(&kind, None, &first, "one", Force::No).unwrap();
        let forced = applied_by(&kind, Some(&live), &second, "two", Force::Yes).unwrap();
        let again = apply(&kind, &forced, &second, "two").unwrap();
        prop_assert_eq!(again, forced);
    }

    #[test]
    fn a_field_goes_with_its_only_owner((n, first, second) in pair()) {
        let kind = kind_of(n);
        let live = applied_by(&kind, None, &first, "one", Force::No).unwrap();
        let changed = apply(&kind, &live, &second, "one").unwrap();
        let fresh = applied_by(&kind, None, &second, "one", Force::No).unwrap();
        // What only the first configuration named is gone: no label, annotation, finalizer, volume or container is left.
        for pointer in ["/metadata/labels", "/metadata/annotations", "/metadata/finalizers", "/spec/volumes",
                        "/spec/template/spec/volumes", "/spec/nodeSelector", "/spec/selector"] {
            let wanted = second.pointer(pointer).filter(|v| !v.as_object().is_some_and(serde_json::Map::is_empty));
            if wanted.is_some() || second.pointer(pointer.rsplit_once('/').unwrap().0).is_some() {
                let sorted = |object: &Value| {
                    let mut value = object.pointer(pointer).cloned().unwrap_or_default();
                    if let Value::Array(items) = &mut value {
                        items.sort_by_key(ToString::to_string);
                    }
                    if value == json!({}) || value == json!([]) { Value::Null } else { value }
                };
                prop_assert_eq!(sorted(&changed), sorted(&fresh), "{}", pointer);
            }
        }
        prop_assert_eq!(fields(&changed, "one"), fields(&fresh, "one"));
    }

    #[test]
    fn the_order_of_disjoint_managers_does_not_matter((n, first, second) in pair()) {
        let kind = kind_of(n);
        let base = applied_by(&kind, None, &json!({ "apiVersion": first["apiVersion"], "kind": first["kind"], "metadata": { "name": "x" } }), "base", Force::No).unwrap();
        let one_then_two = apply(&kind, &base, &first, "one").and_then(|live| apply(&kind, &live, &second, "two"));
        let two_then_one = apply(&kind, &base, &second, "two").and_then(|live| apply(&kind, &live, &first, "one"));
        if let (Ok(a), Ok(b)) = (one_then_two, two_then_one) {
            prop_assert_eq!(fields(&a, "one"), fields(&b, "one"));
            prop_assert_eq!(fields(&a, "two"), fields(&b, "two"));
            prop_assert_eq!(sorted(&bare(&a)), sorted(&bare(&b)));
        }
    }

    #[test]
    fn updates_record_every_change_once((n, first, second) in pair()) {
        let kind = kind_of(n);
        let live = created(&kind, &first, "one");
        let mut new = second;
        crate::meta::set(&mut new, "uid", "u");
        let new = updated(&kind, &live, &new, "two", 5);
        let set = |manager: &str| match fields(&new, manager) {
            Value::Null => FieldSet::default(),
            found => FieldSet::from_fields_v1(&found).unwrap(),
        };
        prop_assert!(set("one").intersection(&set("two")).is_empty());
        prop_assert_eq!(updated(&kind, &new, &new, "three", 9), new);
    }
}

/// Lists in an order of their own: which manager came first shows in it.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            items.sort_by_key(ToString::to_string);
            Value::Array(items)
        }
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        other => other.clone(),
    }
}
