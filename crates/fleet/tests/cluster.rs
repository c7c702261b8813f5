//! Scan, patch and reap against a real API server in this process; the test plays the node and the controllers.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use konzert_api::own::{CampaignPhase, ImageReport, ReapPolicySpec, ReapRecord, ReportState, WorkloadState};
use konzert_fleet::patch::{self, Command, PatchRequest};
use konzert_fleet::reap;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use support::{ADVISORY, Cluster, FIXED};

fn request() -> PatchRequest {
    PatchRequest {
        advisories: vec![ADVISORY.into()],
        severity: None,
        namespaces: vec![],
        selector: String::new(),
        waves: vec!["1".into(), "100%".into()],
        soak_seconds: 0,
        ready_seconds: 3,
        max_workloads: 10,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_unknown_until_a_source_covers_the_distribution() {
    let cluster = Cluster::new().await;
    let app = cluster.app("web", "1.0");
    cluster.run_pod("a", &app).await;
    let scanner = cluster.scanner();
    let before = scanner.scan_fleet().await.unwrap();
    assert_eq!((before.containers[0].state, before.unknown), (ReportState::Unknown, 1));
    cluster.announce();
    let after = scanner.scan_fleet().await.unwrap();
    assert_eq!((after.containers[0].state, after.exposed), (ReportState::Complete, 1));
    assert_eq!(after.containers[0].findings[0].origin, "base");
    assert!(scanner.exposed(&["CVE-TYPO".into()]).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_follow_containers_and_advisories_without_reading_an_image_again() {
    let cluster = Cluster::new().await;
    let (web, api) = (cluster.app("web", "1.0"), cluster.app("api", "1.0"));
    let scanner = cluster.scanner();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(scanner.clone().run(stopped));
    cluster.run_pod("a", &web).await;
    cluster.run_pod("b", &web).await;
    cluster.run_pod("c", &api).await;
    let state = |reports: &[ImageReport]| -> BTreeSet<(String, u32, u32)> {
        let row = |r: &ImageReport| r.status.as_ref().map(|s| (r.spec.image.clone(), s.running, s.affected));
        reports.iter().filter_map(row).collect()
    };
    let want =
        |affected| BTreeSet::from([("web:1.0".to_owned(), 2, affected), ("api:1.0".to_owned(), 1, affected)]);
    cluster
        .eventually("two reports without findings", |reports: &[ImageReport]| state(reports) == want(0))
        .await;
    // Base and program are shared: four layers for two images of three.
    let reads = scanner.reads();
    assert_eq!(reads, 4);
    cluster.announce();
    cluster.eventually("a finding in each", |reports: &[ImageReport]| state(reports) == want(1)).await;
    assert_eq!(scanner.reads(), reads);
    Api::<Pod>::default_namespaced(cluster.client.clone())
        .delete("c", &kube::api::DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    cluster
        .eventually("the report of an image that runs nowhere goes", |reports: &[ImageReport]| {
            reports.len() == 1
        })
        .await;
    stop.send_replace(true);
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_patches_pods_in_waves_and_can_be_undone() {
    let cluster = Cluster::new().await;
    let app = cluster.app("web", "1.0");
    cluster.announce();
    cluster.run_pod("a", &app).await;
    cluster.run_pod("b", &app).await;
    let scanner = cluster.scanner();
    let refused = patch::plan(&scanner, &cluster.images, &request()).await.unwrap();
    assert!(refused.refusal.is_some() && refused.not_patchable[0].reason.contains("base"), "{refused:?}");
    cluster.base("1.1", FIXED);
    let plan = patch::plan(&scanner, &cluster.images, &request()).await.unwrap();
    assert_eq!((plan.exposed, plan.waves.len()), (2, 2));
    let played = cluster.play(&scanner);
    let campaign = patch::create(cluster.client.clone(), &scanner, &request()).await.unwrap();
    let name = campaign.name_any();
    let ended = patch::follow(cluster.client.clone(), &name, &mut |_| {}).await.unwrap();
    let status = ended.status.unwrap();
    assert_eq!(
        (status.phase, status.patched, status.exposed_after),
        (CampaignPhase::Completed, 2, 0),
        "{}",
        status.message
    );
    assert!(status.workloads.iter().all(|w| w.changes[0].evidence.contains("none has it")));
    assert!(cluster.pod_image("a").await.starts_with("web:1.0-kz"));
    patch::command(cluster.client.clone(), &name, Command::Undo).await.unwrap();
    cluster.campaign_phase(&name, CampaignPhase::Undone).await;
    assert_eq!(cluster.pod_image("a").await, "web:1.0");
    played.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_that_does_not_become_ready_is_put_back() {
    let cluster = Cluster::new().await;
    let app = cluster.app("web", "1.0");
    cluster.announce();
    cluster.run_pod("a", &app).await;
    cluster.run_pod("b", &app).await;
    cluster.base("1.1", FIXED);
    let scanner = cluster.scanner();
    let played = cluster.play_badly(&scanner);
    let campaign = patch::create(cluster.client.clone(), &scanner, &request()).await.unwrap();
    let ended = patch::follow(cluster.client.clone(), &campaign.name_any(), &mut |_| {}).await.unwrap();
    let status = ended.status.unwrap();
    assert_eq!(status.phase, CampaignPhase::RolledBack, "{}", status.message);
    let states: Vec<WorkloadState> = status.workloads.iter().map(|w| w.state).collect();
    assert_eq!(states, [WorkloadState::RolledBack, WorkloadState::Waiting]);
    assert_eq!(
        (cluster.pod_image("a").await, cluster.pod_image("b").await),
        ("web:1.0".into(), "web:1.0".into())
    );
    played.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_over_its_cap_is_refused_and_changes_nothing() {
    let cluster = Cluster::new().await;
    let app = cluster.app("web", "1.0");
    cluster.announce();
    cluster.run_pod("a", &app).await;
    cluster.run_pod("b", &app).await;
    cluster.base("1.1", FIXED);
    let scanner = cluster.scanner();
    let played = cluster.play(&scanner);
    let over = PatchRequest { max_workloads: 1, ..request() };
    let campaign = patch::create(cluster.client.clone(), &scanner, &over).await.unwrap();
    let ended = patch::follow(cluster.client.clone(), &campaign.name_any(), &mut |_| {}).await.unwrap();
    assert_eq!(ended.status.unwrap().phase, CampaignPhase::Refused);
    assert_eq!(cluster.pod_image("a").await, "web:1.0");
    played.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reaping_records_destroys_and_undoes() {
    let cluster = Cluster::new().await;
    let stale = cluster.app("stale", "0.9");
    let used = cluster.app("web", "1.0");
    cluster.run_pod("a", &used).await;
    let configs: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::default_namespaced(cluster.client.clone());
    cluster.apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "old", "annotations": {"janitor/expires": "2020-01-01"}}, "data": {"k": "v"}})).await;
    let policy = ReapPolicySpec { unused_images_after_seconds: Some(0), ..ReapPolicySpec::default() };
    let images = Some(&*cluster.images);
    let now = Timestamp::now().checked_add(Duration::from_secs(1)).unwrap();
    let plan = reap::plan(cluster.client.clone(), images, &policy, now).await.unwrap();
    let planned: Vec<&str> = plan.destroys.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(planned, ["old", "stale:0.9"], "the base of a used image is needed");
    let records = reap::execute(cluster.client.clone(), images, &policy, now).await.unwrap();
    assert!(records.iter().all(|r| r.status.as_ref().is_some_and(|s| s.state == "Destroyed")), "{records:?}");
    assert!(configs.get_opt("old").await.unwrap().is_none());
    assert!(cluster.images.by_digest(&stale.digest).unwrap().is_none());
    for record in &records {
        reap::undo(cluster.client.clone(), images, &record.name_any()).await.unwrap();
        assert!(
            reap::undo(cluster.client.clone(), images, &record.name_any()).await.is_err(),
            "undone once only"
        );
    }
    let back = configs.get("old").await.unwrap();
    assert_eq!(back.data.unwrap()["k"], "v");
    assert!(cluster.images.by_digest(&stale.digest).unwrap().is_some());
    assert!(reap::undo(cluster.client.clone(), images, "rr-none").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_took_the_name_of_the_condemned_is_not_destroyed() {
    let cluster = Cluster::new().await;
    let expired = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "annotations": {"janitor/expires": "2020-01-01"}}});
    cluster.apply(expired).await;
    let configs: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::default_namespaced(cluster.client.clone());
    let policy = ReapPolicySpec::default();
    let keep = Patch::Merge(json!({"metadata": {"annotations": {"konzert.dev/keep": "true"}}}));
    configs.patch("x", &PatchParams::default(), &keep).await.unwrap();
    let records = reap::execute(cluster.client.clone(), None, &policy, Timestamp::now()).await.unwrap();
    assert!(records.is_empty(), "a keep annotation wins");
    let log = reap::log(cluster.client.clone()).await.unwrap();
    assert!(log.is_empty());
    let all = Api::<ReapRecord>::all(cluster.client.clone()).list(&ListParams::default()).await.unwrap();
    assert!(all.items.is_empty() && configs.get_opt("x").await.unwrap().is_some());
}
