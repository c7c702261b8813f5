//! One request on a resource: from verb, kind and subresource to the registry and back to an answer.
//!
//! Invariant: this is the only place that knows which verb goes with which subresource; no kind is named here.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use konzert_api::apply::Force;
use konzert_api::catalogue::ActsOn;
use konzert_api::table::IncludeObject;
use konzert_api::{ApiError, Catalogue, FieldError, StorageClass, Subresource, meta};
use konzert_store::{Compacted, Revision};

use crate::auth::{EndOfStreams, User};
use crate::body::ResponseBody;
use crate::decode::RawBody;
use crate::dispatch::App;
use crate::error::{Failure, revision_gone};
use crate::metrics::{LongRunning, RequestLabels};
use crate::negotiate::{Shape, require_json, routed, shape, stream_shape};
use crate::options::{
    ListOptions, LogOptions, Query, VersionAsked, WriteOptions, options_invalid, resource_version,
};
use crate::present::Presenter;
use crate::registry::{ApplyOptions, DeleteOptions, Mode, Place, Registry, Written, is_apply, now};
use crate::request::{ResourcePath, Verb};
use crate::respond::{self, Answer};
use crate::reviews;

/// A request whose kind is known.
pub(crate) struct Operation {
    app: Arc<App>,
    pub(crate) place: Place,
    name: Option<String>,
    subresource: Option<Subresource>,
    verb: Verb,
    query: Query,
    parts: Arc<Parts>,
    user: User,
    end_of_streams: EndOfStreams,
    /// Why the caller may not create what this patch or update would create.
    pub(crate) create_denied: Option<ApiError>,
}

impl Operation {
    /// Finds the kind; 404 when it is not served, 405 when the path cannot take the verb.
    pub(crate) fn new(
        app: Arc<App>,
        path: ResourcePath,
        verb: Verb,
        query: Query,
        parts: Arc<Parts>,
        (user, end_of_streams): (User, EndOfStreams),
    ) -> Result<Self, ApiError> {
        let served = app.registry.served();
        let place = served
            .place(&path.group, &path.version, &path.resource, path.namespace.as_deref())
            .ok_or_else(|| no_such_resource(&served.catalogue, &path.group))?;
        check_scope(&place, &path, verb)?;
        if !place.kind.verbs().contains(&verb.as_str()) {
            return Err(ApiError::method_not_allowed());
        }
        let subresource = match path.subresource.as_deref() {
            None => None,
            Some(text) => Some(
                Subresource::parse(text)
                    .filter(|s| place.kind.has(*s))
                    .ok_or_else(ApiError::no_such_resource)?,
            ),
        };
        if !place.kind.is_custom() && subresource != Some(Subresource::Log) {
            routed(&parts.headers, matches!(verb, Verb::List | Verb::Watch))?;
        }
        let (name, create_denied) = (path.name, None);
        Ok(Self { app, place, name, subresource, verb, query, parts, user, end_of_streams, create_denied })
    }

    /// What the request counts under.
    pub(crate) fn labels(&self) -> RequestLabels {
        let kind = &self.place.kind;
        let scope = match (&self.name, &self.place.namespace) {
            (Some(_), _) => "resource",
            (None, Some(_)) => "namespace",
            (None, None) => "cluster",
        };
        RequestLabels {
            verb: self.verb.metric(),
            group: kind.group().to_owned(),
            version: kind.version().to_owned(),
            resource: kind.plural().to_owned(),
            subresource: self.subresource.map_or("", Subresource::name),
            scope,
        }
    }

    fn registry(&self) -> &Registry {
        &self.app.registry
    }

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Carries the request out.
    pub(crate) async fn run(self, body: RawBody) -> Result<Answer, Failure> {
        let deprecation = self.place.kind.deprecation().map(str::to_owned);
        let answer = match (self.subresource, self.place.kind.acts_on()) {
            (None, Some(acts_on)) => self.acting(acts_on)?.act(acts_on.subresource, body).await,
            (None, None) => self.object(body).await,
            (Some(subresource), _) => self.subresource(subresource, body).await,
        };
        with_warnings(answer, deprecation.as_ref())
    }

