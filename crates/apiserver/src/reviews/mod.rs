//! Questions that are created, answered and not stored: who am I, who is behind this token, may I, may they, what may I.
//!
//! Each is a row of the catalogue without storage ([`konzert_api::StorageClass::Virtual`]); which row asks what is said by one
//! table ([`ANSWERS`]). Answers come from the same policy that decides requests ([`crate::auth`]).

mod access;
mod token;

use konzert_api::{ApiError, FieldError, GroupKind, meta};
use serde_json::Value;

pub(crate) use self::token::token_request;
use crate::auth::User;
use crate::decode::{RawBody, shape};
use crate::dispatch::App;
use crate::options::WriteOptions;
use crate::registry::{Author, Mode, Place, settle_namespace};

/// A review on its way to an answer.
struct Question<'a> {
    app: &'a App,
    user: &'a User,
    place: &'a Place,
    review: &'a Value,
}

/// The status of the review.
type Answer = fn(&Question<'_>) -> Result<Value, ApiError>;

/// By kind.
const ANSWERS: &[(&str, Answer)] = &[
    ("LocalSubjectAccessReview", access::local),
    ("SelfSubjectAccessReview", access::of_self),
    ("SelfSubjectReview", |question| Ok(serde_json::json!({ "userInfo": question.user.to_user_info() }))),
    ("SelfSubjectRulesReview", access::rules),
    ("SubjectAccessReview", access::of_subject),
    ("TokenReview", token::review),
];

/// The answered review, and warnings about what was asked.
pub(crate) fn answer(
    app: &App,
    user: &User,
    place: &Place,
    body: &RawBody,
    options: &WriteOptions,
) -> Result<(Value, Vec<String>), ApiError> {
    let document = body.object(place.kind.kind())?;
    let mut review = document.value;
    let warnings = shape(&place.kind, &mut review, document.problems, options.field_validation)?;
    settle_namespace(place, &mut review)?;
    app.registry.track_new(place, &Author::new(&options.manager, Mode::Whole), &mut review)?;
    let found = ANSWERS.iter().find(|(kind, _)| *kind == place.kind.kind());
    let (_, answer) = found.ok_or_else(ApiError::no_such_resource)?;
    let status = answer(&Question { app, user, place, review: &review })?;
    review["status"] = status;
    // These two answer who asks, not what was asked.
    if ["SelfSubjectReview", "SelfSubjectRulesReview"].contains(&place.kind.kind()) {
        review["metadata"] = serde_json::json!({});
        if let Some(map) = review.as_object_mut().filter(|map| map.contains_key("spec")) {
            map.insert("spec".to_owned(), serde_json::json!({}));
        }
    }
    if let Some(metadata) = meta::metadata_mut(&mut review) {
        metadata.entry("creationTimestamp").or_insert(Value::Null);
    }
    Ok((review, warnings))
}

impl Question<'_> {
    fn text(&self, pointer: &str) -> &str {
        self.review.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn texts(&self, pointer: &str) -> Vec<String> {
        texts(self.review.pointer(pointer))
    }

    fn invalid(&self, errors: Vec<FieldError>) -> ApiError {
        // Kubernetes names the group only.
        ApiError::invalid(&GroupKind::new(self.place.kind.group(), ""), "", errors)
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}
