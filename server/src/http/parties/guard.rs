//! `POST /api/dify/guard`: Dify's API-based extension. Dify asks, before any model runs, whether a
//! message may pass; what does not is answered with a text of ours in the model's place.
//!
//! Whoever has a guard's key gets status 200, whatever the answer: Dify takes every other status for
//! a failure of its own and shows the end user an error that nobody understands.

use std::sync::Arc;

use access::key;
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use ledger::{ApiKey, CallEstimate, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::ids::UserId;
use shared::problem::{FieldFault, Problem};
use shared::source::SourceEntrance;
use utoipa::ToSchema;

use crate::http::plumbing::blocked::Blocked;
use crate::http::plumbing::body;
use crate::http::plumbing::refusal::Refusal;
use crate::http::plumbing::state::Http;

/// What Dify asks.
#[derive(Deserialize, ToSchema)]
pub struct Question {
    /// `ping`, `app.moderation.input`, `app.moderation.output` or `app.external_data_tool.query`.
    #[serde(default)]
    point: String,
    #[serde(default)]
    params: QuestionParams,
}

#[derive(Default, Deserialize, ToSchema)]
struct QuestionParams {
    /// The app's input variables, as the caller filled them in.
    #[serde(default)]
    #[schema(value_type = Object)]
    inputs: Map<String, Value>,
}

/// As Dify reads it; `direct_output` shows the preset response and ends the message.
#[derive(Serialize, ToSchema)]
pub struct Moderation {
    flagged: bool,
    /// `direct_output`
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    preset_response: Option<String>,
}

/// The answer to what is no message.
#[derive(Serialize, ToSchema)]
pub struct GuardNote {
    result: &'static str,
}

/// Answers Dify.
pub async fn ask(State(http): State<Http>, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let key = key::source(
        http.ledger(),
        &parts.headers,
        Scope::Entrance(SourceEntrance::Guard),
    )
    .await?;
    let body = body::read(body).await.map_err(|refused| refused.problem)?;
    let question: Question =
        serde_json::from_slice(&body).map_err(|error| Problem::InvalidJson {
            detail: error.to_string(),
        })?;
    match question.point.as_str() {
        "ping" => Ok(Json(GuardNote { result: "pong" }).into_response()),
        "app.moderation.input" => {
            let blocked = moderate(&http, &key, &question.params.inputs).await;
            let recharge_url = http.0.context.recharge_url.as_deref();
            Ok(Json(Moderation {
                flagged: blocked.is_some(),
                action: "direct_output",
                preset_response: blocked.map(|it| it.in_both_languages(recharge_url)),
            })
            .into_response())
        }
        // Answers are not Tollgate's business; they pass where somebody has them moderated too.
        "app.moderation.output" => Ok(Json(Moderation {
            flagged: false,
            action: "direct_output",
            preset_response: None,
        })
        .into_response()),
        "app.external_data_tool.query" => Ok(Json(GuardNote {
            result: "Tollgate's guard is no data tool. Choose it as API extension under Content Moderation. \
                       Tollgate 是内容审查扩展，不是外部数据工具，请在“内容审查”中选用。",
        })
        .into_response()),
        _ => Err(Problem::field(
            "point",
            FieldFault::NotOneOf {
                allowed: "ping, app.moderation.input, app.moderation.output, app.external_data_tool.query"
                    .into(),
            },
        )
        .into()),
    }
}

/// Why a message may not pass, if it may not.
async fn moderate(http: &Http, key: &Arc<ApiKey>, inputs: &Map<String, Value>) -> Option<Blocked> {
    let settings = &key.settings;
    let variable = settings.user_variable.as_deref().unwrap_or_default();
    let Some(user) = user_in(inputs, variable) else {
        tracing::debug!(source = key.name, variable, "a message names no user");
        return (!settings.is_fail_open).then(|| Blocked::NoUser {
            variable: variable.to_owned(),
        });
    };
    // Nothing is held: Dify tells neither the message's id nor when it has ended.
    let call = CallEstimate::default();
    match http.ledger().check_call(&user, key, &call).await {
        Ok(check) if check.can_proceed => None,
        Ok(check) => Some(Blocked::Points(Box::new(check))),
        Err(error) => {
            tracing::warn!(source = key.name, %user, %error, "a message could not be checked for {user}");
            (!settings.is_fail_open).then_some(Blocked::Unknown)
        }
    }
}

/// The end user that an input variable names; as a number too, since forms know those.
fn user_in(inputs: &Map<String, Value>, variable: &str) -> Option<UserId> {
    match inputs.get(variable)? {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
