//! What can go wrong at an edge: one list, with the status, the code and the words for each.
//! Codes never change; messages follow the caller's language and say what to do.

use serde::{Deserialize, Serialize};

use crate::ids::IdError;
use crate::locale::Locale;
use crate::money::AmountError;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldFault {
    Missing,
    NotText,
    Empty,
    TooLong {
        max: u16,
    },
    ControlCharacter,
    /// Tokens and the like: a JSON integer from 0 up.
    NotACount,
    NotANumber,
    Negative,
    TooPrecise {
        decimals: u8,
    },
    TooLarge,
    NotATime,
    NotPositive,
    InThePast,
    /// Of two moments the second is not the later one.
    NotLater {
        than: String,
    },
    /// The value is none of those allowed.
    NotOneOf {
        allowed: String,
    },
    /// No price is published for this model.
    NotPriced,
    /// The model's price is switched off.
    PriceInactive,
    NotACursor,
    OutOfRange {
        min: u32,
        max: u32,
    },
    TooShort {
        min: u16,
    },
    Taken,
    /// No such parameter or field here.
    Unknown,
}

impl From<IdError> for FieldFault {
    fn from(error: IdError) -> Self {
        match error {
            IdError::Empty => Self::Empty,
            IdError::TooLong(max) => Self::TooLong { max },
            IdError::ControlCharacter => Self::ControlCharacter,
        }
    }
}

impl From<AmountError> for FieldFault {
    fn from(error: AmountError) -> Self {
        match error {
            AmountError::Empty => Self::Empty,
            AmountError::NotANumber => Self::NotANumber,
            AmountError::TooPrecise(decimals) => Self::TooPrecise { decimals },
            AmountError::TooLarge => Self::TooLarge,
            AmountError::Negative => Self::Negative,
        }
    }
}

/// Everything a caller can be told, beside success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    InvalidJson {
        detail: String,
    },
    MissingKey,
    InvalidKey,
    MissingSignature,
    InvalidSignature,
    StaleTimestamp,
    SignInRequired,
    WrongPassword,
    LinkExpired,
    WrongScope {
        needed: String,
    },
    CrossSite,
    /// A user's own token names somebody else.
    OtherUser,
    NotFound,
    MethodNotAllowed,
    /// The same message was delivered before, with other numbers.
    MessageConflict {
        message_id: String,
    },
    /// An idempotency key was used before, for another request.
    KeyReused,
    /// Somebody else changed the same thing meanwhile.
    Outdated,
    TooLarge {
        bytes_max: u32,
    },
    InvalidField {
        field: String,
        fault: FieldFault,
    },
    RateLimited {
        retry_after_seconds: u32,
    },
    Busy {
        retry_after_seconds: u32,
    },
    Internal,
}

impl Problem {
    #[must_use]
    pub fn field(field: impl Into<String>, fault: impl Into<FieldFault>) -> Self {
        Self::InvalidField {
            field: field.into(),
            fault: fault.into(),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::InvalidJson { .. } => 400,
            Self::MissingKey
            | Self::InvalidKey
            | Self::MissingSignature
            | Self::InvalidSignature
            | Self::StaleTimestamp
            | Self::SignInRequired
            | Self::WrongPassword
            | Self::LinkExpired => 401,
            Self::WrongScope { .. } | Self::CrossSite | Self::OtherUser => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::MessageConflict { .. } | Self::KeyReused | Self::Outdated => 409,
            Self::TooLarge { .. } => 413,
            Self::InvalidField { .. } => 422,
            Self::RateLimited { .. } => 429,
            Self::Internal => 500,
            Self::Busy { .. } => 503,
        }
    }

