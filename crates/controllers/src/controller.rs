//! What the driver needs from a controller: its name and, for one key, a plan.
//!
//! A controller gathers what its decision wants to see and calls the decision. It never writes, and it never waits for
//! anything but a look-up.

use futures::future::BoxFuture;
use jiff::Timestamp;
use konzert_workloads::{Failure, Plan};

/// What a pass may know besides the world.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// The clock, read once.
    pub(crate) now: Timestamp,
    /// Drawn once; names come from it.
    pub(crate) seed: u64,
    /// What went wrong last time.
    pub(crate) failure: Option<Failure>,
}

/// How a pass ended, for controllers that keep something in mind between plan and effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every action was carried out.
    Carried,
    /// The plan stopped somewhere.
    Stopped,
}

/// One controller.
pub(crate) trait Controller: Send + Sync {
    /// The component that its events name.
    fn name(&self) -> &'static str;

    /// What to do about this object.
    fn plan<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        attempt: Attempt,
    ) -> BoxFuture<'a, Result<Plan, kube::Error>>;

    /// Hears how the plan went.
    fn ended(&self, _namespace: &str, _name: &str, _ending: Ending) {}
}

/// A plan that needed no waiting.
pub(crate) fn ready<'a>(plan: Plan) -> BoxFuture<'a, Result<Plan, kube::Error>> {
    Box::pin(std::future::ready(Ok(plan)))
}
