//! Pricing past messages again, and the jobs that do it.

use leptos::prelude::*;
use leptos::server_fn::codec::Json;
use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::money::Points;
use shared::price::Rates;
use shared::problem::{FieldFault, Problem};

use crate::error::AppError;

/// A model and the versions at which its messages can be priced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReratableModel {
    pub model_name: String,
    /// Newest first.
    pub versions: Vec<ReratableVersion>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReratableVersion {
    pub id: i64,
    pub version: i32,
    pub rates: Rates,
}

/// What the form holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RerateDraft {
    pub price_version_id: i64,
    /// When the messages happened: inclusive.
    pub from: Option<Timestamp>,
    /// Exclusive.
    pub to: Option<Timestamp>,
}

impl RerateDraft {
    /// The range of time, in order.
    ///
    /// # Errors
    /// [`Problem::InvalidField`] for an end that is missing or not after the beginning.
    pub fn range(&self) -> Result<(Timestamp, Timestamp), Problem> {
        let given = |end: Option<Timestamp>, field: &str| {
            end.ok_or_else(|| Problem::field(field, FieldFault::Empty))
        };
        let from = given(self.from, "from")?;
        let to = given(self.to, "to")?;
        if from >= to {
            let than = "from".to_owned();
            return Err(Problem::field("to", FieldFault::NotLater { than }));
        }
        Ok((from, to))
    }
}

/// What pricing again means to one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserDifference {
    pub user_id: UserId,
    pub messages: u64,
    /// What the balance gains; negative when the messages become dearer.
    pub points: Points,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobKind {
    /// Charges what waited for a model's price.
    Release,
    Rerate,
}

/// Work that goes on behind the pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    pub kind: JobKind,
    /// The model, or the reason.
    pub about: String,
    pub done: u64,
    /// As far as it is known yet.
    pub total: u64,
    pub created_at: Timestamp,
    pub created_by: String,
    pub is_finished: bool,
    pub has_failed: bool,
}

/// All models with all their versions.
#[cfg(feature = "ssr")]
pub async fn reratable_models() -> Result<Vec<ReratableModel>, AppError> {
    let (context, _) = crate::auth::administrator().await?;
    let book = context.ledger.price_book().await?;
    let models: Vec<_> = book
        .current(crate::auth::now())
        .map(|current| ReratableModel {
            model_name: current.model_name.as_str().to_owned(),
            versions: book
                .history(&current.model_name)
                .map(|version| ReratableVersion {
                    id: version.id,
                    version: version.version,
                    rates: version.rates,
                })
                .collect(),
        })
        .collect();
    Ok(models)
}

/// The latest jobs, newest first.
#[cfg(feature = "ssr")]
pub async fn recent_jobs() -> Result<Vec<JobView>, AppError> {
    const JOBS_SHOWN_MAX: u32 = 50;

    let (context, _) = crate::auth::administrator().await?;
    let jobs: Vec<_> = context
        .ledger
        .jobs(JOBS_SHOWN_MAX)
        .await?
        .into_iter()
        // Every price begins a job; for most of them nothing has waited.
        .filter(|job| job.kind == "rerate" || job.total > 0 || job.finished_at.is_none())
        .map(|job| JobView {
            kind: if job.kind == "rerate" {
                JobKind::Rerate
            } else {
                JobKind::Release
            },
            about: job.about,
            done: job.done.unsigned_abs(),
            total: job.total.unsigned_abs(),
            created_at: job.created_at,
            created_by: job.created_by,
            is_finished: job.finished_at.is_some(),
            has_failed: job.error.is_some(),
        })
        .collect();
    Ok(jobs)
}

/// What would change, per user. Nothing is written.
///
/// # Errors
/// A field that does not make sense.
#[server(prefix = "/api/fn", endpoint = "preview_rerating", input = Json, output = Json)]
pub async fn preview_rerating(draft: RerateDraft) -> Result<Vec<UserDifference>, AppError> {
    let (context, _) = crate::auth::administrator().await?;
    let differences = context
        .ledger
        .preview_rerating(&rerating(&draft, String::new())?)
        .await?;
    Ok(differences
        .into_iter()
        .map(|difference| UserDifference {
            user_id: difference.user_id,
            messages: difference.messages,
            points: difference.points,
        })
        .collect())
}

/// Begins the job that enters the differences.
///
/// # Errors
/// A field that does not make sense.
#[server(prefix = "/api/fn", endpoint = "start_rerating", input = Json, output = Json)]
pub async fn start_rerating(draft: RerateDraft, reason: String) -> Result<(), AppError> {
    let (context, actor) = crate::auth::administrator().await?;
    let rerating = rerating(&draft, reason)?;
    context.ledger.start_rerating(rerating, &actor).await?;
    Ok(())
}

#[cfg(feature = "ssr")]
fn rerating(draft: &RerateDraft, reason: String) -> Result<ledger::Rerating, Problem> {
    let (from, to) = draft.range()?;
    Ok(ledger::Rerating {
        from,
        to,
        price_version_ids: vec![draft.price_version_id],
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_both_ends_in_order() {
        let at = |text: &str| -> Option<Timestamp> { text.parse().ok() };
        let draft = |from: &str, to: &str| RerateDraft {
            price_version_id: 1,
            from: at(from),
            to: at(to),
        };
        let field = |from: &str, to: &str| {
            let problem = draft(from, to).range().unwrap_err();
            problem.field_name().unwrap().to_owned()
        };
        let (early, late) = ("2024-01-15T10:00:00Z", "2024-01-15T11:00:00Z");
        assert!(draft(early, late).range().is_ok());
        assert_eq!(field("", late), "from");
        assert_eq!(field(early, ""), "to");
        assert_eq!(field(late, early), "to");
        assert_eq!(field(late, late), "to");
    }
}
