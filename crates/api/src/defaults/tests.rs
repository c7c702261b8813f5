//! Defaults, whole objects at a time.

mod classes;

use serde_json::{Value, json};

use crate::{Catalogue, CreateFacts, Kind};

fn kind(name: &str) -> Kind {
    let all = Catalogue::builtin();
    let found = all.kinds().find(|k| k.kind() == name).cloned();
    found.unwrap_or_else(|| panic!("no kind {name}"))
}

fn facts() -> CreateFacts {
    CreateFacts { uid: "u-1".to_owned(), now: "2026-01-02T03:04:05Z".parse().expect("a timestamp") }
}

fn defaulted(name: &str, mut object: Value) -> Value {
    kind(name).default(&mut object);
    object
}

fn created(name: &str, object: Value) -> Value {
    let mut object = defaulted(name, object);
    kind(name).prepare_create(&mut object, &facts());
    object
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn a_pod_is_complete_when_created() {
    let pod = json!({
        "metadata": {"name": "web", "creationTimestamp": null},
        "spec": {
            "containers": [{
                "name": "a", "image": "web:1", "command": null,
                "ports": [{"containerPort": 80}],
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 5},
                "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}
            }],
            "volumes": [{"name": "v"}, {"name": "c", "configMap": {"name": "c"}}, {"name": "h", "hostPath": {"path": "/x"}}]
        },
        "status": {"phase": "Running"}
    });
    insta::assert_json_snapshot!(created("Pod", pod), @r#"
    {
      "metadata": {
        "generation": 1,
        "name": "web"
      },
      "spec": {
        "containers": [
          {
            "env": [
              {
                "name": "IP",
                "valueFrom": {
                  "fieldRef": {
                    "apiVersion": "v1",
                    "fieldPath": "status.podIP"
                  }
                }
              }
            ],
            "image": "web:1",
            "imagePullPolicy": "IfNotPresent",
            "name": "a",
            "ports": [
              {
                "containerPort": 80,
                "protocol": "TCP"
              }
            ],
            "readinessProbe": {
              "failureThreshold": 3,
              "httpGet": {
                "path": "/",
                "port": 80,
                "scheme": "HTTP"
              },
              "periodSeconds": 5,
              "successThreshold": 1,
              "timeoutSeconds": 1
            },
            "resources": {
              "limits": {
                "cpu": "500m",
                "memory": "1Gi"
              },
              "requests": {
                "cpu": "500m",
                "memory": "1Gi"
              }
            },
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File"
          }
        ],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": true,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "serviceAccount": "default",
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 30,
        "tolerations": [
          {
            "effect": "NoExecute",
            "key": "node.kubernetes.io/not-ready",
            "operator": "Exists",
            "tolerationSeconds": 300
          },
          {
            "effect": "NoExecute",
            "key": "node.kubernetes.io/unreachable",
            "operator": "Exists",
            "tolerationSeconds": 300
          }
        ],
        "volumes": [
          {
            "emptyDir": {},
            "name": "v"
          },
          {
            "configMap": {
              "defaultMode": 420,
              "name": "c"
            },
            "name": "c"
          },
          {
            "hostPath": {
              "path": "/x",
              "type": ""
            },
            "name": "h"
          }
        ]
      },
      "status": {
        "phase": "Pending",
        "qosClass": "Guaranteed"
      }
    }
    "#);
}

#[test]
fn a_deployment_is_defaulted_through_its_template() {
    let deployment = json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "web"}]}}
        }
    });
    insta::assert_json_snapshot!(defaulted("Deployment", deployment), @r#"
    {
      "metadata": {
        "name": "web"
      },
      "spec": {
        "progressDeadlineSeconds": 600,
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "selector": {
          "matchLabels": {
            "app": "web"
          }
        },
        "strategy": {
          "rollingUpdate": {
            "maxSurge": "25%",
            "maxUnavailable": "25%"
          },
          "type": "RollingUpdate"
        },
        "template": {
          "metadata": {
            "labels": {
              "app": "web"
            }
          },
          "spec": {
            "containers": [
              {
                "image": "web",
                "imagePullPolicy": "Always",
                "name": "a",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File"
              }
            ],
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "terminationGracePeriodSeconds": 30
          }
        }
      },
      "status": {}
    }
    "#);
}

