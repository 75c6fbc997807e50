//! Parameters of a request, from its query or its JSON body, each with the name of the one at
//! fault. What nobody asked for is refused too: a misspelt optional parameter must not pass silently.

use std::str::FromStr;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde_json::{Map, Value};
use shared::ids::IdError;
use shared::problem::{FieldFault, Problem};

use super::answer::Refusal;
use super::body;

/// Parameters that are still to be taken.
pub struct Params(Map<String, Value>);

impl Params {
    /// From a JSON object.
    ///
    /// # Errors
    /// `TooLarge`, `InvalidJson`.
    pub async fn from_body(body: Body) -> Result<Self, Refusal> {
        let bytes = body::read(body).await.map_err(|refused| refused.problem)?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(invalid_json("it must be an object".to_owned())),
            Err(error) => Err(invalid_json(error.to_string())),
        }
    }

    /// As [`Params::from_body`], where an empty body is an empty object.
    ///
    /// # Errors
    /// `TooLarge`, `InvalidJson`.
    pub async fn from_optional_body(body: Body) -> Result<Self, Refusal> {
        let bytes = body::read(body).await.map_err(|refused| refused.problem)?;
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        Self::from_body(Body::from(bytes)).await
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
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

    /// A whole number from 0 up: a JSON number in a body, digits in a query.
    pub fn count(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let count = match self.take(name) {
            None => return Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => whole_number(text.trim()),
            Some(value) => value.as_u64().ok_or(FieldFault::NotACount),
        };
        match count {
            // The ledger's integers are signed.
            Ok(count) if i64::try_from(count).is_ok() => Ok(Some(count)),
            Ok(_) => Err(Problem::field(name, FieldFault::TooLarge)),
            Err(fault) => Err(Problem::field(name, fault)),
        }
    }

    pub fn required_count(&mut self, name: &str) -> Result<u64, Problem> {
        self.count(name)?
            .ok_or_else(|| Problem::field(name, FieldFault::Missing))
    }

    /// A whole number within bounds, or the default.
    pub fn within(&mut self, name: &str, default: u32, min: u32, max: u32) -> Result<u32, Problem> {
        let Some(count) = self.count(name)? else {
            return Ok(default);
        };
        u32::try_from(count)
            .ok()
            .filter(|count| (min..=max).contains(count))
            .ok_or_else(|| Problem::field(name, FieldFault::OutOfRange { min, max }))
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
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::field(name, FieldFault::Unknown)),
        }
    }
}

fn whole_number(text: &str) -> Result<u64, FieldFault> {
    // `parse` accepts a plus sign, which an unescaped query turns into a space anyway.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FieldFault::NotACount);
    }
    text.parse().map_err(|_| FieldFault::TooLarge)
}

fn invalid_json(detail: String) -> Refusal {
    Problem::InvalidJson { detail }.into()
}

/// From a query string; the last of several values for one name counts.
impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query: Result<Query<Vec<(String, String)>>, QueryRejection> =
            Query::from_request_parts(parts, state).await;
        match query {
            Ok(Query(pairs)) => Ok(Self(
                pairs
                    .into_iter()
                    .map(|(name, value)| (name, Value::String(value)))
                    .collect(),
            )),
            Err(_) => Err(Problem::NotFound.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::ids::ModelName;

    use super::*;

    fn params(value: Value) -> Params {
        match value {
            Value::Object(object) => Params(object),
            _ => panic!("an object"),
        }
    }

    #[test]
    fn counts_come_as_numbers_or_digits() {
        for (value, expected) in [
            (json!(0), Ok(Some(0))),
            (json!("1500"), Ok(Some(1500))),
            (json!(""), Ok(None)),
            (json!(null), Ok(None)),
            (json!("-1"), Err(FieldFault::NotACount)),
            (json!("+1"), Err(FieldFault::NotACount)),
            (json!("1.5"), Err(FieldFault::NotACount)),
            (json!(1.5), Err(FieldFault::NotACount)),
            (json!(-1), Err(FieldFault::NotACount)),
            (json!(u64::MAX), Err(FieldFault::TooLarge)),
            (json!("99999999999999999999"), Err(FieldFault::TooLarge)),
            (json!(true), Err(FieldFault::NotACount)),
        ] {
            let text = value.to_string();
            let count = params(json!({ "n": value })).count("n");
            assert_eq!(
                count,
                expected.map_err(|fault| Problem::field("n", fault)),
                "{text}"
            );
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
