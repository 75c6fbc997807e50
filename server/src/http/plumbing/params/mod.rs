//! Parameters of a request, from its query or its JSON body, each with the name of the one at
//! fault. What nobody asked for is refused too: a misspelt optional parameter must not pass silently.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ledger::IdempotencyKey;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::api::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use shared::ids::IdError;
use shared::money::{AmountError, Points};
use shared::problem::{FieldFault, Problem};

use super::body;
use super::refusal::Refusal;

/// Parameters that are still to be taken.
pub struct Params {
    values: Map<String, Value>,
    /// The JSON that they came in, where a number still has all its digits.
    text: Vec<u8>,
}

impl Params {
    /// From a JSON object.
    ///
    /// # Errors
    /// `TooLarge`, `InvalidJson`.
    pub async fn from_body(body: Body) -> Result<Self, Refusal> {
        let bytes = body::read(body).await.map_err(|refused| refused.problem)?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(values)) => Ok(Self {
                values,
                text: bytes,
            }),
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
            return Ok(Self::from(Map::new()));
        }
        Self::from_body(Body::from(bytes)).await
    }

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

    /// Points, as a JSON number or as text; no digit is lost on the way.
    pub fn points(&mut self, name: &str) -> Result<Option<Points>, Problem> {
        let exact = match self.take(name) {
            None => return Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => text,
            // A parsed number is a float; what was written is not.
            Some(Value::Number(_)) => self.written(name),
            Some(_) => return Err(Problem::field(name, FieldFault::NotANumber)),
        };
        exact
            .parse()
            .map(Some)
            .map_err(|error: AmountError| Problem::field(name, error))
    }

    pub fn required_points(&mut self, name: &str) -> Result<Points, Problem> {
        self.points(name)?
            .ok_or_else(|| Problem::field(name, FieldFault::Missing))
    }

    /// A value as it was written.
    fn written(&self, name: &str) -> String {
        serde_json::from_slice::<BTreeMap<String, &RawValue>>(&self.text)
            .ok()
            .and_then(|values| Some(values.get(name)?.get().to_owned()))
            .unwrap_or_default()
    }

    /// A list of objects, none of them with anything left; it must not be empty.
    pub fn each<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Self) -> Result<T, Problem>,
    ) -> Result<Vec<T>, Problem> {
        let items = match self.take(name) {
            None => return Err(Problem::field(name, FieldFault::Missing)),
            Some(Value::Array(items)) if !items.is_empty() => items,
            Some(_) => return Err(Problem::field(name, FieldFault::Empty)),
        };
        let read_one = |(index, item)| {
            let Value::Object(values) = item else {
                return Err(Problem::field(
                    format!("{name}.{index}"),
                    FieldFault::Missing,
                ));
            };
            let mut params = Self::from(values);
            let item = read(&mut params);
            item.and_then(|item| params.finish().map(|()| item))
                .map_err(|problem| match problem {
                    Problem::InvalidField { field, fault } => {
                        Problem::field(format!("{name}.{index}.{field}"), fault)
                    }
                    problem => problem,
                })
        };
        items.into_iter().enumerate().map(read_one).collect()
    }

    /// Where a page begins, and how many items it has at most.
    pub fn page(&mut self) -> Result<(Option<String>, u32), Problem> {
        let limit = self.within("limit", PAGE_ITEMS_DEFAULT, 1, PAGE_ITEMS_MAX)?;
        Ok((self.text("cursor")?, limit))
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

/// The `Idempotency-Key` of a request, by which its sender may repeat it.
///
/// # Errors
/// A field problem for `Idempotency-Key`.
pub fn idempotency_key(
    headers: &HeaderMap,
    caller: impl Into<String>,
) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .map_err(|_| Problem::field("Idempotency-Key", FieldFault::NotText))?;
    IdempotencyKey::new(caller, text).map(Some)
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
            Ok(Query(pairs)) => Ok(Self::from(
                pairs
                    .into_iter()
                    .map(|(name, value)| (name, Value::String(value)))
                    .collect::<Map<_, _>>(),
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
            Value::Object(values) => Params::from(values),
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

    #[tokio::test]
    async fn points_keep_every_digit() {
        for (value, expected) in [
            ("93", Ok(Some("93"))),
            ("-0.93", Ok(Some("-0.93"))),
            ("9223372036.854775807", Ok(Some("9223372036.854775807"))),
            ("\"9007199.254740993\"", Ok(Some("9007199.254740993"))),
            ("1e-9", Ok(Some("0.000000001"))),
            ("null", Ok(None)),
            ("\" \"", Ok(None)),
            (
                "1.00000000000000000001",
                Err(FieldFault::TooPrecise { decimals: 9 }),
            ),
            ("9223372036.854775808", Err(FieldFault::TooLarge)),
            ("\"many\"", Err(FieldFault::NotANumber)),
            ("true", Err(FieldFault::NotANumber)),
        ] {
            let body = format!(r#"{{"p\u0061id": 1, "points": 1, "points": {value}}}"#);
            let mut params = Params::from_body(Body::from(body)).await.expect("JSON");
            let points = params.points("points");
            assert_eq!(
                points.map(|points| points.map(|points| points.to_string())),
                expected
                    .map(|points| points.map(str::to_owned))
                    .map_err(|fault| Problem::field("points", fault)),
                "{value}"
            );
        }
    }

    #[test]
    fn a_fault_in_a_list_is_named_by_its_place() {
        let read = |value: Value| {
            params(json!({ "list": value })).each("list", |item| item.required_count("n"))
        };
        assert_eq!(read(json!([{ "n": 1 }, { "n": 2 }])), Ok(vec![1, 2]));
        for (value, field, fault) in [
            (json!(null), "list", FieldFault::Missing),
            (json!([]), "list", FieldFault::Empty),
            (json!([1]), "list.0", FieldFault::Missing),
            (json!([{ "n": 1 }, {}]), "list.1.n", FieldFault::Missing),
            (json!([{ "n": 1, "m": 1 }]), "list.0.m", FieldFault::Unknown),
        ] {
            assert_eq!(read(value), Err(Problem::field(field, fault)));
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
