//! How much text is inside a value.

use serde_json::Value;

use crate::usage::TextAmount;

/// Adds every text inside a value, but those below some names.
pub fn add_texts(value: &Value, but: &[&str], text: &mut TextAmount) {
    match value {
        Value::String(string) => text.add(string),
        Value::Array(values) => values.iter().for_each(|value| add_texts(value, but, text)),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !but.contains(&name.as_str()))
            .for_each(|(_, value)| add_texts(value, but, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
