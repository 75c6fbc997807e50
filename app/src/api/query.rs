//! What pages read from the server. One kind of resource and one server function serve all that is
//! only read, because each further kind costs the browser some 15 KB of code, and each further
//! function 2 KB (raw; what changes something has a function of its own all the same).

use std::marker::PhantomData;

use leptos::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::api::{AccountSummary, HistoryFilter, Page, QuarantineItem, QuarantineReason};
use shared::ids::UserId;
use shared::problem::Problem;

use super::history::HistoryView;
use super::monitor::LiveStart;
use super::my::{Overview, Protection};
use super::prices::{ModelPrice, ModelVersions};
use super::quarantine::WaitingMessage;
use super::rerate::{JobView, ReratableModel};
use super::session::Session;
use super::sources::SourcesView;
use super::users::AccountView;
use crate::error::AppError;
use crate::json::Json;

/// What is to be read. Read again whenever it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
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
    Protection {
        model_name: String,
        input_tokens: u64,
        output_tokens: u64,
    },
}

/// What was read; the variant is that of the query.
#[derive(Clone, Serialize, Deserialize)]
pub enum QueryAnswer {
    Nothing,
    Session(Session),
    Deliveries(JsonOf<LiveStart>),
    Prices(JsonOf<Vec<ModelPrice>>),
    Versions(JsonOf<ModelVersions>),
    Accounts(JsonOf<Page<AccountSummary>>),
    Account(JsonOf<AccountView>),
    WaitingMessages(JsonOf<Page<QuarantineItem>>),
    WaitingMessage(JsonOf<WaitingMessage>),
    Reratable(JsonOf<Vec<ReratableModel>>),
    Jobs(JsonOf<Vec<JobView>>),
    Sources(JsonOf<SourcesView>),
    Overview(JsonOf<Overview>),
    History(JsonOf<HistoryView>),
    Protection(JsonOf<Protection>),
}

/// An answer under way.
pub type QueryResource = Resource<Result<QueryAnswer, AppError>>;

/// Reads now, while rendering on the server, and again whenever the query changes.
pub fn use_query(query: impl Fn() -> Query + Send + Sync + 'static) -> QueryResource {
    resource_of(Box::new(query))
}

fn resource_of(query: Box<dyn Fn() -> Query + Send + Sync>) -> QueryResource {
    Resource::new(query, answer_to)
}

/// Answers a query. Whether the visitor may ask is for what answers it to say.
///
/// # Errors
/// What each query may be refused for.
#[server(prefix = "/api/fn", endpoint = "query", input = Json, output = Json)]
pub async fn answer_to(query: Query) -> Result<QueryAnswer, AppError> {
    use super::{history, monitor, my, prices, quarantine, rerate, session, sources, users};

    Ok(match query {
        Query::Nothing => QueryAnswer::Nothing,
        Query::Session => QueryAnswer::Session(session::current_session().await?),
        Query::Deliveries => {
            QueryAnswer::Deliveries(JsonOf::new(&monitor::latest_deliveries().await?)?)
        }
        Query::Prices => QueryAnswer::Prices(JsonOf::new(&prices::model_prices().await?)?),
        Query::Versions(model) => {
            QueryAnswer::Versions(JsonOf::new(&prices::versions_of_model(model).await?)?)
        }
        Query::Accounts { search, cursor } => {
            QueryAnswer::Accounts(JsonOf::new(&users::accounts(search, cursor).await?)?)
        }
        Query::Account(user) => QueryAnswer::Account(JsonOf::new(&users::account_of(user).await?)?),
        Query::WaitingMessages { reason, cursor } => {
            let page = quarantine::waiting_messages(reason, cursor).await?;
            QueryAnswer::WaitingMessages(JsonOf::new(&page)?)
        }
        Query::WaitingMessage(id) => {
            QueryAnswer::WaitingMessage(JsonOf::new(&quarantine::waiting_message(id).await?)?)
        }
        Query::Reratable => {
            QueryAnswer::Reratable(JsonOf::new(&rerate::reratable_models().await?)?)
        }
        Query::Jobs => QueryAnswer::Jobs(JsonOf::new(&rerate::recent_jobs().await?)?),
        Query::Sources { message, source } => {
            QueryAnswer::Sources(JsonOf::new(&sources::all_sources(message, source).await?)?)
        }
        Query::Overview => QueryAnswer::Overview(JsonOf::new(&my::my_overview().await?)?),
        Query::History {
            user,
            filter,
            cursor,
        } => {
            let page = history::history_page(user, filter, cursor).await?;
            QueryAnswer::History(JsonOf::new(&page)?)
        }
        Query::Protection {
            model_name,
            input_tokens,
            output_tokens,
        } => {
            let protection = my::protection(&model_name, input_tokens, output_tokens).await?;
            QueryAnswer::Protection(JsonOf::new(&protection)?)
        }
    })
}

/// A `T` as the JSON text it came in. Only the page that asked reads it, so that the code that
/// reads it is loaded with that page (see [`crate::pages::lazy`]).
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonOf<T> {
    json: String,
    #[serde(skip)]
    what: PhantomData<fn() -> T>,
}

impl<T> Clone for JsonOf<T> {
    fn clone(&self) -> Self {
        Self {
            json: self.json.clone(),
            what: PhantomData,
        }
    }
}

impl<T: Serialize> JsonOf<T> {
    /// # Errors
    /// [`Problem::Internal`] for what JSON cannot write.
    #[cfg(feature = "ssr")]
    pub fn new(value: &T) -> Result<Self, AppError> {
        match serde_json::to_string(value) {
            Ok(json) => Ok(Self {
                json,
                what: PhantomData,
            }),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as JSON: {error}");
                Err(AppError::from(Problem::Internal))
            }
        }
    }
}

impl<T: DeserializeOwned> JsonOf<T> {
    /// # Errors
    /// [`Problem::Internal`] for text that is not the JSON of a `T`, as from a server of another
    /// version.
    pub fn read(&self) -> Result<T, AppError> {
        serde_json::from_str(&self.json).map_err(|_| AppError::Refused(Problem::Internal))
    }
}

#[cfg(test)]
#[cfg(feature = "ssr")]
mod tests {
    use leptos::server_fn::{Bytes, Decodes, Encodes};

    use super::*;
    use crate::json::JsonText;

    #[test]
    fn what_is_sent_is_read_again() {
        let value = vec!["a \"quoted\" word".to_owned(), String::new()];
        let sent = JsonText::encode(&JsonOf::new(&value).unwrap()).unwrap();
        let came: JsonOf<Vec<String>> = JsonText::decode(sent).unwrap();
        assert_eq!(came.read(), Ok(value));
    }

    #[test]
    fn text_of_another_kind_is_refused() {
        let came: JsonOf<u8> = JsonText::decode(Bytes::from_static(b"\"\\\"one\\\"\"")).unwrap();
        assert_eq!(came.read(), Err(AppError::Refused(Problem::Internal)));
    }
}
