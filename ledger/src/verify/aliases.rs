//! Further ids of charged messages: what each leads to, and what it stands for.
//!
//! No chain holds them. That an id is missing is found where it is a call's, which the charge names;
//! of any other nothing else is kept.

use futures::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::{Finding, VerifyReport};
use crate::consumption::{Line, fingerprint};
use crate::error::Result;

/// Looks at every further id, one by one.
pub(super) async fn aliases(tx: &mut PgConnection, report: &mut VerifyReport) -> Result<()> {
    let mut rows = sqlx::query(
        "select n.message_id as name, n.alias_of, n.fingerprint, p.account_id, p.entry, p.part,
                p.fingerprint as part_fingerprint, c.lines, a.user_id,
                (n.account_id, n.entry, n.recorded_at, n.total_tokens, n.charge_nano,
                    n.balance_after_nano, n.entrance, n.evidence, n.is_itemized, n.replaces)
                is not distinct from
                (p.account_id, p.entry, p.recorded_at, p.total_tokens, p.charge_nano,
                    p.balance_after_nano, p.entrance, p.evidence, p.is_itemized, '{}'::integer[]) as is_same,
                n.fingerprint <> p.fingerprint and exists (
                    select from sighting s where s.namespace_id = n.namespace_id
                        and s.message_id = n.alias_of and case when p.part = 0
                            then s.consumption_id is null
                            else s.consumption_id = n.consumption_id
                                and s.fingerprint = n.fingerprint end
                ) as is_seen
         from message n
         left join message p on p.namespace_id = n.namespace_id and p.message_id = n.alias_of
             and p.alias_of is null and p.consumption_id = n.consumption_id
         left join consumption c on c.account_id = p.account_id and c.entry = p.entry
             and c.recorded_at = p.recorded_at
         left join account a on a.account_id = p.account_id
         where n.alias_of is not null",
    )
    .fetch(tx);
    while let Some(row) = rows.try_next().await? {
        if let Some(fault) = fault(&row)? {
            let (name, of): (&str, &str) = (row.try_get("name")?, row.try_get("alias_of")?);
            report.find(Finding {
                account_id: row.try_get("account_id")?,
                user_id: row.try_get("user_id")?,
                entry: row.try_get("entry")?,
                what: format!("{name} is another id of message {of}, {fault}"),
            });
        }
    }
    Ok(())
}

fn fault(row: &PgRow) -> Result<Option<&'static str>> {
    if row.try_get::<Option<i32>, _>("part")?.is_none() {
        return Ok(Some("which was not charged with it"));
    }
    if !row.try_get::<bool, _>("is_same")? {
        return Ok(Some("and says something else than its charge"));
    }
    let (Some(Json(lines)), Some(user_id)) = (
        row.try_get::<Option<Json<Vec<Line>>>, _>("lines")?,
        row.try_get::<Option<&str>, _>("user_id")?,
    ) else {
        // The walk has named what is missing.
        return Ok(None);
    };
    let stored: &[u8] = row.try_get("fingerprint")?;
    let name: &str = row.try_get("name")?;
    let mut named = lines
        .iter()
        .filter(|line| line.call_id.as_deref() == Some(name));
    let is_right = match named.next() {
        // A call that was charged.
        Some(line) => {
            let call = std::iter::once((&line.model_key, &line.tokens));
            fingerprint(user_id, call).as_slice() == stored
        }
        // The whole report. Where that said more than what was left to be charged, it brought a
        // further part, and the report beside that has its fingerprint. The first part was the whole
        // of its report; but what a report that charged nothing has named leads to it, too. Such a
        // report is on record without its calls, so that an id which may stand for one of them
        // cannot be recomputed.
        None => {
            row.try_get::<&[u8], _>("part_fingerprint")? == stored
                || row.try_get::<bool, _>("is_seen")?
        }
    };
    Ok((!is_right).then_some("and stands for something else than what was reported"))
}
