//! Content negotiation: which shape of answer `Accept` asks for, and how a body says it is encoded.
//!
//! Answers are JSON or YAML, and their shape varies (the object, a Table, metadata only). Media ranges are taken in the order of
//! their quality, then of their appearance, as Kubernetes does.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use konzert_api::ApiError;

/// Media types offered when nothing fits.
const OFFERED: &[&str] = &["application/json", "application/yaml"];
const STREAMED: &[&str] = &["application/json"];
const MAX_RANGES: usize = 32;

/// The shape of a resource in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The object, or the list of objects.
    Object,
    /// `meta.k8s.io` Table of that version.
    Table(MetaVersion),
    /// `PartialObjectMetadata` or its list.
    Metadata(MetaVersion),
}

/// Version of the `meta.k8s.io` group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaVersion {
    V1,
    V1Beta1,
}

impl MetaVersion {
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// One element of an `Accept` header.
#[derive(Clone, Debug, PartialEq)]
struct MediaRange {
    media: String,
    params: Vec<(String, String)>,
    quality: f32,
}

impl MediaRange {
    fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut quality = 1.0;
        let mut params = Vec::new();
        for (key, value) in parts.filter_map(|p| p.split_once('=')) {
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned());
            if key == "q" {
                quality = value.parse().unwrap_or(1.0);
            } else {
                params.push((key, value));
            }
        }
        Self { media, params, quality }
    }

    fn param(&self, key: &str) -> Option<&str> {
        self.params.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    fn takes_json(&self) -> bool {
        matches!(self.media.as_str(), "application/json" | "application/*" | "*/*")
    }

    fn takes_yaml(&self) -> bool {
        self.media == "application/yaml"
    }

    /// `Some` when this range asks for something that can be given.
    fn shape(&self) -> Option<Shape> {
        if !(self.takes_json() || self.takes_yaml()) || self.quality <= 0.0 {
            return None;
        }
        let Some(kind) = self.param("as") else { return Some(Shape::Object) };
        let version = match (self.param("g"), self.param("v")) {
            (Some("meta.k8s.io"), Some("v1")) => MetaVersion::V1,
            (Some("meta.k8s.io"), Some("v1beta1")) => MetaVersion::V1Beta1,
            _ => return None,
        };
        match kind {
            "Table" => Some(Shape::Table(version)),
            "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Shape::Metadata(version)),
            _ => None,
        }
    }
}

fn ranges(headers: &HeaderMap) -> Vec<MediaRange> {
    let mut ranges: Vec<MediaRange> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .take(MAX_RANGES)
        .map(MediaRange::parse)
        .collect();
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    ranges
}

/// The shape a resource is answered in; 406 when nothing that is asked for can be given.
pub(crate) fn shape(headers: &HeaderMap) -> Result<Shape, ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Shape::Object);
    }
    ranges.iter().find_map(MediaRange::shape).ok_or_else(|| ApiError::not_acceptable(OFFERED))
}

/// 406 when no media type that is accepted leads to a handler at all. `streams`: whether the path can be watched.
pub(crate) fn routed(headers: &HeaderMap, streams: bool) -> Result<(), ApiError> {
    if names_offered(headers) {
        return Ok(());
    }
    let offered =
        if streams { [OFFERED, &["application/json;stream=watch"]].concat() } else { OFFERED.to_vec() };
    Err(ApiError::no_such_representation(&offered))
}

/// Whether JSON or YAML is among what is accepted, in whatever shape.
fn names_offered(headers: &HeaderMap) -> bool {
    let ranges = ranges(headers);
    ranges.is_empty() || ranges.iter().any(|range| range.takes_json() || range.takes_yaml())
}

/// As [`shape`], for streams: they are JSON only.
pub(crate) fn stream_shape(headers: &HeaderMap) -> Result<Shape, ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Shape::Object);
    }
    let mut json = ranges.iter().filter(|range| range.takes_json());
    json.find_map(MediaRange::shape).ok_or_else(|| ApiError::not_acceptable(STREAMED))
}

/// Whether YAML is what the client would rather have.
pub(crate) fn prefers_yaml(headers: &HeaderMap) -> bool {
    let ranges = ranges(headers);
    ranges.iter().find(|range| range.shape().is_some()).is_some_and(MediaRange::takes_yaml)
}

/// How a discovery document is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiscoveryShape {
    /// `APIVersions` or `APIGroupList`.
    Plain,
    /// `apidiscovery.k8s.io` of that version.
    Aggregated(&'static str),
}

