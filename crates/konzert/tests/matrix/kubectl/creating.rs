//! `create`, with every generator, `run`, `expose`, `autoscale`, `apply` and `diff`.

use super::deployment;
use crate::client::{Client, has};
use crate::table::Row;

pub(super) const ROWS: &[Row] = &[
    ("version, cluster-info", |k| {
        has(&k.ok("version"), &["Client Version: v", "Server Version: v1.37"]);
        has(&k.ok("cluster-info"), &["is running at"]);
    }),
    ("create namespace", |k| {
        assert_eq!(
            k.ok(&format!("create namespace {}", k.namespace)),
            format!("namespace/{} created\n", k.namespace)
        );
        k.ok("wait --for=create serviceaccount/default --timeout=30s");
    }),
    ("create configmap", |k| {
        let file = k.file("score.txt", "C E G\n");
        k.ok(&format!("create configmap score --from-literal=key=C --from-file={file}"));
        assert_eq!(k.json("get cm score")["data"]["score.txt"], "C E G\n");
    }),
    ("create secret generic, tls, docker-registry", secrets),
    ("create serviceaccount, role, rolebinding", |k| {
        k.ok("create serviceaccount usher");
        k.ok("create role seats --verb=get,list,watch --resource=pods,deployments.apps");
        k.ok(&format!("create rolebinding usher-seats --role=seats --serviceaccount={}:usher", k.namespace));
        has(&k.ok("describe rolebinding usher-seats"), &["Role", "seats", "ServiceAccount", "usher"]);
    }),
    ("create clusterrole, clusterrolebinding", |k| {
        let role = k.own("stage");
        k.ok(&format!("create clusterrole {role} --verb=get --resource=nodes,nodes/status"));
        k.ok(&format!("create clusterrole {role}-paths --verb=get --non-resource-url=/metrics"));
        k.ok(&format!(
            "create clusterrolebinding {role} --clusterrole={role} --serviceaccount={}:usher",
            k.namespace
        ));
        has(&k.ok(&format!("describe clusterrole {role}")), &["nodes", "[get]"]);
        has(&k.ok(&format!("describe clusterrolebinding {role}")), &["ServiceAccount", "usher"]);
    }),
    ("create token", |k| {
        let token = k.ok("create token usher --duration=1h");
        let who = k.with_token(token.trim(), "auth whoami").ok();
        has(&who, &[&format!("system:serviceaccount:{}:usher", k.namespace), "system:serviceaccounts"]);
        has(&k.with_token(token.trim(), "get pods -o name").ok(), &[]);
        let refused = k.with_token(token.trim(), "get secrets");
        has(
            &refused.stderr,
            &["Error from server (Forbidden): secrets is forbidden: User", "cannot list resource"],
        );
    }),
    ("create deployment", |k| {
        k.ok("create deployment solo --image=test/app:1.0 --replicas=1 --port=8080");
        k.ok("wait --for=condition=Available deployment/solo --timeout=60s");
    }),
    ("create service: four types", |k| {
        k.ok("create service clusterip one --tcp=80:8080");
        k.ok("create service nodeport two --tcp=80:8080");
        k.ok("create service loadbalancer three --tcp=80:8080");
        k.ok("create service externalname four --external-name=example.org");
        let types = k.ok("get svc one two three four -o jsonpath={.items[*].spec.type}");
        assert_eq!(types, "ClusterIP NodePort LoadBalancer ExternalName");
    }),
    ("create job, cronjob", |k| {
        k.ok("create job rehearsal --image=test/app:1.0 -- /bin/app sample task rehearsal");
        k.ok("wait --for=condition=Complete job/rehearsal --timeout=60s");
        k.ok_args(&[
            "create",
            "cronjob",
            "nightly",
            "--image=test/app:1.0",
            "--schedule=0 3 * * *",
            "--",
            "/bin/app",
        ]);
        k.ok("create job by-hand --from=cronjob/nightly --dry-run=server");
        has(&k.ok("get cronjob nightly"), &["SCHEDULE", "0 3 * * *", "False"]);
    }),
    ("create ingress", |k| {
        k.ok("create ingress front --class=none --rule=hall.example.org/*=one:80,tls=hall-tls");
        has(&k.ok("get ingress front"), &["CLASS", "HOSTS", "none", "hall.example.org"]);
        has(&k.ok("describe ingress front"), &["hall.example.org", "one:80"]);
    }),
    ("create poddisruptionbudget, quota", |k| {
        k.ok("create poddisruptionbudget keep --selector=app=solo --min-available=1");
        has(&k.ok("get pdb keep"), &["MIN AVAILABLE", "keep", "1"]);
        k.ok("create quota purse --hard=configmaps=100,services=50");
        assert_eq!(k.ok("get quota purse -o jsonpath={.spec.hard.configmaps}"), "100");
        has(&k.ok("describe quota purse"), &["Resource", "Used", "Hard"]);
    }),
    ("create priorityclass", |k| {
        let class = k.own("soloist");
        k.ok(&format!("create priorityclass {class} --value=1000 --preemption-policy=Never"));
        has(&k.ok(&format!("get priorityclass {class}")), &["VALUE", "1000"]);
    }),
    ("create -f, from a file and from standard input", |k| {
        let manifest = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"take-"}}"#;
        let file = k.file("cm.json", manifest);
        has(&k.ok(&format!("create -f {file}")), &["configmap/take-", "created"]);
        has(&k.feed("create -f -", manifest), &["configmap/take-", "created"]);
        let said = k.fails("create configmap score");
        has(&said, &["configmaps \"score\" already exists"]);
    }),
    ("run, expose, autoscale", |k| {
        k.ok("run singer --image=test/app:1.0 --port=8080 --labels=part=voice --image-pull-policy=Never");
        k.ok("wait --for=condition=Ready pod/singer --timeout=60s");
        k.ok("expose pod singer --port=80 --target-port=8080");
        k.ok("expose deployment solo --port=80 --target-port=8080 --name=solo-front");
        k.ok("autoscale deployment solo --min=1 --max=1 --name=solo-size");
        has(&k.ok("get hpa solo-size"), &["REFERENCE", "Deployment/solo"]);
    }),
    ("apply: created, unchanged, configured", |k| {
        let file = k.file("duo.yaml", deployment("duo", 1, "test/app:1.0"));
        assert_eq!(k.ok(&format!("apply -f {file}")), "deployment.apps/duo created\n");
        assert_eq!(k.ok(&format!("apply -f {file}")), "deployment.apps/duo unchanged\n");
        let file = k.file("duo.yaml", deployment("duo", 2, "test/app:1.0"));
        assert_eq!(k.ok(&format!("apply -f {file}")), "deployment.apps/duo configured\n");
        k.ok("rollout status deployment/duo --timeout=60s");
        has(&k.ok("apply view-last-applied deployment duo"), &["replicas: 2"]);
    }),
    ("apply --dry-run=server, --prune", |k| {
        let file = k.file("dry.yaml", deployment("dry", 1, "test/app:1.0"));
        assert_eq!(
            k.ok(&format!("apply --dry-run=server -f {file}")),
            "deployment.apps/dry created (server dry run)\n"
        );
        has(&k.fails("get deployment dry"), &["NotFound"]);
        let both = k.file("two.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: p1, labels: {set: p}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: p2, labels: {set: p}}\n");
        k.ok(&format!("apply -f {both} --prune -l set=p --prune-allowlist=core/v1/ConfigMap"));
        let one =
            k.file("one.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: p1, labels: {set: p}}\n");
        has(
            &k.ok(&format!("apply -f {one} --prune -l set=p --prune-allowlist=core/v1/ConfigMap")),
            &["configmap/p2 pruned"],
        );
    }),
    ("diff", |k| {
        let file = k.file("duo.yaml", deployment("duo", 3, "test/app:1.0"));
        let ran = k.run(&format!("diff -f {file}"));
        assert_eq!(ran.code, Some(1), "{ran}");
        has(&ran.stdout, &["- replicas: 2", "+ replicas: 3"]);
        let file = k.file("duo.yaml", deployment("duo", 2, "test/app:1.0"));
        assert_eq!(k.ok(&format!("diff -f {file}")), "");
    }),
    ("apply --server-side", server_side),
    ("apply --server-side: conflict, force", |k| {
        k.ok("scale deployment trio --replicas=2");
        let file = k.file("trio.yaml", deployment("trio", 1, "test/app:1.0"));
        let said = k.fails(&format!("apply --server-side -f {file}"));
        has(&said, &["Apply failed with 1 conflict", "conflict with \"kubectl\"", ".spec.replicas"]);
        k.ok(&format!("apply --server-side --force-conflicts -f {file}"));
        assert_eq!(k.ok("get deployment trio -o jsonpath={.spec.replicas}"), "1");
        k.ok(&format!("diff --server-side -f {file}"));
    }),
    ("apply --server-side after client-side", |k| {
        let file = k.file("duo.yaml", deployment("duo", 1, "test/app:1.0"));
        assert_eq!(
            k.ok(&format!("apply --server-side -f {file}")),
            "deployment.apps/duo serverside-applied\n"
        );
        let managed = k.json("get deployment duo --show-managed-fields");
        let managers = managed["metadata"]["managedFields"].as_array().unwrap();
        let csa = managers
            .iter()
            .any(|m| m["manager"] == "kubectl-client-side-apply" && m["operation"] == "Update");
        assert!(!csa, "the fields of client-side apply were handed over: {managed}");
    }),
    ("a definition and its objects", definition),
];

