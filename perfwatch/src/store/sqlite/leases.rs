//! Leases.

use std::time::Duration;

use async_trait::async_trait;

use super::SqliteStore;
use crate::store::Result;
use crate::store::leases::{Held, Lease, LeaseStore, implement_leases};

implement_leases!(SqliteStore, read: reading, write: writing,
    now: "CAST(unixepoch('subsec') * 1000000 AS INTEGER)");
