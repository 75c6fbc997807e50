//! What went wrong, in words: they follow the caller's language and say what to do.

use shared::locale::Locale;
use shared::problem::{FieldFault, Problem};

/// Has words in every language.
pub trait InWords {
    /// For a problem a sentence, for a field's fault what follows the field's name.
    #[must_use]
    fn message(&self, locale: Locale) -> String;
}

impl InWords for Problem {
    fn message(&self, locale: Locale) -> String {
        match locale {
            Locale::En => english_problem(self),
            Locale::Zh => chinese_problem(self),
        }
    }
}

impl InWords for FieldFault {
    fn message(&self, locale: Locale) -> String {
        match locale {
            Locale::En => english_fault(self),
            Locale::Zh => chinese_fault(self),
        }
    }
}

fn english_problem(problem: &Problem) -> String {
    match problem {
        Problem::InvalidJson { detail } => format!("The body is not valid JSON: {detail}."),
        Problem::MissingKey => "Send an API key as “Authorization: Bearer …” or “X-API-Key: …”.".into(),
        Problem::InvalidKey => "This API key is unknown or revoked. Create one with “tollgate key create”.".into(),
        Problem::MissingSignature => "This key requires signed requests: send webhook-id, webhook-timestamp and webhook-signature.".into(),
        Problem::InvalidSignature => "The signature does not match the body. Sign “id.timestamp.body” with this key's signing secret.".into(),
        Problem::StaleTimestamp => "webhook-timestamp is more than five minutes away from now. Check the sender's clock and sign again.".into(),
        Problem::SignInRequired => "Please sign in.".into(),
        Problem::WrongPassword => "The name or the password is wrong.".into(),
        Problem::LinkExpired => "This sign-in link is no longer valid. Ask for a new one.".into(),
        Problem::WrongScope { needed } => format!("This key lacks the scope “{needed}”."),
        Problem::CrossSite => "The request came from another site and was refused.".into(),
        Problem::OtherUser => "A user's own token speaks for that user only. Use an API key to ask for others.".into(),
        Problem::NotFound => "There is nothing under this address or id.".into(),
        Problem::MethodNotAllowed => "This address does not know that HTTP method.".into(),
        Problem::MessageConflict { message_id } => format!("Message “{message_id}” was already delivered with other numbers. The first delivery stands; this one was recorded."),
        Problem::KeyReused => "This Idempotency-Key was used before, for another request. Nothing was changed; use a new key.".into(),
        Problem::Outdated => "Somebody changed this meanwhile. Reload and try again.".into(),
        Problem::TooLarge { bytes_max } => format!("The body is larger than {bytes_max} bytes."),
        Problem::InvalidField { field, fault } => format!("{field}: {}.", english_fault(fault)),
        Problem::RateLimited { retry_after_seconds } => format!("Too many attempts. Try again in {retry_after_seconds} seconds."),
        Problem::Busy { retry_after_seconds } => format!("Tollgate is busy and recorded nothing. Try again in {retry_after_seconds} seconds."),
        Problem::Internal => "Something went wrong on our side. Nothing was charged; try again.".into(),
    }
}

fn chinese_problem(problem: &Problem) -> String {
    match problem {
        Problem::InvalidJson { detail } => format!("请求体不是有效的 JSON：{detail}。"),
        Problem::MissingKey => {
            "请通过 “Authorization: Bearer …” 或 “X-API-Key: …” 提供 API 密钥。".into()
        }
        Problem::InvalidKey => {
            "API 密钥不存在或已被吊销。可用 “tollgate key create” 创建新的密钥。".into()
        }
        Problem::MissingSignature => {
            "此密钥要求签名：请提供 webhook-id、webhook-timestamp 和 webhook-signature。".into()
        }
        Problem::InvalidSignature => {
            "签名与请求体不符。请用此密钥的签名密钥对 “id.timestamp.body” 签名。".into()
        }
        Problem::StaleTimestamp => {
            "webhook-timestamp 与当前时间相差超过五分钟。请检查发送方时钟后重新签名。".into()
        }
        Problem::SignInRequired => "请先登录。".into(),
        Problem::WrongPassword => "用户名或密码错误。".into(),
        Problem::LinkExpired => "此登录链接已失效，请重新获取。".into(),
        Problem::WrongScope { needed } => format!("此密钥缺少权限 “{needed}”。"),
        Problem::CrossSite => "请求来自其他网站，已拒绝。".into(),
        Problem::OtherUser => "用户令牌只能代表该用户本人；查询他人请使用 API 密钥。".into(),
        Problem::NotFound => "此地址或编号下没有内容。".into(),
        Problem::MethodNotAllowed => "此地址不支持该 HTTP 方法。".into(),
        Problem::MessageConflict { message_id } => {
            format!("消息 “{message_id}” 已上报过，但数值不同。以首次上报为准，本次已记录。")
        }
        Problem::KeyReused => {
            "此 Idempotency-Key 已用于另一个请求。未作任何更改，请换用新的键。".into()
        }
        Problem::Outdated => "内容已被他人修改，请刷新后重试。".into(),
        Problem::TooLarge { bytes_max } => format!("请求体超过 {bytes_max} 字节。"),
        Problem::InvalidField { field, fault } => format!("{field}：{}。", chinese_fault(fault)),
        Problem::RateLimited {
            retry_after_seconds,
        } => format!("尝试次数过多，请在 {retry_after_seconds} 秒后重试。"),
        Problem::Busy {
            retry_after_seconds,
        } => format!("系统繁忙，未记录任何内容，请在 {retry_after_seconds} 秒后重试。"),
        Problem::Internal => "服务器内部错误，未扣除积分，请重试。".into(),
    }
}

