//! `GET /api/admin/rollups`: sums of the journal.

use axum::extract::State;
use axum::response::Response;
use shared::api::{RollupFilter, RollupPeriod, RollupQuery};
use shared::clock::Timestamp;
use time::{Duration, OffsetDateTime};

use crate::http::plumbing::administrator::Administrator;
use crate::http::plumbing::answer::{Language, success, words};
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::request::Parameters;
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
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let query: RollupQuery = parameters.read()?;
    let by = query.by.unwrap_or(RollupPeriod::Hour);
    let to: Timestamp = query.to.unwrap_or_else(|| OffsetDateTime::now_utc().into());
    let from = query.from.unwrap_or_else(|| {
        let from = to.moment().checked_sub(usual(by));
        from.map_or(to, Timestamp::from)
    });
    let filter = RollupFilter {
        from,
        to,
        by,
        user_id: query.user_id,
        model_name: query.model_name,
        source: query.source,
        kind: query.kind,
    };
    let rollups = http.ledger().rollups(&filter).await?;
    Ok(success(words(locale, "Sums", "汇总"), rollups))
}
