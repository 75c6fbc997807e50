//! What pages ask the server for. There is one kind of resource and one server function for the whole
//! app, because each further kind costs the browser some 15 KB of code, and each further function 2 KB.

use leptos::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::api::{AccountSummary, HistoryFilter, Page, QuarantineItem, QuarantineReason};
use shared::ids::UserId;

use crate::AppError;
use crate::auth::Session;
use crate::components::balance_protection::Protection;
use crate::components::refusal::Refusal;
use crate::lean::Lean;
use crate::pages::monitor::LiveStart;
use crate::pages::my::Overview;
use crate::pages::my::history::HistoryView;
use crate::pages::prices::{ModelPrice, ModelVersions};
use crate::pages::quarantine::Waiting;
use crate::pages::rerate::{JobView, ReratableModel};
use crate::pages::sources::SourcesView;
use crate::pages::users::AccountView;
use crate::wire::{Json, Told};

/// A question, and what it is about. Asked again whenever it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    Resource::new(question, answer_to)
}

/// Answers a question. Whether the visitor may ask it is for what answers it to say.
///
/// # Errors
/// What each question may be refused for.
#[server(prefix = "/api/fn", endpoint = "ask", input = Json, output = Json)]
pub async fn answer_to(ask: Ask) -> Result<Answer, AppError> {
    use crate::components::balance_protection::check;
    use crate::pages::{monitor, my, prices, quarantine, rerate, sources, users};

    Ok(match ask {
        Ask::Nothing => Answer::Nothing,
        Ask::Session => Answer::Session(crate::auth::current_session().await?),
        Ask::Deliveries => Answer::Deliveries(Told::new(&monitor::latest_deliveries().await?)?),
        Ask::Prices => Answer::Prices(Told::new(&prices::model_prices().await?)?),
        Ask::Versions(model) => {
            Answer::Versions(Told::new(&prices::versions_of_model(model).await?)?)
        }
        Ask::Accounts { search, cursor } => {
            Answer::Accounts(Told::new(&users::accounts(search, cursor).await?)?)
        }
        Ask::Account(user) => Answer::Account(Told::new(&users::account_of(user).await?)?),
        Ask::WaitingMessages { reason, cursor } => {
            let page = quarantine::waiting_messages(reason, cursor).await?;
            Answer::WaitingMessages(Told::new(&page)?)
        }
        Ask::WaitingMessage(id) => {
            Answer::WaitingMessage(Told::new(&quarantine::waiting_message(id).await?)?)
        }
        Ask::Reratable => Answer::Reratable(Told::new(&rerate::reratable_models().await?)?),
        Ask::Jobs => Answer::Jobs(Told::new(&rerate::recent_jobs().await?)?),
        Ask::Sources { message, source } => {
            Answer::Sources(Told::new(&sources::all_sources(message, source).await?)?)
        }
        Ask::Overview => Answer::Overview(Told::new(&my::my_overview().await?)?),
        Ask::History {
            user,
            filter,
            cursor,
        } => {
            let page = my::history::history_page(user, filter, cursor).await?;
            Answer::History(Told::new(&page)?)
        }
        Ask::Gate {
            model_name,
            input_tokens,
            output_tokens,
        } => {
            let protection = check(&model_name, input_tokens, output_tokens).await?;
            Answer::Gate(Told::new(&protection)?)
        }
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
