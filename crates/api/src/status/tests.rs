//! Status objects, word for word.

use super::*;

fn pods() -> GroupResource {
    GroupResource::new("", "pods")
}

fn deployments() -> GroupResource {
    GroupResource::new("apps", "deployments")
}

#[test]
fn messages() {
    let table = [
        (ApiError::not_found(&pods(), "x"), 404, "NotFound", r#"pods "x" not found"#),
        (
            ApiError::already_exists(&deployments(), "x"),
            409,
            "AlreadyExists",
            r#"deployments.apps "x" already exists"#,
        ),
        (
            ApiError::conflict(&deployments(), "x"),
            409,
            "Conflict",
            r#"Operation cannot be fulfilled on deployments.apps "x": the object has been modified; please apply your changes to the latest version and try again"#,
        ),
        (
            ApiError::method_not_supported(&pods(), "patch"),
            405,
            "MethodNotAllowed",
            r#"patch is not supported on resources of kind "pods""#,
        ),
        (ApiError::forbidden(&pods(), "x", "no"), 403, "Forbidden", r#"pods "x" is forbidden: no"#),
        (ApiError::internal("boom"), 500, "InternalError", "Internal error occurred: boom"),
    ];
    for (error, code, reason, message) in table {
        assert_eq!((error.code, error.reason, error.message.as_str()), (code, reason, message));
    }
}

#[test]
fn one_cause() {
    let error = ApiError::invalid(
        &GroupKind::new("", "Pod"),
        "x",
        vec![FieldError::required("spec.containers[0].image", "")],
    );
    insta::assert_json_snapshot!(error.to_status(), @r#"
    {
      "apiVersion": "v1",
      "code": 422,
      "details": {
        "causes": [
          {
            "field": "spec.containers[0].image",
            "message": "Required value",
            "reason": "FieldValueRequired"
          }
        ],
        "kind": "Pod",
        "name": "x"
      },
      "kind": "Status",
      "message": "Pod \"x\" is invalid: spec.containers[0].image: Required value",
      "metadata": {},
      "reason": "Invalid",
      "status": "Failure"
    }
    "#);
}

#[test]
fn several_causes_are_listed_once_each() {
    let errors = vec![
        FieldError::invalid("spec.replicas", -1, "must be greater than or equal to 0"),
        FieldError::not_supported("spec.x", "z", &["a", "b"]),
        FieldError::not_supported("spec.x", "z", &["a", "b"]),
        FieldError::forbidden("spec.y", "may not"),
        FieldError::too_long("spec.n", 63),
        FieldError::too_many("spec.l", 5, 3),
        FieldError::duplicate("spec.d", "web"),
        FieldError::immutable("spec.selector", &json!({"a": 1})),
    ];
    let error = ApiError::invalid(&GroupKind::new("apps", "Deployment"), "x", errors);
    insta::assert_snapshot!(error.message, @r#"Deployment.apps "x" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, spec.x: Unsupported value: "z": supported values: "a", "b", spec.y: Forbidden: may not, spec.n: Too long: may not be more than 63 bytes, spec.l: Too many: 5: must have at most 3 items, spec.d: Duplicate value: "web", spec.selector: Invalid value: {"a":1}: field is immutable]"#);
}

#[test]
fn not_found_details_name_the_resource() {
    assert_eq!(
        ApiError::not_found(&deployments(), "x").to_status()["details"],
        json!({"name": "x", "group": "apps", "kind": "deployments"})
    );
}
