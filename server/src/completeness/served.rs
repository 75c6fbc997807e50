//! What an app has served in a time. Dify lists a workflow's runs, with their users, but a chat's
//! messages only user by user: those of users whom nobody ever reported stay unseen. It lists no
//! messages of text generators at all.

use dify_client::{App, AskError, ChatMessage};
use shared::api::ServedMessage;
use shared::clock::Timestamp;
use shared::ids::UserId;

/// Of one list; more would mean that paging does not end.
const PAGES_MAX: u32 = 1000;

/// An app, and the time that is looked at: from `since` to before `until`.
pub(super) struct Served {
    pub app: App,
    pub since: Timestamp,
    pub until: Timestamp,
}

impl Served {
    /// The moment, when it is in the time that is looked at.
    fn in_time(&self, seconds: i64) -> Option<Timestamp> {
        let at = Timestamp::from_unix_seconds(seconds)?;
        (self.since <= at && at < self.until).then_some(at)
    }

    fn is_before(&self, seconds: Option<i64>) -> bool {
        let at = seconds.and_then(Timestamp::from_unix_seconds);
        at.is_some_and(|at| at < self.since)
    }

    /// A workflow's runs; of a chat, what these users' conversations hold.
    pub(super) async fn by(&self, users: &[UserId]) -> Result<Vec<ServedMessage>, AskError> {
        let mut served = self.runs().await?;
        for user in users {
            if !self.messages_of(user, &mut served).await? {
                break;
            }
        }
        Ok(served)
    }

    async fn runs(&self) -> Result<Vec<ServedMessage>, AskError> {
        let mut served = Vec::new();
        for page in 1..=PAGES_MAX {
            let Some(runs) = self.app.runs(page).await? else {
                break;
            };
            let mut is_past = !runs.has_more;
            for run in runs.data {
                is_past |= self.is_before(Some(run.created_at));
                let user = run.user.and_then(|user| user.parse().ok());
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
    async fn messages_of(
        &self,
        user: &UserId,
        served: &mut Vec<ServedMessage>,
    ) -> Result<bool, AskError> {
        let mut last_id = None;
        for _ in 0..PAGES_MAX {
            let page = self.app.conversations(user.as_str(), last_id.as_deref());
            let Some(page) = page.await? else {
                return Ok(false);
            };
            for conversation in &page.data {
                if self.is_before(conversation.updated_at.or(conversation.created_at)) {
                    return Ok(true);
                }
                self.messages_in(&conversation.id, user, served).await?;
            }
            match page.data.last() {
                Some(last) if page.has_more => last_id = Some(last.id.clone()),
                _ => break,
            }
        }
        Ok(true)
    }

    /// A conversation's messages, page by page from the newest back.
    async fn messages_in(
        &self,
        conversation: &str,
        user: &UserId,
        served: &mut Vec<ServedMessage>,
    ) -> Result<(), AskError> {
        let mut first_id = None;
        for _ in 0..PAGES_MAX {
            let page = self
                .app
                .messages(user.as_str(), conversation, first_id.as_deref());
            let Some(page) = page.await? else {
                break;
            };
            let oldest = page.data.iter().min_by_key(|message| message.created_at);
            let is_past = oldest.is_none_or(|oldest| self.is_before(Some(oldest.created_at)));
            first_id = oldest.map(|oldest| oldest.id.clone()).or(first_id);
            served.extend(
                page.data
                    .into_iter()
                    .filter_map(|message| self.message(message, conversation, user)),
            );
            if is_past || !page.has_more {
                break;
            }
        }
        Ok(())
    }

    /// `None` for one of another time, and where nothing was used because a moderation or an
    /// annotation answered.
    fn message(
        &self,
        message: ChatMessage,
        conversation: &str,
        user: &UserId,
    ) -> Option<ServedMessage> {
        let occurred_at = self.in_time(message.created_at)?;
        if message.total_tokens == Some(0) {
            return None;
        }
        let tokens = message.message_tokens.zip(message.answer_tokens);
        Some(ServedMessage {
            message_id: message.id,
            user_id: user.clone(),
            conversation_id: Some(conversation.to_owned()),
            occurred_at,
            input_tokens: tokens.map_or(message.total_tokens, |(input, _)| Some(input)),
            output_tokens: tokens.map(|(_, output)| output),
        })
    }
}
