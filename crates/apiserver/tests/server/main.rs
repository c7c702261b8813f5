//! The API server as clients see it: a real store in a temporary directory, the in-process client, and TLS.
#![allow(clippy::unwrap_used, reason = "this is all test code; a panic is the report")]

mod access;
mod apply;
mod classes;
mod crud;
mod custom;
mod custom_rules;
mod deletion;
mod documents;
mod evictions;
mod hostile;
mod liberties;
mod listing;
mod protocol;
mod samples;
mod services;
mod shapes;
mod subresources;
mod support;
mod system;
mod tls;
mod watching;
mod writing;
