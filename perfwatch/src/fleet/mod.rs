//! Several machines, one page: chunks of history travel over NATS JetStream to hubs, which store them.
//!
//! A machine puts what its history seals into an [outbox] on disk ([`forward`]); the [sender] publishes it and forgets
//! what the stream has acknowledged. A [hub] consumes, checks, stores, and acknowledges after the commit. Anything may
//! arrive twice, late or in any order: the stream drops copies by their message ID, and storing a chunk again changes
//! nothing. History knows nothing of this: to it, the outbox is part of its store.
//!
//! What is wanted at once goes over core NATS, which keeps nothing: a machine's ticks while someone watches them
//! ([`live`]), and questions to one machine ([`asking`]). Signs of life carry a few [measures], of which each hub keeps the
//! last hour in memory ([courses]).
//!
//! A machine is let in by hand, or by the [keys] of a hub: it asks a hub once, and keeps its [membership].

pub mod answering;
pub mod asking;
pub mod connection;
pub mod copies;
pub mod courses;
pub mod forward;
pub mod hub;
pub mod init;
pub mod inputs;
mod jwt;
pub mod keys;
pub mod live;
pub mod measures;
pub mod membership;
pub mod outbox;
pub mod parts;
pub mod presence;
pub mod protocol;
pub mod seen;
pub mod sender;