    /// The stable, machine-readable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidJson { .. } => "invalid_json",
            Self::MissingKey => "missing_key",
            Self::InvalidKey => "invalid_key",
            Self::MissingSignature => "missing_signature",
            Self::InvalidSignature => "invalid_signature",
            Self::StaleTimestamp => "stale_timestamp",
            Self::SignInRequired => "sign_in_required",
            Self::WrongPassword => "wrong_password",
            Self::LinkExpired => "link_expired",
            Self::WrongScope { .. } => "wrong_scope",
            Self::CrossSite => "cross_site",
            Self::OtherUser => "other_user",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::MessageConflict { .. } => "message_conflict",
            Self::KeyReused => "idempotency_key_reused",
            Self::Outdated => "outdated",
            Self::TooLarge { .. } => "payload_too_large",
            Self::InvalidField { fault, .. } => match fault {
                FieldFault::NotPriced => "model_not_priced",
                FieldFault::PriceInactive => "price_inactive",
                _ => "invalid_field",
            },
            Self::RateLimited { .. } => "rate_limited",
            Self::Busy { .. } => "busy",
            Self::Internal => "internal",
        }
    }

    /// The field at fault, as a path into the request (`data.input_tokens`).
    #[must_use]
    pub fn field_name(&self) -> Option<&str> {
        match self {
            Self::InvalidField { field, .. } => Some(field),
            _ => None,
        }
    }

    /// Seconds to wait before trying again, for `Retry-After`.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::RateLimited {
                retry_after_seconds,
            }
            | Self::Busy {
                retry_after_seconds,
            } => Some(*retry_after_seconds),
            _ => None,
        }
    }

    #[must_use]
    pub fn message(&self, locale: Locale) -> String {
        match locale {
            Locale::En => self.english(),
            Locale::Zh => self.chinese(),
        }
    }

    fn english(&self) -> String {
        match self {
            Self::InvalidJson { detail } => format!("The body is not valid JSON: {detail}."),
            Self::MissingKey => "Send an API key as “Authorization: Bearer …” or “X-API-Key: …”.".into(),
            Self::InvalidKey => "This API key is unknown or revoked. Create one with “tollgate key create”.".into(),
            Self::MissingSignature => "This key requires signed requests: send webhook-id, webhook-timestamp and webhook-signature.".into(),
            Self::InvalidSignature => "The signature does not match the body. Sign “id.timestamp.body” with this key's signing secret.".into(),
            Self::StaleTimestamp => "webhook-timestamp is more than five minutes away from now. Check the sender's clock and sign again.".into(),
            Self::SignInRequired => "Please sign in.".into(),
            Self::WrongPassword => "The name or the password is wrong.".into(),
            Self::LinkExpired => "This sign-in link is no longer valid. Ask for a new one.".into(),
            Self::WrongScope { needed } => format!("This key lacks the scope “{needed}”."),
            Self::CrossSite => "The request came from another site and was refused.".into(),
            Self::OtherUser => "A user's own token speaks for that user only. Use an API key to ask for others.".into(),
            Self::NotFound => "There is nothing under this address or id.".into(),
            Self::MethodNotAllowed => "This address does not know that HTTP method.".into(),
            Self::MessageConflict { message_id } => format!("Message “{message_id}” was already delivered with other numbers. The first delivery stands; this one was recorded."),
            Self::KeyReused => "This Idempotency-Key was used before, for another request. Nothing was changed; use a new key.".into(),
            Self::Outdated => "Somebody changed this meanwhile. Reload and try again.".into(),
            Self::TooLarge { bytes_max } => format!("The body is larger than {bytes_max} bytes."),
            Self::InvalidField { field, fault } => format!("{field}: {}.", fault.english()),
            Self::RateLimited { retry_after_seconds } => format!("Too many attempts. Try again in {retry_after_seconds} seconds."),
            Self::Busy { retry_after_seconds } => format!("Tollgate is busy and recorded nothing. Try again in {retry_after_seconds} seconds."),
            Self::Internal => "Something went wrong on our side. Nothing was charged; try again.".into(),
        }
    }

    fn chinese(&self) -> String {
        match self {
            Self::InvalidJson { detail } => format!("请求体不是有效的 JSON：{detail}。"),
            Self::MissingKey => {
                "请通过 “Authorization: Bearer …” 或 “X-API-Key: …” 提供 API 密钥。".into()
            }
            Self::InvalidKey => {
                "API 密钥不存在或已被吊销。可用 “tollgate key create” 创建新的密钥。".into()
            }
            Self::MissingSignature => {
                "此密钥要求签名：请提供 webhook-id、webhook-timestamp 和 webhook-signature。".into()
            }
            Self::InvalidSignature => {
                "签名与请求体不符。请用此密钥的签名密钥对 “id.timestamp.body” 签名。".into()
            }
            Self::StaleTimestamp => {
                "webhook-timestamp 与当前时间相差超过五分钟。请检查发送方时钟后重新签名。".into()
            }
            Self::SignInRequired => "请先登录。".into(),
            Self::WrongPassword => "用户名或密码错误。".into(),
            Self::LinkExpired => "此登录链接已失效，请重新获取。".into(),
            Self::WrongScope { needed } => format!("此密钥缺少权限 “{needed}”。"),
            Self::CrossSite => "请求来自其他网站，已拒绝。".into(),
            Self::OtherUser => "用户令牌只能代表该用户本人；查询他人请使用 API 密钥。".into(),
            Self::NotFound => "此地址或编号下没有内容。".into(),
            Self::MethodNotAllowed => "此地址不支持该 HTTP 方法。".into(),
            Self::MessageConflict { message_id } => {
                format!("消息 “{message_id}” 已上报过，但数值不同。以首次上报为准，本次已记录。")
            }
            Self::KeyReused => {
                "此 Idempotency-Key 已用于另一个请求。未作任何更改，请换用新的键。".into()
            }
            Self::Outdated => "内容已被他人修改，请刷新后重试。".into(),
            Self::TooLarge { bytes_max } => format!("请求体超过 {bytes_max} 字节。"),
            Self::InvalidField { field, fault } => format!("{field}：{}。", fault.chinese()),
            Self::RateLimited {
                retry_after_seconds,
            } => format!("尝试次数过多，请在 {retry_after_seconds} 秒后重试。"),
            Self::Busy {
                retry_after_seconds,
            } => format!("系统繁忙，未记录任何内容，请在 {retry_after_seconds} 秒后重试。"),
            Self::Internal => "服务器内部错误，未扣除积分，请重试。".into(),
        }
    }
}

