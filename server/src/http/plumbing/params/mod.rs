//! Parameters of a request, from its query or its JSON body, each with the name of the one at
//! fault. What nobody asked for is refused too: a misspelt optional parameter must not pass silently.

mod idempotency;
mod list;
mod number;
mod read;

use std::str::FromStr;

use serde_json::{Map, Value};
use shared::ids::IdError;
use shared::problem::{FieldFault, Problem};

pub use idempotency::idempotency_key;

/// Parameters that are still to be taken.
pub struct Params {
    values: Map<String, Value>,
    /// The JSON that they came in, where a number still has all its digits.
    text: Vec<u8>,
}

impl Params {
    /// Whether a value is given.
    pub fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| !value.is_null())
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.values.remove(name).filter(|value| !value.is_null())
    }

    /// A text that `T` can read; `fault` says what is wrong where it cannot. An empty one counts
    /// as absent, as forms send it.
    fn parsed<T: FromStr>(
        &mut self,
        name: &str,
        fault: impl FnOnce(T::Err) -> FieldFault,
    ) -> Result<Option<T>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            // Postgres keeps any other.
            Some(Value::String(text)) if text.contains('\0') => {
                Err(Problem::field(name, FieldFault::ControlCharacter))
            }
            Some(Value::String(text)) => text
                .parse()
                .map(Some)
                .map_err(|error| Problem::field(name, fault(error))),
            Some(_) => Err(Problem::field(name, FieldFault::NotText)),
        }
    }

    /// A user or model.
    pub fn id<T: FromStr<Err = IdError>>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        self.parsed(name, FieldFault::from)
    }

    pub fn required_id<T: FromStr<Err = IdError>>(&mut self, name: &str) -> Result<T, Problem> {
        self.id(name)?
            .ok_or_else(|| Problem::field(name, FieldFault::Missing))
    }

    pub fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        self.parsed(name, |error: std::convert::Infallible| match error {})
    }

    pub fn required_text(&mut self, name: &str) -> Result<String, Problem> {
        self.text(name)?
            .ok_or_else(|| Problem::field(name, FieldFault::Missing))
    }

    pub fn required_time<T: FromStr>(&mut self, name: &str) -> Result<T, Problem> {
        self.time(name)?
            .ok_or_else(|| Problem::field(name, FieldFault::Missing))
    }

    pub fn time<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        self.parsed(name, |_| FieldFault::NotATime)
    }

    /// One of a few words.
    pub fn one_of<T: Copy>(
        &mut self,
        name: &str,
        choices: &[T],
        as_str: impl Fn(T) -> &'static str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        match choices.iter().find(|choice| as_str(**choice) == text) {
            Some(choice) => Ok(Some(*choice)),
            None => {
                let allowed: Vec<&str> = choices.iter().map(|choice| as_str(*choice)).collect();
                let allowed = allowed.join(", ");
                Err(Problem::field(name, FieldFault::NotOneOf { allowed }))
            }
        }
    }

    pub fn flag(&mut self, name: &str) -> Result<bool, Problem> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(Problem::field(
                name,
                FieldFault::NotOneOf {
                    allowed: "true, false".to_owned(),
                },
            )),
        }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// Names the first parameter that is left.
    pub fn finish(self) -> Result<(), Problem> {
        match self.values.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::field(name, FieldFault::Unknown)),
        }
    }
}

/// Values that came in another way than as JSON.
impl From<Map<String, Value>> for Params {
    fn from(values: Map<String, Value>) -> Self {
        Self {
            values,
            text: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::ids::ModelName;

    use super::*;

    /// As if from a body.
    pub fn params(value: Value) -> Params {
        match value {
            Value::Object(values) => Params::from(values),
            _ => panic!("an object"),
        }
    }

    #[test]
    fn what_nobody_asked_for_is_named() {
        let mut params = params(json!({ "modelName": "gpt-4", "inputTokens": 1 }));
        let model: ModelName = params.required_id("modelName").expect("a model");
        assert_eq!(model.as_str(), "gpt-4");
        assert_eq!(
            params.finish(),
            Err(Problem::field("inputTokens", FieldFault::Unknown))
        );
    }
}
