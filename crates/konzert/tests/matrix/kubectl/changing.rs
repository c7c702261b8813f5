//! `edit`, `replace`, `patch`, `label`, `annotate`, `set`, `scale`, `rollout`, `wait`, node commands.

use super::deployment;
use crate::client::has;
use crate::table::Row;

pub(super) const ROWS: &[Row] = &[
    ("edit by script", |k| {
        let script = k.file("edit.sh", "sed -i 's/key: C$/key: D/' \"$1\"\n");
        let said = k.with_editor(&format!("sh {script}"), "edit configmap score");
        assert_eq!(said, "configmap/score edited\n");
        assert_eq!(k.ok("get cm score -o jsonpath={.data.key}"), "D");
        let script = k.file("same.sh", "exit 0\n");
        k.with_editor(&format!("sh {script}"), "edit configmap score");
        assert_eq!(k.ok("get cm score -o jsonpath={.data.key}"), "D");
    }),
    ("replace, --force", |k| {
        let file =
            k.file("cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: score}\ndata: {key: E}\n");
        assert_eq!(k.ok(&format!("replace -f {file}")), "configmap/score replaced\n");
        assert!(k.json("get cm score")["data"]["score.txt"].is_null());
        let before = k.ok("get cm score -o jsonpath={.metadata.uid}");
        has(&k.ok(&format!("replace --force -f {file}")), &["configmap/score replaced"]);
        assert_ne!(k.ok("get cm score -o jsonpath={.metadata.uid}"), before);
    }),
    ("patch: strategic, merge, json", |k| {
        k.ok(r#"patch deployment duo -p {"spec":{"template":{"spec":{"containers":[{"name":"app","env":[{"name":"A","value":"1"}]}]}}}}"#);
        let container = k.json("get deployment duo")["spec"]["template"]["spec"]["containers"][0].clone();
        assert_eq!(container["image"], "test/app:1.0", "merged by name, not replaced");
        assert_eq!(container["env"][0]["value"], "1");
        k.ok(r#"patch cm score --type=merge -p {"data":{"tempo":"allegro"}}"#);
        k.ok(r#"patch cm score --type=json -p [{"op":"replace","path":"/data/tempo","value":"largo"}]"#);
        assert_eq!(k.ok("get cm score -o jsonpath={.data.tempo}"), "largo");
        has(
            &k.fails(r#"patch cm score --type=json -p [{"op":"test","path":"/data/tempo","value":"x"}]"#),
            &["invalid"],
        );
        has(&k.ok(r#"patch cm score --type=merge -p {"data":{"tempo":"largo"}}"#), &["patched (no change)"]);
    }),
    ("patch --subresource", |k| {
        k.ok(r#"patch deployment duo --subresource=scale --type=merge -p {"spec":{"replicas":2}}"#);
        assert_eq!(k.ok("get deployment duo -o jsonpath={.spec.replicas}"), "2");
        has(&k.ok("get deployment duo --subresource=status -o name"), &["deployment.apps/duo"]);
    }),
    ("label, annotate", |k| {
        assert_eq!(k.ok("label cm score hall=large"), "configmap/score labeled\n");
        has(&k.fails("label cm score hall=small"), &["already has a value"]);
        k.ok("label cm score hall=small --overwrite");
        assert_eq!(k.ok("get cm -l hall=small -o name"), "configmap/score\n");
        assert_eq!(k.ok("label cm score hall-"), "configmap/score unlabeled\n");
        assert_eq!(k.ok("annotate cm score by=someone"), "configmap/score annotated\n");
        assert_eq!(k.json("get cm score")["metadata"]["annotations"]["by"], "someone");
        has(&k.fails("label cm score a_b!=c"), &["invalid"]);
    }),
    ("scale, with a precondition", |k| {
        assert_eq!(k.ok("scale deployment duo --replicas=1"), "deployment.apps/duo scaled\n");
        has(
            &k.fails("scale deployment duo --current-replicas=7 --replicas=2"),
            &["Expected replicas to be 7, was 1"],
        );
        k.ok("scale deployment duo --current-replicas=1 --replicas=2");
        k.ok("rollout status deployment/duo --timeout=60s");
    }),
    ("set image, env, resources, serviceaccount", |k| {
        k.ok("set image deployment/duo app=test/app:2.0");
        k.ok("rollout status deployment/duo --timeout=60s");
        k.ok("set env deployment/duo MOOD=bright");
        k.ok("set resources deployment/duo -c=app --limits=cpu=200m,memory=64Mi");
        k.ok("set serviceaccount deployment duo usher");
        k.ok("rollout status deployment/duo --timeout=60s");
        let spec = k.json("get deployment duo")["spec"]["template"]["spec"].clone();
        assert_eq!(spec["containers"][0]["image"], "test/app:2.0");
        assert_eq!(spec["containers"][0]["resources"]["limits"]["cpu"], "200m");
        assert_eq!(spec["serviceAccountName"], "usher");
    }),
    ("set selector, subject", |k| {
        k.ok("set selector service one app=duo");
        assert_eq!(k.ok("get svc one -o jsonpath={.spec.selector.app}"), "duo");
        k.ok("set subject rolebinding usher-seats --user=visitor");
        has(&k.ok("describe rolebinding usher-seats"), &["User", "visitor"]);
    }),
    ("rollout status, history, undo", |k| {
        has(&k.ok("rollout history deployment/duo"), &["REVISION", "1", "2"]);
        has(&k.ok("rollout history deployment/duo --revision=1"), &["test/app:1.0"]);
        assert_eq!(k.ok("rollout undo deployment/duo --to-revision=1"), "deployment.apps/duo rolled back\n");
        has(&k.ok("rollout status deployment/duo --timeout=60s"), &["successfully rolled out"]);
        assert_eq!(
            k.ok("get deployment duo -o jsonpath={.spec.template.spec.containers[0].image}"),
            "test/app:1.0"
        );
    }),
    ("rollout pause, resume, restart", |k| {
        assert_eq!(k.ok("rollout pause deployment/duo"), "deployment.apps/duo paused\n");
        assert_eq!(k.ok("rollout resume deployment/duo"), "deployment.apps/duo resumed\n");
        assert_eq!(k.ok("rollout restart deployment/duo"), "deployment.apps/duo restarted\n");
        has(&k.ok("rollout status deployment/duo --timeout=60s"), &["successfully rolled out"]);
    }),
    ("wait: condition, jsonpath, create", |k| {
        k.ok("wait --for=condition=Available deployment/duo --timeout=60s");
        k.ok("wait --for=jsonpath={.status.phase}=Running pod/singer --timeout=60s");
        k.ok("wait --for=create configmap/score --timeout=60s");
        has(&k.fails("wait --for=condition=Never deployment/duo --timeout=1s"), &["timed out waiting"]);
    }),
    ("cordon, uncordon, taint", |k| {
        let node = k.ok("get nodes -o name").trim().trim_start_matches("node/").to_owned();
        has(&k.ok(&format!("cordon {node}")), &["cordoned"]);
        has(&k.ok("get nodes"), &["Ready,SchedulingDisabled"]);
        has(&k.ok(&format!("uncordon {node}")), &["uncordoned"]);
        k.ok(&format!("taint node {node} tuned=no:PreferNoSchedule"));
        k.ok(&format!("taint node {node} tuned-"));
        has(&k.ok(&format!("drain {node} --dry-run=server --ignore-daemonsets --force --delete-emptydir-data --pod-selector=part=voice")), &["drained (server dry run)"]);
    }),
    ("mistakes are named", |k| {
        let bad = deployment("bad", 1, "test/app:1.0")
            .replace("matchLabels: {app: bad}", "matchLabels: {app: other}");
        let file = k.file("bad.yaml", bad);
        has(
            &k.fails(&format!("apply -f {file}")),
            &[
                "The Deployment \"bad\" is invalid: spec.template.metadata.labels: Invalid value:",
                "`selector` does not match template `labels`",
            ],
        );
        has(
            &k.fails(
                r#"patch deployment duo --type=merge -p {"spec":{"selector":{"matchLabels":{"a":"b"}}}}"#,
            ),
            &["spec.selector: Invalid value:", "field is immutable"],
        );
        let file = k.file("bad.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b, loud: true}]}\n");
        has(&k.fails(&format!("apply -f {file}")), &["unknown field \"spec.containers[0].loud\""]);
        let file = k.file(
            "bad.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: Not_A_Name}\nspec: {containers: []}\n",
        );
        has(
            &k.fails(&format!("create -f {file}")),
            &["metadata.name: Invalid value: \"Not_A_Name\"", "spec.containers: Required value"],
        );
        has(&k.fails("create configmap a --namespace nowhere"), &["namespaces \"nowhere\" not found"]);
    }),
];
