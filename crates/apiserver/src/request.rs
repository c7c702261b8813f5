//! What a request is about, read from its method and path alone.
//!
//! Knows no kinds: whether the resource exists is the registry's question. Follows the path grammar of the Kubernetes API:
//! `/api/v1/…` and `/apis/GROUP/VERSION/…`, with `namespaces/NAMESPACE/` in front of namespaced resources.
//!
//! Invariant: path segments are percent-decoded once and never contain `/`, NUL or `..`, so a storage key made from them
//! cannot leave its prefix.

use http::Method;
use konzert_api::ApiError;

/// Longest path that is looked at.
const MAX_PATH_BYTES: usize = 4096;

/// What the caller wants done, in the words authorization uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it may change something.
    pub(crate) fn writes(self) -> bool {
        match self {
            Self::Get | Self::List | Self::Watch => false,
            Self::Create | Self::Update | Self::Patch | Self::Delete | Self::DeleteCollection => true,
        }
    }

    /// The verb as metrics name it.
    pub(crate) fn metric(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::List => "LIST",
            Self::Watch => "WATCH",
            Self::Create => "POST",
            Self::Update => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::DeleteCollection => "DELETECOLLECTION",
        }
    }
}

/// A resource, a collection or a subresource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    /// Empty for the core group.
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) resource: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Discovery, health, version, `OpenAPI`: the path without trailing slash.
    NonResource(String),
    /// Everything under a group version.
    Resource(ResourcePath),
}

/// Reads the path.
pub(crate) fn target(path: &str) -> Result<Target, ApiError> {
    if path.len() > MAX_PATH_BYTES {
        return Err(ApiError::bad_request("the request path is too long"));
    }
    let segments = segments(path)?;
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => resource("", version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => resource(group, version, rest),
        _ => Ok(Target::NonResource(format!("/{}", words.join("/")))),
    }
}

