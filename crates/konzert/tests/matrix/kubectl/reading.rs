//! `get` in every form, `describe`, `explain`, `logs`, `events`, `auth`, `api-resources`.

use crate::client::has;
use crate::support::until;
use crate::table::Row;

pub(super) const ROWS: &[Row] = &[
    ("get: table, -o wide, --show-labels", |k| {
        has(&k.ok("get deployment duo"), &["NAME READY UP-TO-DATE AVAILABLE AGE", "duo"]);
        has(&k.ok("get deployment duo -o wide"), &["CONTAINERS IMAGES SELECTOR", "app test/app:1.0 app=duo"]);
        has(&k.ok("get pods --show-labels"), &["LABELS", "part=voice"]);
        has(
            &k.ok("get all"),
            &[
                "pod/singer",
                "service/one",
                "deployment.apps/duo",
                "replicaset.apps/duo-",
                "job.batch/rehearsal",
            ],
        );
    }),
    ("get -o json, yaml, name", |k| {
        assert_eq!(k.json("get cm score")["kind"], "ConfigMap");
        assert_eq!(k.json("get cm")["kind"], "List");
        has(&k.ok("get cm score -o yaml"), &["apiVersion: v1", "key: C"]);
        assert_eq!(k.ok("get cm score -o name"), "configmap/score\n");
    }),
    ("get -o custom-columns, jsonpath, go-template", |k| {
        has(
            &k.ok("get deployment duo -o custom-columns=N:.metadata.name,R:.spec.replicas"),
            &["N R", "duo 1"],
        );
        assert_eq!(k.ok("get cm score -o jsonpath={.data.key}"), "C");
        assert_eq!(k.ok("get cm score -o go-template={{.data.key}}"), "C");
    }),
    ("get --sort-by, -A, --chunk-size, --raw", |k| {
        has(&k.ok("get svc --sort-by=.metadata.name"), &["four", "one", "solo-front", "three", "two"]);
        has(&k.ok("get cm -A --chunk-size=1"), &["score"]);
        has(&k.ok("get --raw /version"), &["\"minor\": \"37\""]);
        has(&k.ok("get --raw /readyz?verbose"), &["[+]", "readyz check passed"]);
    }),
    ("get -l, --field-selector", |k| {
        assert_eq!(k.ok("get pods -l part=voice -o name"), "pod/singer\n");
        assert_eq!(k.ok_args(&["get", "pods", "-l", "part in (voice,brass)", "-o", "name"]), "pod/singer\n");
        assert_eq!(
            k.ok("get pods --field-selector=metadata.name=singer,status.phase=Running -o name"),
            "pod/singer\n"
        );
        assert_eq!(k.ok("get secrets --field-selector=type=kubernetes.io/tls -o name"), "secret/hall-tls\n");
    }),
    ("get -w", |k| {
        let watch = k.start("get configmaps -w");
        until("the list", || watch.stdout().contains("score").then_some(()));
        k.ok("create configmap seen --from-literal=a=b");
        until("the new object", || watch.stdout().contains("seen").then_some(()));
        k.ok("label configmap seen late=yes");
        k.ok("delete configmap seen");
        until("three events", || (watch.stdout().matches("seen").count() >= 3).then_some(()));
        has(&watch.stdout(), &["NAME", "DATA", "AGE"]);
        let watch = k.start("get pods --watch-only -o name");
        let mut turn = 0;
        until("a change", || {
            // The watch begins some time after the client does.
            turn += 1;
            k.ok(&format!("label pod singer seen=n{turn} --overwrite"));
            watch.stdout().contains("pod/singer").then_some(())
        });
    }),
    ("get: what is not there", |k| {
        has(&k.fails("get cm nothing"), &["Error from server (NotFound): configmaps \"nothing\" not found"]);
        has(&k.fails("get oboes"), &["the server doesn't have a resource type \"oboes\""]);
        assert_eq!(k.ok("get cm nothing --ignore-not-found"), "");
    }),
    ("describe", |k| {
        has(&k.ok("describe deployment duo"), &["Replicas:", "ScalingReplicaSet", "test/app:1.0"]);
        has(&k.ok("describe pod singer"), &["Container ID: konzert://", "Ready True", "Started"]);
        has(&k.ok("describe svc one"), &["ClusterIP", "80/TCP"]);
        has(&k.ok("describe node"), &["Capacity:", "Allocatable:", "Non-terminated Pods:"]);
        has(&k.ok("describe secret door"), &["code: 4 bytes"]);
        has(&k.ok("describe cm score"), &["key:", "C"]);
        has(&k.ok("describe role seats"), &["pods", "[get list watch]"]);
        has(&k.ok("describe sa usher"), &["Name: usher"]);
        has(&k.ok("describe pdb keep"), &["Min available:", "1"]);
        has(&k.ok("describe cronjob nightly"), &["Schedule:", "0 3 * * *"]);
        has(&k.ok("describe hpa solo-size"), &["Reference:", "Deployment/solo"]);
        has(&k.ok(&format!("describe namespace {}", k.namespace)), &["Status: Active"]);
    }),
    ("explain, --recursive", |k| {
        has(&k.ok("explain pod.spec.containers.livenessProbe.httpGet"), &["FIELDS:", "port", "-required-"]);
        has(&k.ok("explain deployment --recursive"), &["GROUP: apps", "maxUnavailable", "imagePullPolicy"]);
        has(&k.ok("explain horizontalpodautoscaler"), &["VERSION: v2"]);
        has(&k.ok("explain crd.spec.versions.schema"), &["openAPIV3Schema"]);
        has(&k.ok("explain imagereport --recursive"), &["findings"]);
    }),
    ("logs", |k| {
        has(&k.ok("logs singer"), &["serves on port 8080"]);
        has(&k.ok("logs job/rehearsal --tail=1"), &["rehearsal done"]);
        has(&k.ok("logs -l app=duo --prefix"), &["[pod/duo-"]);
        has(&k.fails("logs singer -c chorus"), &["container chorus is not valid for pod singer"]);
    }),
    ("events", |k| {
        has(&k.ok("events --for pod/singer"), &["Started", "Pod/singer"]);
        has(&k.ok("get events --field-selector involvedObject.name=singer"), &["pod/singer"]);
        has(&k.ok("get events.events.k8s.io"), &["pod/singer"]);
    }),
    ("auth can-i, --list, whoami", |k| {
        assert_eq!(k.ok("auth can-i create deployments"), "yes\n");
        assert_eq!(
            k.ok(&format!("auth can-i list pods --as=system:serviceaccount:{}:usher", k.namespace)),
            "yes\n"
        );
        let no = k.run(&format!("auth can-i delete pods --as=system:serviceaccount:{}:usher", k.namespace));
        assert_eq!((no.code, no.stdout.trim()), (Some(1), "no"), "{no}");
        let list = k.ok(&format!("auth can-i --list --as=system:serviceaccount:{}:usher", k.namespace));
        has(&list, &["Resources", "pods [] [] [get list watch]", "selfsubjectreviews.authentication.k8s.io"]);
        has(&k.ok("auth can-i --list"), &["*.*", "[*]"]);
        has(&k.ok("auth whoami"), &["ATTRIBUTE", "system:masters"]);
        has(&k.ok("auth whoami --as=someone --as-group=choir"), &["someone", "choir"]);
    }),
    ("auth reconcile", |k| {
        let manifest = format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: reconciled, namespace: {}}}
rules:
- {{apiGroups: [\"\"], resources: [pods], verbs: [get]}}
",
            k.namespace
        );
        let file = k.file("role.yaml", manifest);
        has(
            &k.ok(&format!("auth reconcile -f {file}")),
            &["role.rbac.authorization.k8s.io/reconciled reconciled"],
        );
    }),
    ("api-resources, api-versions", |k| {
        let all = k.ok("api-resources --verbs=list --sort-by=kind");
        has(
            &all,
            &[
                "deployments deploy apps/v1 true Deployment",
                "ingresses ing networking.k8s.io/v1 true Ingress",
            ],
        );
        has(&all, &["imagereports", "clusterroles rbac.authorization.k8s.io/v1 false ClusterRole"]);
        has(
            &k.ok("api-resources --api-group=apps -o wide"),
            &["CATEGORIES", "statefulsets", "create,delete"],
        );
        has(&k.ok("api-versions"), &["apps/v1", "autoscaling/v2", "rbac.authorization.k8s.io/v1", "\nv1"]);
    }),
    ("certificate approve", certificate),
];

fn certificate(k: &crate::client::Client<'_>) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let key = rcgen::KeyPair::generate().unwrap();
    let mut wish = rcgen::CertificateParams::default();
    wish.distinguished_name.push(rcgen::DnType::CommonName, "page-turner");
    let request = STANDARD.encode(wish.serialize_request(&key).unwrap().pem().unwrap());
    let name = k.own("page-turner");
    let manifest = format!(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: {name}}}\nspec:\n  request: {request}\n  signerName: kubernetes.io/kube-apiserver-client\n  usages: [client auth]\n"
    );
    let file = k.file("csr.yaml", manifest);
    k.ok(&format!("apply -f {file}"));
    has(&k.ok(&format!("get csr {name}")), &["SIGNERNAME", "Pending"]);
    k.ok(&format!("certificate approve {name}"));
    let signed = || k.json(&format!("get csr {name}"))["status"]["certificate"].as_str().map(str::to_owned);
    let certificate = until("the certificate", signed);
    assert!(STANDARD.decode(certificate).unwrap().starts_with(b"-----BEGIN CERTIFICATE"));
    has(&k.ok(&format!("get csr {name}")), &["Approved,Issued"]);
}
