//! Tables for `EndpointSlices`: who is in, in which state, and that nothing moves without need.

use serde_json::{Value, json};

use super::*;

fn service(spec: &Value) -> Arc<Service> {
    let mut value = json!({"metadata": {"name": "web", "namespace": "default", "uid": "svc"},
        "spec": {"selector": {"app": "a"}, "clusterIP": "10.96.0.9",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"}]}});
    for (key, field) in spec.as_object().unwrap() {
        value["spec"][key] = field.clone();
    }
    Arc::new(serde_json::from_value(value).unwrap())
}

fn pod(number: u32, ready: bool, extra: &Value) -> Arc<Pod> {
    let status = if ready { "True" } else { "False" };
    let mut value = json!({"metadata": {"name": format!("p{number}"), "namespace": "default", "uid": format!("u{number}"),
            "labels": {"app": "a"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": format!("10.244.{}.{}", number / 200, number % 200 + 1),
            "conditions": [{"type": "Ready", "status": status}]}});
    for part in ["metadata", "spec", "status"] {
        for (key, field) in extra[part].as_object().cloned().unwrap_or_default() {
            value[part][key] = field;
        }
    }
    Arc::new(serde_json::from_value(value).unwrap())
}

fn plan(service: &Arc<Service>, pods: &[Arc<Pod>], slices: &[Arc<EndpointSlice>], seed: u64) -> Plan {
    decide(&Observed { service: Arc::clone(service), pods: pods.to_vec(), slices: slices.to_vec(), seed })
}

/// Carries out a plan on the slices.
fn apply(slices: &mut Vec<Arc<EndpointSlice>>, plan: &Plan) {
    for action in &plan.actions {
        match action {
            Action::Create { object, .. } => {
                slices.push(Arc::new(serde_json::from_value(object.clone()).unwrap()));
            }
            Action::Update { object, .. } => {
                let updated: EndpointSlice = serde_json::from_value(object.clone()).unwrap();
                let place =
                    slices.iter_mut().find(|slice| slice.metadata.name == updated.metadata.name).unwrap();
                *place = Arc::new(updated);
            }
            Action::Delete { target, .. } => {
                slices.retain(|slice| slice.metadata.name.as_deref() != Some(target.name.as_str()));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn sizes(slices: &[Arc<EndpointSlice>]) -> Vec<usize> {
    slices.iter().map(|slice| slice.endpoints.as_ref().map_or(0, Vec::len)).collect()
}

#[test]
fn a_slice_says_who_is_ready_serving_and_terminating() {
    let going = json!({"metadata": {"deletionTimestamp": "2023-01-01T00:00:00Z"}});
    let pods = [
        pod(1, true, &json!({})),
        pod(2, false, &json!({})),
        pod(3, true, &going),
        pod(4, true, &json!({"status": {"phase": "Succeeded"}})),
        pod(5, true, &json!({"status": {"podIP": null}})),
        pod(6, true, &json!({"metadata": {"labels": {"app": "b"}}})),
    ];
    let plan = plan(&service(&json!({})), &pods, &[], 1);
    let [Action::Create { object, .. }] = &plan.actions[..] else { panic!("{plan:?}") };
    let states: Vec<String> = object["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| format!("{} {} {}", e["targetRef"]["name"], e["addresses"][0], e["conditions"]))
        .collect();
    insta::assert_debug_snapshot!(states, @r#"
    [
        "\"p1\" \"10.244.0.2\" {\"ready\":true,\"serving\":true,\"terminating\":false}",
        "\"p2\" \"10.244.0.3\" {\"ready\":false,\"serving\":false,\"terminating\":false}",
        "\"p3\" \"10.244.0.4\" {\"ready\":false,\"serving\":true,\"terminating\":true}",
    ]
    "#);
}

#[test]
fn a_slice_is_labelled_owned_and_named() {
    let plan = plan(&service(&json!({})), &[pod(1, true, &json!({}))], &[], 1);
    let [Action::Create { object, .. }] = &plan.actions[..] else { panic!("{plan:?}") };
    insta::assert_json_snapshot!(object, @r#"
    {
      "addressType": "IPv4",
      "apiVersion": "discovery.k8s.io/v1",
      "endpoints": [
        {
          "addresses": [
            "10.244.0.2"
          ],
          "conditions": {
            "ready": true,
            "serving": true,
            "terminating": false
          },
          "nodeName": "n",
          "targetRef": {
            "kind": "Pod",
            "name": "p1",
            "namespace": "default",
            "uid": "u1"
          }
        }
      ],
      "kind": "EndpointSlice",
      "metadata": {
        "generateName": "web-",
        "labels": {
          "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
          "kubernetes.io/service-name": "web"
        },
        "name": "web-5zf9f",
        "namespace": "default",
        "ownerReferences": [
          {
            "apiVersion": "v1",
            "blockOwnerDeletion": true,
            "controller": true,
            "kind": "Service",
            "name": "web",
            "uid": "svc"
          }
        ]
      },
      "ports": [
        {
          "name": "http",
          "port": 8080,
          "protocol": "TCP"
        }
      ]
    }
    "#);
}

#[test]
fn the_same_world_asks_for_nothing() {
    let pods: Vec<_> = (0..250).map(|number| pod(number, true, &json!({}))).collect();
    let mut slices = Vec::new();
    apply(&mut slices, &plan(&service(&json!({})), &pods, &[], 1));
    assert_eq!(sizes(&slices), [100, 100, 50]);
    assert_eq!(plan(&service(&json!({})), &pods, &slices, 2), Plan::nothing());
}

#[test]
fn a_change_of_one_pod_touches_one_slice() {
    let mut pods: Vec<_> = (0..250).map(|number| pod(number, true, &json!({}))).collect();
    let mut slices = Vec::new();
    apply(&mut slices, &plan(&service(&json!({})), &pods, &[], 1));
    pods[7] = pod(7, false, &json!({}));
    let first = plan(&service(&json!({})), &pods, &slices, 2);
    assert!(matches!(&first.actions[..], [Action::Update { .. }]), "{first:?}");
    apply(&mut slices, &first);
    pods.remove(7);
    pods.push(pod(900, true, &json!({})));
    let second = plan(&service(&json!({})), &pods, &slices, 3);
    assert_eq!(second.actions.len(), 1, "the free place takes the newcomer");
    apply(&mut slices, &second);
    pods.truncate(10);
    let third = plan(&service(&json!({})), &pods, &slices, 4);
    apply(&mut slices, &third);
    assert_eq!(sizes(&slices).iter().sum::<usize>(), 10);
    assert!(sizes(&slices).iter().all(|size| *size > 0), "empty slices go");
}

#[test]
fn a_service_without_pods_keeps_one_empty_slice() {
    let mut slices = Vec::new();
    let service = service(&json!({}));
    apply(&mut slices, &plan(&service, &[], &[], 1));
    assert_eq!(sizes(&slices), [0]);
    assert_eq!(plan(&service, &[], &slices, 2), Plan::nothing());
    let filled = plan(&service, &[pod(1, true, &json!({}))], &slices, 3);
    apply(&mut slices, &filled);
    assert_eq!(sizes(&slices), [1]);
}

#[test]
fn pods_with_other_port_numbers_get_slices_of_their_own() {
    let other =
        json!({"spec": {"containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 9090}]}]}});
    let nameless = json!({"spec": {"containers": [{"name": "c"}]}});
    let pods = [pod(1, true, &json!({})), pod(2, true, &other), pod(3, true, &nameless)];
    let mut slices = Vec::new();
    apply(&mut slices, &plan(&service(&json!({})), &pods, &[], 1));
    let mut ports: Vec<Vec<Option<i32>>> =
        slices.iter().map(|slice| slice.ports.iter().flatten().map(|port| port.port).collect()).collect();
    ports.sort();
    assert_eq!(ports, [vec![], vec![Some(8080)], vec![Some(9090)]]);
}

#[test]
fn services_without_selector_and_slices_of_others_are_left_alone() {
    let none = service(&json!({"selector": {}}));
    assert_eq!(plan(&none, &[pod(1, true, &json!({}))], &[], 1), Plan::nothing());
    let external = service(&json!({"type": "ExternalName"}));
    assert_eq!(plan(&external, &[pod(1, true, &json!({}))], &[], 1), Plan::nothing());
    let foreign: EndpointSlice = serde_json::from_value(json!({"addressType": "IPv4", "endpoints": [],
        "metadata": {"name": "x", "labels": {SERVICE_NAME: "web", MANAGED_BY: "somebody.else"}}}))
    .unwrap();
    let plan = plan(&service(&json!({})), &[], &[Arc::new(foreign)], 1);
    assert!(matches!(&plan.actions[..], [Action::Create { .. }]), "{plan:?}");
}

#[test]
fn not_ready_addresses_may_be_published() {
    let publish = service(&json!({"publishNotReadyAddresses": true, "clusterIP": "None"}));
    let plan = plan(&publish, &[pod(1, false, &json!({}))], &[], 1);
    let [Action::Create { object, .. }] = &plan.actions[..] else { panic!("{plan:?}") };
    assert_eq!(
        object["endpoints"][0]["conditions"],
        json!({"ready": true, "serving": false, "terminating": false})
    );
    assert_eq!(object["metadata"]["labels"][HEADLESS], "");
}
