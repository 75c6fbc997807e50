//! `/admin`: deliveries as they arrive.

mod board;
mod connection;
mod feed;
mod summary;

use leptos::prelude::*;
use leptos_meta::Title;
use serde::{Deserialize, Serialize};
use shared::api::LiveEvent;

use crate::ask::{Answer, Ask, ask, otherwise, shown};
use crate::components::awaited::awaited;
use crate::lean::Lean;
use crate::text::use_text;
use board::Board;

/// How many deliveries are listed; older ones give way to newer ones.
pub const ROWS_MAX: usize = 100;

/// What the monitor starts with, and where to go on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveStart {
    /// Oldest first.
    pub events: Vec<LiveEvent>,
    pub cursor: String,
}

/// The latest deliveries.
#[cfg(feature = "ssr")]
pub async fn latest_deliveries() -> Result<LiveStart, crate::AppError> {
    let (context, _) = crate::auth::administrator().await?;
    let limit = u32::try_from(ROWS_MAX).unwrap_or(u32::MAX);
    let page = context.ledger.live_latest(limit).await?;
    Ok(LiveStart {
        events: page.events,
        cursor: page.cursor,
    })
}

#[component]
pub fn MonitorPage() -> impl IntoView {
    let text = use_text();
    let start = ask(|| Ask::Deliveries);
    view! {
        <Title text=text.say(|t| t.monitor.title) />
        {awaited(move || Box::pin(async move {
                match start.await {
                    Ok(Answer::Deliveries(told)) => {
                        shown(&told, |start| view! { <Board start /> }.lean())
                    }
                    other => otherwise(other),
                }
            }))}
    }
    .lean()
}
