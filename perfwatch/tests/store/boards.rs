//! Saved boards.

use crate::{Fresh, on_every_engine};

on_every_engine!(boards_are_kept_for_each_user, boards_are_limited, boards_go_with_their_owner);

async fn names(fresh: &Fresh, user: i64) -> Vec<String> {
    fresh.store.boards(user).await.unwrap().into_iter().map(|board| board.name).collect()
}

async fn boards_are_kept_for_each_user(fresh: &Fresh) {
    let store = &fresh.store;
    let ann = store.create_user("ann", "h", "admin").await.unwrap().id;
    let bob = store.create_user("bob", "h", "viewer").await.unwrap().id;
    assert!(store.save_board(ann, "network", "{}", 9).await.unwrap());
    assert!(store.save_board(ann, "disks'; DROP TABLE boards", "{\"panels\":[]}", 9).await.unwrap());
    assert!(store.save_board(bob, "network", "bob's", 9).await.unwrap());
    let first = store.boards(ann).await.unwrap().swap_remove(1);
    assert!(store.save_board(ann, "network", "other", 9).await.unwrap());
    let second = store.boards(ann).await.unwrap().swap_remove(1);
    assert_eq!((first.content.as_str(), second.content.as_str()), ("{}", "other"));
    assert!(second.updated_at >= first.updated_at);
    assert_eq!(names(fresh, ann).await, ["disks'; DROP TABLE boards", "network"]);
    assert!(store.delete_board(ann, "network").await.unwrap());
    assert!(!store.delete_board(ann, "network").await.unwrap(), "gone already");
    assert_eq!(names(fresh, ann).await.len(), 1);
    assert_eq!(store.boards(bob).await.unwrap()[0].content, "bob's");
}

async fn boards_are_limited(fresh: &Fresh) {
    let store = &fresh.store;
    let ann = store.create_user("ann", "h", "admin").await.unwrap().id;
    let bob = store.create_user("bob", "h", "viewer").await.unwrap().id;
    for name in ["a", "b"] {
        assert!(store.save_board(ann, name, "{}", 2).await.unwrap());
    }
    assert!(!store.save_board(ann, "c", "{}", 2).await.unwrap());
    assert!(store.save_board(ann, "b", "new", 2).await.unwrap(), "it takes the place of one");
    assert!(store.save_board(bob, "c", "{}", 2).await.unwrap(), "another user's do not count");
    assert_eq!(names(fresh, ann).await, ["a", "b"]);
}

async fn boards_go_with_their_owner(fresh: &Fresh) {
    let store = &fresh.store;
    store.create_user("ann", "h", "admin").await.unwrap();
    let bob = store.create_user("bob", "h", "viewer").await.unwrap().id;
    assert!(store.save_board(bob, "mine", "{}", 9).await.unwrap());
    assert!(store.delete_user(bob, "admin").await.unwrap());
    assert!(store.boards(bob).await.unwrap().is_empty());
    assert!(store.save_board(bob, "mine", "{}", 9).await.is_err(), "of nobody");
}
