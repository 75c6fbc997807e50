//! Rows that the walk along the journal never meets.

use futures::TryStreamExt;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{Finding, VerifyReport};
use crate::error::Result;

/// Consumptions and credits without their journal entry.
pub(super) async fn rows_without_entry(
    tx: &mut PgConnection,
    only: Option<Uuid>,
    report: &mut VerifyReport,
) -> Result<()> {
    let consumptions = sqlx::query(
        "select c.account_id, c.entry, a.user_id,
                format('message %s is recorded without its journal entry', c.message_id) as what
         from consumption c left join account a using (account_id)
         where ($1::uuid is null or c.account_id = $1)
             and not exists (select from journal_entry j where j.account_id = c.account_id
                 and j.entry = c.entry and j.recorded_at = c.recorded_at)",
    );
    find_all(&mut *tx, consumptions, only, report).await?;
    let credits = sqlx::query(
        "select k.account_id, k.entry, a.user_id, 'a credit without its journal entry' as what
         from credit k left join account a using (account_id)
         where ($1::uuid is null or k.account_id = $1)
             and not exists (select from journal_entry j where j.account_id = k.account_id
                 and j.entry = k.entry)",
    );
    find_all(tx, credits, only, report).await
}

/// Rollups and holds of accounts that are not there.
pub(super) async fn rows_without_account(
    tx: &mut PgConnection,
    only: Option<Uuid>,
    report: &mut VerifyReport,
) -> Result<()> {
    let rollups = sqlx::query(
        "select r.account_id, null::bigint as entry, null::text as user_id,
                'a rollup without an account' as what
         from rollup r where ($1::uuid is null or r.account_id = $1)
             and not exists (select from account a where a.account_id = r.account_id)",
    );
    find_all(&mut *tx, rollups, only, report).await?;
    let holds = sqlx::query(
        "select h.account_id, null::bigint as entry, null::text as user_id,
                'a hold without an account' as what
         from hold h where ($1::uuid is null or h.account_id = $1)
             and not exists (select from account a where a.account_id = h.account_id)",
    );
    find_all(tx, holds, only, report).await
}

/// Message identities without their consumption. Every consumption of the walk had its own, so they
/// are only searched for when there are more of them.
pub(super) async fn messages_without_consumption(
    tx: &mut PgConnection,
    met: u64,
    report: &mut VerifyReport,
) -> Result<()> {
    let count: i64 = sqlx::query_scalar("select count(*) from message where alias_of is null")
        .fetch_one(&mut *tx)
        .await?;
    if u64::try_from(count) == Ok(met) {
        return Ok(());
    }
    let messages = sqlx::query(
        "select m.account_id, m.entry, a.user_id,
                format('message %s is recorded without its journal entry', m.message_id) as what
         from message m left join account a using (account_id)
         where $1::uuid is null and m.alias_of is null and not exists (
             select from consumption c where c.account_id = m.account_id and c.entry = m.entry
                 and c.recorded_at = m.recorded_at and c.consumption_id = m.consumption_id
                 and c.namespace_id = m.namespace_id and c.message_id = m.message_id
                 and c.part = m.part)",
    );
    find_all(tx, messages, None, report).await
}

/// Reports of messages that were never charged, or not by what they say was charged by them.
pub(super) async fn sightings_without_message(
    tx: &mut PgConnection,
    report: &mut VerifyReport,
) -> Result<()> {
    let sightings = sqlx::query(
        "select null::uuid as account_id, null::bigint as entry, null::text as user_id,
                format('a report of message %s is recorded, which was not charged with it',
                    s.message_id) as what
         from sighting s where $1::uuid is null and not exists (
             select from message m where m.namespace_id = s.namespace_id
                 and m.message_id = s.message_id and m.alias_of is null
                 and case when s.consumption_id is null then m.part = 0
                     else m.part > 0 and m.consumption_id = s.consumption_id end)",
    );
    find_all(tx, sightings, None, report).await
}

async fn find_all(
    tx: &mut PgConnection,
    query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
    only: Option<Uuid>,
    report: &mut VerifyReport,
) -> Result<()> {
    let mut rows = query.bind(only).fetch(tx);
    while let Some(row) = rows.try_next().await? {
        report.find(Finding {
            account_id: row.try_get("account_id")?,
            user_id: row.try_get("user_id")?,
            entry: row.try_get("entry")?,
            what: row.try_get("what")?,
        });
    }
    Ok(())
}
