//! Connections to the server, or to a pooler such as PgBouncer in front of it.
//!
//! A pooler gives each transaction any of its server's connections: what a session keeps (settings, prepared statements)
//! is not there the next time, or is another client's. So behind one, every statement is part of a transaction, which
//! begins by making a session of its own.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgConnectOptions, PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Describe, Either, Execute, Executor, SqlStr, Transaction};

/// One round trip: the statements that another client prepared on this connection may have our names.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '30s'; SET LOCAL jit = off; DEALLOCATE ALL";

#[derive(Debug)]
pub(super) struct Pool {
    pool: PgPool,
    /// Whether a pooler is in front of the server.
    pooled: AtomicBool,
}

impl Pool {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, pooled: AtomicBool::new(false) }
    }

    /// From now on, connections are to a pooler, with these options.
    pub(super) fn behind_pooler(&self, options: PgConnectOptions) {
        self.pool.set_connect_options(options.statement_cache_capacity(0));
        self.pooled.store(true, Ordering::Release);
    }

    pub(super) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Acquire)
    }

    pub(super) async fn begin(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        if self.is_pooled() { self.pool.begin_with(BEGIN).await } else { self.pool.begin().await }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

type Step = Either<PgQueryResult, PgRow>;

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Step>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if !self.is_pooled() {
            return (&self.pool).fetch_many(query);
        }
        let all = async move {
            let mut transaction = self.begin().await?;
            let steps: Vec<Step> = (&mut *transaction).fetch_many(query).try_collect().await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(stream::iter(steps.into_iter().map(Ok)))
        };
        stream::once(all).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if !self.is_pooled() {
            return (&self.pool).fetch_optional(query);
        }
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            let row = (&mut *transaction).fetch_optional(query).await?;
            transaction.commit().await?;
            Ok(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        (&self.pool).prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        (&self.pool).describe(sql)
    }
}
