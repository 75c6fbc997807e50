//! Whether the schema of a database is the one that this program works with.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;

use crate::error::Result;
use crate::operations::ledger::Ledger;

/// Every change of the schema, in order.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The schema of a database, beside the one that this program works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// There is none.
    Missing,
    /// The same after [`Ledger::migrate`].
    Older,
    Current,
    /// Made by another version of this program, which knows changes that this one does not.
    Foreign,
}

impl Ledger {
    /// Looks at the schema, and changes nothing.
    ///
    /// # Errors
    /// [`crate::Error::Database`].
    pub async fn schema(&self) -> Result<Schema> {
        let is_there: bool =
            sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
                .fetch_one(self.pool())
                .await?;
        if !is_there {
            return Ok(Schema::Missing);
        }
        let made: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("select version, checksum from _sqlx_migrations where success")
                .fetch_all(self.pool())
                .await?;
        let known: BTreeMap<i64, &[u8]> = MIGRATIONS
            .iter()
            .map(|migration| (migration.version, migration.checksum.as_ref()))
            .collect();
        let is_known =
            |(version, checksum): &(i64, Vec<u8>)| known.get(version) == Some(&checksum.as_slice());
        Ok(if made.is_empty() {
            Schema::Missing
        } else if !made.iter().all(is_known) {
            Schema::Foreign
        } else if made.len() < known.len() {
            Schema::Older
        } else {
            Schema::Current
        })
    }
}
