//! An account's rollups, added up again from its entries.

use std::collections::BTreeMap;

use shared::tokens::Tokens;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::chain::Entry;
use crate::error::Result;

/// Hour (Unix microseconds, as exact as it is stored), kind, model, source.
type Key = (i64, String, String, Uuid);

const MICROSECONDS: i64 = 1_000_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    entries: i128,
    input_tokens: i128,
    output_tokens: i128,
    amount_nano: i128,
}

/// As the query gives it, see [`stored`]; the sums as text, because JSON numbers end at 64 bits.
type StoredRow = (i64, String, String, Uuid, i64, String, String, String);

#[derive(Default)]
pub(super) struct Sums(BTreeMap<Key, Sum>);

impl Sums {
    pub(super) fn add(&mut self, entry: &Entry) {
        let unix = entry.recorded_at.unix_timestamp();
        let hour = (unix - unix.rem_euclid(3600)) * MICROSECONDS;
        let mut add = |model_key: &str, source, tokens: Tokens, amount_nano: i64| {
            let key = (
                hour,
                entry.kind.as_str().to_owned(),
                model_key.to_owned(),
                source,
            );
            let sum = self.0.entry(key).or_default();
            sum.entries += 1;
            sum.input_tokens += i128::from(tokens.input)
                + i128::from(tokens.cached_input)
                + i128::from(tokens.cache_write);
            sum.output_tokens += i128::from(tokens.output) + i128::from(tokens.reasoning);
            sum.amount_nano += i128::from(amount_nano);
        };
        match &entry.consumption {
            // An entry's lines are not negative, so their negation fits.
            Some(used) => used.lines.iter().for_each(|line| {
                add(
                    &line.model_key,
                    used.api_key_id,
                    line.tokens,
                    line.charge_nano.saturating_neg(),
                );
            }),
            None => add("", Uuid::nil(), Tokens::default(), entry.amount_nano),
        }
    }

    /// The first rollup that is not the sum of its entries.
    pub(super) fn fault(&self, row: &PgRow) -> Result<Option<String>> {
        let stored = stored(row)?;
        let keys = self.0.keys().chain(stored.0.keys());
        let wrong = keys
            .filter(|key| self.0.get(*key) != stored.0.get(*key))
            .min();
        Ok(wrong.map(|(hour, kind, ..)| {
            let hour = OffsetDateTime::from_unix_timestamp_nanos(i128::from(*hour) * 1000)
                .map_or_else(|_| hour.to_string(), |hour| hour.to_string());
            format!("the rollup of {kind} in the hour of {hour} is not the sum of its entries")
        }))
    }
}

fn stored(row: &PgRow) -> Result<Sums> {
    let rows: Option<Json<Vec<StoredRow>>> = row.try_get("rollups")?;
    let rows = rows.map(|Json(rows)| rows).unwrap_or_default();
    // What cannot be read as a whole number is no sum of whole numbers.
    let number = |text: &str| text.parse().unwrap_or(i128::MIN);
    let sums = rows.into_iter().map(
        |(hour, kind, model, source, entries, input, output, amount)| {
            let sum = Sum {
                entries: entries.into(),
                input_tokens: number(&input),
                output_tokens: number(&output),
                amount_nano: number(&amount),
            };
            ((hour, kind, model, source), sum)
        },
    );
    Ok(Sums(sums.collect()))
}
