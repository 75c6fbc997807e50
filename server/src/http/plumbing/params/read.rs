//! Where parameters come from.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde_json::{Map, Value};
use shared::problem::Problem;

use super::Params;
use crate::http::plumbing::body;
use crate::http::plumbing::refusal::Refusal;

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
