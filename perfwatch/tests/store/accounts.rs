//! Users, dead tokens, settings.

use perfwatch::store::StoreError;
use perfwatch::store::policy::{ArchivePolicy, DownsampleInterval};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::{Fresh, on_every_engine};

on_every_engine!(users_are_kept, tokens_die, settings_are_kept, the_policy_is_kept);

async fn users_are_kept(fresh: &Fresh) {
    let store = &fresh.store;
    store.ping().await.unwrap();
    assert!(store.user_by_name("ann").await.unwrap().is_none());
    let ann = store.create_user("ann", "hash1", "admin").await.unwrap();
    let bob = store.create_user("böb'; DROP TABLE users", "hash2", "viewer").await.unwrap();
    assert!(matches!(store.create_user("ann", "other", "viewer").await, Err(StoreError::Conflict(_))));
    assert_eq!(ann.last_login, None);

    let generation = store.set_password(ann.id, "hash3").await.unwrap();
    assert!(generation > ann.token_generation);
    assert!(store.set_password(i64::from(i32::MAX), "x").await.is_err());
    let at = datetime!(2026-03-04 05:06:07.89 UTC);
    store.record_login(ann.id, at).await.unwrap();
    let ann = store.user_by_id(ann.id).await.unwrap().unwrap();
    assert_eq!(
        (ann.password_hash.as_str(), ann.token_generation, ann.last_login),
        ("hash3", generation, Some(at))
    );
    assert!((OffsetDateTime::now_utc() - ann.created_at).abs() < Duration::minutes(5));
    let names: Vec<String> = store.users().await.unwrap().into_iter().map(|u| u.username).collect();
    assert_eq!(names, ["ann", bob.username.as_str()]);
}

async fn tokens_die(fresh: &Fresh) {
    let store = &fresh.store;
    let now = OffsetDateTime::now_utc();
    store.revoke_token("one", now + Duration::hours(1)).await.unwrap();
    store.revoke_token("one", now + Duration::hours(1)).await.unwrap();
    store.revoke_token("expired", now - Duration::hours(1)).await.unwrap();
    store.revoke_token("two", now + Duration::hours(1)).await.unwrap();
    assert!(store.is_token_revoked("one").await.unwrap());
    assert!(store.is_token_revoked("two").await.unwrap());
    assert!(!store.is_token_revoked("expired").await.unwrap());
    assert!(!store.is_token_revoked("three").await.unwrap());
}

async fn settings_are_kept(fresh: &Fresh) {
    let store = &fresh.store;
    assert_eq!(store.config("a").await.unwrap(), None);
    store.set_config(&[("a", "1".into()), ("b", "\"two\"".into())]).await.unwrap();
    store.set_config(&[("a", "3".into())]).await.unwrap();
    assert_eq!(store.config("a").await.unwrap().as_deref(), Some("3"));
    assert_eq!(store.config("b").await.unwrap().as_deref(), Some("\"two\""));
}

async fn the_policy_is_kept(fresh: &Fresh) {
    let store = &fresh.store;
    let first = store.archive_policy().await.unwrap();
    assert_eq!((first.retention_days, first.last_archive_run), (30, None));
    let changed = ArchivePolicy {
        retention_days: 90,
        archive_enabled: false,
        downsample_after_days: 14,
        downsample_interval: DownsampleInterval::Hour,
        cleanup_enabled: false,
        cleanup_interval_minutes: 5,
        ..first.clone()
    };
    store.set_archive_policy(&changed).await.unwrap();
    let at = datetime!(2026-03-04 05:06:07 UTC);
    store.record_archive_run(at).await.unwrap();
    let kept = store.archive_policy().await.unwrap();
    assert_eq!(kept, ArchivePolicy { last_archive_run: Some(at), updated_at: kept.updated_at, ..changed });
    assert!(kept.updated_at >= first.updated_at);
}
