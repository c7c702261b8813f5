//! `delete` in every mode.

use super::deployment;
use crate::client::{Client, has};
use crate::support::until;
use crate::table::Row;

pub(super) const ROWS: &[Row] = &[
    ("delete --cascade=background", |k| {
        gone_with_its_pods(k, "background");
    }),
    ("delete --cascade=foreground", |k| {
        gone_with_its_pods(k, "foreground");
    }),
    ("delete --cascade=orphan", |k| {
        let file = k.file("quartet.yaml", deployment("quartet", 1, "test/app:1.0"));
        k.ok(&format!("apply -f {file}"));
        k.ok("rollout status deployment/quartet --timeout=60s");
        has(&k.ok("delete deployment quartet --cascade=orphan"), &["deleted"]);
        let set = k.json("get rs -l app=quartet")["items"][0].clone();
        assert!(set["metadata"]["ownerReferences"].is_null(), "an orphan has no owner: {set}");
        assert_eq!(k.json("get pods -l app=quartet")["items"].as_array().unwrap().len(), 1);
        k.ok("delete rs -l app=quartet");
        k.ok("wait --for=delete pod -l app=quartet --timeout=60s");
    }),
    ("delete --now, --force, --dry-run", |k| {
        has(&k.ok("delete pod singer --dry-run=server"), &["deleted", "(server dry run)"]);
        has(&k.ok("get pod singer"), &["Running"]);
        has(&k.ok("delete pod singer --grace-period=0 --force"), &["deleted"]);
        has(&k.fails("get pod singer"), &["NotFound"]);
    }),
    ("delete -l, --all, -f", |k| {
        let file = k.file("trio.yaml", deployment("trio", 1, "test/app:1.0"));
        has(&k.ok(&format!("delete -f {file}")), &["deployment.apps \"trio\" deleted"]);
        k.ok("delete services --all");
        assert_eq!(k.ok("get svc -o name"), "");
        k.ok("delete cm -l set=p");
        has(&k.fails("delete cm nothing"), &["configmaps \"nothing\" not found"]);
        k.ok("delete cm nothing --ignore-not-found");
    }),
    ("delete what is outside of namespaces", |k| {
        let role = k.own("stage");
        k.ok(&format!("delete clusterrole {role} {role}-paths"));
        k.ok(&format!("delete clusterrolebinding {role}"));
        k.ok(&format!("delete priorityclass {}", k.own("soloist")));
        k.ok(&format!("delete csr {}", k.own("page-turner")));
    }),
    ("delete namespace", |k| {
        let name = k.namespace.clone();
        assert_eq!(k.ok(&format!("delete namespace {name}")), format!("namespace \"{name}\" deleted\n"));
        has(&k.fails(&format!("get namespace {name}")), &["NotFound"]);
        let left = || {
            k.ok("get all,cm,secrets,roles,rolebindings,ingress,pdb,quota,hpa,cronjobs -o name --ignore-not-found")
        };
        until("nothing is left", || left().is_empty().then_some(()));
    }),
];

fn gone_with_its_pods(k: &Client<'_>, mode: &str) {
    let file = k.file("quartet.yaml", deployment("quartet", 2, "test/app:1.0"));
    k.ok(&format!("apply -f {file}"));
    k.ok("rollout status deployment/quartet --timeout=60s");
    has(
        &k.ok(&format!("delete deployment quartet --cascade={mode}")),
        &["deployment.apps \"quartet\" deleted"],
    );
    if mode == "foreground" {
        assert_eq!(k.ok("get rs,pods -l app=quartet -o name"), "", "dependents go first");
    }
    until("the dependents are gone", || k.ok("get rs,pods -l app=quartet -o name").is_empty().then_some(()));
}