    /// The same request on the kind that is acted on.
    fn acting(mut self, acts_on: &ActsOn) -> Result<Self, ApiError> {
        if self.verb != Verb::Create {
            return Err(ApiError::method_not_allowed());
        }
        let (group, version) = (self.place.kind.group().to_owned(), self.place.kind.version().to_owned());
        let namespace = self.place.namespace.clone();
        let served = self.registry().served();
        self.place = served
            .place(&group, &version, acts_on.plural, namespace.as_deref())
            .ok_or_else(ApiError::no_such_resource)?;
        Ok(self)
    }

    /// Acts on the object that the body names.
    async fn act(mut self, subresource: Subresource, body: RawBody) -> Result<Answer, Failure> {
        let name = meta::name(&body.object(self.place.kind.kind())?.value).to_owned();
        if name.is_empty() {
            return Err(ApiError::bad_request("metadata.name must name the object that is acted on").into());
        }
        self.name = Some(name);
        self.subresource(subresource, body).await
    }

    async fn object(self, body: RawBody) -> Result<Answer, Failure> {
        let registry = self.registry();
        match self.verb {
            Verb::Create if self.place.kind.storage() == StorageClass::Virtual => {
                let options = self.write_options("CreateOptions")?;
                let (answer, warnings) =
                    reviews::answer(&self.app, &self.user, &self.place, &body, &options)?;
                Ok(Self::answered(&answer, &warnings)?)
            }
            Verb::Get => self.get(),
            Verb::List => self.list(),
            Verb::Watch => self.watch(),
            Verb::Create => {
                let options = self.write_options("CreateOptions")?;
                let written = registry.create(&self.place, &body, options).await?;
                Ok(self.written(StatusCode::CREATED, &written)?)
            }
            Verb::Update => self.update(&body, Mode::Whole).await,
            Verb::Patch => self.patch(&body, Mode::Whole).await,
            Verb::Delete => {
                let options = DeleteOptions::parse(&body, &self.query)?;
                let advice = options.advice(&self.place);
                let answer = match registry.delete(&self.place, self.name(), &options).await {
                    Ok(bytes) => self.deleted(&bytes),
                    Err(error) => Err(error.into()),
                };
                with_warnings(answer, advice.as_ref())
            }
            Verb::DeleteCollection => {
                let options = DeleteOptions::parse(&body, &self.query)?;
                let selection = ListOptions::parse(&self.query, false)?;
                let presenter = self.presenter()?;
                let answer = registry.delete_collection(&self.place, &selection, &options).await?;
                let pieces = presenter.list(answer, now())?;
                Ok(respond::with_type(StatusCode::OK, "application/json", ResponseBody::pieces(pieces)))
            }
        }
    }

    async fn subresource(self, subresource: Subresource, body: RawBody) -> Result<Answer, Failure> {
        let registry = self.registry();
        match (subresource, self.verb) {
            (
                Subresource::Status
                | Subresource::Approval
                | Subresource::EphemeralContainers
                | Subresource::Resize,
                Verb::Get,
            ) => self.get(),
            (Subresource::Status, Verb::Update) => self.update(&body, Mode::Status).await,
            (Subresource::Status, Verb::Patch) => self.patch(&body, Mode::Status).await,
            (
                Subresource::Finalize | Subresource::EphemeralContainers | Subresource::Resize,
                Verb::Update,
            ) => self.update(&body, Mode::Part(subresource)).await,
            (Subresource::EphemeralContainers | Subresource::Resize, Verb::Patch) => {
                self.patch(&body, Mode::Part(subresource)).await
            }
            (Subresource::Scale, Verb::Get) => {
                require_json(&self.parts.headers)?;
                Ok(respond::json(StatusCode::OK, registry.scale(&self.place, self.name())?))
            }
            (Subresource::Scale, Verb::Update) => {
                let options = self.write_options("UpdateOptions")?;
                let written = registry.update_scale(&self.place, self.name(), &body, options).await?;
                Ok(Self::plain(StatusCode::OK, written))
            }
            (Subresource::Scale, Verb::Patch) if is_apply(&body) => {
                let options = self.apply_options()?;
                let written = registry.apply_scale(&self.place, self.name(), &body, &options).await?;
                Ok(Self::plain(StatusCode::OK, written))
            }
            (Subresource::Scale, Verb::Patch) => {
                let options = self.patch_options()?;
                let written = registry.patch_scale(&self.place, self.name(), &body, options).await?;
                Ok(Self::plain(StatusCode::OK, written))
            }
            (Subresource::Binding, Verb::Create) => {
                let options = self.write_options("CreateOptions")?;
                let written = registry.bind(&self.place, self.name(), &body, options).await?;
                Ok(Self::plain(StatusCode::CREATED, written))
            }
            (Subresource::Eviction, Verb::Create) => {
                let bytes = registry.evict(&self.place, self.name(), &body, &self.query).await?;
                Ok(respond::json(StatusCode::CREATED, bytes))
            }
            (Subresource::Approval, Verb::Update) => self.update(&body, Mode::Approval).await,
            (Subresource::Approval, Verb::Patch) => self.patch(&body, Mode::Approval).await,
            (Subresource::Token, Verb::Create) => {
                let options = self.write_options("CreateOptions")?;
                let (answer, warnings) =
                    reviews::token_request(&self.app, &self.place, self.name(), &body, &options)?;
                Ok(Self::answered(&answer, &warnings)?)
            }
            (Subresource::Log, Verb::Get) => self.log().await,
            _ => Err(ApiError::method_not_allowed().into()),
        }
    }

