//! `/my`: a user's points, what became of them, and what the next call would cost.

pub mod balance;
pub mod history;
mod try_call;

use leptos::prelude::*;
use leptos_meta::Title;
use serde::{Deserialize, Serialize};
use shared::api::Balance;
use shared::ids::ModelName;

use crate::ask::{Answer, Ask, ask, otherwise, shown};
use crate::components::awaited::awaited;
use crate::lean::Lean;
use crate::text::use_text;
use balance::Figures;
use history::{HistorySection, Whose, use_history};
use try_call::TryCall;

/// What the page needs at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    pub balance: Balance,
    /// Models that can be called: priced and active.
    pub models: Vec<ModelName>,
}

/// The signed-in user's balance, and the models they can call.
#[cfg(feature = "ssr")]
pub async fn my_overview() -> Result<Overview, crate::AppError> {
    let subject = crate::auth::subject(None).await?;
    let ledger = &subject.context.ledger;
    let balance = ledger.balance(&subject.user_id).await?;
    let book = ledger.price_book().await?;
    let now = crate::auth::now();
    let models = book
        .current(now)
        .filter(|version| book.in_force(&version.model_name, now).is_ok())
        .map(|version| version.model_name.clone())
        .collect();
    Ok(Overview { balance, models })
}

#[component]
pub fn MyPage() -> impl IntoView {
    let text = use_text();
    let overview = ask(|| Ask::Overview);
    let history = use_history(|| Some(Whose::Own));
    view! {
        <Title text=text.say(|t| t.my.title) />
        {awaited(move || Box::pin(async move {
                match overview.await {
                    Ok(Answer::Overview(told)) => shown(&told, |Overview { balance, models }| {
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
                            .lean()
                    }),
                    other => otherwise(other),
                }
            }))}
    }
    .lean()
}
