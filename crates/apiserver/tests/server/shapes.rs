//! Shapes of answers: Table, metadata only, compression, 406.

use std::io::Read;

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, PODS, Server, config_map, pod, server};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;\
                     g=meta.k8s.io,application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

async fn get(server: &Server, path: &str, accept: &str) -> Value {
    server.call("GET", path, &[("accept", accept)], Vec::new()).await.expect(200)
}

#[tokio::test]
async fn tables() {
    let server = server().await;
    server.post(PODS, &pod("a")).await.expect(201);
    let table = get(&server, PODS, TABLE).await;
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    let names: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names[..5], ["Name", "Ready", "Status", "Restarts", "Age"]);
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(table["metadata"]["resourceVersion"], server.store.revision().to_string());
    let whole = get(&server, &format!("{PODS}?includeObject=Object"), TABLE).await;
    assert_eq!(whole["rows"][0]["object"]["spec"]["containers"][0]["name"], "main");
    let one = get(&server, &format!("{PODS}/a"), TABLE).await;
    assert_eq!(one["rows"].as_array().unwrap().len(), 1);
    let old = get(&server, PODS, "application/json;as=Table;v=v1beta1;g=meta.k8s.io").await;
    assert_eq!(old["apiVersion"], "meta.k8s.io/v1beta1");
    let mut watched = server.watch(&format!("{PODS}?watch=1"), TABLE).await;
    let event = watched.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["rows"][0]["cells"][0]), (&json!("ADDED"), &json!("a")));
}

#[tokio::test]
async fn metadata_only() {
    let server = server().await;
    server.post(PODS, &pod("a")).await.expect(201);
    let one = get(&server, &format!("{PODS}/a"), METADATA).await;
    assert_eq!((&one["kind"], one.get("spec")), (&json!("PartialObjectMetadata"), None));
    let list = get(&server, PODS, METADATA_LIST).await;
    assert_eq!((&list["kind"], &list["items"][0]), (&json!("PartialObjectMetadataList"), &one));
    let mut watched = server.watch(&format!("{PODS}?watch=1"), METADATA).await;
    assert_eq!(watched.next().await.unwrap()["object"], one);
}

#[tokio::test]
async fn what_cannot_be_given_is_406() {
    let server = server().await;
    for accept in
        ["application/vnd.kubernetes.protobuf", "text/html", "application/json;as=Table;v=v7;g=meta.k8s.io"]
    {
        let answer = server.call("GET", PODS, &[("accept", accept)], Vec::new()).await.expect(406);
        assert_eq!(answer["reason"], "NotAcceptable", "{accept}");
    }
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let server = server().await;
    for n in 0..4 {
        let mut object = config_map(&format!("c{n}"));
        object["data"]["k"] = json!("text ".repeat(10_000));
        server.post(CONFIG_MAPS, &object).await.expect(201);
    }
    let gzip = [("accept-encoding", "gzip")];
    let plain = server.get(CONFIG_MAPS).await;
    assert_eq!(plain.header("content-length"), plain.body.len().to_string());
    let compressed = server.call("GET", CONFIG_MAPS, &gzip, Vec::new()).await;
    assert_eq!(compressed.header("content-encoding"), "gzip");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(compressed.body.as_slice()).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain.body);
    let small = server.call("GET", &format!("{CONFIG_MAPS}/c0"), &gzip, Vec::new()).await;
    assert_eq!(small.header("content-encoding"), "");
}
