//! Leases.

use std::time::Duration;

use async_trait::async_trait;

use super::PostgresStore;
use crate::store::Result;
use crate::store::leases::{Held, Lease, LeaseStore, implement_leases};

implement_leases!(PostgresStore, read: ready, write: ready,
    now: "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)");
