//! Accounts: what an administrator sees of them, and what can be changed.

use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use shared::api::{Balance, CreditItem, Hold};
use shared::clock::Timestamp;
use shared::ids::UserId;
use shared::money::Points;
use shared::problem::{FieldFault, Problem};

use super::fields::{amount, parse_user, refuse_no_reason};
use crate::error::AppError;
use crate::json::Json;

/// Accounts whose user id begins with `search`, by user id.
#[cfg(feature = "ssr")]
pub async fn accounts(
    search: Option<String>,
    cursor: Option<String>,
) -> Result<shared::api::Page<shared::api::AccountSummary>, AppError> {
    use shared::api::PAGE_ITEMS_DEFAULT;

    let (context, _) = crate::auth::administrator().await?;
    let page = context
        .ledger
        .accounts(search.as_deref(), cursor.as_deref(), PAGE_ITEMS_DEFAULT)
        .await?;
    Ok(page)
}

/// One account with what its balance is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    pub balance: Balance,
    /// In the order in which they are used.
    pub credits: Vec<CreditItem>,
    /// The open ones.
    pub holds: Vec<Hold>,
}

/// One account; zeros for a user the ledger has not met.
#[cfg(feature = "ssr")]
pub async fn account_of(user_id: String) -> Result<AccountView, AppError> {
    let (context, _) = crate::auth::administrator().await?;
    let user = parse_user(&user_id)?;
    Ok(AccountView {
        balance: context.ledger.balance(&user).await?,
        credits: context.ledger.credits(&user).await?,
        holds: context.ledger.open_holds(&user).await?,
    })
}

/// Points to be given or taken, as they are typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PointsDraft {
    pub user_id: String,
    /// Negative to take.
    pub points: String,
    pub reason: String,
    /// Bought points are used after granted ones.
    pub is_bought: bool,
    /// Good until then; `None` is for ever.
    pub expires_at: Option<Timestamp>,
}

/// Adds points, or takes them; both leave an entry with the reason.
#[server(prefix = "/api/fn", endpoint = "change_points", input = Json, output = Json)]
pub async fn change_points(draft: PointsDraft) -> Result<Balance, AppError> {
    let (context, actor) = crate::auth::administrator().await?;
    let change = draft.parse()?;
    let grant = ledger::Grant {
        points: change.points,
        reason: draft.reason,
        is_bought: draft.is_bought,
        expires_at: draft.expires_at,
    };
    Ok(context
        .ledger
        .grant(&change.user_id, &grant, &actor)
        .await?)
}

/// Sets how far below zero new calls may take a balance.
#[server(prefix = "/api/fn", endpoint = "set_debt_limit", input = Json, output = Json)]
pub async fn set_debt_limit(user_id: String, limit: String) -> Result<Balance, AppError> {
    let (context, actor) = crate::auth::administrator().await?;
    let (user, limit) = (parse_user(&user_id)?, parse_limit(&limit)?);
    Ok(context.ledger.set_debt_limit(&user, limit, &actor).await?)
}

/// Gives points of a charge back.
#[server(prefix = "/api/fn", endpoint = "refund_charge", input = Json, output = Json)]
pub async fn refund_charge(
    user_id: String,
    entry: i64,
    points: String,
    reason: String,
) -> Result<Balance, AppError> {
    let (context, actor) = crate::auth::administrator().await?;
    let user = parse_user(&user_id)?;
    // The ledger knows how much of the charge is left.
    let points = parse_refund(&points, &reason, Points::MAX)?;
    Ok(context
        .ledger
        .refund(&user, entry, Some(points), &reason, &actor)
        .await?)
}

/// A link that signs a user in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInLink {
    /// A path on this site; the browser knows the site's name.
    pub path: String,
    pub expires_at: Timestamp,
}

/// Makes a link that signs a user in until it expires, a day at most.
#[server(prefix = "/api/fn", endpoint = "create_sign_in_link", input = Json, output = Json)]
pub async fn create_sign_in_link(user_id: String, seconds: u32) -> Result<SignInLink, AppError> {
    let (context, actor) = crate::auth::administrator().await?;
    let session = context
        .ledger
        .create_user_session(&parse_user(&user_id)?, seconds, &actor)
        .await?;
    Ok(SignInLink {
        path: crate::address::enter_address(&session.token),
        expires_at: session.expires_at,
    })
}

