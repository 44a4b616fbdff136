//! Machines that join the fleet, and labels of hosts.

use perfwatch::host::Host;
use perfwatch::store::fleet::{JoinToken, Joined, Member};

use crate::{Fresh, on_every_engine};

on_every_engine!(
    a_token_lets_one_machine_join,
    a_host_has_one_machine_until_it_is_revoked,
    labels_of_both_are_kept
);

const NOW: i64 = 1_000_000;

async fn token(fresh: &Fresh, hash: &str, expires_at: i64) {
    let token = JoinToken { hash: hash.into(), author: "ann".into(), created_at: 1, expires_at };
    fresh.store.add_join_token(&token, 0).await.unwrap();
}

async fn join(fresh: &Fresh, token: &str, public_key: &str, host: &str) -> Joined {
    let machine = Member {
        public_key: public_key.into(),
        host: host.into(),
        name: "web".into(),
        address: "::1".into(),
        author: String::new(),
        joined_at: NOW,
        revoked_at: None,
    };
    fresh.store.join(token, &machine).await.unwrap()
}

async fn a_token_lets_one_machine_join(fresh: &Fresh) {
    token(fresh, "good", NOW + 1).await;
    token(fresh, "late", NOW).await;
    assert_eq!(join(fresh, "good", "UA", "a").await, Joined::Yes);
    assert_eq!(join(fresh, "good", "UA", "a").await, Joined::Yes, "the answer was lost");
    assert_eq!(join(fresh, "good", "UB", "b").await, Joined::UsedToken);
    assert_eq!(join(fresh, "late", "UB", "b").await, Joined::ExpiredToken);
    assert_eq!(join(fresh, "none", "UB", "b").await, Joined::UnknownToken);
    let members = fresh.store.members().await.unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!((members[0].host.as_str(), members[0].author.as_str()), ("a", "ann"));
    // One that expired long ago is forgotten.
    let newer = JoinToken { hash: "new".into(), author: "ann".into(), created_at: 1, expires_at: 9 * NOW };
    fresh.store.add_join_token(&newer, NOW + 1).await.unwrap();
    assert_eq!(join(fresh, "late", "UB", "b").await, Joined::UnknownToken);
}

async fn a_host_has_one_machine_until_it_is_revoked(fresh: &Fresh) {
    for hash in ["one", "two"] {
        token(fresh, hash, NOW + 1).await;
    }
    assert_eq!(join(fresh, "one", "UA", "a").await, Joined::Yes);
    assert_eq!(join(fresh, "two", "UB", "a").await, Joined::HostTaken);
    assert!(fresh.store.revoke_member("a", NOW).await.unwrap());
    assert!(!fresh.store.revoke_member("a", NOW).await.unwrap(), "revoked already");
    // The token was not used up.
    assert_eq!(join(fresh, "two", "UB", "a").await, Joined::Yes);
    let members = fresh.store.members().await.unwrap();
    let revoked: Vec<(&str, bool)> =
        members.iter().map(|member| (member.public_key.as_str(), member.revoked_at.is_some())).collect();
    assert_eq!(revoked, [("UA", true), ("UB", false)]);
    // A key that is revoked never comes back.
    token(fresh, "three", NOW + 1).await;
    assert_eq!(join(fresh, "three", "UA", "c").await, Joined::HostTaken);
}

async fn labels_of_both_are_kept(fresh: &Fresh) {
    let labelled = |labels: &str| Host { own_labels: labels.parse().unwrap(), ..Host::new("x", "web") };
    fresh.store.introduce(&labelled("role=web,site=fra")).await.unwrap();
    assert!(fresh.store.set_host_labels("x", &"role=db".parse().unwrap()).await.unwrap());
    assert!(!fresh.store.set_host_labels("y", &"role=db".parse().unwrap()).await.unwrap());
    fresh.store.introduce(&labelled("role=app,site=ams")).await.unwrap();
    let hosts = fresh.store.hosts().await.unwrap();
    let host = hosts.iter().find(|host| host.id == "x").unwrap();
    assert_eq!(host.labels().to_string(), "role=db,site=ams");
    assert_eq!(host.own_labels.to_string(), "role=app,site=ams");
}
