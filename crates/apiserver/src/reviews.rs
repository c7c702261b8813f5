//! Questions callers ask about themselves: who am I, may I, what may I.
//!
//! Nothing is stored. Answers come from the same policy that decides requests ([`crate::auth`]).

use konzert_api::ApiError;
use serde_json::{Map, Value, json};

use crate::auth::{Attributes, MASTERS, User, allowed, allowed_path};
use crate::decode::{RawBody, expect_kind};
use crate::request::{ResourcePath, Verb};

/// The review a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Review {
    Subject,
    Access,
    Rules,
}

impl Review {
    /// `None`: an ordinary resource.
    pub(crate) fn of(path: &ResourcePath, verb: Verb) -> Option<Self> {
        if verb != Verb::Create || path.version != "v1" || path.name.is_some() {
            return None;
        }
        match (path.group.as_str(), path.resource.as_str()) {
            ("authentication.k8s.io", "selfsubjectreviews") => Some(Self::Subject),
            ("authorization.k8s.io", "selfsubjectaccessreviews") => Some(Self::Access),
            ("authorization.k8s.io", "selfsubjectrulesreviews") => Some(Self::Rules),
            _ => None,
        }
    }

    /// The answered review.
    pub(crate) fn answer(self, user: &User, body: &RawBody) -> Result<Value, ApiError> {
        let (api_version, kind) = match self {
            Self::Subject => ("authentication.k8s.io/v1", "SelfSubjectReview"),
            Self::Access => ("authorization.k8s.io/v1", "SelfSubjectAccessReview"),
            Self::Rules => ("authorization.k8s.io/v1", "SelfSubjectRulesReview"),
        };
        let mut review = body.document()?.value;
        expect_kind(&mut review, api_version, kind)?;
        review["status"] = match self {
            Self::Subject => json!({ "userInfo": { "username": user.name, "groups": user.groups } }),
            Self::Access => self_access(user, &review)?,
            Self::Rules => self_rules(user),
        };
        let metadata = &mut review["metadata"];
        if !metadata.is_object() {
            *metadata = Value::Object(Map::new());
        }
        Ok(review)
    }
}

fn self_access(user: &User, review: &Value) -> Result<Value, ApiError> {
    let text = |pointer: &str| review.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let resource = review.pointer("/spec/resourceAttributes").is_some_and(Value::is_object);
    let path = review.pointer("/spec/nonResourceAttributes").is_some_and(Value::is_object);
    let allowed = match (resource, path) {
        (true, false) => allowed(
            user,
            &Attributes {
                verb: text("/spec/resourceAttributes/verb"),
                group: text("/spec/resourceAttributes/group"),
                resource: text("/spec/resourceAttributes/resource"),
                subresource: text("/spec/resourceAttributes/subresource"),
                namespace: text("/spec/resourceAttributes/namespace"),
                name: text("/spec/resourceAttributes/name"),
            },
        ),
        (false, true) => allowed_path(user, text("/spec/nonResourceAttributes/path")),
        _ => {
            return Err(ApiError::bad_request(
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ));
        }
    };
    Ok(json!({ "allowed": allowed }))
}

fn self_rules(user: &User) -> Value {
    if user.groups.iter().any(|g| g == MASTERS) {
        return json!({
            "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
            "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
            "incomplete": false,
        });
    }
    json!({
        "resourceRules": [
            { "verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"] },
            {
                "verbs": ["create"],
                "apiGroups": ["authorization.k8s.io"],
                "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            },
        ],
        "nonResourceRules": [{
            "verbs": ["get"],
            "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi/*", "/readyz", "/version"],
        }],
        "incomplete": false,
    })
}
