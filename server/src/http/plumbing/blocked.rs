//! Why a call may not go on, in words for an end user whose language Dify does not tell: in both.

use ledger::CallCheck;
use shared::locale::Locale;

/// Why a call may not go on.
pub enum Blocked {
    /// The user's points do not suffice.
    Points(Box<CallCheck>),
    /// The app's input variable does not say who is asking.
    NoUser { variable: String },
    /// Tollgate cannot find out whether they suffice.
    Unknown,
}

impl Blocked {
    /// The Chinese sentence, and on the next line the English one.
    #[must_use]
    pub fn in_both_languages(&self, recharge_url: Option<&str>) -> String {
        let [chinese, english] =
            [Locale::Zh, Locale::En].map(|locale| self.message(locale, recharge_url));
        format!("{chinese}\n{english}")
    }

    fn message(&self, locale: Locale, recharge_url: Option<&str>) -> String {
        match (self, locale) {
            (Self::Points(check), Locale::En) => {
                let recharge = recharge_url.map_or_else(
                    || "Please recharge and try again.".to_owned(),
                    |url| format!("Please recharge and try again: {url}"),
                );
                format!(
                    "Not enough points: this message needs about {}, and you have {}. {recharge}",
                    check.estimated_points, check.available
                )
            }
            (Self::Points(check), Locale::Zh) => {
                let recharge = recharge_url.map_or_else(
                    || "请充值后重试。".to_owned(),
                    |url| format!("请充值后重试：{url}"),
                );
                format!(
                    "积分不足：本次对话预计需要 {} 积分，您的可用积分为 {}。{recharge}",
                    check.estimated_points, check.available
                )
            }
            (Self::NoUser { variable }, Locale::En) => format!(
                "Your points cannot be checked: this app did not say who you are (its input variable “{variable}” is empty). Please tell the operator of this app."
            ),
            (Self::NoUser { variable }, Locale::Zh) => format!(
                "无法检查您的积分：此应用未告知您的身份（输入变量“{variable}”为空）。请联系应用的运营者。"
            ),
            (Self::Unknown, Locale::En) => {
                "Your points cannot be checked at the moment. Please try again soon, or tell the operator of this app.".to_owned()
            }
            (Self::Unknown, Locale::Zh) => {
                "暂时无法检查您的积分，请稍后重试，或联系应用的运营者。".to_owned()
            }
        }
    }
}
