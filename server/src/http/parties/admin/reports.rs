//! Who reported a message, and which reports differ from what was charged.

use axum::extract::{Path, State};
use axum::response::Response;
use shared::api::{MessageReports, PAGE_ITEMS_DEFAULT, PageQuery};
use shared::problem::{FieldFault, Problem};

use crate::http::plumbing::administrator::Administrator;
use crate::http::plumbing::answer::{Language, success, words};
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::request::Parameters;
use crate::http::plumbing::state::Http;

/// `GET /api/admin/messages/{messageId}/reports`, by any id that the message is known by.
pub async fn of_message(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    Path(message_id): Path<String>,
) -> Result<Response, Refusal> {
    if message_id.contains('\0') {
        return Err(Problem::field("messageId", FieldFault::ControlCharacter).into());
    }
    let items = http.ledger().reports(&message_id).await?;
    let message = words(locale, "Reports of the message", "该消息的上报");
    Ok(success(message, MessageReports { items }))
}

/// `GET /api/admin/differences`
pub async fn differences(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let query: PageQuery = parameters.read()?;
    let limit = query.limit.unwrap_or(PAGE_ITEMS_DEFAULT);
    let cursor = query.cursor.as_deref();
    let page = http.ledger().report_differences(cursor, limit).await?;
    let message = words(
        locale,
        "Reports that differ from what was charged",
        "与已扣费内容不同的上报",
    );
    Ok(success(message, page))
}
