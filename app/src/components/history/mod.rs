//! An account's entries: filtered, page by page, each charge with its receipt.

mod account;
mod entries;
mod filters;

use leptos::prelude::*;

use super::awaited::awaited;
use super::erased::{Erase, words};
use super::list::ListSection;
use crate::api::query::QueryAnswer;
use crate::error::AppError;
use crate::text::use_text;
pub use account::{AccountHistory, BelowReceipt, HistoryOwner, use_history};
use entries::Entries;
use filters::Filters;

#[component]
pub fn HistorySection(
    history: AccountHistory,
    #[prop(optional)] below_receipt: Option<BelowReceipt>,
) -> impl IntoView {
    let filter = view! { <Filters history /> };
    let list = awaited(move || {
        let below_receipt = below_receipt.clone();
        Box::pin(async move {
            let answer = history.answer.await;
            let view = match answer {
                Ok(QueryAnswer::History(json)) => json.read().map(Some),
                Ok(_) => Ok(None),
                Err(error) => Err(error),
            };
            match view {
                Ok(Some(view)) => view! { <Entries view history below_receipt /> }.erased(),
                Ok(None) => ().erased(),
                // The rest of the page says what it has to say.
                Err(error) => refused(error),
            }
        })
    });
    view! {
        <ListSection
            id="history-title"
            title=|t| t.history.title
            filter=filter.erased()
            list=Some(list)
        />
    }
    .erased()
}

fn refused(error: AppError) -> AnyView {
    let text = use_text();
    view! {
        <p class="form-error" role="alert">
            {words(move || error.message(text.locale()))}
        </p>
    }
    .erased()
}