    fn presenter(&self) -> Result<Presenter, ApiError> {
        self.presenter_of(shape(&self.parts.headers)?)
    }

    fn presenter_of(&self, shape: Shape) -> Result<Presenter, ApiError> {
        let include = match shape {
            Shape::Table(_) => IncludeObject::parse(self.query.text("includeObject").unwrap_or_default())?,
            Shape::Object | Shape::Metadata(_) => IncludeObject::default(),
        };
        Ok(Presenter { kind: self.place.kind.clone(), shape, include })
    }

    fn write_options(&self, kind: &'static str) -> Result<WriteOptions, ApiError> {
        WriteOptions::parse(&self.query, kind).map(|options| options.or_agent(&self.parts.headers))
    }

    fn patch_options(&self) -> Result<WriteOptions, ApiError> {
        if self.query.optional_flag("force").is_some() {
            let error = FieldError::forbidden("force", "may not be specified for non-apply patch");
            return Err(options_invalid("PatchOptions", error));
        }
        self.write_options("PatchOptions")
    }

    /// An apply has to say who applies; the user agent is not enough.
    fn apply_options(&self) -> Result<ApplyOptions, ApiError> {
        let write = WriteOptions::parse(&self.query, "PatchOptions")?;
        if write.manager.is_empty() {
            let error = FieldError::required("fieldManager", "is required for apply patch");
            return Err(options_invalid("PatchOptions", error));
        }
        let force = if self.query.flag("force") { Force::Yes } else { Force::No };
        Ok(ApplyOptions { write, force, create_denied: self.create_denied.clone() })
    }

    fn get(&self) -> Result<Answer, Failure> {
        let presenter = self.presenter()?;
        if let VersionAsked::At(asked) = resource_version(&self.query)? {
            let (asked, current) = (Revision(asked), self.registry().store.revision());
            if asked > current {
                return Err(revision_gone(Compacted { requested: asked, oldest: current, current }).into());
            }
        }
        let bytes = self.registry().get(&self.place, self.name())?;
        Ok(respond::json(StatusCode::OK, presenter.object(&bytes, now())?))
    }

    fn list(&self) -> Result<Answer, Failure> {
        let presenter = self.presenter()?;
        let options = ListOptions::parse(&self.query, false)?;
        let answer = self.registry().list(&self.place, &options)?;
        let pieces = presenter.list(answer, now())?;
        Ok(respond::with_type(StatusCode::OK, "application/json", ResponseBody::pieces(pieces)))
    }

    fn watch(self) -> Result<Answer, Failure> {
        let presenter = self.presenter_of(stream_shape(&self.parts.headers)?)?;
        let options = ListOptions::parse(&self.query, true)?;
        let open = self.app.metrics.stream(&self.labels());
        let stream = self.app.registry.watch(self.place, &options, presenter, self.end_of_streams)?;
        let stream = counted(stream, open);
        let mut answer = respond::with_type(StatusCode::OK, "application/json", ResponseBody::stream(stream));
        answer
            .headers_mut()
            .insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        Ok(answer)
    }

    async fn log(self) -> Result<Answer, Failure> {
        let options = LogOptions::parse(&self.query, now())?;
        let open = self.app.metrics.stream(&self.labels());
        let name = self.name.as_deref().unwrap_or_default();
        let stream = self.app.registry.log(&self.place, name, options, self.end_of_streams).await?;
        Ok(respond::with_type(StatusCode::OK, "text/plain", ResponseBody::stream(counted(stream, open))))
    }