fn secrets(k: &Client<'_>) {
    k.ok("create secret generic door --from-literal=code=1234");
    let pair = rcgen::generate_simple_self_signed(["hall.example.org".to_owned()]).unwrap();
    let cert = k.file("tls.crt", pair.cert.pem());
    let key = k.file("tls.key", pair.signing_key.serialize_pem());
    k.ok(&format!("create secret tls hall-tls --cert={cert} --key={key}"));
    k.ok("create secret docker-registry pull --docker-server=r.example --docker-username=u --docker-password=p");
    let types = k.ok("get secrets door hall-tls pull -o jsonpath={.items[*].type}");
    assert_eq!(types, "Opaque kubernetes.io/tls kubernetes.io/dockerconfigjson");
}

fn server_side(k: &Client<'_>) {
    let file = k.file("trio.yaml", deployment("trio", 1, "test/app:1.0"));
    assert_eq!(k.ok(&format!("apply --server-side -f {file}")), "deployment.apps/trio serverside-applied\n");
    let before = k.json("get deployment trio --show-managed-fields");
    assert_eq!(before["metadata"]["managedFields"][0]["manager"], "kubectl", "{before}");
    assert_eq!(before["metadata"]["managedFields"][0]["operation"], "Apply");
    assert_eq!(k.ok(&format!("apply --server-side -f {file}")), "deployment.apps/trio serverside-applied\n");
    let again = k.json("get deployment trio");
    assert_eq!(before["metadata"]["generation"], again["metadata"]["generation"], "nothing changed");
    let without = deployment("trio", 1, "test/app:1.0").replace("  labels: {app: trio}\n", "");
    let file = k.file("trio.yaml", without);
    k.ok(&format!("apply --server-side -f {file}"));
    assert!(
        k.json("get deployment trio")["metadata"]["labels"].is_null(),
        "what is not applied any more goes"
    );
    k.ok("rollout status deployment/trio --timeout=60s");
}

