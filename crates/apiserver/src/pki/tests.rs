//! Key material: made once, kept, renewed when due, private on disk.

use std::os::unix::fs::PermissionsExt;

use jiff::{Timestamp, ToSpan};

use super::*;

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn is_made_once_and_kept() {
    let dir = dir();
    let first = Pki::load_or_create(dir.path(), &["10.1.2.3".to_owned()]).unwrap();
    let second = Pki::load_or_create(dir.path(), &["10.1.2.3".to_owned()]).unwrap();
    assert_eq!(first.ca_certificate(), second.ca_certificate());
    assert_eq!(first.0.leaves.read().server.certificate, second.0.leaves.read().server.certificate);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn a_new_name_gives_a_new_server_certificate_only() {
    let dir = dir();
    let first = Pki::load_or_create(dir.path(), &[]).unwrap();
    let second = Pki::load_or_create(dir.path(), &["engine.example".to_owned()]).unwrap();
    assert_ne!(first.0.leaves.read().server.certificate, second.0.leaves.read().server.certificate);
    assert_eq!(first.0.leaves.read().admin.certificate, second.0.leaves.read().admin.certificate);
}

#[test]
fn leaves_are_renewed_while_running() {
    let dir = dir();
    let now = Timestamp::now();
    let pki = Pki::load_or_create_at(dir.path(), &[], now).unwrap();
    let renewals = pki.renewals();
    let before = pki.0.leaves.read().server_tls.cert[0].clone();
    assert!(!pki.renew_if_due(now).unwrap());
    let later = now + (300 * 24).hours();
    assert!(pki.renew_if_due(later).unwrap());
    assert!(renewals.has_changed().unwrap());
    assert_ne!(before, pki.0.leaves.read().server_tls.cert[0]);
    assert!(!pki.renew_if_due(later).unwrap());
}

#[test]
fn an_expired_authority_is_replaced_and_its_leaves_with_it() {
    let dir = dir();
    let now = Timestamp::now();
    let old = Pki::load_or_create_at(dir.path(), &[], now - (11 * 365 * 24).hours()).unwrap();
    let new = Pki::load_or_create_at(dir.path(), &[], now).unwrap();
    assert_ne!(old.ca_certificate(), new.ca_certificate());
    assert_ne!(old.0.leaves.read().admin.certificate, new.0.leaves.read().admin.certificate);
}

#[test]
fn a_mixed_pair_is_not_used() {
    let dir = dir();
    let pki = Pki::load_or_create(dir.path(), &[]).unwrap();
    let stranger = pki.issue_client("someone", &[]).unwrap();
    file::write(&dir.path().join("server.key"), &stranger.key).unwrap();
    let again = Pki::load_or_create(dir.path(), &[]).unwrap();
    assert_ne!(pki.0.leaves.read().server.certificate, again.0.leaves.read().server.certificate);
}

#[test]
fn a_broken_authority_names_its_problem() {
    let dir = dir();
    Pki::load_or_create(dir.path(), &[]).unwrap();
    std::fs::remove_file(dir.path().join("ca.key")).unwrap();
    let error = Pki::load_or_create(dir.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("ca.crt"), "{error}");
}

#[test]
fn the_kubeconfig_names_user_and_groups() {
    let dir = dir();
    let pki = Pki::load_or_create(dir.path(), &[]).unwrap();
    let text = pki.admin_kubeconfig("https://127.0.0.1:6443");
    let line = text.lines().find(|l| l.contains("client-certificate-data")).unwrap();
    let pem = STANDARD.decode(line.split_once(": ").unwrap().1).unwrap();
    let der = leaf::der(std::str::from_utf8(&pem).unwrap()).unwrap();
    let identity = identity(&der).unwrap();
    assert_eq!((identity.user.as_str(), identity.groups), (ADMIN_USER, vec!["system:masters".to_owned()]));
}

#[test]
fn a_client_may_be_in_many_groups() {
    let dir = dir();
    let pki = Pki::load_or_create(dir.path(), &[]).unwrap();
    let groups = ["dev", "ops", "ünïcode"];
    let der = leaf::der(&pki.issue_client("jane", &groups).unwrap().certificate).unwrap();
    let identity = identity(&der).unwrap();
    assert_eq!(identity.groups, groups);
    let days = identity.until.duration_since(Timestamp::now()).as_hours() / 24;
    assert!((363..=365).contains(&days), "{days}");
}

#[test]
fn no_leaf_outlives_its_authority() {
    let dir = dir();
    let now = Timestamp::now();
    let pki = Pki::load_or_create_at(dir.path(), &[], now - ((10 * 365 - 30) * 24).hours()).unwrap();
    let der = leaf::der(&pki.issue_client("jane", &[]).unwrap().certificate).unwrap();
    let days = identity(&der).unwrap().until.duration_since(now).as_hours() / 24;
    assert!((28..=30).contains(&days), "{days}");
}

#[test]
fn the_key_for_tokens_is_made_once() {
    let dir = dir();
    let key = token_key(dir.path()).unwrap();
    assert_eq!(token_key(dir.path()).unwrap(), key);
    let mode = std::fs::metadata(dir.path().join("sa.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
