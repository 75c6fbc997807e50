//! Who is asking: the server's side of sessions. Every server function is a public endpoint, so each begins with
//! one of [`administrator`], [`subject`] or [`somebody`].

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::header::{ACCEPT, AUTHORIZATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse;
use axum_extra::extract::cookie::{Cookie, SameSite, SignedCookieJar};
use ledger::{Actor, Visitor};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::problem::Problem;

use crate::context::AppContext;
use crate::error::AppError;

/// The session cookie; signed, so that guessing costs a valid signature before it costs a query.
pub const COOKIE_NAME: &str = "tollgate_session";

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
    use_context::<Parts>()
        .and_then(|parts| {
            parts
                .extensions
                .get::<ConnectInfo<SocketAddr>>()
                .map(|ConnectInfo(address)| address.ip().to_string())
        })
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The session token of the signed cookie, or else of `Authorization: Bearer …`.
fn token_from(context: &AppContext, headers: &HeaderMap) -> Option<String> {
    SignedCookieJar::from_headers(headers, context.cookie_key.clone())
        .get(COOKIE_NAME)
        .map(|cookie| cookie.value().to_owned())
        .or_else(|| {
            let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.trim().to_owned())
        })
}

pub(crate) fn session_token(context: &AppContext) -> Option<String> {
    token_from(context, &headers())
}

/// Who is asking, by the signed session cookie or a user token in `Authorization: Bearer …`;
/// `None` for nobody, and for a session that has ended.
///
/// # Errors
/// Whatever keeps the ledger from answering.
pub async fn visitor_from(
    context: &AppContext,
    headers: &HeaderMap,
) -> ledger::Result<Option<Visitor>> {
    match token_from(context, headers) {
        Some(token) => Box::pin(context.ledger.visitor(&token)).await,
        None => Ok(None),
    }
}

pub(crate) async fn visitor() -> Result<(AppContext, Option<Visitor>), AppError> {
    let context = app_context()?;
    let visitor = visitor_from(&context, &headers()).await?;
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

/// Whose account a request is about, after it was decided that it may be.
pub struct Subject {
    pub context: AppContext,
    pub user_id: UserId,
}

/// A user asks about themselves; an administrator names somebody.
///
/// # Errors
/// [`Problem::SignInRequired`]; [`Problem::WrongScope`] for a user who names somebody else, and
/// for an administrator who names nobody.
pub async fn subject(named: Option<UserId>) -> Result<Subject, AppError> {
    let (context, visitor) = somebody().await?;
    let user_id = match (visitor, named) {
        (Visitor::User(own), None) => own,
        (Visitor::User(own), Some(named)) if own == named => own,
        (Visitor::User(_), Some(_)) | (Visitor::Administrator { .. }, None) => {
            return Err(wrong_scope());
        }
        (Visitor::Administrator { .. }, Some(named)) => named,
    };
    Ok(Subject { context, user_id })
}

fn wrong_scope() -> AppError {
    AppError::from(Problem::WrongScope {
        needed: "admin".to_owned(),
    })
}

/// A cross-site form could otherwise sign the visitor in as somebody else, which the middleware
/// cannot see, because nobody is signed in yet.
pub(crate) fn refuse_cross_site() -> Result<(), AppError> {
    let headers = headers();
    let site = headers
        .get("sec-fetch-site")
        .and_then(|site| site.to_str().ok());
    match site {
        Some("cross-site" | "same-site") => Err(AppError::from(Problem::CrossSite)),
        _ => Ok(()),
    }
}

/// The `Set-Cookie` value that signs a browser in until `expires_at`.
#[must_use]
pub fn session_cookie(
    context: &AppContext,
    token: String,
    expires_at: Timestamp,
) -> Option<HeaderValue> {
    let cookie = Cookie::build((COOKIE_NAME, token))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(context.secure_cookies)
        .expires(expires_at.moment())
        .build();
    let jar = SignedCookieJar::new(context.cookie_key.clone()).add(cookie);
    jar.into_response().headers().get(SET_COOKIE).cloned()
}

/// The `Set-Cookie` value that makes a browser forget its session.
pub(crate) fn expired_cookie(context: &AppContext) -> Option<HeaderValue> {
    session_cookie(
        context,
        String::new(),
        Timestamp::from(time::OffsetDateTime::UNIX_EPOCH),
    )
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
    refuse_cross_site()?;
    let context = app_context()?;
    let session = context.ledger.sign_in(name, password, &origin()).await?;
    set_cookie(session_cookie(&context, session.token, session.expires_at))
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
