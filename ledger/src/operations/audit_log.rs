use shared::api::{AuditEntry, Page};

use crate::error::Attempt;
use crate::operations::ledger::Ledger;
use crate::records::page::{self, UnknownCursor};
use crate::store::audit_log;

impl Ledger {
    /// The audit log, newest first.
    ///
    /// # Errors
    /// [`UnknownCursor`].
    pub async fn audit_log(
        &self,
        cursor: Option<&str>,
        limit: u32,
    ) -> Attempt<Page<AuditEntry>, UnknownCursor> {
        let before = page::cursor::<i64>(cursor)?.unwrap_or(i64::MAX);
        let rows = audit_log::before(self.pool(), before, i64::from(limit) + 1).await?;
        Ok(page::build(rows, limit, |row| {
            Ok((row.audit_id.to_string(), row.into()))
        })?)
    }
}
