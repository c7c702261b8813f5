//! The in-process client: a tower service over the same dispatcher as TCP. No socket, no TLS, no second copy of objects.

use std::convert::Infallible;
use std::sync::Arc;

use futures::FutureExt;
use http::header::USER_AGENT;
use http::{HeaderValue, Request};
use kube::client::Body;
use tower::service_fn;

use crate::auth::{Caller, EndOfStreams, User};
use crate::dispatch::{App, handle};

/// A client for the part of the process called `component`.
pub(crate) fn client(app: &Arc<App>, component: &str, end_of_streams: EndOfStreams) -> kube::Client {
    let app = app.clone();
    let caller = Caller { user: Some(User::component(component)), until: None, end_of_streams };
    let agent = HeaderValue::from_str(component).ok();
    let service = service_fn(move |mut request: Request<Body>| {
        // What the component writes is written in its name.
        if let Some(agent) = &agent {
            request.headers_mut().entry(USER_AGENT).or_insert_with(|| agent.clone());
        }
        let answer = handle(app.clone(), caller.clone(), request);
        answer.map(Ok::<_, Infallible>).boxed()
    });
    kube::Client::new(service, "default")
}
