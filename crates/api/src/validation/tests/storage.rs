//! Kinds of `storage.k8s.io`.

use serde_json::{Value, json};

use super::{check, check_update, create, kind, lines};

#[test]
fn classes() {
    let class = json!({"metadata": {"name": "fast"}, "provisioner": "Example.com/fast"});
    let topology = |values: Value| json!([{"matchLabelExpressions": [{"key": "zone", "values": values}]}]);
    check(
        "StorageClass",
        &class,
        &[
            ("/provisioner", json!(""), "provisioner: Required value"),
            (
                "/reclaimPolicy",
                json!("Recycle"),
                "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"",
            ),
            (
                "/volumeBindingMode",
                json!("Later"),
                "volumeBindingMode: Unsupported value: \"Later\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
            ),
            ("/parameters", json!({"": "x"}), "parameters: Invalid value: \"\": field can not be empty."),
            (
                "/parameters",
                json!({"a": "x".repeat(300_000)}),
                "parameters: Too long: may not be more than 262144 bytes",
            ),
            ("/allowedTopologies", topology(json!(["a", "b"])), ""),
            (
                "/allowedTopologies",
                topology(json!([])),
                "allowedTopologies[0].matchLabelExpressions[0].values: Required value",
            ),
            (
                "/allowedTopologies",
                topology(json!(["a", "a"])),
                "allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"a\"",
            ),
        ],
    );
    check_update(
        "StorageClass",
        &class,
        &[
            ("/provisioner", json!("x"), "provisioner: Invalid value: \"x\": field is immutable"),
            (
                "/reclaimPolicy",
                json!("Retain"),
                "reclaimPolicy: Invalid value: \"Retain\": field is immutable",
            ),
            ("/allowVolumeExpansion", json!(true), ""),
        ],
    );
    let attributes =
        json!({"metadata": {"name": "gold"}, "driverName": "d.example.com", "parameters": {"iops": "1"}});
    check(
        "VolumeAttributesClass",
        &attributes,
        &[("/parameters", json!({}), "parameters: Required value: must contain at least one key/value pair")],
    );
    check_update(
        "VolumeAttributesClass",
        &attributes,
        &[(
            "/parameters",
            json!({"iops": "2"}),
            "parameters: Forbidden: updates to parameters are forbidden.",
        )],
    );
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn drivers_and_nodes() {
    let driver = json!({"metadata": {"name": "d.example.com"}, "spec": {}});
    check(
        "CSIDriver",
        &driver,
        &[
            (
                "/spec/fsGroupPolicy",
                json!("All"),
                "spec.fsGroupPolicy: Unsupported value: \"All\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\"",
            ),
            (
                "/spec/tokenRequests",
                json!([{"audience": "a"}, {"audience": "a"}]),
                "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
            ),
            (
                "/spec/tokenRequests",
                json!([{"audience": "a", "expirationSeconds": 10}]),
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes",
            ),
            (
                "/spec/volumeLifecycleModes",
                json!(["Forever"]),
                "spec.volumeLifecycleModes: Unsupported value: \"Forever\": supported values: \"Persistent\", \"Ephemeral\"",
            ),
            (
                "/spec/serviceAccountTokenInSecrets",
                json!(true),
                "spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no tokenRequests are specified",
            ),
        ],
    );
    check_update(
        "CSIDriver",
        &driver,
        &[
            (
                "/spec/attachRequired",
                json!(false),
                "spec.attachedRequired: Invalid value: false: field is immutable",
            ),
            ("/spec/podInfoOnMount", json!(true), ""),
        ],
    );
    let mut asking = create("CSIDriver", driver);
    asking["spec"]["tokenRequests"] = json!([{"audience": "a"}]);
    assert_eq!(kind("CSIDriver").warnings(&asking, None).len(), 1);
    assert!(kind("CSIDriver").warnings(&asking, Some(&asking)).is_empty());

    let node =
        json!({"metadata": {"name": "n"}, "spec": {"drivers": [{"name": "d.example.com", "nodeID": "n"}]}});
    let first = "/spec/drivers/0";
    check(
        "CSINode",
        &node,
        &[
            (first, json!({"nodeID": "n"}), "spec.drivers[0].name: Required value"),
            (first, json!({"name": "d"}), "spec.drivers[0].nodeID: Required value"),
            (
                first,
                json!({"name": "d", "nodeID": "n", "allocatable": {"count": -1}}),
                "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                first,
                json!({"name": "d", "nodeID": "n", "topologyKeys": ["a", "a"]}),
                "spec.drivers[0]: Duplicate value: \"a\"",
            ),
        ],
    );
    check_update(
        "CSINode",
        &node,
        &[
            ("/spec/drivers/0/allocatable", json!({"count": 1}), ""),
            (
                "/spec/drivers/0/nodeID",
                json!("m"),
                "spec.drivers: Invalid value: {\"name\":\"d.example.com\",\"nodeID\":\"m\",\"topologyKeys\":null}: field is immutable",
            ),
            ("/spec/drivers", json!([]), ""),
        ],
    );
}

#[test]
fn capacities_and_attachments() {
    let capacity =
        json!({"metadata": {"name": "c", "namespace": "d"}, "storageClassName": "fast", "capacity": "1Gi"});
    check(
        "CSIStorageCapacity",
        &capacity,
        &[
            ("/capacity", json!("-1"), "capacity: Invalid value: \"-1\": must be greater than or equal to 0"),
            (
                "/storageClassName",
                json!("Fast"),
                format!(
                    "storageClassName: Invalid value: \"Fast\": {}",
                    crate::validation::names::dns1123_subdomain("Fast")[0]
                )
                .leak(),
            ),
        ],
    );
    check_update(
        "CSIStorageCapacity",
        &capacity,
        &[
            (
                "/storageClassName",
                json!("slow"),
                "storageClassName: Invalid value: \"slow\": field is immutable",
            ),
            ("/capacity", json!("2Gi"), ""),
        ],
    );
    let attachment = json!({"metadata": {"name": "a"}, "spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}});
    check(
        "VolumeAttachment",
        &attachment,
        &[
            ("/spec/attacher", json!(""), "spec.attacher: Required value"),
            (
                "/spec/source",
                json!({}),
                "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
            ),
            (
                "/spec/source/inlineVolumeSpec",
                json!({}),
                "spec.source: Forbidden: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
            ),
        ],
    );
    check_update(
        "VolumeAttachment",
        &attachment,
        &[(
            "/spec/nodeName",
            json!("m"),
            "spec: Invalid value: {\"attacher\":\"d.example.com\",\"nodeName\":\"m\",\"source\":{\"persistentVolumeName\":\"v\"}}: field is immutable",
        )],
    );
    let mut failed = create("VolumeAttachment", attachment);
    assert_eq!(failed["status"], json!({"attached": false}));
    failed["status"]["attachError"] = json!({"message": "x".repeat(1025), "errorCode": -1});
    assert_eq!(
        lines(&kind("VolumeAttachment").validate(&failed)),
        "status.attachError.message: Too long: may not be more than 1024 bytes\nstatus.attachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive"
    );
}
