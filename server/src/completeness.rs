//! Asks Dify's own API what it served, for the apps behind gateway sources.
//!
//! Dify lists a workflow's runs, with their users, but a chat's messages only user by user: those of
//! users whom nobody ever reported stay unseen. It lists no messages of text generators at all.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use app::CheckServed;
use ledger::{ApiKey, Ledger};
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::api::ServedMessage;
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::source::SourceEntrance;
use time::{OffsetDateTime, Time};
use tracing::warn;

/// What is younger may still be on its way.
const GRACE: time::Duration = time::Duration::minutes(10);
/// Days that the recurring check looks back, beside the one that has begun.
const DAYS_BACK: i64 = 2;
const BETWEEN_CHECKS_SECONDS: u32 = 6 * 60 * 60;
const TICK: Duration = Duration::from_secs(60);
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Dify's own limit.
const PAGE_ITEMS: u32 = 100;
/// Of one list; more would mean that paging does not end.
const PAGES_MAX: u32 = 1000;

/// A client that waits for answers as long as a check can.
///
/// # Errors
/// When it cannot be built.
pub fn client() -> Result<Client> {
    Ok(Client::builder()
        .timeout(ANSWER_MAX)
        .redirect(reqwest::redirect::Policy::none())
        .build()?)
}

/// Checks every source now and then, for as long as it is polled. Any number of processes may run
/// it; each check is done by one.
pub async fn run(ledger: Ledger) {
    let client = match client() {
        Ok(client) => client,
        Err(error) => return warn!(%error, "completeness is not checked"),
    };
    loop {
        tokio::time::sleep(TICK).await;
        if let Err(error) = check_due(&ledger, &client).await {
            warn!(%error, "completeness was not checked");
        }
    }
}

/// Checks the sources whose turn it is.
///
/// # Errors
/// When the ledger cannot be asked; what goes wrong with a source is noted there.
pub async fn check_due(ledger: &Ledger, client: &Client) -> Result<()> {
    for source in ledger.sources().await? {
        if source.entrance != SourceEntrance::Gateway || source.revoked_at.is_some() {
            continue;
        }
        let begun = ledger.begin_completeness_check(source.id, BETWEEN_CHECKS_SECONDS);
        if !begun.await? {
            continue;
        }
        let key = ledger.gateway_source(Some(&source.name)).await?;
        let now = OffsetDateTime::now_utc();
        let since = Timestamp::new(now - time::Duration::days(DAYS_BACK));
        check_and_note(ledger, client, &key, since).await?;
    }
    Ok(())
}

/// For administrators who want to know now. A check goes on when whoever asked for it has left.
#[must_use]
pub fn on_demand(ledger: Ledger, client: Client) -> CheckServed {
    Arc::new(move |source, since| {
        let (ledger, client) = (ledger.clone(), client.clone());
        Box::pin(async move {
            // Whatever became of the one before: this one is now under way.
            ledger.begin_completeness_check(source.id, 0).await?;
            let checked =
                tokio::spawn(async move { check_and_note(&ledger, &client, &source, since).await });
            checked.await.map_err(|_| ledger::Error::Stopped)?
        })
    })
}

/// As [`check`]; why it failed is noted in the ledger.
async fn check_and_note(
    ledger: &Ledger,
    client: &Client,
    source: &ApiKey,
    since: Timestamp,
) -> ledger::Result<()> {
    let Err(error) = check(ledger, client, source, since, &[]).await else {
        return Ok(());
    };
    let why = format!("{error:#}");
    warn!(
        source = source.name,
        error = why,
        "completeness was not checked"
    );
    ledger.completeness_check_failed(source.id, &why).await
}

/// Compares what an app served since the beginning of a day with what arrived. Beside the users that
/// the source has reported, others may be named.
///
/// # Errors
/// When Dify does not answer as it should.
pub async fn check(
    ledger: &Ledger,
    client: &Client,
    source: &ApiKey,
    since: Timestamp,
    others: &[UserId],
) -> Result<()> {
    let since = Timestamp::new(since.moment().replace_time(Time::MIDNIGHT));
    let mut users = ledger.users_of_source(source, since).await?;
    users.extend(others.iter().cloned());
    users.sort_unstable();
    users.dedup();
    let dify = Dify {
        client,
        url: source
            .settings
            .upstream_url
            .as_deref()
            .ok_or_else(|| anyhow!("{} has no server behind it", source.name))?,
        key: source.upstream_key.as_deref().unwrap_or_default(),
        since,
        until: Timestamp::new(OffsetDateTime::now_utc() - GRACE),
    };
    let mut served = dify.workflow_runs().await?;
    for user in &users {
        if !dify.messages_of(user, &mut served).await? {
            break;
        }
    }
    ledger.compare_served(source, &served).await?;
    Ok(())
}

/// One app's API, and the time that is looked at.
struct Dify<'a> {
    client: &'a Client,
    url: &'a str,
    key: &'a str,
    since: Timestamp,
    until: Timestamp,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Conversation {
    id: String,
    created_at: Option<i64>,
    updated_at: Option<i64>,
}

