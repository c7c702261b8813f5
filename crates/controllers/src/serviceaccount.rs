//! The default `ServiceAccount` of every namespace.

use std::sync::Arc;

use futures::future::BoxFuture;
use konzert_workloads::Plan;
use konzert_workloads::serviceaccount::{DEFAULT_NAME, Observed, decide};

use crate::controller::{Attempt, Controller, ready};
use crate::world::World;

/// Keys are names of namespaces.
pub(crate) struct DefaultAccounts(pub(crate) Arc<World>);

impl Controller for DefaultAccounts {
    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn plan<'a>(
        &'a self,
        _namespace: &'a str,
        name: &'a str,
        _attempt: Attempt,
    ) -> BoxFuture<'a, Result<Plan, kube::Error>> {
        let Some(namespace) = self.0.namespaces.get("", name) else { return ready(Plan::nothing()) };
        let account = self.0.accounts.get(name, DEFAULT_NAME);
        ready(decide(&Observed { namespace, account }))
    }
}