/// The shape for `/api` and `/apis`.
pub(crate) fn discovery_shape(headers: &HeaderMap) -> Result<DiscoveryShape, ApiError> {
    routed(headers, false)?;
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(DiscoveryShape::Plain);
    }
    let of = |range: &MediaRange| {
        if range.takes_yaml() && range.params.is_empty() {
            return Some(DiscoveryShape::Plain);
        }
        if !range.takes_json() || range.quality <= 0.0 {
            return None;
        }
        match (range.param("as"), range.param("g"), range.param("v")) {
            (None, _, _) => Some(DiscoveryShape::Plain),
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => {
                Some(DiscoveryShape::Aggregated("v2"))
            }
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2beta1")) => {
                Some(DiscoveryShape::Aggregated("v2beta1"))
            }
            _ => None,
        }
    };
    ranges.iter().find_map(of).ok_or_else(|| ApiError::not_acceptable(OFFERED))
}

/// Whether a plain object is acceptable at all.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    routed(headers, false)
}

/// Whether JSON itself is acceptable, where nothing else is given.
pub(crate) fn only_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty() || ranges.iter().any(MediaRange::takes_json) {
        return Ok(());
    }
    Err(ApiError::not_acceptable(STREAMED))
}

/// Whether a media type is named, whatever its parameters.
pub(crate) fn names_media_type(headers: &HeaderMap, media: &str) -> bool {
    ranges(headers).iter().any(|range| range.media == media && range.quality > 0.0)
}

/// Whether the caller takes gzip.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(MediaRange::parse)
        .any(|encoding| encoding.media == "gzip" && encoding.quality > 0.0)
}

/// The media type of a body, lower case, without parameters; empty when the header is missing.
pub(crate) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(ACCEPT, accept.parse().unwrap());
        }
        headers
    }

    #[test]
    fn shapes() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;\
                       g=meta.k8s.io,application/json";
        let table = [
            ("", Some(Shape::Object)),
            ("*/*", Some(Shape::Object)),
            ("application/json", Some(Shape::Object)),
            ("application/vnd.kubernetes.protobuf, application/json", Some(Shape::Object)),
            (kubectl, Some(Shape::Table(MetaVersion::V1))),
            ("application/json;q=0.5,application/json;as=Table;g=meta.k8s.io;v=v1beta1", {
                Some(Shape::Table(MetaVersion::V1Beta1))
            }),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", {
                Some(Shape::Metadata(MetaVersion::V1))
            }),
            ("application/json;as=Table;g=meta.k8s.io;v=v9", None),
            ("application/vnd.kubernetes.protobuf", None),
            ("application/yaml", Some(Shape::Object)),
            ("text/html;q=0.9, application/yaml;q=0.5", Some(Shape::Object)),
            ("application/json;q=0", None),
        ];
        for (accept, want) in table {
            assert_eq!(shape(&headers(accept)).ok(), want, "{accept}");
        }
        assert_eq!(shape(&headers("text/plain")).unwrap_err().code, 406);
    }

    #[test]
    fn yaml() {
        assert!(prefers_yaml(&headers("application/yaml, application/json")));
        assert!(!prefers_yaml(&headers("application/yaml;q=0.5, application/json")));
        assert!(!prefers_yaml(&headers("*/*")));
        assert_eq!(stream_shape(&headers("application/yaml")).unwrap_err().code, 406);
        assert_eq!(stream_shape(&headers("application/yaml, application/json")).unwrap(), Shape::Object);
        assert_eq!(only_json(&headers("application/yaml")).unwrap_err().code, 406);
    }

    #[test]
    fn discovery_shapes() {
        let kubectl = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,\
                       application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(discovery_shape(&headers(kubectl)).unwrap(), DiscoveryShape::Aggregated("v2"));
        assert_eq!(discovery_shape(&headers("application/json")).unwrap(), DiscoveryShape::Plain);
        assert_eq!(discovery_shape(&headers("text/html")).unwrap_err().code, 406);
    }

    #[test]
    fn gzip() {
        let mut headers = HeaderMap::new();
        assert!(!accepts_gzip(&headers));
        headers.insert(ACCEPT_ENCODING, "deflate, gzip;q=0.8".parse().unwrap());
        assert!(accepts_gzip(&headers));
        headers.insert(ACCEPT_ENCODING, "gzip;q=0".parse().unwrap());
        assert!(!accepts_gzip(&headers));
    }
}
