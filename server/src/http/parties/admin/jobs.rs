//! Re-rating, and the jobs that do such long work.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ledger::{JobSummary, Ledger, Rerating};
use shared::api::{
    Job, PAGE_ITEMS_DEFAULT, PageQuery, PreviewRerating, PriceChoice, RerateDifference,
    RerateDifferences, StartRerating, StartedJob,
};
use shared::money::Points;
use shared::problem::{FieldFault, Problem};

use crate::http::plumbing::administrator::Administrator;
use crate::http::plumbing::answer::{Language, success, words};
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::request::{Parameters, from_body};
use crate::http::plumbing::state::Http;

/// `GET /api/admin/jobs`
pub async fn list(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    parameters: Parameters,
) -> Result<Response, Refusal> {
    let query: PageQuery = parameters.read()?;
    let limit = query.limit.unwrap_or(PAGE_ITEMS_DEFAULT);
    let cursor = query.cursor.as_deref();
    let page = http.ledger().jobs_page(cursor, limit).await?;
    let page = page.map(wire_job);
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
    let job = wire_job(http.ledger().job(id).await?);
    Ok(success(words(locale, "Job", "任务"), job))
}

fn wire_job(job: JobSummary) -> Job {
    Job {
        id: job.id.to_string(),
        kind: job.kind,
        about: job.about,
        total: job.total,
        done: job.done,
        created_at: job.created_at,
        created_by: job.created_by,
        finished_at: job.finished_at,
        error: job.error,
    }
}

/// The versions that are chosen, each for another model.
async fn chosen_versions(ledger: &Ledger, prices: &[PriceChoice]) -> Result<Vec<i64>, Refusal> {
    let book = ledger.price_book().await?;
    let mut price_version_ids = Vec::with_capacity(prices.len());
    for (index, price) in prices.iter().enumerate() {
        let model = &price.model_name;
        let version = price.version;
        let version = version.map(|version| i32::try_from(version).unwrap_or(i32::MAX));
        let fault = match book.version(model, version) {
            None => FieldFault::NotPriced,
            Some(_)
                if prices
                    .iter()
                    .take(index)
                    .any(|other| other.model_name.key() == model.key()) =>
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
    Ok(price_version_ids)
}

fn wire_difference(user: ledger::RerateEffect) -> RerateDifference {
    RerateDifference {
        user_id: user.user_id,
        messages: user.messages,
        points: user.points,
        points_nano: user.points_nano,
    }
}

/// `POST /api/admin/reratings/preview`
pub async fn preview_rerating(
    State(http): State<Http>,
    _: Administrator,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: PreviewRerating = from_body(request.into_body()).await?;
    let rerating = Rerating {
        from: asked.from,
        to: asked.to,
        price_version_ids: chosen_versions(http.ledger(), &asked.prices).await?,
        reason: String::new(),
    };
    let mut items = http.ledger().preview_rerating(&rerating).await?;
    let points = Points::sum(items.iter().map(|user| user.points))
        .map_err(|_| Problem::field("points", FieldFault::TooLarge))?;
    let mut preview = RerateDifferences {
        users: items.len(),
        messages: items.iter().map(|user| user.messages).sum(),
        points,
        points_nano: points.into(),
        items: Vec::new(),
        next_cursor: None,
    };
    items.retain(|user| {
        asked
            .cursor
            .as_deref()
            .is_none_or(|cursor| user.user_id.as_str() > cursor)
    });
    let limit = asked.limit.unwrap_or(PAGE_ITEMS_DEFAULT);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if items.len() > limit {
        items.truncate(limit);
        preview.next_cursor = items.last().map(|user| user.user_id.to_string());
    }
    preview.items = items.into_iter().map(wire_difference).collect();
    let message = words(
        locale,
        "What it would change; nothing was entered",
        "预览变化，尚未入账",
    );
    Ok(success(message, preview))
}

/// `POST /api/admin/reratings`
pub async fn start_rerating(
    State(http): State<Http>,
    Administrator(actor): Administrator,
    Language(locale): Language,
    request: Request,
) -> Result<Response, Refusal> {
    let asked: StartRerating = from_body(request.into_body()).await?;
    let rerating = Rerating {
        from: asked.from,
        to: asked.to,
        price_version_ids: chosen_versions(http.ledger(), &asked.prices).await?,
        reason: asked.reason,
    };
    let job_id = http.ledger().start_rerating(rerating, &actor).await?;
    let message = words(locale, "Re-rating has begun", "重新计价已开始");
    Ok((
        StatusCode::ACCEPTED,
        success(
            message,
            StartedJob {
                job_id: job_id.to_string(),
            },
        ),
    )
        .into_response())
}
