//! The way of a request, from top to bottom:
//!
//! 1. count it and give it a deadline;
//! 2. authentication: the listener or the in-process client says who calls ([`Caller`]);
//! 3. read the path and the method ([`crate::request`]);
//! 4. authorization ([`crate::auth`]);
//! 5. discovery, health and the like ([`crate::documents`]), or a resource ([`crate::operation`]);
//! 6. errors become a `Status`, large answers are compressed ([`crate::respond`]).
//!
//! TCP and the in-process client come in here through the same door; built-in and custom kinds are not told apart.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use konzert_api::ApiError;

use crate::auth::token::Tokens;
use crate::auth::{
    Asked, Attributes, Caller, EndOfStreams, User, acting_as, authenticate, authorize, impersonate,
};
use crate::decode::RawBody;
use crate::documents;
use crate::error::Failure;
use crate::metrics::{Metrics, RequestLabels};
use crate::negotiate::{accepts_gzip, content_type};
use crate::operation::Operation;
use crate::options::Query;
use crate::registry::{Registry, now};
use crate::request::{ResourcePath, Target, Verb, method_not_allowed, target, verb};
use crate::respond::{self, Answer};

/// Larger request bodies are refused with 413.
const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;
/// A request that is no stream is answered within this time.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What all requests share.
pub(crate) struct App {
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Metrics,
    pub(crate) tokens: Tokens,
}

/// Answers one request. Never fails: failures are answers.
pub(crate) async fn handle<B>(app: Arc<App>, caller: Caller, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let _in_flight = app.metrics.begin();
    let (parts, body) = request.into_parts();
    let gzip = accepts_gzip(&parts.headers);
    let mut labels = RequestLabels { verb: "other", resource: String::new(), code: 0 };
    let routed = Box::pin(route(&app, caller, &parts, body, &mut labels));
    let answer = match tokio::time::timeout(REQUEST_TIMEOUT, routed).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(failure)) => {
            if failure.error.code >= 500 {
                tracing::warn!(path = parts.uri.path(), error = %failure.error, "a request failed");
            }
            respond::failure(&failure)
        }
        Err(_elapsed) => respond::failure(
            &ApiError::timeout("request did not complete within the allotted timeout").into(),
        ),
    };
    labels.code = answer.status().as_u16();
    app.metrics.count(labels);
    respond::finish(answer, gzip).await
}

async fn route<B>(
    app: &App,
    caller: Caller,
    parts: &Parts,
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
            if !matches!(parts.method, Method::GET | Method::HEAD) {
                return Err(method_not_allowed().into());
            }
            labels.verb = "get";
            documents::answer(app, &path, parts)
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
    app: &App,
    (user, end_of_streams): (User, EndOfStreams),
    parts: &Parts,
    body: B,
    (path, labels): (ResourcePath, &mut RequestLabels),
) -> Result<Answer, Failure>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let query = Query::parse(parts.uri.query())?;
    let verb = verb(&parts.method, &path, query.flag("watch")?)?;
    let collection = matches!(verb, Verb::List | Verb::Watch | Verb::DeleteCollection);
    let selected = if collection { selected_name(&query) } else { None };
    let asked = Attributes::of(verb, &path, selected);
    authorize(&app.registry, &user, &Asked::Resource(asked))?;
    query.refuse_unknown()?;
    labels.verb = verb.as_str();
    // An apply may turn out to create the object.
    let create_denied = (verb == Verb::Patch).then(|| {
        let create = Attributes { verb: Verb::Create.as_str(), ..Attributes::of(verb, &path, None) };
        authorize(&app.registry, &user, &Asked::Resource(create)).err()
    });
    let mut operation =
        Operation::new(app, path, verb, query, &parts.headers, (user.clone(), end_of_streams))?;
    operation.create_denied = create_denied.flatten();
    operation.place.kind.plural().clone_into(&mut labels.resource);
    let body = read_body(parts, body).await?;
    acting_as(user, operation.run(body)).await
}

/// The one name that a field selector leaves: who may read that object may also watch it.
fn selected_name(query: &Query) -> Option<&str> {
    let selector = query.text("fieldSelector")?;
    let mut names = selector.split(',').filter_map(|part| {
        let (key, value) = part.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (key == "metadata.name" && !value.is_empty()).then_some(value)
    });
    names.next().filter(|_| names.next().is_none())
}

/// The whole body, or 413.
async fn read_body<B>(parts: &Parts, body: B) -> Result<RawBody, ApiError>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let limited = Limited::new(body, MAX_BODY_BYTES);
    let collected = limited.collect().await.map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            ApiError::too_large(format!("limit is {MAX_BODY_BYTES}"))
        } else {
            ApiError::bad_request(format!("the request body could not be read: {error}"))
        }
    })?;
    Ok(RawBody { content_type: content_type(&parts.headers), bytes: collected.to_bytes() })
}
