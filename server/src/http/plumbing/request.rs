//! Requests of our own API, as the types that [`shared::api`] has for them: from a JSON body or from
//! a query, each with the name of the field that is at fault.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use ledger::IdempotencyKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};
use shared::api::fields::fault_in;
use shared::problem::{FieldFault, Problem};

use super::body;
use super::refusal::Refusal;

/// Reads a body.
///
/// # Errors
/// `TooLarge`; `InvalidJson` for what is no object; a field problem.
pub async fn from_body<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let bytes = body::read(body).await.map_err(|refused| refused.problem)?;
    Ok(from_object(&bytes)?)
}

/// As [`from_body`], where an empty body is an empty object.
///
/// # Errors
/// As [`from_body`].
pub async fn from_optional_body<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let bytes = body::read(body).await.map_err(|refused| refused.problem)?;
    let bytes = if bytes.is_empty() {
        b"{}".to_vec()
    } else {
        bytes
    };
    Ok(from_object(&bytes)?)
}

/// The parameters of a query, not yet read; the last of several values for one name counts.
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// # Errors
    /// A field problem.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        read(&self.0)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Refusal;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query: Result<Query<Vec<(String, String)>>, QueryRejection> =
            Query::from_request_parts(parts, state).await;
        match query {
            Ok(Query(pairs)) => Ok(Self(pairs.into_iter().collect())),
            Err(_) => Err(Problem::NotFound.into()),
        }
    }
}

fn from_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(_)) => {}
        Ok(_) => return Err(invalid_json(&"it must be an object")),
        Err(error) => return Err(invalid_json(&error)),
    }
    // The last of several values for one name counts, and numbers keep their digits.
    let values: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(bytes).map_err(|error| invalid_json(&error))?;
    read(&values)
}

fn invalid_json(detail: &dyn std::fmt::Display) -> Problem {
    Problem::InvalidJson {
        detail: detail.to_string(),
    }
}

fn read<T: DeserializeOwned>(values: &impl Serialize) -> Result<T, Problem> {
    let json = serde_json::to_vec(values).map_err(|error| invalid_json(&error))?;
    let mut json = serde_json::Deserializer::from_slice(&json);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let message = error.inner().to_string();
        let (field, fault) = fault_in(&message);
        Problem::field(path_of(error.path(), field), fault)
    })
}

/// The path of a field, such as `prices.0.modelName`.
fn path_of(path: &Path, field: Option<&str>) -> String {
    let mut names: Vec<String> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect();
    if let Some(field) = field.filter(|field| names.last().is_none_or(|last| last != field)) {
        names.push(field.to_owned());
    }
    names.join(".")
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
    IdempotencyKey::new(caller, text)
        .map(Some)
        .map_err(|fault| Problem::field("Idempotency-Key", fault))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;
    use shared::api::fields::{list, optional, required, usual};
    use shared::ids::ModelName;
    use shared::money::Points;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Counts {
        #[serde(default, deserialize_with = "optional")]
        n: Option<u64>,
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
            let body = json!({ "n": value }).to_string();
            let counts: Result<Counts, Problem> = from_object(body.as_bytes());
            assert_eq!(
                counts.map(|counts| counts.n),
                expected.map_err(|fault| Problem::field("n", fault)),
                "{body}"
            );
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Amount {
        #[serde(default, deserialize_with = "optional")]
        points: Option<Points>,
    }

    #[test]
    fn points_keep_every_digit() {
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
            let amount: Result<Amount, Problem> = from_object(body.as_bytes());
            assert_eq!(
                amount.map(|amount| amount.points.map(|points| points.to_string())),
                expected
                    .map(|points| points.map(str::to_owned))
                    .map_err(|fault| Problem::field("points", fault)),
                "{value}"
            );
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[serde(deserialize_with = "required")]
        n: u64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Items {
        #[serde(deserialize_with = "list")]
        list: Vec<Item>,
    }

    #[test]
    fn a_fault_in_a_list_is_named_by_its_place() {
        let read = |value: &Value| -> Result<Items, Problem> {
            from_object(json!({ "list": value }).to_string().as_bytes())
        };
        let list = vec![Item { n: 1 }, Item { n: 2 }];
        assert_eq!(read(&json!([{ "n": 1 }, { "n": 2 }])), Ok(Items { list }));
        for (value, field, fault) in [
            (json!(null), "list", FieldFault::Missing),
            (json!([]), "list", FieldFault::Empty),
            (json!({}), "list", FieldFault::Empty),
            (json!("n"), "list", FieldFault::Empty),
            (json!([1]), "list.0", FieldFault::Missing),
            (json!([[1]]), "list.0", FieldFault::Missing),
            (json!([{ "n": 1 }, {}]), "list.1.n", FieldFault::Missing),
            (
                json!([{ "n": 1 }, { "n": "" }]),
                "list.1.n",
                FieldFault::Missing,
            ),
            (json!([{ "n": 1, "m": 1 }]), "list.0.m", FieldFault::Unknown),
        ] {
            assert_eq!(read(&value), Err(Problem::field(field, fault)), "{value}");
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Call {
        #[serde(deserialize_with = "required")]
        model_name: ModelName,
        #[serde(default, deserialize_with = "usual")]
        hold: bool,
    }

    #[test]
    fn what_nobody_asked_for_is_named() {
        let read =
            |body: Value| -> Result<Call, Problem> { from_object(body.to_string().as_bytes()) };
        let call = read(json!({ "modelName": "gpt-4", "hold": null })).expect("a call");
        assert_eq!((call.model_name.as_str(), call.hold), ("gpt-4", false));
        let truth = FieldFault::NotOneOf {
            allowed: "true, false".to_owned(),
        };
        for (body, field, fault) in [
            (
                json!({ "modelName": "gpt-4", "inputTokens": 1 }),
                "inputTokens",
                FieldFault::Unknown,
            ),
            (json!({}), "modelName", FieldFault::Missing),
            (
                json!({ "modelName": null }),
                "modelName",
                FieldFault::Missing,
            ),
            (json!({ "modelName": 4 }), "modelName", FieldFault::NotText),
            (
                json!({ "modelName": "a\u{0}" }),
                "modelName",
                FieldFault::ControlCharacter,
            ),
            (json!({ "modelName": "m", "hold": "yes" }), "hold", truth),
        ] {
            assert_eq!(
                read(body.clone()),
                Err(Problem::field(field, fault)),
                "{body}"
            );
        }
        for (body, detail) in [
            ("[]", "it must be an object"),
            ("", "EOF while parsing a value at line 1 column 0"),
            (
                r#"{"modelName":"\ud800"}"#,
                "unexpected end of hex escape at line 1 column 21",
            ),
        ] {
            let detail = detail.to_owned();
            let read: Result<Call, Problem> = from_object(body.as_bytes());
            assert_eq!(read, Err(Problem::InvalidJson { detail }), "{body}");
        }
    }
}
