//! `GET /api/admin/rollups`: sums of the journal.

use axum::extract::State;
use axum::response::Response;
use shared::api::{EntryKind, RollupFilter, RollupPeriod};
use shared::clock::Timestamp;
use time::{Duration, OffsetDateTime};

use crate::http::plumbing::administrator::Administrator;
use crate::http::plumbing::answer::{Language, success, words};
use crate::http::plumbing::params::Params;
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::state::Http;

/// How far back the sums go unless told: a day of hours, or thirty days.
const fn usual(by: RollupPeriod) -> Duration {
    match by {
        RollupPeriod::Hour => Duration::hours(24),
        RollupPeriod::Day => Duration::days(30),
    }
}

pub async fn show(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    mut params: Params,
) -> Result<Response, Refusal> {
    let by = params
        .one_of("by", &RollupPeriod::ALL, RollupPeriod::as_str)?
        .unwrap_or(RollupPeriod::Hour);
    let to: Timestamp = params
        .time("to")?
        .unwrap_or_else(|| OffsetDateTime::now_utc().into());
    let from = params.time("from")?.unwrap_or_else(|| {
        let from = to.moment().checked_sub(usual(by));
        from.map_or(to, Timestamp::from)
    });
    let filter = RollupFilter {
        from,
        to,
        by,
        user_id: params.id("userId")?,
        model_name: params.id("modelName")?,
        source: params.text("source")?,
        kind: params.one_of("kind", &EntryKind::ALL, EntryKind::as_str)?,
    };
    params.finish()?;
    let rollups = http.ledger().rollups(&filter).await?;
    Ok(success(words(locale, "Sums", "汇总"), rollups))
}