fn english_fault(fault: &FieldFault) -> String {
    match fault {
        FieldFault::Missing => "is missing".into(),
        FieldFault::NotText => "must be text".into(),
        FieldFault::Empty => "must not be empty".into(),
        FieldFault::TooLong { max } => format!("must have at most {max} characters"),
        FieldFault::ControlCharacter => "must not contain control characters".into(),
        FieldFault::NotACount => "must be a whole number, 0 or more".into(),
        FieldFault::NotANumber => "must be a decimal number".into(),
        FieldFault::Negative => "must not be negative".into(),
        FieldFault::TooPrecise { decimals } => format!("must have at most {decimals} decimals"),
        FieldFault::TooLarge => "is too large".into(),
        FieldFault::NotATime => {
            "must be an RFC 3339 time such as 2024-01-15T10:30:00Z, or Unix seconds".into()
        }
        FieldFault::NotPositive => "must be more than 0".into(),
        FieldFault::InThePast => "must not lie in the past".into(),
        FieldFault::NotLater { than } => format!("must be later than {than}"),
        FieldFault::NotOneOf { allowed } => format!("must be one of: {allowed}"),
        FieldFault::NotPriced => "has no price yet; an administrator must set one".into(),
        FieldFault::PriceInactive => {
            "has a price that is switched off; an administrator must activate it".into()
        }
        FieldFault::NotACursor => "is not a cursor from an earlier answer".into(),
        FieldFault::OutOfRange { min, max } => format!("must be between {min} and {max}"),
        FieldFault::TooShort { min } => format!("must have at least {min} characters"),
        FieldFault::Taken => "is already taken".into(),
        FieldFault::Unknown => "is not known here; check its spelling".into(),
    }
}

fn chinese_fault(fault: &FieldFault) -> String {
    match fault {
        FieldFault::Missing => "缺失".into(),
        FieldFault::NotText => "必须是文本".into(),
        FieldFault::Empty => "不能为空".into(),
        FieldFault::TooLong { max } => format!("最多 {max} 个字符"),
        FieldFault::ControlCharacter => "不能包含控制字符".into(),
        FieldFault::NotACount => "必须是不小于 0 的整数".into(),
        FieldFault::NotANumber => "必须是十进制数字".into(),
        FieldFault::Negative => "不能为负数".into(),
        FieldFault::TooPrecise { decimals } => format!("最多 {decimals} 位小数"),
        FieldFault::TooLarge => "数值过大".into(),
        FieldFault::NotATime => "必须是 RFC 3339 时间（如 2024-01-15T10:30:00Z）或 Unix 秒".into(),
        FieldFault::NotPositive => "必须大于 0".into(),
        FieldFault::InThePast => "不能早于当前时间".into(),
        FieldFault::NotLater { than } => format!("必须晚于 {than}"),
        FieldFault::NotOneOf { allowed } => format!("必须是以下之一：{allowed}"),
        FieldFault::NotPriced => "尚未设置价格，请联系管理员设置".into(),
        FieldFault::PriceInactive => "价格已停用，请联系管理员启用".into(),
        FieldFault::NotACursor => "不是先前应答中的游标".into(),
        FieldFault::OutOfRange { min, max } => format!("必须在 {min} 到 {max} 之间"),
        FieldFault::TooShort { min } => format!("至少需要 {min} 个字符"),
        FieldFault::Taken => "已被使用".into(),
        FieldFault::Unknown => "不是已知的参数，请检查拼写".into(),
    }
}
