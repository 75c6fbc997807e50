//! Who is asking: the server's side of sessions. Every server function is a public endpoint, so each begins with
//! one of [`administrator`], [`subject`] or [`somebody`].

use access::Site;
use axum::http::header::{ACCEPT, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use ledger::{Actor, Visitor};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::problem::Problem;

use crate::context::AppContext;
use crate::error::AppError;

/// What the server gave this request to work with.
///
/// # Errors
/// [`Problem::Internal`] when the server forgot to provide it.
pub fn app_context() -> Result<AppContext, AppError> {
    use_context::<AppContext>().ok_or_else(|| {
        tracing::error!("AppContext is missing: the server must provide it to every request");
        AppError::from(Problem::Internal)
    })
}

fn headers() -> HeaderMap {
    use_context::<Parts>()
        .map(|parts| parts.headers)
        .unwrap_or_default()
}

/// The time, for whoever needs "now" while answering a request.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::new(time::OffsetDateTime::now_utc())
}

/// The visitor's address, for the audit and for the limit on failed sign-ins.
pub(crate) fn origin() -> String {
    access::origin(
        &use_context::<Parts>()
            .map(|parts| parts.extensions)
            .unwrap_or_default(),
    )
}

pub(crate) fn session_token(context: &AppContext) -> Option<String> {
    context.access.session_token(&headers())
}

pub(crate) async fn visitor() -> Result<(AppContext, Option<Visitor>), AppError> {
    let context = app_context()?;
    let visitor = context.access.visitor(&headers()).await?;
    Ok((context, visitor))
}

/// Lets only administrators in.
///
/// # Errors
/// [`Problem::SignInRequired`], or [`Problem::WrongScope`] for a signed-in user.
pub async fn administrator() -> Result<(AppContext, Actor), AppError> {
    match visitor().await? {
        (context, Some(Visitor::Administrator { name })) => Ok((
            context,
            Actor {
                name,
                origin: origin(),
            },
        )),
        (_, Some(Visitor::User(_))) => Err(wrong_scope()),
        (_, None) => Err(AppError::from(Problem::SignInRequired)),
    }
}

/// Lets anybody in who is signed in, as administrator or as user.
///
/// # Errors
/// [`Problem::SignInRequired`].
pub async fn somebody() -> Result<(AppContext, Visitor), AppError> {
    match visitor().await? {
        (context, Some(visitor)) => Ok((context, visitor)),
        (_, None) => Err(AppError::from(Problem::SignInRequired)),
    }
}

/// HistoryOwner account a request is about, after it was decided that it may be.
pub struct RequestUser {
    pub context: AppContext,
    pub user_id: UserId,
}

/// A user asks about themselves; an administrator names somebody.
///
/// # Errors
/// [`Problem::SignInRequired`]; [`Problem::WrongScope`] for a user who names somebody else, and
/// for an administrator who names nobody.
pub async fn subject(named: Option<UserId>) -> Result<RequestUser, AppError> {
    let (context, visitor) = somebody().await?;
    let user_id = match (visitor, named) {
        (Visitor::User(own), None) => own,
        (Visitor::User(own), Some(named)) if own == named => own,
        (Visitor::User(_), Some(_)) | (Visitor::Administrator { .. }, None) => {
            return Err(wrong_scope());
        }
        (Visitor::Administrator { .. }, Some(named)) => named,
    };
    Ok(RequestUser { context, user_id })
}

fn wrong_scope() -> AppError {
    AppError::from(Problem::WrongScope {
        needed: "admin".to_owned(),
    })
}

/// A cross-site form could otherwise sign the visitor in as somebody else, which the middleware
/// cannot see, because nobody is signed in yet.
pub(crate) fn refuse_cross_site(context: &AppContext) -> Result<(), AppError> {
    match context.access.site(&headers()) {
        Site::Other => Err(AppError::from(Problem::CrossSite)),
        Site::This | Site::Untold => Ok(()),
    }
}

pub(crate) fn set_cookie(cookie: Option<HeaderValue>) -> Result<(), AppError> {
    match (cookie, use_context::<ResponseOptions>()) {
        (Some(cookie), Some(options)) => {
            options.append_header(SET_COOKIE, cookie);
            Ok(())
        }
        // Without the cookie the visitor would seem signed in and be refused everywhere.
        _ => Err(AppError::from(Problem::Internal)),
    }
}

/// Checks the password, and sets the cookie when it is right.
pub(crate) async fn sign_in(name: &str, password: &str) -> Result<(), AppError> {
    let context = app_context()?;
    refuse_cross_site(&context)?;
    let session = context.ledger.sign_in(name, password, &origin()).await?;
    let cookie = context
        .access
        .session_cookie(session.token, session.expires_at);
    set_cookie(cookie)
}

/// Sends the browser that posted a form on to another page; any other caller gets its answer.
pub(crate) fn redirect_form_post(path: &str) {
    let is_form_post = headers()
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if is_form_post {
        leptos_axum::redirect(path);
    }
}
