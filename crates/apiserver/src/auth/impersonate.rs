//! Impersonation: a user who may acts in the name of another (`Impersonate-User` and its companions).
//!
//! Every part of the claimed identity is asked for on its own, as a virtual resource with the verb `impersonate`.

use std::collections::BTreeMap;

use http::HeaderMap;
use konzert_api::ApiError;

use super::user::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, service_account_groups, service_account_name};
use super::{Asked, Attributes, User, authorize};
use crate::registry::Registry;
use crate::request::{PlusSign, percent_decode};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Who is claimed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Claim {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// The user that the request is carried out as: the caller, or whom they may impersonate.
pub(crate) fn impersonate(registry: &Registry, caller: User, headers: &HeaderMap) -> Result<User, ApiError> {
    let Some(claim) = claim(headers)? else { return Ok(caller) };
    for asked in claim.questions() {
        authorize(registry, &caller, &Asked::Resource(asked))?;
    }
    tracing::debug!(caller = caller.name, as_user = claim.user, "impersonation");
    Ok(claim.into_user())
}

fn claim(headers: &HeaderMap) -> Result<Option<Claim>, ApiError> {
    let mut claim = Claim::default();
    let mut any = false;
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("impersonate-") {
            continue;
        }
        let value = value
            .to_str()
            .map_err(|_header| ApiError::bad_request(format!("the value of {name} is not plain text")))?;
        any = true;
        match name {
            USER => value.clone_into(&mut claim.user),
            UID => value.clone_into(&mut claim.uid),
            GROUP => claim.groups.push(value.to_owned()),
            _ => {
                let key = name.strip_prefix(EXTRA).filter(|key| !key.is_empty());
                let key = key.and_then(|key| percent_decode(key, PlusSign::Literal)).ok_or_else(|| {
                    ApiError::bad_request(format!("the impersonation header {name} is not known"))
                })?;
                claim.extra.entry(key.to_lowercase()).or_default().push(value.to_owned());
            }
        }
    }
    if any && claim.user.is_empty() {
        let what = format!("requested {} without impersonating a user name", claim.in_go());
        return Err(ApiError::bad_request(what));
    }
    Ok(any.then_some(claim))
}

/// A list of strings as Go writes it.
fn go_list(list: &[String]) -> String {
    let texts: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
    if texts.is_empty() { "(nil)".to_owned() } else { format!("{{{}}}", texts.join(", ")) }
}

impl Claim {
    /// As Kubernetes shows it to who claims.
    fn in_go(&self) -> String {
        let extra: Vec<String> =
            self.extra.iter().map(|(key, list)| format!("{key:?}:[]string{}", go_list(list))).collect();
        let extra = if extra.is_empty() { "(nil)".to_owned() } else { format!("{{{}}}", extra.join(", ")) };
        format!(
            "&user.DefaultInfo{{Name:{:?}, UID:{:?}, Groups:[]string{}, Extra:map[string][]string{extra}}}",
            self.user,
            self.uid,
            go_list(&self.groups)
        )
    }

    fn questions(&self) -> Vec<Attributes<'_>> {
        let base = Attributes {
            verb: "impersonate",
            group: "",
            resource: "users",
            subresource: "",
            namespace: "",
            name: &self.user,
        };
        let mut all = vec![match service_account_name(&self.user) {
            Some((namespace, name)) => Attributes { resource: "serviceaccounts", namespace, name, ..base },
            None => base,
        }];
        all.extend(self.groups.iter().map(|name| Attributes { resource: "groups", name, ..base }));
        for (key, values) in &self.extra {
            all.extend(values.iter().map(|name| Attributes {
                group: AUTHENTICATION,
                resource: "userextras",
                subresource: key,
                name,
                ..base
            }));
        }
        if !self.uid.is_empty() {
            all.push(Attributes { group: AUTHENTICATION, resource: "uids", name: &self.uid, ..base });
        }
        all
    }

    fn into_user(self) -> User {
        let mut groups = self.groups;
        if let (true, Some((namespace, _))) = (groups.is_empty(), service_account_name(&self.user)) {
            groups = service_account_groups(namespace);
        }
        let has = |groups: &[String], wanted: &str| groups.iter().any(|g| g == wanted);
        if self.user == ANONYMOUS {
            if !has(&groups, UNAUTHENTICATED) {
                groups.push(UNAUTHENTICATED.to_owned());
            }
        } else if !has(&groups, UNAUTHENTICATED) && !has(&groups, AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        User { name: self.user, uid: self.uid, groups, extra: self.extra }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn claims_are_read_and_asked_for_part_by_part() {
        let claim = claim(&headers(&[
            ("impersonate-user", "jane"),
            ("impersonate-group", "dev"),
            ("impersonate-group", "ops"),
            ("impersonate-extra-example.com%2fscopes", "read"),
            ("impersonate-uid", "7"),
        ]));
        let claim = claim.unwrap().unwrap();
        let asked: Vec<String> = claim
            .questions()
            .iter()
            .map(|a| format!("{}/{}/{} {}", a.group, a.resource, a.subresource, a.name))
            .collect();
        assert_eq!(
            asked,
            [
                "/users/ jane",
                "/groups/ dev",
                "/groups/ ops",
                "authentication.k8s.io/userextras/example.com/scopes read",
                "authentication.k8s.io/uids/ 7",
            ]
        );
        let user = claim.into_user();
        assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
        assert_eq!(user.extra["example.com/scopes"], ["read"]);
    }

    #[test]
    fn service_accounts_and_anonymous_get_their_groups() {
        let groups = |name| claim(&headers(&[(USER, name)])).unwrap().unwrap().into_user().groups.join(" ");
        assert_eq!(
            groups("system:serviceaccount:a:b"),
            "system:serviceaccounts system:serviceaccounts:a system:authenticated"
        );
        assert_eq!(groups("system:anonymous"), "system:unauthenticated");
        assert_eq!(groups("x"), "system:authenticated");
    }

    #[test]
    fn a_claim_needs_a_user_and_known_headers() {
        assert_eq!(claim(&headers(&[])).unwrap(), None);
        let error = claim(&headers(&[(GROUP, "dev"), ("impersonate-extra-a", "b")])).unwrap_err();
        assert_eq!(
            error.message,
            "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"dev\"}, \
             Extra:map[string][]string{\"a\":[]string{\"b\"}}} without impersonating a user name"
        );
        assert_eq!(error.code, 400);
        assert_eq!(claim(&headers(&[(USER, "x"), ("impersonate-shoes", "y")])).unwrap_err().code, 400);
    }
}
