//! Several machines, one page: chunks of history travel over NATS JetStream to hubs, which store them.
//!
//! A machine puts what its history seals into an [outbox] on disk ([`forward`]); the [sender] publishes it and forgets
//! what the stream has acknowledged. A [hub] consumes, checks, stores, and acknowledges after the commit. Anything may
//! arrive twice, late or in any order: the stream drops copies by their message ID, and storing a chunk again changes
//! nothing. History knows nothing of this: to it, the outbox is part of its store.

pub mod connection;
pub mod forward;
pub mod hub;
pub mod inputs;
pub mod outbox;
pub mod presence;
pub mod protocol;
pub mod seen;
pub mod sender;