/// A change of points that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointsChange {
    pub user_id: UserId,
    pub points: Points,
}

impl PointsDraft {
    /// Checks the form, in the browser and again on the server.
    ///
    /// # Errors
    /// [`Problem::InvalidField`] for the first field that does not make sense.
    pub fn parse(&self) -> Result<PointsChange, Problem> {
        let user_id = parse_user(&self.user_id)?;
        let points: Points = amount("points", &self.points)?;
        if points.is_zero() {
            return Err(Problem::field("points", FieldFault::NotPositive));
        }
        refuse_no_reason(&self.reason)?;
        Ok(PointsChange { user_id, points })
    }
}

/// # Errors
/// A field problem for `debtLimit`.
pub fn parse_limit(limit: &str) -> Result<Points, Problem> {
    let limit: Points = amount("debtLimit", limit)?;
    if limit.is_negative() {
        return Err(Problem::field("debtLimit", FieldFault::Negative));
    }
    Ok(limit)
}

/// What is to be given back of a charge of which `left` is left.
///
/// # Errors
/// Field problems for `points` and `reason`.
pub fn parse_refund(points: &str, reason: &str, left: Points) -> Result<Points, Problem> {
    let points: Points = amount("points", points)?;
    if points <= Points::ZERO {
        return Err(Problem::field("points", FieldFault::NotPositive));
    }
    if points > left {
        return Err(Problem::field("points", FieldFault::TooLarge));
    }
    refuse_no_reason(reason)?;
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(user: &str, points: &str, reason: &str) -> PointsDraft {
        PointsDraft {
            user_id: user.into(),
            points: points.into(),
            reason: reason.into(),
            is_bought: false,
            expires_at: None,
        }
    }

    #[test]
    fn a_change_needs_a_user_an_amount_and_a_reason() {
        assert_eq!(
            draft(" u1 ", "-5.5", "refund").parse().unwrap(),
            PointsChange {
                user_id: "u1".parse().unwrap(),
                points: "-5.5".parse().unwrap()
            }
        );
        let field = |user: &str, points: &str, reason: &str| {
            let problem = draft(user, points, reason).parse().unwrap_err();
            problem.field_name().unwrap().to_owned()
        };
        assert_eq!(field("", "1", "r"), "userId");
        assert_eq!(field("u", "ten", "r"), "points");
        assert_eq!(field("u", "0", "r"), "points");
        assert_eq!(field("u", "1", " "), "reason");
    }

    #[test]
    fn points_may_be_grouped_by_thousands() {
        let points: Points = "1500".parse().unwrap();
        assert_eq!(draft("u", "1,500", "r").parse().unwrap().points, points);
        assert_eq!(
            draft("u", "-1,500", "r").parse().unwrap().points.negated(),
            Ok(points)
        );
        assert_eq!(parse_limit("1,500"), Ok(points));
        assert_eq!(parse_refund("1,500", "r", points), Ok(points));
    }

    #[test]
    fn a_refund_gives_what_is_left_at_most_and_never_takes() {
        let left: Points = "10".parse().unwrap();
        assert_eq!(parse_refund("10", "r", left), Ok(left));
        let fault = |points: &str| parse_refund(points, "r", left).unwrap_err();
        assert_eq!(
            fault("10.1"),
            Problem::field("points", FieldFault::TooLarge)
        );
        assert_eq!(
            fault("0"),
            Problem::field("points", FieldFault::NotPositive)
        );
        assert_eq!(
            fault("-1"),
            Problem::field("points", FieldFault::NotPositive)
        );
        assert_eq!(
            parse_refund("1", "", left),
            Err(Problem::field("reason", FieldFault::Empty))
        );
    }

    #[test]
    fn a_debt_limit_is_an_amount_that_is_not_negative() {
        assert_eq!(parse_limit("0").unwrap(), Points::ZERO);
        assert_eq!(
            parse_limit("-1"),
            Err(Problem::field("debtLimit", FieldFault::Negative))
        );
    }
}
