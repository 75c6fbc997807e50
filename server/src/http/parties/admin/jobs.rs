//! Re-rating, and the jobs that do such long work.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ledger::{Difference, Ledger, Rerating};
use serde::Serialize;
use shared::ids::ModelName;
use shared::money::{Nano, Points};
use shared::problem::{FieldFault, Problem};
use uuid::Uuid;

use crate::http::plumbing::administrator::Administrator;
use crate::http::plumbing::answer::{Language, success, words};
use crate::http::plumbing::params::Params;
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::state::Http;

/// `GET /api/admin/jobs`
pub async fn list(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    mut params: Params,
) -> Result<Response, Refusal> {
    let (cursor, limit) = params.page()?;
    params.finish()?;
    let page = http.ledger().jobs_page(cursor.as_deref(), limit).await?;
    Ok(success(words(locale, "Jobs", "任务"), page))
}

/// `GET /api/admin/jobs/{id}`
pub async fn show(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let id = id.parse().map_err(|_| Problem::NotFound)?;
    let job = http.ledger().job(id).await?;
    Ok(success(words(locale, "Job", "任务"), job))
}

/// Takes what is to be priced again, and how, except the reason.
async fn rerating(ledger: &Ledger, params: &mut Params) -> Result<Rerating, Refusal> {
    let from = params.required_time("from")?;
    let to = params.required_time("to")?;
    let prices = params.each("prices", |price| {
        let model: ModelName = price.required_id("modelName")?;
        let version = price.count("version")?;
        let version = version.map(|version| i32::try_from(version).unwrap_or(i32::MAX));
        Ok((model, version))
    })?;
    let book = ledger.price_book().await?;
    let mut price_version_ids = Vec::with_capacity(prices.len());
    for (index, (model, version)) in prices.iter().enumerate() {
        let fault = match book.version(model, *version) {
            None => FieldFault::NotPriced,
            Some(_)
                if prices
                    .iter()
                    .take(index)
                    .any(|(other, _)| other.key() == model.key()) =>
            {
                FieldFault::Taken
            }
            Some(known) => {
                price_version_ids.push(known.id);
                continue;
            }
        };
        return Err(Problem::field(format!("prices.{index}.modelName"), fault).into());
    }
    Ok(Rerating {
        from,
        to,
        price_version_ids,
        reason: String::new(),
    })
}

/// `data` of a preview: the sum, and a page of the users it is made of.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Preview {
    users: usize,
    messages: u64,
    /// What the balances gain together.
    points: Points,
    points_nano: Nano,
    /// By user id.
    items: Vec<Difference>,
    next_cursor: Option<String>,
}

/// `POST /api/admin/reratings/preview`
pub async fn preview_rerating(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let mut params = Params::from_body(request.into_body()).await?;
    let rerating = rerating(http.ledger(), &mut params).await?;
    let (cursor, limit) = params.page()?;
    params.finish()?;
    let mut items = http.ledger().preview_rerating(&rerating).await?;
    let points = Points::sum(items.iter().map(|user| user.points))
        .map_err(|_| Problem::field("points", FieldFault::TooLarge))?;
    let mut preview = Preview {
        users: items.len(),
        messages: items.iter().map(|user| user.messages).sum(),
        points,
        points_nano: points.into(),
        items: Vec::new(),
        next_cursor: None,
    };
    items.retain(|user| {
        cursor
            .as_deref()
            .is_none_or(|cursor| user.user_id.as_str() > cursor)
    });
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if items.len() > limit {
        items.truncate(limit);
        preview.next_cursor = items.last().map(|user| user.user_id.to_string());
    }
    preview.items = items;
    let message = words(
        locale,
        "What it would change; nothing was entered",
        "预览变化，尚未入账",
    );
    Ok(success(message, preview))
}

/// `data` of a job that was begun.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    job_id: Uuid,
}

/// `POST /api/admin/reratings`
pub async fn start_rerating(
    State(http): State<Http>,
    Administrator(actor): Administrator,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let mut params = Params::from_body(request.into_body()).await?;
    let rerating = Rerating {
        reason: params.required_text("reason")?,
        ..rerating(http.ledger(), &mut params).await?
    };
    params.finish()?;
    let job_id = http.ledger().start_rerating(rerating, &actor).await?;
    let message = words(locale, "Re-rating has begun", "重新计价已开始");
    Ok((StatusCode::ACCEPTED, success(message, Begun { job_id })).into_response())
}
