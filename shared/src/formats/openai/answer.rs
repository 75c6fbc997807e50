//! What an answer tells of itself.

use serde::Deserialize;
use serde_json::Value;

use super::texts::add_texts;
use super::usage_object::ProviderUsage;
use crate::usage::TextAmount;

/// What an answer tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelAnswer {
    /// The provider's id of the call.
    pub id: Option<String>,
    /// What the provider says was used, as far as it was told.
    pub usage: Option<ProviderUsage>,
    /// What came of the answer.
    pub answer: TextAmount,
    /// The provider reported an error inside the answer.
    pub has_error: bool,
}

/// The parts of an answer, or of one chunk of it, that matter here.
#[derive(Deserialize)]
pub struct AnswerFields {
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    message: Option<Value>,
    #[serde(default)]
    delta: Option<Value>,
    #[serde(default)]
    text: Option<Value>,
}

impl AnswerFields {
    fn usage(&self) -> Option<ProviderUsage> {
        ProviderUsage::of(self.usage.as_ref()?)
    }

    /// Whether this is the chunk that tells the usage and nothing else.
    pub fn is_usage_only(&self) -> bool {
        self.choices.as_ref().is_some_and(Vec::is_empty) && self.usage().is_some()
    }
}

impl ModelAnswer {
    /// Adds what an answer tells, or one chunk of it.
    pub(super) fn add(&mut self, answer: &AnswerFields) {
        if let (None, Some(Value::String(id))) = (&self.id, &answer.id) {
            self.id = Some(id.clone()).filter(|id| !id.is_empty());
        }
        // Where several chunks tell it, it grows; the last one counts.
        self.usage = answer.usage().or(self.usage);
        self.has_error |= answer.error.as_ref().is_some_and(|it| !it.is_null());
        for choice in answer.choices.iter().flatten() {
            let parts = [&choice.message, &choice.delta, &choice.text];
            for part in parts.into_iter().flatten() {
                // Without what only names things.
                add_texts(part, &["role", "id", "type", "data"], &mut self.answer);
            }
        }
    }

    /// Reads a whole answer; one that is not JSON tells nothing.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let mut answer = Self::default();
        if let Ok(fields) = serde_json::from_slice(body) {
            answer.add(&fields);
        }
        answer
    }
}
