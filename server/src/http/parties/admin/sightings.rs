//! Who reported a message, and which reports differ from what was charged.

use axum::extract::{Path, State};
use axum::response::Response;
use ledger::SightingSummary;
use serde::Serialize;
use shared::problem::{FieldFault, Problem};

use crate::http::plumbing::administrator::Administrator;
use crate::http::plumbing::answer::{Language, success, words};
use crate::http::plumbing::params::Params;
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::state::Http;

/// `data` of a message's reports.
#[derive(Serialize)]
struct Sightings {
    /// In order, beginning with the one that was charged first.
    items: Vec<SightingSummary>,
}

/// `GET /api/admin/messages/{messageId}/sightings`, by any id that the message is known by.
pub async fn of_message(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    Path(message_id): Path<String>,
) -> Result<Response, Refusal> {
    if message_id.contains('\0') {
        return Err(Problem::field("messageId", FieldFault::ControlCharacter).into());
    }
    let items = http.ledger().sightings(&message_id).await?;
    let message = words(locale, "Reports of the message", "该消息的上报");
    Ok(success(message, Sightings { items }))
}

/// `GET /api/admin/differences`
pub async fn differences(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    mut params: Params,
) -> Result<Response, Refusal> {
    let (cursor, limit) = params.page()?;
    params.finish()?;
    let page = http.ledger().differences(cursor.as_deref(), limit).await?;
    let message = words(
        locale,
        "Reports that differ from what was charged",
        "与已计费内容不同的上报",
    );
    Ok(success(message, page))
}
