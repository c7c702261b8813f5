//! Tables of networking, storage, scheduling, admission and API services.

use serde_json::{Value, json};

use super::{meta, print};

fn default(name: &str, mark: &str) -> Value {
    let mut metadata = meta(name);
    metadata["annotations"] = json!({ mark: "true" });
    metadata
}

#[test]
fn networking() {
    let rule = |host: &str| json!({ "host": host });
    let ingresses = [
        json!({"metadata": meta("plain"), "spec": {"defaultBackend": {}}}),
        json!({
            "metadata": meta("many"),
            "spec": {"ingressClassName": "nginx", "tls": [{}], "rules": [rule("a"), rule("b"), rule("c"), rule("d")]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.168.100.200"}, {"hostname": "lb.example.com"}]}}
        }),
    ];
    insta::assert_snapshot!(print("Ingress", &ingresses), @r"
    NAME  CLASS  HOSTS  ADDRESS  PORTS  AGE
    plain  <none>  *    80  5m
    many  nginx  a,b,c + 1 more...  192.168.100.2...  80, 443  5m
    ");
    let class = json!({
        "metadata": default("nginx", "ingressclass.kubernetes.io/is-default-class"),
        "spec": {"controller": "k8s.io/nginx", "parameters": {"apiGroup": "x.io", "kind": "P", "name": "p"}}
    });
    insta::assert_snapshot!(print("IngressClass", &[class]), @r"
    NAME  CONTROLLER  PARAMETERS  AGE
    nginx (default)  k8s.io/nginx  P.x.io/p  5m
    ");
    let policies = [
        json!({"metadata": meta("all"), "spec": {"podSelector": {}}}),
        json!({"metadata": meta("web"), "spec": {"podSelector": {"matchLabels": {"app": "web"}}}}),
    ];
    insta::assert_snapshot!(print("NetworkPolicy", &policies), @r"
    NAME  POD-SELECTOR  AGE
    all  <none>  5m
    web  app=web  5m
    ");
    let address = json!({"metadata": meta("10.0.0.1"), "spec": {"parentRef": {"resource": "services", "namespace": "d", "name": "x"}}});
    insta::assert_snapshot!(print("IPAddress", &[address]), @r"
    NAME  PARENTREF
    10.0.0.1  services/d/x
    ");
    let cidr = json!({"metadata": meta("c"), "spec": {"cidrs": ["10.0.0.0/16", "2001:db8::/64"]}});
    insta::assert_snapshot!(print("ServiceCIDR", &[cidr]), @r"
    NAME  CIDRS  AGE
    c  10.0.0.0/16,2001:db8::/64  5m
    ");
}

#[test]
fn storage() {
    let class = json!({
        "metadata": default("fast", "storageclass.kubernetes.io/is-default-class"),
        "provisioner": "d.example.com", "reclaimPolicy": "Retain", "volumeBindingMode": "Immediate"
    });
    insta::assert_snapshot!(print("StorageClass", &[class]), @r"
    NAME  PROVISIONER  RECLAIMPOLICY  VOLUMEBINDINGMODE  ALLOWVOLUMEEXPANSION  AGE
    fast (default)  d.example.com  Retain  Immediate  false  5m
    ");
    let driver = json!({"metadata": meta("d"), "spec": {"tokenRequests": [{"audience": "a"}], "volumeLifecycleModes": ["Persistent"]}});
    insta::assert_snapshot!(print("CSIDriver", &[driver]), @r"
    NAME  ATTACHREQUIRED  PODINFOONMOUNT  STORAGECAPACITY  TOKENREQUESTS  REQUIRESREPUBLISH  MODES  AGE
    d  true  false  false  a  false  Persistent  5m
    ");
    let attachment = json!({
        "metadata": meta("a"), "status": {"attached": true},
        "spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    });
    insta::assert_snapshot!(print("VolumeAttachment", &[attachment]), @r"
    NAME  ATTACHER  PV  NODE  ATTACHED  AGE
    a  d  v  n  true  5m
    ");
    let capacity = json!({"metadata": meta("c"), "storageClassName": "fast", "capacity": "1Gi"});
    insta::assert_snapshot!(print("CSIStorageCapacity", &[capacity]), @r"
    NAME  STORAGECLASSNAME  CAPACITY
    c  fast  1Gi
    ");
    insta::assert_snapshot!(print("CSINode", &[json!({"metadata": meta("n"), "spec": {"drivers": [{}]}})]), @r"
    NAME  DRIVERS  AGE
    n  1  5m
    ");
}

#[test]
fn system() {
    let class = json!({"metadata": meta("high"), "value": 10, "preemptionPolicy": "Never"});
    insta::assert_snapshot!(print("PriorityClass", &[class]), @r"
    NAME  VALUE  GLOBAL-DEFAULT  AGE  PREEMPTIONPOLICY
    high  10  false  5m  Never
    ");
    let service =
        |status: Value| json!({"metadata": meta("v1.x"), "spec": {}, "status": {"conditions": [status]}});
    let services = [
        service(json!({"type": "Available", "status": "True", "reason": "Local"})),
        service(json!({"type": "Available", "status": "False", "reason": "Gone"})),
        service(json!({"type": "Other"})),
    ];
    insta::assert_snapshot!(print("APIService", &services), @r"
    NAME  SERVICE  AVAILABLE  AGE
    v1.x  Local  True  5m
    v1.x  Local  False (Gone)  5m
    v1.x  Local  Unknown  5m
    ");
    let policy = json!({"metadata": meta("p"), "spec": {"validations": [{}, {}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}});
    insta::assert_snapshot!(print("ValidatingAdmissionPolicy", &[policy]), @r"
    NAME  VALIDATIONS  PARAMKIND  AGE
    p  2  v1/ConfigMap  5m
    ");
    let binding = |parameters: Value| json!({"metadata": meta("b"), "spec": {"policyName": "p", "paramRef": parameters}});
    let bindings = [
        binding(json!({"name": "x"})),
        binding(json!({"name": "x", "namespace": "d"})),
        binding(json!({"selector": {"matchLabels": {"a": "b"}}})),
    ];
    insta::assert_snapshot!(print("MutatingAdmissionPolicyBinding", &bindings), @r"
    NAME  POLICYNAME  PARAMREF  AGE
    b  p  */x  5m
    b  p  d/x  5m
    b  p  a=b  5m
    ");
    let hooks = json!({"metadata": meta("w"), "webhooks": [{}, {}]});
    insta::assert_snapshot!(print("MutatingWebhookConfiguration", &[hooks]), @r"
    NAME  WEBHOOKS  AGE
    w  2  5m
    ");
}