impl FieldFault {
    #[must_use]
    pub fn message(&self, locale: Locale) -> String {
        match locale {
            Locale::En => self.english(),
            Locale::Zh => self.chinese(),
        }
    }

    fn english(&self) -> String {
        match self {
            Self::Missing => "is missing".into(),
            Self::NotText => "must be text".into(),
            Self::Empty => "must not be empty".into(),
            Self::TooLong { max } => format!("must have at most {max} characters"),
            Self::ControlCharacter => "must not contain control characters".into(),
            Self::NotACount => "must be a whole number, 0 or more".into(),
            Self::NotANumber => "must be a decimal number".into(),
            Self::Negative => "must not be negative".into(),
            Self::TooPrecise { decimals } => format!("must have at most {decimals} decimals"),
            Self::TooLarge => "is too large".into(),
            Self::NotATime => {
                "must be an RFC 3339 time such as 2024-01-15T10:30:00Z, or Unix seconds".into()
            }
            Self::NotPositive => "must be more than 0".into(),
            Self::InThePast => "must not lie in the past".into(),
            Self::NotLater { than } => format!("must be later than {than}"),
            Self::NotOneOf { allowed } => format!("must be one of: {allowed}"),
            Self::NotPriced => "has no price yet; an administrator must set one".into(),
            Self::PriceInactive => {
                "has a price that is switched off; an administrator must activate it".into()
            }
            Self::NotACursor => "is not a cursor from an earlier answer".into(),
            Self::OutOfRange { min, max } => format!("must be between {min} and {max}"),
            Self::TooShort { min } => format!("must have at least {min} characters"),
            Self::Taken => "is already taken".into(),
            Self::Unknown => "is not known here; check its spelling".into(),
        }
    }

    fn chinese(&self) -> String {
        match self {
            Self::Missing => "缺失".into(),
            Self::NotText => "必须是文本".into(),
            Self::Empty => "不能为空".into(),
            Self::TooLong { max } => format!("最多 {max} 个字符"),
            Self::ControlCharacter => "不能包含控制字符".into(),
            Self::NotACount => "必须是不小于 0 的整数".into(),
            Self::NotANumber => "必须是十进制数字".into(),
            Self::Negative => "不能为负数".into(),
            Self::TooPrecise { decimals } => format!("最多 {decimals} 位小数"),
            Self::TooLarge => "数值过大".into(),
            Self::NotATime => "必须是 RFC 3339 时间（如 2024-01-15T10:30:00Z）或 Unix 秒".into(),
            Self::NotPositive => "必须大于 0".into(),
            Self::InThePast => "不能早于当前时间".into(),
            Self::NotLater { than } => format!("必须晚于 {than}"),
            Self::NotOneOf { allowed } => format!("必须是以下之一：{allowed}"),
            Self::NotPriced => "尚未设置价格，请联系管理员设置".into(),
            Self::PriceInactive => "价格已停用，请联系管理员启用".into(),
            Self::NotACursor => "不是先前应答中的游标".into(),
            Self::OutOfRange { min, max } => format!("必须在 {min} 到 {max} 之间"),
            Self::TooShort { min } => format!("至少需要 {min} 个字符"),
            Self::Taken => "已被使用".into(),
            Self::Unknown => "不是已知的参数，请检查拼写".into(),
        }
    }
}
