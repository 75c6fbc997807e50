//! An answer of the server as a view: what is asked for, that it is under way, or why it did not come.

use std::sync::Arc;

use leptos::prelude::*;

use super::awaited::awaited;
use super::erased::Erase;
use super::refusal::Refusal;
use crate::api::query::{QueryAnswer, QueryResource};
use crate::error::AppError;

/// Makes a view of an answer; an answer to another query than the view is for is nothing to show.
type Shown = Arc<dyn Fn(QueryAnswer) -> Result<AnyView, AppError> + Send + Sync>;

/// Shows what came once it has come, and why it did not where it was refused or cannot be read.
pub fn answered(
    answer: QueryResource,
    view: impl Fn(QueryAnswer) -> Result<AnyView, AppError> + Send + Sync + 'static,
) -> AnyView {
    shown(answer, Arc::new(view))
}

fn shown(answer: QueryResource, view: Shown) -> AnyView {
    awaited(move || {
        let view = Arc::clone(&view);
        Box::pin(async move {
            match answer.await.and_then(|answer| view(answer)) {
                Ok(view) => view,
                Err(error) => view! { <Refusal error /> }.erased(),
            }
        })
    })
}

/// What a page shows of an answer to another query.
///
/// # Errors
/// None; the type is that of the other arms.
pub fn nothing() -> Result<AnyView, AppError> {
    Ok(().erased())
}
