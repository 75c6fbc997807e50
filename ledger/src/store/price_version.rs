use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::money::{Points, UnitPrice};
use shared::price::{PriceVersion, Rates};
use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::error::{Error, Result};
use crate::records::actor::Actor;
use crate::records::price::NewPrice;

#[derive(sqlx::FromRow)]
struct PriceVersionRow {
    price_version_id: i64,
    model_name: String,
    version: i32,
    input_nano: i64,
    output_nano: i64,
    cached_input_nano: Option<i64>,
    cache_write_nano: Option<i64>,
    reasoning_nano: Option<i64>,
    per_request_nano: i64,
    is_active: bool,
    effective_from: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    created_by: String,
    note: Option<String>,
}

impl TryFrom<PriceVersionRow> for PriceVersion {
    type Error = Error;

    fn try_from(row: PriceVersionRow) -> Result<Self> {
        let unit = |nano: i64| {
            UnitPrice::from_nano_per_token(nano)
                .map_err(|_| Error::corrupt("a negative unit price"))
        };
        let optional = |nano: Option<i64>| nano.map(unit).transpose();
        Ok(Self {
            id: row.price_version_id,
            model_name: row
                .model_name
                .parse()
                .map_err(|_| Error::corrupt("a model name"))?,
            version: row.version,
            rates: Rates {
                input: unit(row.input_nano)?,
                output: unit(row.output_nano)?,
                cached_input: optional(row.cached_input_nano)?,
                cache_write: optional(row.cache_write_nano)?,
                reasoning: optional(row.reasoning_nano)?,
                per_request: Points::from_nano(row.per_request_nano),
            },
            is_active: row.is_active,
            effective_from: row.effective_from.map(Timestamp::from),
            created_at: row.created_at.into(),
            created_by: row.created_by,
            note: row.note,
        })
    }
}

/// When a price book is read, and which one.
pub(crate) struct RevisionRow {
    pub now: OffsetDateTime,
    pub revision: i64,
}

/// The id of the newest version, 0 for none.
pub(crate) async fn revision(executor: impl PgExecutor<'_>) -> Result<RevisionRow> {
    Ok(sqlx::query_as!(
        RevisionRow,
        r#"select clock_timestamp() as "now!",
                (select coalesce(max(price_version_id), 0) from price_version) as "revision!""#
    )
    .fetch_one(executor)
    .await?)
}

/// All versions, in the order in which they were published.
pub(crate) async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<PriceVersion>> {
    let rows: Vec<PriceVersionRow> =
        sqlx::query_as("select * from price_version order by price_version_id")
            .fetch_all(executor)
            .await?;
    rows.into_iter().map(PriceVersion::try_from).collect()
}

/// All versions of a model.
pub(crate) async fn of_model(
    executor: impl PgExecutor<'_>,
    model: &ModelName,
) -> Result<Vec<PriceVersion>> {
    let rows: Vec<PriceVersionRow> = sqlx::query_as(
        "select * from price_version where model_key = $1 order by price_version_id",
    )
    .bind(model.key())
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(PriceVersion::try_from).collect()
}

/// Some versions, those that are there.
pub(crate) async fn of_ids(
    executor: impl PgExecutor<'_>,
    ids: &[i64],
) -> Result<Vec<PriceVersion>> {
    let rows: Vec<PriceVersionRow> =
        sqlx::query_as("select * from price_version where price_version_id = any($1)")
            .bind(ids)
            .fetch_all(executor)
            .await?;
    rows.into_iter().map(PriceVersion::try_from).collect()
}

/// Publishes a version; the price lock is held.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    new: &NewPrice,
    version: i32,
    effective_from: Option<Timestamp>,
    actor: &Actor,
) -> Result<PriceVersion> {
    let row: PriceVersionRow = sqlx::query_as(
        "insert into price_version (model_key, model_name, version, input_nano, output_nano,
             cached_input_nano, cache_write_nano, reasoning_nano, per_request_nano, is_active,
             effective_from, created_by, note)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning *",
    )
    .bind(new.model_name.key())
    .bind(new.model_name.as_str())
    .bind(version)
    .bind(new.rates.input.nano_per_token())
    .bind(new.rates.output.nano_per_token())
    .bind(new.rates.cached_input.map(UnitPrice::nano_per_token))
    .bind(new.rates.cache_write.map(UnitPrice::nano_per_token))
    .bind(new.rates.reasoning.map(UnitPrice::nano_per_token))
    .bind(new.rates.per_request.nano())
    .bind(new.is_active)
    .bind(effective_from.map(Timestamp::moment))
    .bind(&actor.name)
    .bind(&new.note)
    .fetch_one(executor)
    .await?;
    row.try_into()
}
