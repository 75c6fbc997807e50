//! `/admin/users`: accounts and their balances; with `?user=…` one account.

mod account;
mod list;

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;
use serde::{Deserialize, Serialize};
use shared::api::{AccountSummary, Balance, Page};
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::money::Points;
use shared::problem::{FieldFault, Problem};

use crate::AppError;
use crate::ask::{Answer, Ask, ask, otherwise, shown};
use crate::components::awaited::awaited;
use crate::components::pager::Pages;
use crate::lean::Lean;
use crate::pages::my::history::{Whose, use_history};
use crate::text::use_text;
use crate::wire::{Json, Telling, Told};
use account::Account;
use list::List;

/// Accounts whose user id contains `search`, the latest active first.
#[server(prefix = "/api/fn", endpoint = "accounts", input = Json, output = Telling)]
pub async fn accounts(
    search: Option<String>,
    cursor: Option<String>,
) -> Result<Told<Page<AccountSummary>>, AppError> {
    use shared::api::PAGE_ITEMS_DEFAULT;

    let (context, _) = crate::auth::administrator().await?;
    let page = context
        .ledger
        .accounts(search.as_deref(), cursor.as_deref(), PAGE_ITEMS_DEFAULT)
        .await?;
    Told::new(&page)
}

/// One account; zeros for a user the ledger has not met.
#[server(prefix = "/api/fn", endpoint = "account_balance", input = Json, output = Telling)]
pub async fn account_balance(user_id: String) -> Result<Told<Balance>, AppError> {
    let (context, _) = crate::auth::administrator().await?;
    Told::new(&context.ledger.balance(&parse_user(&user_id)?).await?)
}

/// Adds points, or takes them when `points` is negative; both leave an entry with the reason.
#[server(prefix = "/api/fn", endpoint = "change_points", input = Json, output = Json)]
pub async fn change_points(
    user_id: String,
    points: String,
    reason: String,
) -> Result<Balance, AppError> {
    let (context, actor) = crate::auth::administrator().await?;
    let change = parse_change(&user_id, &points, &reason)?;
    Ok(context
        .ledger
        .add_points(&change.user_id, change.points, reason.trim(), &actor)
        .await?)
}

/// A link that signs a user in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInLink {
    /// A path on this site; the browser knows the site's name.
    pub path: String,
    pub expires_at: Timestamp,
}

/// How long a sign-in link is good for.
pub const LINK_SECONDS: u32 = 24 * 60 * 60;

/// Makes a link that signs a user in until it expires.
#[server(prefix = "/api/fn", endpoint = "create_sign_in_link", input = Json, output = Json)]
pub async fn create_sign_in_link(user_id: String) -> Result<SignInLink, AppError> {
    let (context, actor) = crate::auth::administrator().await?;
    let session = context
        .ledger
        .create_user_session(&parse_user(&user_id)?, LINK_SECONDS, &actor)
        .await?;
    Ok(SignInLink {
        path: [
            "/enter?token=",
            &leptos_router::location::Url::escape(&session.token),
        ]
        .concat(),
        expires_at: session.expires_at,
    })
}

fn parse_user(user_id: &str) -> Result<UserId, Problem> {
    user_id
        .parse()
        .map_err(|fault| Problem::field("userId", FieldFault::from(fault)))
}

/// A change of points that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub user_id: UserId,
    pub points: Points,
}

/// Checks the form, in the browser and again on the server.
///
/// # Errors
/// [`Problem::InvalidField`] for the first field that does not make sense.
pub fn parse_change(user_id: &str, points: &str, reason: &str) -> Result<Change, Problem> {
    let user_id = parse_user(user_id)?;
    let points: Points = points
        .parse()
        .map_err(|fault| Problem::field("points", FieldFault::from(fault)))?;
    if points.is_zero() {
        return Err(Problem::field("points", FieldFault::NotPositive));
    }
    if reason.trim().is_empty() {
        return Err(Problem::field("reason", FieldFault::Empty));
    }
    Ok(Change { user_id, points })
}

#[component]
pub fn UsersPage() -> impl IntoView {
    let text = use_text();
    let query = use_query_map();
    let user = move || query.read().get("user").filter(|user| !user.is_empty());
    let search = move || query.read().get("q").filter(|search| !search.is_empty());

    let pages = Pages::default();
    let found = ask(move || match user() {
        None => Ask::Accounts {
            search: search(),
            cursor: pages.cursor(),
        },
        Some(user) => Ask::Account(user),
    });
    let history = use_history(move || user().and_then(|user| user.parse().ok()).map(Whose::User));
    view! {
        <Title text=text.say(|t| t.users.title) />
        {awaited(move || Box::pin(async move {
                match found.await {
                    Ok(Answer::Account(told)) => {
                        shown(&told, |account| view! { <Account account found history /> }.lean())
                    }
                    Ok(Answer::Accounts(told)) => {
                        shown(&told, |page| {
                            view! { <List page pages search=untrack(search) /> }.lean()
                        })
                    }
                    other => otherwise(other),
                }
            }))}
    }
    .lean()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_needs_a_user_an_amount_and_a_reason() {
        assert_eq!(
            parse_change(" u1 ", "-5.5", "refund").unwrap(),
            Change {
                user_id: "u1".parse().unwrap(),
                points: "-5.5".parse().unwrap()
            }
        );
        let field = |user: &str, points: &str, reason: &str| {
            let problem = parse_change(user, points, reason).unwrap_err();
            problem.field_name().unwrap().to_owned()
        };
        assert_eq!(field("", "1", "r"), "userId");
        assert_eq!(field("u", "ten", "r"), "points");
        assert_eq!(field("u", "0", "r"), "points");
        assert_eq!(field("u", "1", " "), "reason");
    }
}
