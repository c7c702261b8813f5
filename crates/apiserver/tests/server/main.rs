//! The API server as clients see it: a real store in a temporary directory, the in-process client, and TLS.
#![allow(clippy::unwrap_used, reason = "this is all test code; a panic is the report")]

mod crud;
mod custom;
mod deletion;
mod documents;
mod listing;
mod protocol;
mod services;
mod shapes;
mod subresources;
mod support;
mod tls;
mod watching;
mod writing;
