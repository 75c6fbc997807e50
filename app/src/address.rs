//! Where things are shown: the addresses of the pages, with what they hold.

use leptos_router::location::Url;
use shared::problem::Problem;

/// Names in the query of an address, of what is shown on a page of its own: a user, a source, the id
/// of a message that waits.
pub const USER: &str = "user";
pub const SOURCE: &str = "source";
pub const WAITING_ID: &str = "id";

pub const SIGN_IN_PATH: &str = "/sign-in";

/// Where a user's account is shown.
#[must_use]
pub fn user_address(user: &str) -> String {
    ["/admin/users?user=", &Url::escape(user)].concat()
}

/// Where the users are listed whose ids begin like this.
#[must_use]
pub fn search_address(search: &str) -> String {
    ["/admin/users?q=", &Url::escape(search)].concat()
}

/// Where what waits is listed, only for this reason.
#[must_use]
pub fn waiting_address(reason: &str) -> String {
    ["/admin/quarantine?reason=", &Url::escape(reason)].concat()
}

/// Where all reports of a message are shown.
#[must_use]
pub fn reports_address(message: &str) -> String {
    ["/admin/sources?message=", &Url::escape(message.trim())].concat()
}

/// Where a model's price is shown, or set where it has none.
#[must_use]
pub fn price_address(model: &str) -> String {
    ["/admin/prices?model=", &Url::escape(model)].concat()
}

/// Where past messages of a model are re-rated.
#[must_use]
pub fn rerate_address(model: &str) -> String {
    ["/admin/prices/rerate?model=", &Url::escape(model)].concat()
}

/// Where a session's token signs a browser in.
#[cfg(feature = "ssr")]
#[must_use]
pub fn enter_address(token: &str) -> String {
    ["/enter?token=", &Url::escape(token)].concat()
}

/// Why signing in was refused, as the address says it after the form was posted.
#[must_use]
pub fn refusal_from(code: &str, wait_seconds: Option<&str>) -> Problem {
    let wrong = Problem::WrongPassword;
    let limited = Problem::RateLimited {
        retry_after_seconds: wait_seconds
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or(60),
    };
    [wrong, limited, Problem::LinkExpired, Problem::CrossSite]
        .into_iter()
        .find(|problem| problem.code() == code)
        .unwrap_or(Problem::Internal)
}

/// Where a refused form post comes back to, with the reason and the name that was typed.
#[cfg(feature = "ssr")]
#[must_use]
pub fn refused_address(problem: &Problem, name: &str, next: &str) -> String {
    let mut address = [
        SIGN_IN_PATH,
        "?refused=",
        problem.code(),
        "&name=",
        &Url::escape(name),
        "&next=",
        &Url::escape(next),
    ]
    .concat();
    if let Some(seconds) = problem.retry_after_seconds() {
        address += "&wait=";
        address += &seconds.to_string();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_way_through_the_address() {
        assert_eq!(refusal_from("wrong_password", None), Problem::WrongPassword);
        assert_eq!(
            refusal_from("rate_limited", Some("42")),
            Problem::RateLimited {
                retry_after_seconds: 42
            }
        );
        assert_eq!(refusal_from("<script>", None), Problem::Internal);
    }

    #[cfg(feature = "ssr")]
    #[test]
    fn names_cannot_add_to_the_address() {
        assert_eq!(
            refused_address(&Problem::WrongPassword, "a&b=c", "/admin?x=1"),
            "/sign-in?refused=wrong_password&name=a%26b%3Dc&next=%2Fadmin%3Fx%3D1"
        );
    }
}
