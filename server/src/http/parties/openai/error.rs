//! Refusals in the shape that OpenAI's clients read.

use app::Explain;
use app::text::InWords;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use ledger::CallCheck;
use serde_json::{Value, json};
use shared::ids::UserId;
use shared::locale::Locale;
use shared::problem::{FieldFault, Problem};

use crate::http::plumbing::answer::words;
use crate::http::plumbing::blocked::Blocked;

/// Why a call was not done.
pub enum ApiError {
    Problem(Problem),
    /// The end user's points do not suffice.
    Points {
        check: Box<CallCheck>,
        recharge_url: Option<String>,
    },
    /// The call names no user, and the account that pays for such calls lacks points.
    NoUser {
        account: UserId,
        check: Box<CallCheck>,
    },
    /// Dify does not answer whose id the call names.
    UserUnknown,
    /// The provider cannot be reached, or broke off.
    Upstream,
    /// What Tollgate cannot meter.
    Unmetered,
}

impl<E: Explain> From<E> for ApiError {
    fn from(error: E) -> Self {
        let problem = error.problem();
        if problem == Problem::Internal
            && let Some(error) = error.cause()
        {
            tracing::error!(%error, "a model call failed: {error}");
        }
        Self::Problem(problem)
    }
}

impl ApiError {
    /// 402 for what lacks points, and not OpenAI's own 429: clients try a 429 again, and Dify takes
    /// it for a limit of the credential, which it then rests for a minute, for all users.
    fn status(&self) -> StatusCode {
        let status = match self {
            Self::Points { .. } | Self::NoUser { .. } => 402,
            Self::Upstream => 502,
            Self::UserUnknown => 503,
            Self::Unmetered => 404,
            Self::Problem(Problem::InvalidField { .. }) => 400,
            Self::Problem(problem) => problem.status(),
        };
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Points { .. } | Self::NoUser { .. } => "insufficient_quota",
            Self::Upstream => "upstream_unreachable",
            Self::UserUnknown => "user_unknown",
            Self::Unmetered => "not_metered",
            Self::Problem(Problem::InvalidKey | Problem::MissingKey) => "invalid_api_key",
            Self::Problem(problem) => problem.code(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Points { .. } | Self::NoUser { .. } => "insufficient_quota",
            _ if self.status().is_server_error() => "server_error",
            _ => "invalid_request_error",
        }
    }

    fn param(&self) -> Option<&str> {
        match self {
            // The name that it has at our own entrances.
            Self::Problem(Problem::InvalidField { field, .. }) if field == "modelName" => {
                Some("model")
            }
            Self::Problem(problem) => problem.field_name(),
            _ => None,
        }
    }

    fn message(&self, locale: Locale) -> String {
        match self {
            Self::Points {
                check,
                recharge_url,
            } => Blocked::Points(check.clone()).in_both_languages(recharge_url.as_deref()),
            Self::NoUser { account, check } => match locale {
                Locale::En => format!(
                    "This call names no user, so the account “{account}” pays for it, and it lacks points: about {} are needed, {} are there. Add some: tollgate points add --user '{account}' --points 1000 --reason 'calls without a user'",
                    check.estimated_points, check.available
                ),
                Locale::Zh => format!(
                    "此调用未指明用户，因此由账户“{account}”支付，但其积分不足：约需 {} 积分，现有 {} 积分。请为其添加积分：tollgate points add --user '{account}' --points 1000 --reason '无用户的调用'",
                    check.estimated_points, check.available
                ),
            },
            Self::UserUnknown => words(
                locale,
                "Dify does not answer which end user this call is for. Try again.",
                "Dify 未能告知此调用属于哪位终端用户，请重试。",
            )
            .to_owned(),
            Self::Upstream => words(
                locale,
                "The model provider cannot be reached, or broke off. Nothing was charged; try again.",
                "无法连接模型供应商，或连接中断。未扣除积分，请重试。",
            )
            .to_owned(),
            Self::Unmetered => words(
                locale,
                "Tollgate meters chat/completions, completions and embeddings, and passes nothing else on but models.",
                "Tollgate 只对 chat/completions、completions 和 embeddings 计量，除 models 外不转发其他请求。",
            )
            .to_owned(),
            Self::Problem(Problem::InvalidField { field, fault }) => {
                let field = if field == "modelName" { "model" } else { field };
                Problem::field(field, FieldFault::clone(fault)).message(locale)
            }
            Self::Problem(problem) => problem.message(locale),
        }
    }

    /// The answer, in the caller's language as far as it is known.
    pub fn into_response_in(self, locale: Locale) -> Response {
        let error: Value = json!({
            "message": self.message(locale),
            "type": self.kind(),
            "code": self.code(),
            "param": self.param(),
        });
        let mut response = (self.status(), Json(json!({ "error": error }))).into_response();
        if let Self::Problem(problem) = &self
            && let Some(seconds) = problem.retry_after_seconds()
        {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
