//! `/admin`: deliveries as they arrive.

mod board;
mod connection;
mod example;
mod feed;
mod live;
mod rows;
mod state;
mod summary;

use leptos::prelude::*;
use leptos_meta::Title;

use crate::api::query::{Query, QueryAnswer, use_query};
use crate::components::answer::{answered, nothing};
use crate::components::erased::Erase;
use crate::text::use_text;
use board::Board;

#[component]
pub fn MonitorPage() -> impl IntoView {
    let text = use_text();
    let start = use_query(|| Query::Deliveries);
    view! {
        <Title text=text.say(|t| t.monitor.title) />
        {answered(start, |answer| match answer {
            QueryAnswer::Deliveries(json) => {
                let start = json.read()?;
                Ok(view! { <Board start /> }.erased())
            }
            _ => nothing(),
        })}
    }
    .erased()
}
