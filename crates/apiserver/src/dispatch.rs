//! The way of a request, from top to bottom:
//!
//! 1. count it, name it and give it a deadline ([`crate::limits`]);
//! 2. authentication: the listener or the in-process client says who calls ([`Caller`]);
//! 3. read the path and the method ([`crate::request`]);
//! 4. authorization ([`crate::auth`]);
//! 5. discovery, health and the like ([`crate::documents`]), or a resource ([`crate::operation`]);
//! 6. errors become a `Status`; the answer takes the form asked for and is compressed if it is large ([`crate::respond`]).
//!
//! TCP and the in-process client come in here through the same door; built-in and custom kinds are not told apart.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode, Version};
use hyper::body::Body;
use konzert_api::ApiError;
use konzert_api::selector::FieldSelector;

use crate::auth::token::Tokens;
use crate::auth::{
    Asked, Attributes, Caller, EndOfStreams, MASTERS, User, acting_as, authenticate, authorize, impersonate,
};
use crate::decode::RawBody;
use crate::documents;
use crate::error::Failure;
use crate::limits::{Admitted, Limits, audit_id, deadline, read_body};
use crate::metrics::{Metrics, RequestKind, RequestLabels};
use crate::negotiate::content_type;
use crate::operation::Operation;
use crate::options::Query;
use crate::registry::{Registry, now};
use crate::rendering::Rendering;
use crate::request::{ResourcePath, Target, Verb, target, verb};
use crate::respond::{self, Answer};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What all requests share.
pub(crate) struct App {
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Metrics,
    pub(crate) tokens: Tokens,
    pub(crate) limits: Limits,
}

/// Answers one request. Never fails: failures are answers.
pub(crate) async fn handle<B>(app: Arc<App>, caller: Caller, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let parts = Arc::new(parts);
    let kind = match parts.method {
        Method::GET | Method::HEAD | Method::OPTIONS => RequestKind::ReadOnly,
        _ => RequestKind::Mutating,
    };
    let _in_flight = app.metrics.begin(kind);
    // What is wrong with the query is said where it is read for its meaning.
    let query = Query::parse(parts.uri.query()).unwrap_or_default();
    let rendering = Rendering::of(&parts.headers, &query);
    let mut labels = RequestLabels { verb: "other", ..RequestLabels::default() };
    let answer = match deadline(&query) {
        Ok(time) => {
            let routed = Box::pin(route(&app, caller, &parts, body, &mut labels));
            tokio::time::timeout(time, routed).await.unwrap_or_else(|_elapsed| {
                Err(ApiError::timeout("request did not complete within the allotted timeout").into())
            })
        }
        Err(error) => Err(error.into()),
    };
    let mut answer = answer.unwrap_or_else(|failure| {
        if failure.error.code >= 500 {
            tracing::warn!(path = parts.uri.path(), error = %failure.error, "a request failed");
        }
        respond::failure(&failure)
    });
    if let Ok(id) = HeaderValue::from_str(&audit_id(&parts.headers)) {
        answer.headers_mut().insert("audit-id", id);
    }
    let mut answer = respond::finish(answer, rendering).await;
    if answer.status() == StatusCode::PAYLOAD_TOO_LARGE && parts.version < Version::HTTP_2 {
        // The rest of the body may still be on its way and must not be taken for the next request.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    app.metrics.count(labels, answer.status().as_u16(), begun.elapsed());
    answer
}

async fn route<B>(
    app: &Arc<App>,
    caller: Caller,
    parts: &Arc<Parts>,
    body: B,
    labels: &mut RequestLabels,
) -> Result<Answer, Failure>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let user = authenticate(app, &caller, &parts.headers, now())?;
    let user = impersonate(&app.registry, user, &parts.headers)?;
    let path = parts.uri.path();
    match target(path) {
        Ok(Target::NonResource(path)) => {
            authorize_path(app, &user, &parts.method, &path)?;
            // Documents cost as much as objects; health has to be told in the worst times.
            let health = documents::is_health(&path);
            let _admitted =
                (!health).then(|| app.limits.admit(Verb::Get, user.is_in(MASTERS))).transpose()?;
            if !matches!(parts.method, Method::GET | Method::HEAD) && !health {
                // What is not there cannot be done in any way.
                return match documents::answer(app, &path, parts).await {
                    Ok(_) => Err(ApiError::method_not_allowed().into()),
                    Err(failure) => Err(failure),
                };
            }
            labels.verb = "GET";
            documents::answer(app, &path, parts).await
        }
        Ok(Target::Resource(path)) => {
            resource(app, (user, caller.end_of_streams), parts, body, (path, labels)).await
        }
        Err(error) => {
            authorize_path(app, &user, &parts.method, path)?;
            Err(error.into())
        }
    }
}

