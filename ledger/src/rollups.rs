//! Hourly sums of the journal, kept in the transaction of the entries they sum.

use std::collections::BTreeMap;

use shared::api::EntryKind;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::journal::Link;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    account_id: Uuid,
    hour: OffsetDateTime,
    kind: &'static str,
    model_key: &'a str,
    api_key_id: Uuid,
}

#[derive(Default)]
struct Sums {
    entries: i64,
    input_tokens: i64,
    output_tokens: i64,
    amount_nano: i64,
}

fn hour_of(moment: OffsetDateTime) -> OffsetDateTime {
    moment.replace_time(time::Time::from_hms(moment.hour(), 0, 0).unwrap_or(time::Time::MIDNIGHT))
}

/// Adds entries to their rollups. The rows belong to accounts that the transaction has locked.
pub(crate) async fn add(tx: &mut PgConnection, links: &[&Link]) -> Result<()> {
    let mut sums: BTreeMap<Key<'_>, Sums> = BTreeMap::new();
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    for link in links {
        let entry = &link.entry;
        let key = |model_key, api_key_id| Key {
            account_id: entry.account_id,
            hour: hour_of(entry.recorded_at),
            kind: entry.kind.as_str(),
            model_key,
            api_key_id,
        };
        match &entry.consumption {
            Some(consumption) if entry.kind == EntryKind::Charge => {
                for line in &consumption.lines {
                    let sum = sums
                        .entry(key(line.model_key.as_str(), consumption.api_key_id))
                        .or_default();
                    let tokens = &line.tokens;
                    sum.entries += 1;
                    sum.input_tokens = sum
                        .input_tokens
                        .saturating_add(count(tokens.input))
                        .saturating_add(count(tokens.cached_input))
                        .saturating_add(count(tokens.cache_write));
                    sum.output_tokens = sum
                        .output_tokens
                        .saturating_add(count(tokens.output))
                        .saturating_add(count(tokens.reasoning));
                    sum.amount_nano = sum.amount_nano.saturating_sub(line.charge_nano);
                }
            }
            _ => {
                let sum = sums.entry(key("", Uuid::nil())).or_default();
                sum.entries += 1;
                sum.amount_nano = sum.amount_nano.saturating_add(entry.amount_nano);
            }
        }
    }
    macro_rules! column {
        ($field:expr) => {
            sums.iter().map($field).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "insert into rollup as r (account_id, hour, kind, model_key, api_key_id, entries,
             input_tokens, output_tokens, amount_nano)
         select * from unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::uuid[],
             $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
         on conflict (account_id, hour, kind, model_key, api_key_id) do update set
             entries = r.entries + excluded.entries,
             input_tokens = r.input_tokens + excluded.input_tokens,
             output_tokens = r.output_tokens + excluded.output_tokens,
             amount_nano = r.amount_nano + excluded.amount_nano",
    )
    .bind(column!(|(key, _)| key.account_id))
    .bind(column!(|(key, _)| key.hour))
    .bind(column!(|(key, _)| key.kind))
    .bind(column!(|(key, _)| key.model_key))
    .bind(column!(|(key, _)| key.api_key_id))
    .bind(column!(|(_, sum)| sum.entries))
    .bind(column!(|(_, sum)| sum.input_tokens))
    .bind(column!(|(_, sum)| sum.output_tokens))
    .bind(column!(|(_, sum)| sum.amount_nano))
    .execute(tx)
    .await?;
    Ok(())
}
