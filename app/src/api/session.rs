//! Who is asking, as pages know it; signing in and out.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use shared::ids::UserId;

use crate::error::AppError;

/// Who the visitor is, as pages need to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Session {
    Nobody,
    Administrator {
        name: String,
        /// How many messages wait in quarantine.
        waiting: u64,
    },
    User {
        user_id: UserId,
    },
}

/// Who is signed in.
#[cfg(feature = "ssr")]
pub async fn current_session() -> Result<Session, AppError> {
    use ledger::Visitor;

    use crate::auth;

    let (context, visitor) = auth::visitor().await?;
    Ok(match visitor {
        None => Session::Nobody,
        Some(Visitor::Administrator { name }) => Session::Administrator {
            name,
            waiting: context.ledger.waiting_count().await?,
        },
        Some(Visitor::User(user_id)) => Session::User { user_id },
    })
}

/// Signs an administrator in, sets the session cookie, and sends the browser to `next`, or back
/// to the form with the reason.
///
/// Its input is a form, not JSON, so that signing in needs no script.
///
/// # Errors
/// A wrong name or password, too many attempts, or a form that another site has sent.
#[server(prefix = "/api/fn", endpoint = "sign_in")]
pub async fn sign_in(name: String, password: String, next: String) -> Result<(), AppError> {
    use crate::address::refused_address;
    use crate::auth;

    if let Err(error) = auth::sign_in(&name, &password).await {
        if let Some(problem) = error.problem() {
            auth::redirect_form_post(&refused_address(problem, &name, &next));
        }
        return Err(error);
    }
    let next = if is_local_path(&next) {
        next
    } else {
        "/".to_owned()
    };
    auth::redirect_form_post(&next);
    Ok(())
}

/// Ends the session and forgets the cookie.
#[server(prefix = "/api/fn", endpoint = "sign_out")]
pub async fn sign_out() -> Result<(), AppError> {
    use crate::auth;

    let context = auth::app_context()?;
    auth::refuse_cross_site(&context)?;
    if let Some(token) = auth::session_token(&context) {
        context.ledger.sign_out(&token).await?;
    }
    auth::set_cookie(context.access.expired_cookie())?;
    auth::redirect_form_post("/sign-in");
    Ok(())
}

/// A path on this site; anything else would let a link send the visitor elsewhere after signing in.
#[cfg_attr(not(feature = "ssr"), expect(dead_code, reason = "the server decides"))]
fn is_local_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && !path.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_on_this_site_are_followed_after_signing_in() {
        assert!(is_local_path("/admin/prices?model=gpt-4"));
        for path in [
            "",
            "admin",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/a\r\nb",
        ] {
            assert!(!is_local_path(path), "{path:?}");
        }
    }
}