#[test]
fn a_recreate_strategy_has_no_rolling_update() {
    let deployment = defaulted("Deployment", json!({"spec": {"strategy": {"type": "Recreate"}}}));
    assert_eq!(deployment["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn a_job_selects_its_pods_by_uid() {
    let job = json!({
        "metadata": {"name": "j"},
        "spec": {"template": {"metadata": {"labels": {"app": "j"}}, "spec": {"restartPolicy": "Never"}}}
    });
    let mut job = created("Job", job);
    job["spec"]["template"]["spec"] = json!("...");
    insta::assert_json_snapshot!(job, @r#"
    {
      "metadata": {
        "generation": 1,
        "labels": {
          "app": "j",
          "batch.kubernetes.io/controller-uid": "u-1",
          "batch.kubernetes.io/job-name": "j",
          "controller-uid": "u-1",
          "job-name": "j"
        },
        "name": "j"
      },
      "spec": {
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "completions": 1,
        "manualSelector": false,
        "parallelism": 1,
        "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {
          "matchLabels": {
            "batch.kubernetes.io/controller-uid": "u-1"
          }
        },
        "suspend": false,
        "template": {
          "metadata": {
            "labels": {
              "app": "j",
              "batch.kubernetes.io/controller-uid": "u-1",
              "batch.kubernetes.io/job-name": "j",
              "controller-uid": "u-1",
              "job-name": "j"
            }
          },
          "spec": "..."
        }
      },
      "status": {}
    }
    "#);
}

#[test]
fn a_job_without_completions_is_a_work_queue() {
    let job = defaulted("Job", json!({"spec": {"parallelism": 3}}));
    assert_eq!((&job["spec"]["completions"], &job["spec"]["parallelism"]), (&Value::Null, &json!(3)));
}

#[test]
fn a_reapplied_job_keeps_its_selector() {
    let old = created("Job", json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {}}}}));
    let mut new = defaulted("Job", json!({"metadata": {"name": "j"}, "spec": {"template": {"spec": {}}}}));
    kind("Job").prepare_update(&old, &mut new);
    assert_eq!(new["spec"], old["spec"]);
    assert_eq!(crate::meta::generation(&new), 1);
}

#[test]
fn a_service_gets_a_target_and_one_family() {
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}, {"port": 53, "protocol": "UDP", "targetPort": "dns"}]}});
    insta::assert_json_snapshot!(created("Service", service), @r#"
    {
      "metadata": {
        "name": "web"
      },
      "spec": {
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": [
          "IPv4"
        ],
        "ipFamilyPolicy": "SingleStack",
        "ports": [
          {
            "port": 80,
            "protocol": "TCP",
            "targetPort": 80
          },
          {
            "port": 53,
            "protocol": "UDP",
            "targetPort": "dns"
          }
        ],
        "sessionAffinity": "None",
        "type": "ClusterIP"
      },
      "status": {
        "loadBalancer": {}
      }
    }
    "#);
}

#[test]
fn a_reapplied_service_keeps_what_was_allocated() {
    let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"],
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}]}});
    let mut new = defaulted(
        "Service",
        json!({"metadata": {}, "spec": {"type": "NodePort", "ports": [{"port": 80}, {"port": 81}]}}),
    );
    kind("Service").prepare_update(&old, &mut new);
    assert_eq!(new["spec"]["clusterIPs"], json!(["10.96.0.5"]));
    assert_eq!(new["spec"]["ports"][0]["nodePort"], 30080);
    assert_eq!(new["spec"]["ports"][1]["nodePort"], Value::Null);
}

#[test]
fn string_data_becomes_data() {
    let secret = defaulted("Secret", json!({"data": {"a": "eA==", "b": "eQ=="}, "stringData": {"b": "new"}}));
    assert_eq!(secret, json!({"metadata": {}, "type": "Opaque", "data": {"a": "eA==", "b": "bmV3"}}));
}

#[test]
fn a_namespace_knows_its_name_and_its_end() {
    let namespace = created("Namespace", json!({"metadata": {"name": "d"}, "spec": {"finalizers": []}}));
    let expected = json!({
        "metadata": {"name": "d", "labels": {"kubernetes.io/metadata.name": "d"}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"}
    });
    assert_eq!(namespace, expected);
}

#[test]
fn quality_of_service() {
    let pod = |resources: &[Value]| {
        let containers: Vec<Value> = resources.iter().map(|r| json!({"name": "a", "resources": r})).collect();
        json!({"spec": {"containers": containers}})
    };
    let both = json!({"cpu": "1", "memory": "1Gi"});
    let table = [
        (pod(&[json!({})]), "BestEffort"),
        (pod(&[json!({"limits": both})]), "Guaranteed"),
        (pod(&[json!({"limits": both, "requests": {"cpu": "1000m", "memory": "1024Mi"}})]), "Guaranteed"),
        (pod(&[json!({"limits": both, "requests": {"cpu": "500m"}})]), "Burstable"),
        (pod(&[json!({"limits": both}), json!({})]), "Burstable"),
        (pod(&[json!({"requests": {"cpu": "1m"}})]), "Burstable"),
        (pod(&[json!({"requests": {"cpu": "0"}})]), "BestEffort"),
    ];
    for (pod, class) in table {
        assert_eq!(super::pod::qos_class(&pod), class, "{pod}");
    }
}

#[test]
fn tolerations_of_the_author_are_respected() {
    let pod = json!({"spec": {"tolerations": [
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    ]}});
    let pod = created("Pod", pod);
    let seconds: Vec<i64> = pod["spec"]["tolerations"]
        .as_array()
        .expect("tolerations")
        .iter()
        .filter_map(|t| t["tolerationSeconds"].as_i64())
        .collect();
    assert_eq!(seconds, [5, 300]);
    let pod = created("Pod", json!({"spec": {"tolerations": [{"operator": "Exists"}]}}));
    assert_eq!(pod["spec"]["tolerations"].as_array().map(Vec::len), Some(1));
}
