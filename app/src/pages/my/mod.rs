//! `/my`: a user's points, what became of them, and what the next call would cost.

mod try_call;

use leptos::prelude::*;
use leptos_meta::Title;

use crate::api::my::Overview;
use crate::api::query::{Query, QueryAnswer, use_query};
use crate::components::answer::{answered, nothing};
use crate::components::erased::Erase;
use crate::components::figures::Figures;
use crate::components::history::{HistoryOwner, HistorySection, use_history};
use crate::text::use_text;
use try_call::TryCall;

#[component]
pub fn MyPage() -> impl IntoView {
    let text = use_text();
    let overview = use_query(|| Query::Overview);
    let history = use_history(|| Some(HistoryOwner::Own));
    view! {
        <Title text=text.say(|t| t.my.title) />
        {answered(overview, move |answer| match answer {
            QueryAnswer::Overview(json) => {
                let Overview { balance, models } = json.read()?;
                Ok(
                    view! {
                        <div class="page-head">
                            <h1>{text.say(|t| t.my.title)}</h1>
                        </div>
                        <Figures
                            balance=balance.balance
                            held=balance.held
                            available=balance.available
                            expiring=balance.expiring
                        />
                        <TryCall models />
                        <HistorySection history />
                    }
                        .erased(),
                )
            }
            _ => nothing(),
        })}
    }
    .erased()
}