    async fn update(&self, body: &RawBody, mode: Mode) -> Result<Answer, Failure> {
        let options = self.write_options("UpdateOptions")?;
        if mode == Mode::Whole && self.registry().creates(&self.place, self.name()) {
            if let Some(denied) = &self.create_denied {
                return Err(denied.clone().into());
            }
            let written = self.registry().create_named(&self.place, self.name(), body, options).await?;
            return Ok(self.written(StatusCode::CREATED, &written)?);
        }
        let written = self.registry().update(&self.place, self.name(), body, mode, options).await?;
        Ok(self.written(StatusCode::OK, &written)?)
    }

    async fn patch(&self, body: &RawBody, mode: Mode) -> Result<Answer, Failure> {
        if is_apply(body) {
            let options = self.apply_options()?;
            let applied = self.registry().apply(&self.place, self.name(), body, mode, &options).await?;
            let code = if applied.created { StatusCode::CREATED } else { StatusCode::OK };
            return Ok(self.written(code, &applied.written)?);
        }
        let options = self.patch_options()?;
        let written = self.registry().patch(&self.place, self.name(), body, mode, options).await?;
        Ok(self.written(StatusCode::OK, &written)?)
    }

    fn written(&self, code: StatusCode, written: &Written) -> Result<Answer, ApiError> {
        let bytes = self.presenter()?.object(&written.bytes, now())?;
        let mut answer = respond::json(code, bytes);
        respond::warn(&mut answer, written.warnings.iter().map(String::as_str));
        Ok(answer)
    }

    /// The answer to a question.
    fn answered(answer: &serde_json::Value, warnings: &[String]) -> Result<Answer, ApiError> {
        let mut answer = respond::value(StatusCode::CREATED, answer)?;
        respond::warn(&mut answer, warnings.iter().map(String::as_str));
        Ok(answer)
    }

    fn plain(code: StatusCode, written: Written) -> Answer {
        let mut answer = respond::json(code, written.bytes);
        respond::warn(&mut answer, written.warnings.iter().map(String::as_str));
        answer
    }

    /// A deletion answers an object, which takes the shape asked for, or a `Status`, which does not.
    fn deleted(&self, bytes: &Bytes) -> Result<Answer, Failure> {
        let is_object = bytes.starts_with(b"{\"metadata\":{");
        let is_status = !is_object && crate::encode::decode(bytes)?["kind"] == "Status";
        let shown = if is_status { bytes.clone() } else { self.presenter()?.object(bytes, now())? };
        Ok(respond::json(StatusCode::OK, shown))
    }
}

/// The stream counts as open for as long as somebody holds it.
fn counted(
    stream: BoxStream<'static, Result<Bytes, std::io::Error>>,
    open: LongRunning,
) -> BoxStream<'static, Result<Bytes, std::io::Error>> {
    stream
        .inspect(move |_| {
            let _held = &open;
        })
        .boxed()
}

/// An answer or a refusal, with what the client should know besides.
fn with_warnings(answer: Result<Answer, Failure>, advice: Option<&String>) -> Result<Answer, Failure> {
    match answer {
        Ok(mut answer) => {
            respond::warn(&mut answer, advice.map(String::as_str));
            Ok(answer)
        }
        Err(mut failure) => {
            failure.error = failure.error.with_warnings(advice.cloned().as_slice());
            Err(failure)
        }
    }
}

/// Where no group answers there is no `Status` either. Groups of definitions only are such a place, too.
fn no_such_resource(catalogue: &Catalogue, group: &str) -> ApiError {
    let builtin = catalogue.kinds().any(|kind| !kind.is_custom() && kind.group() == group);
    if builtin { ApiError::no_such_resource() } else { ApiError::no_such_page() }
}

fn check_scope(place: &Place, path: &ResourcePath, verb: Verb) -> Result<(), ApiError> {
    if path.namespace.is_some() && !place.kind.namespaced() {
        return Err(ApiError::no_such_resource());
    }
    if !place.kind.namespaced() || path.namespace.is_some() {
        return Ok(());
    }
    match verb {
        Verb::List | Verb::Watch => Ok(()),
        Verb::Create | Verb::DeleteCollection => Err(ApiError::method_not_allowed()),
        Verb::Get | Verb::Update | Verb::Patch | Verb::Delete => Err(ApiError::no_such_resource()),
    }
}
