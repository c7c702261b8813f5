//! What people do with Helm, with a chart that has a definition, a custom resource and hooks.

use std::path::Path;
use std::process::Command;

use crate::client::{Client, has};
use crate::table::Row;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/matrix/chart");

pub(crate) const ROWS: &[Row] = &[
    ("lint, template", |h| {
        has(&h.ok(&format!("lint {CHART}")), &["0 chart(s) failed"]);
        has(&h.ok(&format!("template a {CHART}")), &["kind: Score"]);
    }),
    ("install with definitions and hooks", |h| {
        let said = h.ok(&format!("install a {CHART} --create-namespace --wait --timeout 90s"));
        has(&said, &["NAME: a", "STATUS: deployed", "REVISION: 1"]);
        lives(h, "andante", 1);
    }),
    ("install of what is installed", |h| {
        has(&h.fails(&format!("install a {CHART}")), &["name that is still in use"]);
    }),
    ("template --validate, upgrade --dry-run=server", |h| {
        has(&h.ok(&format!("template other {CHART} --validate")), &["kind: Score"]);
        let said = h.ok(&format!("upgrade a {CHART} --set tempo=presto --dry-run=server"));
        has(&said, &["kind: Deployment", "tempo: presto"]);
        lives(h, "andante", 1);
    }),
    ("status", |h| has(&h.ok("status a"), &["STATUS: deployed", "REVISION: 1"])),
    ("list", |h| {
        has(&h.ok("list"), &["a", "deployed", "orchestra-0.1.0"]);
        assert_eq!(h.json("list")[0]["revision"], "1");
    }),
    ("get values, manifest, hooks", |h| {
        has(&h.ok("get values a --all"), &["tempo: andante"]);
        has(&h.ok("get manifest a"), &["kind: Score", "tempo: andante"]);
        has(&h.ok("get hooks a"), &["a-pre-install"]);
    }),
    ("test", |h| has(&h.ok("test a --timeout 60s"), &["Succeeded"])),
    ("upgrade", |h| {
        let said =
            h.ok(&format!("upgrade a {CHART} --set tempo=allegro --set replicas=2 --wait --timeout 90s"));
        has(&said, &["has been upgraded", "STATUS: deployed", "REVISION: 2"]);
        has(&h.ok("get manifest a"), &["tempo: allegro", "replicas: 2"]);
        lives(h, "allegro", 2);
    }),
    ("upgrade that is refused", |h| {
        let said = h.fails(&format!("upgrade a {CHART} --set tempo=loud"));
        has(&said, &["spec.tempo", "Unsupported value", "\"loud\""]);
    }),
    ("history", |h| {
        let history = h.json("history a");
        let told: Vec<&str> =
            history.as_array().unwrap().iter().map(|r| r["status"].as_str().unwrap()).collect();
        assert_eq!(told, ["superseded", "deployed", "failed"]);
    }),
    ("rollback", |h| {
        has(&h.ok("rollback a 1 --wait --timeout 90s"), &["Rollback was a success"]);
        lives(h, "andante", 1);
        has(&h.ok("history a"), &["Rollback to 1"]);
    }),
    ("upgrade --install, --atomic", |h| {
        h.ok(&format!("upgrade --install b {CHART} --wait --timeout 90s"));
        let said = h.fails(&format!("upgrade b {CHART} --set image=test/none:1.0 --atomic --timeout 5s"));
        has(&said, &["b"]);
        has(&h.ok("get manifest b"), &["image: test/app:1.0"]);
    }),
    ("uninstall", |h| {
        has(
            &h.ok("uninstall a b --wait --timeout 90s"),
            &["release \"a\" uninstalled", "release \"b\" uninstalled"],
        );
        assert_eq!(h.ok("list -q").trim(), "");
        has(&h.fails("status a"), &["not found"]);
    }),
];

/// The version of a Helm, such as `4.3.1`.
pub(crate) fn version(program: &Path) -> String {
    let output = Command::new(program).args(["version", "--template", "{{.Version}}"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().trim_start_matches('v').to_owned()
}

/// What the release is, as the API tells it.
fn lives(h: &Client<'_>, tempo: &str, replicas: u64) {
    let deployment = h.live(&format!("/apis/apps/v1/namespaces/{}/deployments/a", h.namespace));
    assert_eq!(deployment["status"]["readyReplicas"], replicas, "{deployment}");
    assert_eq!(deployment["spec"]["template"]["metadata"]["annotations"]["tempo"], tempo);
    let score = h.live(&format!("/apis/matrix.konzert.dev/v1/namespaces/{}/scores/a", h.namespace));
    assert_eq!(score["spec"]["tempo"], tempo);
    assert_eq!(score["spec"]["bars"], 4, "the default of the definition");
}
