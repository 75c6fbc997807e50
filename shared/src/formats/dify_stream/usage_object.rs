//! Dify's `usage` objects, and the plain values around them.

use serde_json::Value;

use crate::ids::checked_id;
use crate::tokens::Tokens;

/// Dify's `usage` object.
#[derive(Debug)]
pub struct UsageObject {
    pub tokens: Tokens,
    /// Dify's own "no model ran", as for an answer from moderation or an annotation: a model that
    /// does not count tokens still takes time, and one that was stopped does too.
    pub is_of_no_model: bool,
}

impl UsageObject {
    /// `None` when it tells no tokens.
    pub fn of(usage: &Value) -> Option<Self> {
        let input = count(usage, "prompt_tokens");
        let output = count(usage, "completion_tokens");
        input.or(output)?;
        let is_nothing = |name| usage.get(name).is_none_or(is_zero);
        Some(Self {
            tokens: Tokens::new(input.unwrap_or(0), output.unwrap_or(0)),
            is_of_no_model: usage.get("latency").is_some_and(is_zero)
                && is_nothing("prompt_unit_price")
                && is_nothing("completion_unit_price"),
        })
    }
}

/// Whether a number is zero, in whatever notation it comes: `0`, `0.0`, `"0E-7"`. Null counts too.
fn is_zero(value: &Value) -> bool {
    let text = match value {
        Value::Null => return true,
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let digits = text.split(['e', 'E']).next().unwrap_or_default();
    !digits.contains(|char: char| !matches!(char, '0' | '.' | '-' | '+'))
}

/// A count that the ledger can hold.
pub fn count(object: &Value, name: &str) -> Option<u64> {
    let count = object.get(name)?.as_u64()?;
    i64::try_from(count).is_ok().then_some(count)
}

pub fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}

pub fn id(object: &Value, name: &str) -> Option<String> {
    checked_id(text(object, name)?).ok().map(str::to_owned)
}