fn definition(k: &Client<'_>) {
    let kind = format!("Etude{}", k.namespace.replace('-', ""));
    let lower = kind.to_lowercase();
    let manifest = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {lower}s.matrix.konzert.dev}}
spec:
  group: matrix.konzert.dev
  scope: Namespaced
  names: {{kind: {kind}, plural: {lower}s, singular: {lower}}}
  versions:
    - name: v1
      served: true
      storage: true
      additionalPrinterColumns: [{{name: Key, type: string, jsonPath: .spec.key}}]
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              description: What is practised
              properties:
                key: {{type: string, description: The key it is in, maxLength: 2}}
                speed: {{type: integer, default: 60}}
              x-kubernetes-validations:
                - {{rule: self.speed < 300, message: too fast}}
"
    );
    let file = k.file("crd.yaml", manifest);
    k.ok(&format!("apply -f {file}"));
    k.ok(&format!("wait --for=condition=Established crd/{lower}s.matrix.konzert.dev --timeout=30s"));
    let object = |spec: &str| {
        format!("apiVersion: matrix.konzert.dev/v1\nkind: {kind}\nmetadata: {{name: one}}\nspec: {spec}\n")
    };
    let file = k.file("etude.yaml", object("{key: C}"));
    has(&k.ok(&format!("apply -f {file}")), &["created"]);
    has(&k.ok(&format!("get {lower}")), &["KEY", "C"]);
    let file = k.file("etude.yaml", object("{key: C, speed: 400}"));
    has(&k.fails(&format!("apply -f {file}")), &["too fast"]);
    let file = k.file("etude.yaml", object("{key: D, sped: 40}"));
    has(&k.fails(&format!("apply -f {file}")), &["unknown field \"spec.sped\""]);
    has(&k.ok(&format!("explain {lower} --recursive")), &["spec", "key", "speed"]);
    has(&k.ok(&format!("explain {lower}.spec")), &["What is practised", "The key it is in"]);
    has(&k.ok(&format!("explain {lower}.spec.key")), &["The key it is in"]);
    k.ok(&format!("delete {lower} one"));
    k.ok(&format!("delete crd {lower}s.matrix.konzert.dev"));
}
