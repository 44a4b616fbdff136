//! Roles, API tokens, failed logins, the audit log.

use perfwatch::store::access::{AuditEntry, LOGIN_REFUSED, LoginRecord, NewApiToken};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::{Fresh, on_every_engine};

on_every_engine!(
    one_admin_stays,
    accounts_that_come_again_are_others,
    tokens_are_found_by_their_hash_until_they_go,
    attempts_are_remembered_for_their_time,
    the_audit_log_is_read_backwards_and_refusals_push_nothing_out,
);

const NOW: OffsetDateTime = datetime!(2026-02-01 12:00:00 UTC);

async fn one_admin_stays(fresh: &Fresh) {
    let store = &fresh.store;
    let ann = store.create_user("ann", "h", "admin").await.unwrap();
    let bob = store.create_user("bob", "h", "viewer").await.unwrap();
    assert!(!store.delete_user(ann.id, "admin").await.unwrap());
    assert!(!store.set_role(ann.id, "viewer", "admin").await.unwrap());
    assert!(store.set_role(ann.id, "admin", "admin").await.unwrap());
    let before = store.accounts_version().await.unwrap();
    assert!(store.set_role(bob.id, "admin", "admin").await.unwrap());
    assert_ne!(store.accounts_version().await.unwrap(), before);
    let promoted = store.user_by_id(bob.id).await.unwrap().unwrap();
    assert_eq!(promoted.role, "admin");
    assert!(promoted.token_generation > bob.token_generation, "the old role's logins end");
    assert!(store.delete_user(ann.id, "admin").await.unwrap());
    assert!(!store.delete_user(ann.id, "admin").await.unwrap(), "gone already");
    assert!(!store.delete_user(bob.id, "admin").await.unwrap());
}

async fn accounts_that_come_again_are_others(fresh: &Fresh) {
    let store = &fresh.store;
    store.create_user("ann", "h", "admin").await.unwrap();
    let bob = store.create_user("bob", "h", "viewer").await.unwrap();
    store.delete_user(bob.id, "admin").await.unwrap();
    let again = store.create_user("bob", "h", "viewer").await.unwrap();
    assert_ne!((again.id, again.token_generation), (bob.id, bob.token_generation));
}

async fn tokens_are_found_by_their_hash_until_they_go(fresh: &Fresh) {
    let store = &fresh.store;
    let ann = store.create_user("ann", "h", "admin").await.unwrap();
    let bob = store.create_user("bob", "h", "viewer").await.unwrap();
    let new = |user_id, hash| NewApiToken { user_id, name: "ci", scopes: "read", hash, expires_at: NOW };
    let first = store.create_api_token(&new(ann.id, "hash1")).await.unwrap();
    let second = store.create_api_token(&new(bob.id, "hash2")).await.unwrap();
    assert!(store.create_api_token(&new(bob.id, "hash2")).await.is_err(), "hashes are unique");
    assert_eq!((first.username.as_str(), first.expires_at, first.last_used), ("ann", NOW, None));
    store.record_token_use(first.id, NOW).await.unwrap();
    let found = store.api_token_by_hash("hash1").await.unwrap().unwrap();
    assert_eq!((found.id, found.last_used), (first.id, Some(NOW)));
    assert!(store.api_token_by_hash("hash3").await.unwrap().is_none());
    assert_eq!(store.api_tokens(None).await.unwrap().len(), 2);
    assert_eq!(store.api_tokens(Some(bob.id)).await.unwrap(), [second]);
    assert!(store.delete_api_token(first.id).await.unwrap());
    assert!(!store.delete_api_token(first.id).await.unwrap());
    store.delete_user(bob.id, "admin").await.unwrap();
    assert!(store.api_token_by_hash("hash2").await.unwrap().is_none(), "they go with their owner");
}

async fn attempts_are_remembered_for_their_time(fresh: &Fresh) {
    let store = &fresh.store;
    let record = |user: &str, at| LoginRecord {
        user_hash: user.into(),
        address: "192.0.2.1".into(),
        familiar: user == "b",
        at,
    };
    let (old, young) = (record("a", NOW - Duration::minutes(5)), record("b", NOW));
    for failure in [&old, &young] {
        store.record_failure(failure, NOW - Duration::minutes(1)).await.unwrap();
    }
    let since = NOW - Duration::hours(1);
    let failures = store.login_failures(since).await.unwrap();
    assert_eq!(failures, std::slice::from_ref(&young), "the old one was forgotten");
    store.record_familiar(&young, since).await.unwrap();
    let later = LoginRecord { at: NOW + Duration::SECOND, ..young };
    store.record_familiar(&later, since).await.unwrap();
    assert_eq!(store.familiar_logins(since).await.unwrap(), [later]);
    assert_eq!(store.familiar_logins(NOW + Duration::HOUR).await.unwrap(), []);
}

async fn the_audit_log_is_read_backwards_and_refusals_push_nothing_out(fresh: &Fresh) {
    let store = &fresh.store;
    let entry = |action: &str, detail: &str| AuditEntry {
        id: 0,
        at: NOW,
        username: "ann".into(),
        address: "192.0.2.1".into(),
        action: action.into(),
        detail: detail.into(),
    };
    for n in 0..3 {
        store.record_audit(&entry("config_changed", &n.to_string())).await.unwrap();
    }
    for _ in 0..130 {
        store.record_audit(&entry(LOGIN_REFUSED, "")).await.unwrap();
    }
    let newest = store.audit(None, 131).await.unwrap();
    assert_eq!((newest.len(), newest[130].detail.as_str()), (131, "2"));
    let rest = store.audit(Some(newest[130].id), 10).await.unwrap();
    let details: Vec<&str> = rest.iter().map(|entry| entry.detail.as_str()).collect();
    assert_eq!(details, ["1", "0"]);
}
