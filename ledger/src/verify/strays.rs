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
    let counts = sqlx::query(
        "select count(*) filter (where alias_of is null) as messages,
                count(*) filter (where alias_of is not null) as aliases from message",
    )
    .fetch_one(&mut *tx)
    .await?;
    let count = |column| -> Result<u64> {
        Ok(u64::try_from(counts.try_get::<i64, _>(column)?).unwrap_or(0))
    };
    if count("aliases")? > 0 {
        let aliases = sqlx::query(
            "select null::uuid as account_id, null::bigint as entry, null::text as user_id,
                    format('%s is another id of message %s, which was not charged with it',
                        n.message_id, n.alias_of) as what
             from message n where $1::uuid is null and n.alias_of is not null and not exists (
                 select from message m where m.namespace_id = n.namespace_id
                     and m.message_id = n.alias_of and m.consumption_id = n.consumption_id
                     and m.alias_of is null)",
        );
        find_all(&mut *tx, aliases, None, report).await?;
    }
    if count("messages")? == met {
        return Ok(());
    }
    // Nothing orders consumptions by their ids.
    sqlx::raw_sql("set local enable_hashjoin = on")
        .execute(&mut *tx)
        .await?;
    let messages = sqlx::query(
        "select null::uuid as account_id, null::bigint as entry, null::text as user_id,
                format('message %s is recorded without its journal entry', m.message_id) as what
         from message m where $1::uuid is null and m.alias_of is null and not exists (
             select from consumption c where c.consumption_id = m.consumption_id)",
    );
    find_all(tx, messages, None, report).await
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
