//! Namespace deletion: reads what is left from the API itself, kind by kind.

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Namespace;
use konzert_workloads::namespace::{Observed, decide, is_held};
use konzert_workloads::pods::is_deleting;
use konzert_workloads::{Plan, Scope};
use kube::Api;
use kube::api::ListParams;
use kube::core::DynamicObject;

use crate::controller::{Attempt, Controller};
use crate::kinds::{Kinds, Served};
use crate::world::World;

/// Objects read per request.
const PAGE: u32 = 500;

/// Keys are names of namespaces.
pub(crate) struct Namespaces {
    pub(crate) client: kube::Client,
    pub(crate) world: Arc<World>,
    pub(crate) kinds: Arc<Kinds>,
}

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn plan<'a>(
        &'a self,
        _namespace: &'a str,
        name: &'a str,
        attempt: Attempt,
    ) -> BoxFuture<'a, Result<Plan, kube::Error>> {
        Box::pin(async move {
            let Some(namespace) = self.world.namespaces.get("", name) else { return Ok(Plan::nothing()) };
            if !is_deleting(&namespace.metadata) || !is_held(&namespace) {
                return Ok(Plan::nothing());
            }
            let observed = self.look(namespace, name).await?;
            Ok(decide(&observed, attempt.now))
        })
    }
}

impl Namespaces {
    async fn look(&self, namespace: Arc<Namespace>, name: &str) -> Result<Observed, kube::Error> {
        let mut observed = Observed { namespace, contents: Vec::new(), unreadable: Vec::new() };
        let kinds = self.kinds.refresh().await?;
        let inside = kinds.iter().filter(|kind| kind.resource.scope == Scope::Namespaced && kind.can_delete);
        for kind in inside {
            match self.list(kind, name).await {
                Ok(found) => observed.contents.extend(found),
                // The kind was taken away between discovery and list; so were its objects.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => observed.unreadable.push((kind.resource.as_ref().clone(), error.to_string())),
            }
        }
        Ok(observed)
    }

    async fn list(&self, kind: &Served, namespace: &str) -> Result<Vec<crate::kinds::Found>, kube::Error> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind.api);
        let mut page = ListParams::default().limit(PAGE);
        let mut found = Vec::new();
        loop {
            let list = api.list_metadata(&page).await?;
            let items = list.items.into_iter();
            found.extend(items.map(|object| (kind.resource.as_ref().clone(), object.metadata)));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(found),
            }
        }
    }
}
