//! Which objects of a collection are meant: label and field selectors together.

use bytes::Bytes;
use konzert_api::selector::{FieldSelector, LabelSelector};
use konzert_api::{ApiError, Kind};
use serde_json::Value;

use super::Place;
use crate::options::ListOptions;

/// A conjunction of both selectors.
#[derive(Debug)]
pub(crate) struct Filter {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    pub(crate) fn parse(kind: &Kind, options: &ListOptions) -> Result<Self, ApiError> {
        let labels = LabelSelector::parse(options.label_selector.as_deref().unwrap_or_default())?;
        let fields = kind.field_selector(options.field_selector.as_deref().unwrap_or_default())?;
        Ok(Self { labels, fields })
    }

    /// Whether nothing is filtered out, so that objects need not be looked into.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.matches_object(object) && self.fields.matches(object)
    }

    /// As [`Self::matches`], on stored bytes.
    pub(crate) fn matches_stored(&self, place: &Place, stored: &Bytes) -> Result<bool, ApiError> {
        if self.is_everything() {
            return Ok(true);
        }
        Ok(self.matches(&place.read(stored)?))
    }

    /// The narrowest key prefix that holds every match. `metadata.name=x` in a known namespace is one key; a prefix ends
    /// at the name's end, so longer names with the same start still go through [`Self::matches`].
    pub(crate) fn prefix(&self, place: &Place) -> String {
        let mut place = place.clone();
        if place.kind.namespaced() && place.namespace.is_none() {
            place.namespace = self.fields.required("metadata.namespace").map(str::to_owned);
        }
        match self.fields.required("metadata.name") {
            Some(name) if place.namespace.is_some() || !place.kind.namespaced() => place.key(name),
            _ => place.prefix(),
        }
    }
}
