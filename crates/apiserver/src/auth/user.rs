//! Who asks: a name, groups, and what else the authenticator knows.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::pki::Identity;

/// Members may do everything.
pub(crate) const MASTERS: &str = "system:masters";
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
pub(crate) const ANONYMOUS: &str = "system:anonymous";
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// A user, real or claimed by impersonation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    /// Empty when the authenticator knows none.
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Somebody who proved who they are.
    pub(crate) fn new(name: String, mut groups: Vec<String>) -> Self {
        if !groups.iter().any(|g| g == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { name, groups, ..Self::default() }
    }

    /// The user that a client certificate names.
    pub(crate) fn of_certificate(identity: Identity) -> Self {
        let mut user = Self::new(identity.user, identity.groups);
        let id = format!("X509SHA256={}", identity.fingerprint);
        user.extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![id]);
        user
    }

    /// A part of this process.
    pub(crate) fn component(name: &str) -> Self {
        Self::new(format!("system:konzert:{name}"), vec![MASTERS.to_owned()])
    }

    /// Somebody who proved nothing.
    pub(crate) fn anonymous() -> Self {
        let groups = vec![UNAUTHENTICATED.to_owned()];
        Self { name: ANONYMOUS.to_owned(), groups, ..Self::default() }
    }

    /// A service account.
    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let groups = service_account_groups(namespace);
        let user = Self::new(format!("system:serviceaccount:{namespace}:{name}"), groups);
        Self { uid: uid.to_owned(), ..user }
    }

    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// As `authentication.k8s.io/v1` `UserInfo`.
    pub(crate) fn to_user_info(&self) -> Value {
        let mut info = Map::new();
        info.insert("username".to_owned(), json!(self.name));
        if !self.uid.is_empty() {
            info.insert("uid".to_owned(), json!(self.uid));
        }
        if !self.groups.is_empty() {
            info.insert("groups".to_owned(), json!(self.groups));
        }
        if !self.extra.is_empty() {
            info.insert("extra".to_owned(), json!(self.extra));
        }
        Value::Object(info)
    }
}

/// The groups of all service accounts of a namespace.
pub(crate) fn service_account_groups(namespace: &str) -> Vec<String> {
    vec![SERVICE_ACCOUNTS.to_owned(), format!("{SERVICE_ACCOUNTS}:{namespace}")]
}

/// Namespace and name, when the user name is that of a service account.
pub(crate) fn service_account_name(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let plain = |text: &str| !text.is_empty() && !text.contains(':');
    (plain(namespace) && plain(name)).then_some((namespace, name))
}
