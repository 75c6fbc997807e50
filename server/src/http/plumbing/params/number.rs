//! Counts and points.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use shared::money::{AmountError, Points};
use shared::problem::{FieldFault, Problem};

use super::Params;

impl Params {
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
}

fn whole_number(text: &str) -> Result<u64, FieldFault> {
    // `parse` accepts a plus sign, which an unescaped query turns into a space anyway.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FieldFault::NotACount);
    }
    text.parse().map_err(|_| FieldFault::TooLarge)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde_json::json;

    use super::super::tests::params;
    use super::*;

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
}
