//! What an app has served. Dify lists a workflow's runs, with their users, but a chat's messages only
//! user by user, and messages of text generators not at all.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{App, AskError, EndUser, read};

/// Dify's own limit.
pub const PAGE_ITEMS: u32 = 100;
const LIST_MAX: Duration = Duration::from_secs(30);

/// A part of a list.
#[derive(Debug, Deserialize)]
pub struct ListPage<T> {
    pub data: Vec<T>,
    #[serde(default)]
    pub has_more: bool,
}

/// Moments are in seconds since 1970.
#[derive(Debug, Deserialize)]
pub struct Conversation {
    pub id: String,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
}

/// Old versions of Dify do not tell tokens.
#[derive(Debug, Deserialize)]
pub struct ChatMessage {
    pub id: String,
    pub created_at: i64,
    pub message_tokens: Option<u64>,
    pub answer_tokens: Option<u64>,
    pub total_tokens: Option<u64>,
}

/// A run of a workflow.
#[derive(Debug)]
pub struct WorkflowRun {
    pub id: String,
    pub created_at: i64,
    pub total_tokens: Option<u64>,
    /// Who ran it: an end user by their name, a member of Dify's own by an id.
    pub user: Option<String>,
}

#[derive(Deserialize)]
struct WorkflowLog {
    workflow_run: Option<LoggedRun>,
    created_by_end_user: Option<EndUser>,
    created_by_account: Option<Member>,
}

#[derive(Deserialize)]
struct LoggedRun {
    id: String,
    created_at: i64,
    total_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Member {
    id: String,
}

impl WorkflowLog {
    fn run(self) -> Option<WorkflowRun> {
        let run = self.workflow_run?;
        let end_user = self.created_by_end_user.and_then(|user| user.session_id);
        Some(WorkflowRun {
            id: run.id,
            created_at: run.created_at,
            total_tokens: run.total_tokens,
            user: end_user.or(self.created_by_account.map(|account| account.id)),
        })
    }
}

impl App {
    /// Runs of a workflow app, newest first; pages count from 1. `None` when the app is no workflow.
    ///
    /// # Errors
    /// When Dify does not answer within 30 seconds, refuses, or answers something else.
    pub async fn runs(&self, page: u32) -> Result<Option<ListPage<WorkflowRun>>, AskError> {
        let page = page.to_string();
        let query = [("page", page.as_str())];
        let logs: Option<ListPage<WorkflowLog>> = self.list(&["workflows", "logs"], &query).await?;
        Ok(logs.map(|logs| ListPage {
            // Logs without a run are left out, so an empty page need not be the last.
            has_more: logs.has_more && !logs.data.is_empty(),
            data: logs.data.into_iter().filter_map(WorkflowLog::run).collect(),
        }))
    }

    /// A user's conversations, the one that was used last first, beginning `after` one of them.
    /// `None` when the app has no conversations.
    ///
    /// # Errors
    /// As [`App::runs`].
    pub async fn conversations(
        &self,
        user: &str,
        after: Option<&str>,
    ) -> Result<Option<ListPage<Conversation>>, AskError> {
        let mut query = vec![("user", user), ("sort_by", "-updated_at")];
        query.extend(after.map(|id| ("last_id", id)));
        self.list(&["conversations"], &query).await
    }

    /// A conversation's newest messages, or the newest `before` one of them. `None` when the app has
    /// no messages.
    ///
    /// # Errors
    /// As [`App::runs`].
    pub async fn messages(
        &self,
        user: &str,
        conversation: &str,
        before: Option<&str>,
    ) -> Result<Option<ListPage<ChatMessage>>, AskError> {
        let mut query = vec![("user", user), ("conversation_id", conversation)];
        query.extend(before.map(|id| ("first_id", id)));
        self.list(&["messages"], &query).await
    }

    /// One page; nothing when the app is of a kind that has no such list.
    async fn list<T: DeserializeOwned>(
        &self,
        parts: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Option<ListPage<T>>, AskError> {
        let mut address = self.address(parts)?;
        address
            .query_pairs_mut()
            .append_pair("limit", &PAGE_ITEMS.to_string())
            .extend_pairs(query);
        let request = self.http.get(address.clone()).timeout(LIST_MAX);
        let response = self.send(request, &address).await?;
        match response.status() {
            StatusCode::OK => Ok(Some(read(response, &address).await?)),
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Ok(None),
            status => Err(AskError::refused(&address, status)),
        }
    }
}