fn authorize_path(app: &App, user: &User, method: &Method, path: &str) -> Result<(), ApiError> {
    let verb = method.as_str().to_ascii_lowercase();
    authorize(&app.registry, user, &Asked::Path { verb: &verb, path })
}

async fn resource<B>(
    app: &Arc<App>,
    (user, end_of_streams): (User, EndOfStreams),
    parts: &Arc<Parts>,
    body: B,
    (path, labels): (ResourcePath, &mut RequestLabels),
) -> Result<Answer, Failure>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let query = Query::parse(parts.uri.query())?;
    let verb = match verb(&parts.method, &path, query.flag("watch")) {
        Ok(verb) => verb,
        Err(error) => {
            // Who may not do it does not hear that nobody can.
            let asked = Attributes { verb: said(&parts.method), ..Attributes::of(Verb::Get, &path, None) };
            authorize(&app.registry, &user, &Asked::Resource(asked))?;
            return Err(error.into());
        }
    };
    let selected = if matches!(verb, Verb::List | Verb::Watch) { selected_name(&query) } else { None };
    let asked = Attributes::of(verb, &path, selected.as_deref());
    authorize(&app.registry, &user, &Asked::Resource(asked))?;
    let admitted = app.limits.admit(verb, user.groups.iter().any(|group| group == MASTERS))?;
    query.refuse_unsupported()?;
    labels.verb = verb.metric();
    // An apply or an update may turn out to create the object.
    let create_denied = matches!(verb, Verb::Patch | Verb::Update).then(|| {
        let create = Attributes { verb: Verb::Create.as_str(), ..Attributes::of(verb, &path, None) };
        authorize(&app.registry, &user, &Asked::Resource(create)).err()
    });
    if app.registry.served().catalogue.by_resource(&path.group, &path.version, &path.resource).is_none() {
        app.registry.definitions_settled().await;
    }
    let mut operation =
        Operation::new(app.clone(), path, verb, query, parts.clone(), (user.clone(), end_of_streams))?;
    operation.create_denied = create_denied.flatten();
    *labels = operation.labels();
    if !verb.writes() {
        // Nothing is asked for in a body there, so that none is kept.
        let nothing = RawBody { content_type: String::new(), bytes: Bytes::new() };
        return acting_as(user, operation.run(nothing)).await;
    }
    let body = raw_body(parts, body).await?;
    to_the_end(acting_as(user, operation.run(body)), admitted).await
}

/// Work that goes on when nobody waits for it any more. A write cannot be taken back, and what follows from it, such as the
/// address that a service holds, must follow from it also when the client left or its time is over.
async fn to_the_end(
    work: impl Future<Output = Result<Answer, Failure>> + Send + 'static,
    admitted: Admitted,
) -> Result<Answer, Failure> {
    let task = tokio::spawn(async move {
        let answer = work.await;
        drop(admitted);
        answer
    });
    task.await.unwrap_or_else(|error| Err(ApiError::internal(error).into()))
}

/// A method that goes with no verb here, in the words of authorization.
fn said(method: &Method) -> &'static str {
    match *method {
        Method::POST => Verb::Create.as_str(),
        Method::PUT => Verb::Update.as_str(),
        Method::PATCH => Verb::Patch.as_str(),
        Method::DELETE => Verb::Delete.as_str(),
        _ => "",
    }
}

/// The one name that a field selector leaves: who may read that object may also watch it.
fn selected_name(query: &Query) -> Option<String> {
    FieldSelector::required_in(query.text("fieldSelector")?, "metadata.name").filter(|name| !name.is_empty())
}

/// The whole body, or 413.
async fn raw_body<B>(parts: &Parts, body: B) -> Result<RawBody, ApiError>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let bytes = read_body(&parts.headers, body).await?;
    Ok(RawBody { content_type: content_type(&parts.headers), bytes })
}
