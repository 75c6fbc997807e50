//! What pages ask the server for. There is one kind of resource for the whole app, because each
//! further kind costs the browser some 15 KB of code.

use std::pin::Pin;

use leptos::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::api::{AccountSummary, HistoryFilter, Page, QuarantineItem, QuarantineReason};
use shared::ids::UserId;

use crate::AppError;
use crate::auth::{Session, current_session};
use crate::components::balance_protection::{Protection, check};
use crate::components::refusal::Refusal;
use crate::lean::Lean;
use crate::pages::monitor::{LiveStart, latest_deliveries};
use crate::pages::my::history::{HistoryView, history_page};
use crate::pages::my::{Overview, my_overview};
use crate::pages::prices::{ModelPrice, ModelVersions, model_prices, versions_of_model};
use crate::pages::quarantine::{Waiting, waiting_message, waiting_messages};
use crate::pages::rerate::{JobView, ReratableModel, recent_jobs, reratable_models};
use crate::pages::sources::{SourcesView, all_sources};
use crate::pages::users::{AccountView, account_of, accounts};
use crate::wire::Told;

/// A question, and what it is about. Asked again whenever it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Nothing has to be known at the moment.
    Nothing,
    Session,
    Deliveries,
    Prices,
    /// A model's name.
    Versions(String),
    Accounts {
        search: Option<String>,
        cursor: Option<String>,
    },
    /// A user's id.
    Account(String),
    WaitingMessages {
        reason: Option<QuarantineReason>,
        cursor: Option<String>,
    },
    /// Its id.
    WaitingMessage(String),
    Reratable,
    Jobs,
    Sources {
        /// Of which all reports are wanted.
        message: Option<String>,
        /// Only this one, with how complete its reports are.
        source: Option<String>,
    },
    Overview,
    History {
        /// `None` for the visitor's own.
        user: Option<UserId>,
        filter: HistoryFilter,
        cursor: Option<String>,
    },
    Gate {
        model_name: String,
        input_tokens: u64,
        output_tokens: u64,
    },
}

/// What came back; the variant is that of the question. The page that asked reads it.
#[derive(Clone, Serialize, Deserialize)]
pub enum Answer {
    Nothing,
    Session(Session),
    Deliveries(Told<LiveStart>),
    Prices(Told<Vec<ModelPrice>>),
    Versions(Told<ModelVersions>),
    Accounts(Told<Page<AccountSummary>>),
    Account(Told<AccountView>),
    WaitingMessages(Told<Page<QuarantineItem>>),
    WaitingMessage(Told<Waiting>),
    Reratable(Told<Vec<ReratableModel>>),
    Jobs(Told<Vec<JobView>>),
    Sources(Told<SourcesView>),
    Overview(Told<Overview>),
    History(Told<HistoryView>),
    Gate(Told<Protection>),
}

/// An answer under way.
pub type Asked = Resource<Result<Answer, AppError>>;

/// Asks now, while rendering on the server, and again whenever the question changes.
pub fn ask(question: impl Fn() -> Ask + Send + Sync + 'static) -> Asked {
    erased(Box::new(question))
}

fn erased(question: Box<dyn Fn() -> Ask + Send + Sync>) -> Asked {
    Resource::new(question, answer)
}

type Answering = Pin<Box<dyn Future<Output = Result<Answer, AppError>> + Send>>;

fn answer(ask: Ask) -> Answering {
    Box::pin(async move {
        Ok(match ask {
            Ask::Nothing => Answer::Nothing,
            Ask::Session => Answer::Session(current_session().await?),
            Ask::Deliveries => Answer::Deliveries(latest_deliveries().await?),
            Ask::Prices => Answer::Prices(model_prices().await?),
            Ask::Versions(model) => Answer::Versions(versions_of_model(model).await?),
            Ask::Accounts { search, cursor } => Answer::Accounts(accounts(search, cursor).await?),
            Ask::Account(user) => Answer::Account(account_of(user).await?),
            Ask::WaitingMessages { reason, cursor } => {
                Answer::WaitingMessages(waiting_messages(reason, cursor).await?)
            }
            Ask::WaitingMessage(id) => Answer::WaitingMessage(waiting_message(id).await?),
            Ask::Reratable => Answer::Reratable(reratable_models().await?),
            Ask::Jobs => Answer::Jobs(recent_jobs().await?),
            Ask::Sources { message, source } => {
                Answer::Sources(all_sources(message, source).await?)
            }
            Ask::Overview => Answer::Overview(my_overview().await?),
            Ask::History {
                user,
                filter,
                cursor,
            } => Answer::History(history_page(user, filter, cursor).await?),
            Ask::Gate {
                model_name,
                input_tokens,
                output_tokens,
            } => Answer::Gate(check(model_name, input_tokens, output_tokens).await?),
        })
    })
}

/// What a page shows when the answer is not the one it is for: why it was refused, or nothing
/// while there is nothing to show.
#[must_use]
pub fn otherwise(answer: Result<Answer, AppError>) -> AnyView {
    match answer {
        Err(error) => view! { <Refusal error /> }.lean(),
        Ok(_) => ().lean(),
    }
}

/// A view of what was told, or why it cannot be read.
pub fn shown<T: DeserializeOwned>(told: &Told<T>, view: impl FnOnce(T) -> AnyView) -> AnyView {
    match told.read() {
        Ok(told) => view(told),
        Err(error) => view! { <Refusal error /> }.lean(),
    }
}
