//! Tells a ledger what time it is, so that things run out without waiting for them.
//!
//! Nothing in the ledger knows of this. It takes all its times from Postgres, by `now()` and
//! `clock_timestamp()`; in a database whose search path names the schema `told` before `pg_catalog`,
//! these are the functions below.

use shared::clock::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;

use crate::{Books, connect};

/// A clock that stands still until it is told to go on.
pub struct Clock {
    pool: PgPool,
}

impl Clock {
    /// Opens books whose time is `at`.
    pub async fn open_books(at: Timestamp) -> (Books, Self) {
        // One writer: what is delivered together is charged in order.
        let mut books = Books::open_with(1).await;
        let functions: String = [
            "now",
            "transaction_timestamp",
            "statement_timestamp",
            "clock_timestamp",
        ]
        .iter()
        .map(|name| {
            format!(
                "create function told.{name}() returns timestamptz language sql volatile
                         as 'select at from told.clock';"
            )
        })
        .collect();
        sqlx::raw_sql(AssertSqlSafe(format!(
            "create schema told;
             create table told.clock (at timestamptz not null);
             insert into told.clock values ('{at}');
             {functions}
             do $$ begin
                 execute format('alter database %I set search_path = told, pg_catalog, public',
                     current_database());
             end $$"
        )))
        .execute(&books.pool)
        .await
        .unwrap();
        // A search path belongs to the connections that begin after it was set.
        books.ledger = connect(&books.options, books.writers).await;
        let clock = Self {
            pool: books.pool.clone(),
        };
        (books, clock)
    }

    pub async fn set(&self, at: Timestamp) {
        sqlx::query("update told.clock set at = $1")
            .bind(at.moment())
            .execute(&self.pool)
            .await
            .unwrap();
    }
}