/// The verb that `method` means for this path. `watch` is the query parameter of that name.
pub(crate) fn verb(method: &Method, path: &ResourcePath, watch: bool) -> Result<Verb, ApiError> {
    let named = path.name.is_some();
    match *method {
        Method::GET | Method::HEAD if named => Ok(Verb::Get),
        Method::GET | Method::HEAD if watch => Ok(Verb::Watch),
        Method::GET | Method::HEAD => Ok(Verb::List),
        // A name is given by the body, or by the path of a subresource.
        Method::POST if !named || path.subresource.is_some() => Ok(Verb::Create),
        Method::PUT if named => Ok(Verb::Update),
        Method::PATCH if named => Ok(Verb::Patch),
        Method::DELETE if named => Ok(Verb::Delete),
        Method::DELETE => Ok(Verb::DeleteCollection),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Result<Target, ApiError> {
    // `namespaces/N/status` and `namespaces/N/finalize` are subresources of the Namespace itself.
    let (namespace, rest) = match rest {
        ["namespaces", namespace, resource, more @ ..]
            if !(group.is_empty() && more.is_empty() && matches!(*resource, "status" | "finalize")) =>
        {
            (Some((*namespace).to_owned()), [&[*resource], more].concat())
        }
        other => (None, other.to_vec()),
    };
    let (resource, name, subresource) = match rest.as_slice() {
        [resource] => (*resource, None, None),
        [resource, name] => (*resource, Some(*name), None),
        [resource, name, subresource] => (*resource, Some(*name), Some(*subresource)),
        _ => return Err(ApiError::no_such_resource()),
    };
    Ok(Target::Resource(ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace,
        resource: resource.to_owned(),
        name: name.map(str::to_owned),
        subresource: subresource.map(str::to_owned),
    }))
}

fn segments(path: &str) -> Result<Vec<String>, ApiError> {
    path.split('/').filter(|raw| !raw.is_empty()).map(segment).collect()
}

fn segment(raw: &str) -> Result<String, ApiError> {
    let text = percent_decode(raw, PlusSign::Literal).ok_or_else(|| {
        ApiError::bad_request(format!("the path segment {raw:?} is not valid percent-encoded UTF-8"))
    })?;
    if text.contains(['/', '\0']) || text == "." || text == ".." {
        return Err(ApiError::bad_request(format!("the path segment {raw:?} is not allowed")));
    }
    Ok(text)
}

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlusSign {
    /// In paths.
    Literal,
    /// In query strings.
    Space,
}

/// Percent-decoded UTF-8; `None` when it is neither.
pub(crate) fn percent_decode(raw: &str, plus: PlusSign) -> Option<String> {
    if !raw.contains(['%', '+']) {
        return Some(raw.to_owned());
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                decoded.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if plus == PlusSign::Space => decoded.push(b' '),
            other => decoded.push(other),
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(path: &str) -> String {
        match target(path) {
            Ok(Target::NonResource(path)) => format!("nonresource {path}"),
            Ok(Target::Resource(p)) => format!(
                "{}/{} ns={} {} {} {}",
                p.group,
                p.version,
                p.namespace.as_deref().unwrap_or("-"),
                p.resource,
                p.name.as_deref().unwrap_or("-"),
                p.subresource.as_deref().unwrap_or("-")
            ),
            Err(e) => format!("error {}", e.code),
        }
    }

    #[test]
    fn paths() {
        let table = [
            ("/", "nonresource /"),
            ("/api", "nonresource /api"),
            ("/api/v1", "nonresource /api/v1"),
            ("/apis/apps/v1/", "nonresource /apis/apps/v1"),
            ("/healthz", "nonresource /healthz"),
            ("/api/v1/pods", "/v1 ns=- pods - -"),
            ("/api/v1/namespaces", "/v1 ns=- namespaces - -"),
            ("/api/v1/namespaces/a", "/v1 ns=- namespaces a -"),
            ("/api/v1/namespaces/a/status", "/v1 ns=- namespaces a status"),
            ("/api/v1/namespaces/a/finalize", "/v1 ns=- namespaces a finalize"),
            ("/api/v1/namespaces/a/pods", "/v1 ns=a pods - -"),
            ("/api/v1/namespaces/a/pods/b", "/v1 ns=a pods b -"),
            ("/api/v1/namespaces/a/pods/b/log", "/v1 ns=a pods b log"),
            ("/apis/apps/v1/namespaces/a/deployments/b/scale", "apps/v1 ns=a deployments b scale"),
            ("/apis/x.dev/v1/widgets/b", "x.dev/v1 ns=- widgets b -"),
            ("/api/v1/namespaces/a/pods/b%3Ac", "/v1 ns=a pods b:c -"),
            ("/api/v1/namespaces/a/pods/..%2f..", "error 400"),
            ("/api/v1/namespaces/a/pods/%2e%2e", "error 400"),
            ("/api/v1/namespaces/a/pods/%zz", "error 400"),
            ("/api/v1/namespaces/a/pods/%ff", "error 400"),
            ("/api/v1/namespaces/a/pods/b/c/d", "error 404"),
        ];
        for (path, want) in table {
            assert_eq!(describe(path), want, "{path}");
        }
    }

    #[test]
    fn verbs() {
        let path = |text: &str| match target(text) {
            Ok(Target::Resource(p)) => p,
            other => panic!("{other:?}"),
        };
        let (one, all) = (path("/api/v1/namespaces/a/pods/b"), path("/api/v1/pods"));
        assert_eq!(verb(&Method::GET, &one, true).unwrap(), Verb::Get);
        assert_eq!(verb(&Method::GET, &all, true).unwrap(), Verb::Watch);
        assert_eq!(verb(&Method::GET, &all, false).unwrap(), Verb::List);
        assert_eq!(verb(&Method::DELETE, &all, false).unwrap(), Verb::DeleteCollection);
        assert_eq!(verb(&Method::PUT, &all, false).unwrap_err().code, 405);
        assert_eq!(verb(&Method::OPTIONS, &one, false).unwrap_err().code, 405);
        assert_eq!(verb(&Method::POST, &one, false).unwrap_err().code, 405);
        let binding = path("/api/v1/namespaces/a/pods/b/binding");
        assert_eq!(verb(&Method::POST, &binding, false).unwrap(), Verb::Create);
    }
}
