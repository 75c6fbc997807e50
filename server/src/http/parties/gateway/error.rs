//! What the gateway itself answers, in the shape and with the codes of Dify's own errors, so that
//! existing clients show it.

use app::Explain;
use app::text::InWords;
use axum::Json;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::locale::Locale;
use shared::money::Points;
use shared::problem::{FieldFault, Problem};

use crate::http::plumbing::answer::words;
use crate::http::plumbing::upstream::UpstreamFault;

/// Why a request was not passed on, or got no answer.
#[derive(Debug)]
pub(super) enum DifyError {
    Problem(Problem),
    /// The user cannot pay for it.
    TooExpensive {
        needed: Points,
        available: Points,
    },
    /// The user whose run it is cannot pay for it.
    OwnerCannotPay,
    /// Nobody knows whether Dify took a form.
    FormMayBeTaken,
    /// A body that neither is JSON nor a form cannot be bound to a user.
    NotBindable,
    /// The source's address or key is of no use.
    Misconfigured {
        source: String,
    },
    Upstream(UpstreamFault),
}

impl<E: Explain> From<E> for DifyError {
    fn from(error: E) -> Self {
        let problem = error.problem();
        if problem == Problem::Internal
            && let Some(error) = error.cause()
        {
            tracing::error!(%error, "the gateway could not ask the ledger: {error}");
        }
        Self::Problem(problem)
    }
}

impl From<UpstreamFault> for DifyError {
    fn from(fault: UpstreamFault) -> Self {
        tracing::warn!(%fault, "{fault}");
        Self::Upstream(fault)
    }
}

/// Dify's error.
#[derive(Serialize)]
struct Envelope {
    code: &'static str,
    message: String,
    status: u16,
}

impl DifyError {
    pub(super) fn tell(&self, locale: Locale) -> Response {
        let (code, status) = self.code();
        let envelope = Envelope {
            code,
            message: self.message(locale),
            status,
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(envelope)).into_response();
        let headers = response.headers_mut();
        // As Dify does: a page of another site may read why.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if let Self::Problem(problem) = self
            && let Some(seconds) = problem.retry_after_seconds()
        {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    /// Those that Dify has, where it has one.
    const fn code(&self) -> (&'static str, u16) {
        let problem = match self {
            // Clients know it as "your quota is used up".
            Self::TooExpensive { .. } | Self::OwnerCannotPay => {
                return ("provider_quota_exceeded", 400);
            }
            Self::NotBindable => return ("unsupported_media_type", 415),
            Self::Misconfigured { .. } => return ("app_unavailable", 500),
            Self::Upstream(UpstreamFault::Silent) | Self::FormMayBeTaken => {
                return ("gateway_timeout", 504);
            }
            Self::Upstream(_) => return ("bad_gateway", 502),
            Self::Problem(problem) => problem,
        };
        match problem {
            Problem::InvalidJson { .. } => ("bad_request", 400),
            Problem::InvalidField {
                fault: FieldFault::NotPriced | FieldFault::PriceInactive,
                ..
            } => ("model_currently_not_support", 400),
            Problem::InvalidField { .. } => ("invalid_param", 400),
            Problem::TooLarge { .. } => ("request_entity_too_large", 413),
            Problem::Internal => ("internal_server_error", 500),
            Problem::Busy { .. } => ("service_unavailable", 503),
            _ => match problem.status() {
                401 => ("unauthorized", 401),
                403 => ("forbidden", 403),
                404 => ("not_found", 404),
                status => (problem.code(), status),
            },
        }
    }

    fn message(&self, locale: Locale) -> String {
        match self {
            Self::Problem(problem) => problem.message(locale),
            Self::TooExpensive { needed, available } => match locale {
                Locale::En => format!(
                    "Insufficient points: this call needs about {needed}, and {available} are available. Please top up."
                ),
                Locale::Zh => format!(
                    "积分不足：本次调用预计需要 {needed} 积分，当前可用 {available} 积分，请充值后再试。"
                ),
            },
            Self::OwnerCannotPay => words(
                locale,
                "The user whose run this is has not enough points for it to go on.",
                "发起该运行的用户积分不足，无法继续。",
            )
            .to_owned(),
            Self::FormMayBeTaken => words(
                locale,
                "Dify did not answer, so it is not known whether it took the form. What the run uses is charged.",
                "Dify 没有应答，无法确定表单是否已提交；运行产生的用量仍会扣费。",
            )
            .to_owned(),
            Self::NotBindable => words(
                locale,
                "Send JSON or a multipart form: in anything else the user cannot be checked.",
                "请发送 JSON 或 multipart 表单：其他格式无法核对用户。",
            )
            .to_owned(),
            Self::Misconfigured { source } => match locale {
                Locale::En => format!(
                    "The source “{source}” has no usable address or key of Dify. Ask the administrator."
                ),
                Locale::Zh => format!("接入 “{source}” 的 Dify 地址或密钥不可用，请联系管理员。"),
            },
            Self::Upstream(UpstreamFault::Silent) => words(
                locale,
                "Dify did not answer in time. Nothing was charged; try again.",
                "Dify 未在规定时间内应答，未扣除积分，请重试。",
            )
            .to_owned(),
            Self::Upstream(_) => words(
                locale,
                "Dify cannot be reached at the moment. Nothing was charged; try again later.",
                "暂时无法连接 Dify，未扣除积分，请稍后重试。",
            )
            .to_owned(),
        }
    }
}
