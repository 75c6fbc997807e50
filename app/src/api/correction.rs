//! A waiting message as an administrator puts it right. The browser and the server check it with
//! the same code.

use serde::{Deserialize, Serialize};
use shared::ids::checked_id;
use shared::problem::{FieldFault, Problem};
use shared::tokens::{Category, Tokens};
use shared::usage::{Evidence, MessageUsage, ModelCall};

use super::fields::{count_or_zero, parse_user};

/// One model call as it is typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallDraft {
    pub model_name: String,
    /// In the order of [`Category::ALL`]; an empty one is 0.
    pub tokens: [String; 5],
}

/// What the form holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Correction {
    /// Only for a body that could not be read: another message keeps its identity.
    pub message_id: String,
    pub user_id: String,
    /// At least one.
    pub calls: Vec<CallDraft>,
}

/// The name of a field of one of the calls.
pub fn call_field(call: usize, field: &str) -> String {
    [field, "-", &call.to_string()].concat()
}

/// The name of a token count's field.
pub const fn tokens_field(category: Category) -> &'static str {
    match category {
        Category::Input => "input",
        Category::CachedInput => "cachedInput",
        Category::CacheWrite => "cacheWrite",
        Category::Output => "output",
        Category::Reasoning => "reasoning",
    }
}

impl Correction {
    /// The form's first state: what was reported, or nothing.
    #[must_use]
    pub fn of(reported: Option<&MessageUsage>) -> Self {
        let Some(reported) = reported else {
            return Self {
                message_id: String::new(),
                user_id: String::new(),
                calls: vec![CallDraft::default()],
            };
        };
        let draft = |call: &ModelCall| CallDraft {
            model_name: call.model_name.as_str().to_owned(),
            tokens: Category::ALL.map(|category| call.tokens.of(category).to_string()),
        };
        Self {
            message_id: reported.message_id.clone(),
            user_id: reported.user_id.as_str().to_owned(),
            calls: reported.calls.iter().map(draft).collect(),
        }
    }

    /// The message with this put right.
    ///
    /// # Errors
    /// [`Problem::InvalidField`] for the first field that does not make sense.
    pub fn parse(&self, reported: Option<&MessageUsage>) -> Result<MessageUsage, Problem> {
        let message_id = match reported {
            Some(reported) => reported.message_id.clone(),
            None => checked_id(&self.message_id)
                .map_err(|fault| Problem::field("messageId", fault))?
                .to_owned(),
        };
        let user_id = parse_user(&self.user_id)?;
        let calls = self
            .calls
            .iter()
            .enumerate()
            .map(|(number, call)| call.parse(number))
            .collect::<Result<Vec<_>, _>>()?;
        if calls.is_empty() {
            return Err(Problem::field("calls", FieldFault::Missing));
        }
        Ok(MessageUsage {
            message_id,
            also_known_as: reported
                .map_or_else(Vec::new, |reported| reported.also_known_as.clone()),
            user_id,
            conversation_id: reported.and_then(|reported| reported.conversation_id.clone()),
            request_id: reported.and_then(|reported| reported.request_id.clone()),
            occurred_at: reported.and_then(|reported| reported.occurred_at),
            calls,
            reported_total: None,
            has_answer: reported.is_some_and(|reported| reported.has_answer),
            evidence: Evidence::Measured,
            assumed_model: None,
        })
    }
}

impl CallDraft {
    fn parse(&self, number: usize) -> Result<ModelCall, Problem> {
        let model_name = self.model_name.parse().map_err(|fault| {
            Problem::field(call_field(number, "modelName"), FieldFault::from(fault))
        })?;
        let mut counts = [0; 5];
        for ((count, typed), category) in counts.iter_mut().zip(&self.tokens).zip(Category::ALL) {
            *count = count_or_zero(&call_field(number, tokens_field(category)), typed)?;
        }
        let [input, cached_input, cache_write, output, reasoning] = counts;
        Ok(ModelCall {
            // An administrator's numbers are for the message as a whole.
            call_id: None,
            model_name,
            tokens: Tokens {
                input,
                cached_input,
                cache_write,
                output,
                reasoning,
            },
            evidence: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported() -> MessageUsage {
        MessageUsage {
            message_id: "msg".into(),
            also_known_as: Vec::new(),
            user_id: "u1".parse().unwrap(),
            conversation_id: Some("conv".into()),
            request_id: None,
            occurred_at: Some("2024-01-15T10:30:00Z".parse().unwrap()),
            calls: vec![ModelCall {
                call_id: None,
                model_name: "GPT-4".parse().unwrap(),
                tokens: Tokens::new(1500, 800),
                evidence: None,
            }],
            reported_total: Some(9),
            has_answer: true,
            evidence: Evidence::Measured,
            assumed_model: None,
        }
    }

    #[test]
    fn a_correction_starts_from_the_report_and_keeps_what_it_does_not_show() {
        let reported = reported();
        let mut correction = Correction::of(Some(&reported));
        correction.message_id = "another identity".into();
        let [input, ..] = &mut correction.calls[0].tokens;
        *input = " 15 ".into();
        let corrected = correction.parse(Some(&reported)).unwrap();
        assert_eq!(corrected.calls[0].tokens, Tokens::new(15, 800));
        assert_eq!(
            MessageUsage {
                calls: reported.calls.clone(),
                reported_total: reported.reported_total,
                ..corrected
            },
            reported
        );
    }

    #[test]
    fn a_body_that_could_not_be_read_is_entered_whole() {
        let mut correction = Correction::of(None);
        let field = |correction: &Correction| {
            let problem = correction.parse(None).unwrap_err();
            problem.field_name().unwrap().to_owned()
        };
        assert_eq!(field(&correction), "messageId");
        correction.message_id = "msg".into();
        assert_eq!(field(&correction), "userId");
        correction.user_id = "u1".into();
        assert_eq!(field(&correction), "modelName-0");
        correction.calls[0].model_name = "GPT-4".into();
        correction.calls[0].tokens[3] = "-1".into();
        assert_eq!(field(&correction), "output-0");
        correction.calls[0].tokens[3] = "800".into();
        let usage = correction.parse(None).unwrap();
        assert_eq!(usage.calls[0].tokens, Tokens::new(0, 800));
    }
}
