//! The fields of a JSON object from outside, read one by one.

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId, checked_id};
use crate::problem::{FieldFault, Problem};

/// An object and where it stands in the body, so that an error can name the whole path.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    pub path: &'static str,
    pub object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// `null` counts as absent: Dify sends it for what it does not know.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub fn has_text(&self, name: &str) -> bool {
        self.get(name)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.trim().is_empty())
    }

    fn problem(&self, name: &str, fault: impl Into<FieldFault>) -> Problem {
        Problem::field(format!("{}{name}", self.path), fault)
    }

    fn required(&self, name: &str) -> Result<&'a Value, Problem> {
        self.get(name)
            .ok_or_else(|| self.problem(name, FieldFault::Missing))
    }

    pub fn object(&self, name: &str, path: &'static str) -> Result<Option<Self>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Fields { path, object })),
            Some(_) => Err(self.problem(name, FieldFault::Missing)),
        }
    }

    pub fn text(&self, name: &str) -> Result<&'a str, Problem> {
        self.required(name)?
            .as_str()
            .ok_or_else(|| self.problem(name, FieldFault::NotText))
    }

    pub fn id(&self, name: &str) -> Result<String, Problem> {
        checked_id(self.text(name)?)
            .map(str::to_owned)
            .map_err(|error| self.problem(name, error))
    }

    /// An empty text counts as absent here: templates leave it where a variable has no value.
    pub fn optional_id(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(_) => self.id(name).map(Some),
        }
    }

    pub fn user(&self, name: &str) -> Result<UserId, Problem> {
        self.text(name)?
            .parse()
            .map_err(|error| self.problem(name, error))
    }

    pub fn model(&self, name: &str) -> Result<ModelName, Problem> {
        self.text(name)?
            .parse()
            .map_err(|error| self.problem(name, error))
    }

    pub fn count(&self, name: &str) -> Result<u64, Problem> {
        let count = self
            .required(name)?
            .as_u64()
            .ok_or_else(|| self.problem(name, FieldFault::NotACount))?;
        // The ledger's integers are signed.
        match i64::try_from(count) {
            Ok(_) => Ok(count),
            Err(_) => Err(self.problem(name, FieldFault::TooLarge)),
        }
    }

    pub fn optional_count(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.get(name).map(|_| self.count(name)).transpose()
    }

    pub fn optional_time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let moment = match self.get(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_i64().and_then(Timestamp::from_unix_seconds),
        };
        moment
            .map(Some)
            .ok_or_else(|| self.problem(name, FieldFault::NotATime))
    }
}