#[derive(Deserialize)]
struct Message {
    id: String,
    created_at: i64,
    message_tokens: Option<u64>,
    answer_tokens: Option<u64>,
    total_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Log {
    workflow_run: Option<Run>,
    created_by_end_user: Option<EndUser>,
    created_by_account: Option<Account>,
}

#[derive(Deserialize)]
struct Run {
    id: String,
    created_at: i64,
    total_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct EndUser {
    session_id: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    id: String,
}

impl Dify<'_> {
    /// One page; nothing when the app is of a kind that has no such list.
    async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<List<T>>> {
        let url = format!("{}{path}", self.url);
        let limit = PAGE_ITEMS.to_string();
        let mut with_query = Url::parse(&url).with_context(|| format!("{url} is no address"))?;
        with_query
            .query_pairs_mut()
            .append_pair("limit", &limit)
            .extend_pairs(query);
        let response = self
            .client
            .get(with_query)
            .bearer_auth(self.key)
            .send()
            .await
            .with_context(|| format!("{url} does not answer"))?;
        match response.status() {
            StatusCode::OK => {
                Ok(Some(response.json().await.with_context(|| {
                    format!("{url} answers something else than a list")
                })?))
            }
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Ok(None),
            status => Err(anyhow!("{url} answers {status}")),
        }
    }

    /// The moment, when it is in the time that is looked at.
    fn in_time(&self, seconds: i64) -> Option<Timestamp> {
        let at = Timestamp::from_unix_seconds(seconds)?;
        (self.since <= at && at < self.until).then_some(at)
    }

    fn is_before(&self, seconds: Option<i64>) -> bool {
        let at = seconds.and_then(Timestamp::from_unix_seconds);
        at.is_some_and(|at| at < self.since)
    }

    /// Runs of a workflow app, newest first.
    async fn workflow_runs(&self) -> Result<Vec<ServedMessage>> {
        let mut served = Vec::new();
        for page in 1..=PAGES_MAX {
            let page = page.to_string();
            let query = [("page", page.as_str())];
            let Some(list) = self.page::<Log>("/workflows/logs", &query).await? else {
                break;
            };
            let mut is_past = list.data.is_empty() || !list.has_more;
            for log in list.data {
                let Some(run) = log.workflow_run else {
                    continue;
                };
                is_past |= self.is_before(Some(run.created_at));
                let user = log.created_by_end_user.and_then(|user| user.session_id);
                let user = user.or(log.created_by_account.map(|account| account.id));
                let user = user.and_then(|user| user.parse().ok());
                if let (Some(user_id), Some(occurred_at)) = (user, self.in_time(run.created_at))
                    && run.total_tokens != Some(0)
                {
                    served.push(ServedMessage {
                        message_id: run.id,
                        user_id,
                        conversation_id: None,
                        occurred_at,
                        input_tokens: run.total_tokens,
                        output_tokens: None,
                    });
                }
            }
            if is_past {
                break;
            }
        }
        Ok(served)
    }

    /// What a user's conversations hold; false when the app has no conversations.
    async fn messages_of(&self, user: &UserId, served: &mut Vec<ServedMessage>) -> Result<bool> {
        let mut last_id = String::new();
        for _ in 0..PAGES_MAX {
            // The one that was used last comes first.
            let mut query = vec![("user", user.as_str()), ("sort_by", "-updated_at")];
            if !last_id.is_empty() {
                query.push(("last_id", &last_id));
            }
            let list = self.page::<Conversation>("/conversations", &query);
            let Some(list) = list.await? else {
                return Ok(false);
            };
            for conversation in &list.data {
                if self.is_before(conversation.updated_at.or(conversation.created_at)) {
                    return Ok(true);
                }
                self.messages_in(&conversation.id, user, served).await?;
            }
            match list.data.last() {
                Some(last) if list.has_more => last_id.clone_from(&last.id),
                _ => break,
            }
        }
        Ok(true)
    }

    /// A conversation's messages, page by page from the newest back.
    async fn messages_in(
        &self,
        conversation_id: &str,
        user: &UserId,
        served: &mut Vec<ServedMessage>,
    ) -> Result<()> {
        let mut first_id = String::new();
        for _ in 0..PAGES_MAX {
            let mut query = vec![
                ("user", user.as_str()),
                ("conversation_id", conversation_id),
            ];
            if !first_id.is_empty() {
                query.push(("first_id", &first_id));
            }
            let Some(list) = self.page::<Message>("/messages", &query).await? else {
                break;
            };
            let oldest = list.data.iter().min_by_key(|message| message.created_at);
            let is_past = oldest.is_none_or(|oldest| self.is_before(Some(oldest.created_at)));
            if let Some(oldest) = oldest {
                first_id.clone_from(&oldest.id);
            }
            for message in list.data {
                let Some(occurred_at) = self.in_time(message.created_at) else {
                    continue;
                };
                // Nothing was used when a moderation or an annotation answered.
                if message.total_tokens == Some(0) {
                    continue;
                }
                let tokens = message.message_tokens.zip(message.answer_tokens);
                served.push(ServedMessage {
                    message_id: message.id,
                    user_id: user.clone(),
                    conversation_id: Some(conversation_id.to_owned()),
                    occurred_at,
                    input_tokens: tokens.map_or(message.total_tokens, |(input, _)| Some(input)),
                    output_tokens: tokens.map(|(_, output)| output),
                });
            }
            if is_past || !list.has_more {
                break;
            }
        }
        Ok(())
    }
}
