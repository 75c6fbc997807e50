//! Price versions: published once, never changed, cached as one immutable book.

use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::money::{Points, UnitPrice};
use shared::price::{PriceBook, PriceVersion, Rates};
use shared::problem::{FieldFault, Problem};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use tracing::warn;

use crate::audit::{self, Actor};
use crate::error::{Error, Result};
use crate::jobs::{self, Task};
use crate::{Ledger, PRICE_LOCK};

/// A price to be published.
#[derive(Debug, Clone)]
pub struct NewPrice {
    pub model_name: ModelName,
    pub rates: Rates,
    pub is_active: bool,
    /// `None` is now, or since ever for a model's first version.
    pub effective_from: Option<Timestamp>,
    pub note: Option<String>,
    /// The newest version the author has seen, 0 for none; `None` publishes whatever is there.
    pub expected_version: Option<i32>,
}

/// A start this far in the past is still "now": it is about as long as a form stays open.
const START_TOLERANCE: time::Duration = time::Duration::minutes(5);

/// The newest book any part of this process has read.
#[derive(Clone, Default)]
pub(crate) struct Cache(Arc<RwLock<Arc<PriceBook>>>);

impl Cache {
    fn current(&self) -> Arc<PriceBook> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The book with exactly this revision. Versions only come in, one after the other, so the
    /// revision tells whether the cached book is still the whole one.
    pub(crate) async fn at_revision(
        &self,
        connection: &mut PgConnection,
        revision: i64,
    ) -> Result<Arc<PriceBook>> {
        let cached = self.current();
        if cached.revision() == revision {
            return Ok(cached);
        }
        let rows = sqlx::query("select * from price_version order by price_version_id")
            .fetch_all(connection)
            .await?;
        let versions = rows.iter().map(version).collect::<Result<Vec<_>>>()?;
        let book = Arc::new(PriceBook::new(versions));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&book);
        Ok(book)
    }
}

pub(crate) fn version(row: &PgRow) -> Result<PriceVersion> {
    let unit = |nano: i64| {
        UnitPrice::from_nano_per_token(nano).map_err(|_| Error::corrupt("a negative unit price"))
    };
    let optional = |column| row.try_get::<Option<i64>, _>(column)?.map(unit).transpose();
    Ok(PriceVersion {
        id: row.try_get("price_version_id")?,
        model_name: row
            .try_get::<&str, _>("model_name")?
            .parse()
            .map_err(|_| Error::corrupt("a model name"))?,
        version: row.try_get("version")?,
        rates: Rates {
            input: unit(row.try_get("input_nano")?)?,
            output: unit(row.try_get("output_nano")?)?,
            cached_input: optional("cached_input_nano")?,
            cache_write: optional("cache_write_nano")?,
            reasoning: optional("reasoning_nano")?,
            per_request: Points::from_nano(row.try_get("per_request_nano")?),
        },
        is_active: row.try_get("is_active")?,
        effective_from: row
            .try_get::<Option<OffsetDateTime>, _>("effective_from")?
            .map(Timestamp::from),
        created_at: row.try_get::<OffsetDateTime, _>("created_at")?.into(),
        created_by: row.try_get("created_by")?,
        note: row.try_get("note")?,
    })
}

/// What the audit log keeps of a version.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Published {
    version: i32,
    rates: Rates,
    is_active: bool,
    effective_from: Option<Timestamp>,
}

impl From<&PriceVersion> for Published {
    fn from(version: &PriceVersion) -> Self {
        Self {
            version: version.version,
            rates: version.rates,
            is_active: version.is_active,
            effective_from: version.effective_from,
        }
    }
}

impl Ledger {
    /// All price versions as of now.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn price_book(&self) -> Result<Arc<PriceBook>> {
        let mut connection = self.pool().acquire().await?;
        let revision =
            sqlx::query_scalar("select coalesce(max(price_version_id), 0) from price_version")
                .fetch_one(&mut *connection)
                .await?;
        self.inner
            .prices
            .at_revision(&mut connection, revision)
            .await
    }

    /// Publishes a new version and charges the messages that waited for it.
    ///
    /// # Errors
    /// `Outdated` when somebody else published meanwhile; field problems for a start in the past
    /// and for a negative per-request price.
    pub async fn publish_price(&self, new: NewPrice, actor: &Actor) -> Result<PriceVersion> {
        if new.rates.per_request.is_negative() {
            return Err(Problem::field("perRequest", FieldFault::Negative).into());
        }
        let mut tx = self.pool().begin().await?;
        // Alone from here on: every group that commits before has priced what happened before.
        sqlx::query("select pg_advisory_xact_lock($1)")
            .bind(PRICE_LOCK)
            .execute(&mut *tx)
            .await?;
        let row = sqlx::query(
            "select clock_timestamp() as now,
                    (select coalesce(max(price_version_id), 0) from price_version) as revision",
        )
        .fetch_one(&mut *tx)
        .await?;
        let now = Timestamp::from(row.try_get::<OffsetDateTime, _>("now")?);
        let book = self
            .inner
            .prices
            .at_revision(&mut tx, row.try_get("revision")?)
            .await?;
        let newest = book
            .history(&new.model_name)
            .max_by_key(|version| version.version);
        let newest_version = newest.map_or(0, |version| version.version);
        if new
            .expected_version
            .is_some_and(|expected| expected != newest_version)
        {
            return Err(Problem::Outdated.into());
        }
        let effective_from = effective_from(&new, newest.is_some(), now)?;
        let published = insert(&mut tx, &new, newest_version + 1, effective_from, actor).await?;
        audit::record(
            &mut tx,
            actor,
            "price.publish",
            new.model_name.as_str(),
            newest.map(Published::from).as_ref(),
            Some(&Published::from(&published)),
        )
        .await?;
        let release = if published.is_active {
            let task = Task::Release {
                model_name: published.model_name.clone(),
            };
            Some(jobs::enqueue(&mut tx, &task, actor).await?)
        } else {
            None
        };
        tx.commit().await?;
        if let Some(job) = release
            && let Err(error) = self.run_job(job).await
        {
            // The price is published, and the job is taken up again.
            warn!(%job, %error, "what waited for a price is not charged yet");
        }
        Ok(published)
    }
}

fn effective_from(new: &NewPrice, has_versions: bool, now: Timestamp) -> Result<Option<Timestamp>> {
    match new.effective_from {
        None if has_versions => Ok(Some(now)),
        None => Ok(None),
        Some(from) if from.moment() < now.moment() - START_TOLERANCE => {
            Err(Problem::field("effectiveFrom", FieldFault::InThePast).into())
        }
        // Never before now: what was charged a moment ago keeps its price.
        Some(from) => Ok(Some(from.max(now))),
    }
}

async fn insert(
    tx: &mut PgConnection,
    new: &NewPrice,
    version: i32,
    effective_from: Option<Timestamp>,
    actor: &Actor,
) -> Result<PriceVersion> {
    let row = sqlx::query(
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
    .fetch_one(tx)
    .await?;
    self::version(&row)
}
