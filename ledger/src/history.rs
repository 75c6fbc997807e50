//! A user's journal, page by page.

use std::collections::HashMap;

use shared::api::{
    ConsumptionDetail, ConsumptionLine, EntryKind, HistoryFilter, HistoryItem, Page,
};
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::money::Points;
use shared::price::PriceVersion;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::consumption::{Line, public_id};
use crate::error::{Error, Result};
use crate::{Ledger, chain, page, prices};

pub(crate) fn entry_kind(text: &str) -> Result<EntryKind> {
    EntryKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| Error::corrupt(format!("entry kind {text}")))
}

/// The rows of entries that a condition on `j` and `c` picks.
macro_rules! entries {
    ($condition:literal) => {
        concat!(
            "select j.entry, j.kind, j.amount_nano, j.balance_after_nano, j.occurred_at,
                    j.recorded_at, j.reason, j.corrects_entry, c.consumption_id, c.message_id, c.conversation_id,
                    c.total_tokens, c.lines
             from journal_entry j
             left join consumption c on c.account_id = j.account_id and c.entry = j.entry
                 and c.recorded_at = j.recorded_at
             where j.account_id = $1 and ",
            $condition
        )
    };
}

impl Ledger {
    /// Entries of one account, newest first. `from` and `to` bound when they happened.
    ///
    /// # Errors
    /// A bad cursor is a problem of the field `cursor`.
    pub async fn history(
        &self,
        user: &UserId,
        filter: &HistoryFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<HistoryItem>> {
        let before = page::cursor::<i64>(cursor)?.unwrap_or(i64::MAX);
        let model = filter
            .model_name
            .as_ref()
            .map(|model| serde_json::json!([{ "modelKey": model.key() }]));
        let rows = sqlx::query(entries!(
            "j.entry < $2
                 and ($3::text is null or j.kind = $3)
                 and ($4::timestamptz is null or j.occurred_at >= $4)
                 and ($5::timestamptz is null or j.occurred_at < $5)
                 and ($6::jsonb is null or c.lines @> $6)
             order by j.entry desc limit $7"
        ))
        .bind(chain::account_id(user))
        .bind(before)
        .bind(filter.kind.map(EntryKind::as_str))
        .bind(filter.from.map(Timestamp::moment))
        .bind(filter.to.map(Timestamp::moment))
        .bind(model)
        .bind(i64::from(limit) + 1)
        .fetch_all(self.pool())
        .await?;
        let prices = self.prices_of(&rows).await?;
        page::build(&rows, limit, |row| {
            let item = history_item(row, &prices)?;
            Ok((item.entry.to_string(), item))
        })
    }

    /// Some entries of one account, such as those that others correct.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn entries(&self, user: &UserId, entries: &[i64]) -> Result<Vec<HistoryItem>> {
        let rows = sqlx::query(entries!("j.entry = any($2)"))
            .bind(chain::account_id(user))
            .bind(entries)
            .fetch_all(self.pool())
            .await?;
        let prices = self.prices_of(&rows).await?;
        rows.iter().map(|row| history_item(row, &prices)).collect()
    }

    /// The price versions that the rows' lines name.
    async fn prices_of(&self, rows: &[PgRow]) -> Result<HashMap<i64, PriceVersion>> {
        let mut ids = Vec::new();
        for row in rows {
            if let Some(Json(lines)) = row.try_get::<Option<Json<Vec<Line>>>, _>("lines")? {
                ids.extend(lines.iter().map(|line| line.price_version_id));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        sqlx::query("select * from price_version where price_version_id = any($1)")
            .bind(ids)
            .fetch_all(self.pool())
            .await?
            .iter()
            .map(|row| prices::version(row).map(|version| (version.id, version)))
            .collect()
    }
}

fn history_item(row: &PgRow, prices: &HashMap<i64, PriceVersion>) -> Result<HistoryItem> {
    let points = Points::from_nano(row.try_get("amount_nano")?);
    let balance_after = Points::from_nano(row.try_get("balance_after_nano")?);
    let consumption = row
        .try_get::<Option<Uuid>, _>("consumption_id")?
        .map(|consumption_id| consumption_detail(row, consumption_id, prices))
        .transpose()?;
    Ok(HistoryItem {
        entry: row.try_get("entry")?,
        kind: entry_kind(row.try_get("kind")?)?,
        points,
        points_nano: points.into(),
        balance_after,
        balance_after_nano: balance_after.into(),
        occurred_at: row.try_get::<OffsetDateTime, _>("occurred_at")?.into(),
        recorded_at: row.try_get::<OffsetDateTime, _>("recorded_at")?.into(),
        reason: row.try_get("reason")?,
        corrects_entry: row.try_get("corrects_entry")?,
        consumption,
    })
}

fn consumption_detail(
    row: &PgRow,
    consumption_id: Uuid,
    prices: &HashMap<i64, PriceVersion>,
) -> Result<ConsumptionDetail> {
    let Json(lines): Json<Vec<Line>> = row.try_get("lines")?;
    Ok(ConsumptionDetail {
        consumption_id: public_id(consumption_id),
        message_id: row.try_get("message_id")?,
        conversation_id: row.try_get("conversation_id")?,
        tokens_used: u64::try_from(row.try_get::<i64, _>("total_tokens")?)
            .map_err(|_| Error::corrupt("a negative token count"))?,
        lines: lines
            .into_iter()
            .map(|line| {
                let version = prices
                    .get(&line.price_version_id)
                    .ok_or_else(|| Error::corrupt("a charge without its price version"))?;
                Ok(ConsumptionLine {
                    model_name: line.model_name,
                    tokens: line.tokens,
                    price_version_id: version.id,
                    price_version: version.version,
                    rates: version.rates,
                    points: Points::from_nano(line.charge_nano),
                })
            })
            .collect::<Result<Vec<_>>>()?,
    })
}
