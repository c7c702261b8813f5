//! The `default` `ServiceAccount` that every active namespace has.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::action::{Action, Plan, SERVICE_ACCOUNT, with_header};
use crate::pods::is_deleting;

/// Its name.
pub const DEFAULT_NAME: &str = "default";

/// What the controller sees.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The namespace.
    pub namespace: Arc<Namespace>,
    /// Its default account, when there is one.
    pub account: Option<Arc<ServiceAccount>>,
}

/// Decides one pass.
pub fn decide(observed: &Observed) -> Plan {
    if observed.account.is_some() || is_deleting(&observed.namespace.metadata) {
        return Plan::nothing();
    }
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some(DEFAULT_NAME.to_owned()),
            namespace: observed.namespace.metadata.name.clone(),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    let object = with_header(&SERVICE_ACCOUNT, &account);
    Plan { actions: vec![Action::Create { resource: SERVICE_ACCOUNT, object }], requeue_at: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_active_namespace_gets_one_account() {
        let meta = ObjectMeta { name: Some("shop".to_owned()), ..ObjectMeta::default() };
        let namespace = Arc::new(Namespace { metadata: meta, ..Namespace::default() });
        let plan = decide(&Observed { namespace: Arc::clone(&namespace), account: None });
        let Action::Create { object, .. } = &plan.actions[0] else { panic!("{plan:?}") };
        insta::assert_json_snapshot!(object, @r#"
        {
          "apiVersion": "v1",
          "kind": "ServiceAccount",
          "metadata": {
            "name": "default",
            "namespace": "shop"
          }
        }
        "#);
        let account = Some(Arc::new(ServiceAccount::default()));
        assert_eq!(decide(&Observed { namespace, account }), Plan::nothing());
    }
}
