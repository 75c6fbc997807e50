//! A user's points.

use shared::api::{
    Balance, BalanceCheck, CheckBalance, CreateToken, Estimate, EstimateQuery, HistoryItem,
    HistoryQuery, Hold, ReleaseHold, SettleHold, UserQuery, UserToken, WebhookAnswer,
};

use super::endpoint::{EndpointDoc, SESSION};

pub const TAG: &str = "user";

pub fn endpoints() -> Vec<EndpointDoc> {
    points().into_iter().chain(holds()).collect()
}

fn points() -> [EndpointDoc; 5] {
    [
        EndpointDoc::get(
            "/api/user/points/balance",
            "getBalance",
            "What an account holds",
        )
        .tag(TAG)
        .needs_key(&[SESSION])
        .query::<UserQuery>()
        .answers::<Balance>(200, "The balance"),
        EndpointDoc::get(
            "/api/user/points/estimate",
            "estimate",
            "What a call would cost",
        )
        .tag(TAG)
        .needs_key(&[SESSION])
        .query::<EstimateQuery>()
        .answers::<Estimate>(200, "The estimate"),
        EndpointDoc::post(
            "/api/user/points/check-balance",
            "checkBalance",
            "Whether a user can pay for a call",
        )
        .tag(TAG)
        .about("With `hold`, promises the estimated points to this call, if they are there.")
        .needs_key(&[SESSION])
        .repeatable()
        .body::<CheckBalance>()
        .answers::<BalanceCheck>(200, "Whether the balance suffices"),
        EndpointDoc::get(
            "/api/user/points/history",
            "listHistory",
            "A user's journal, newest first",
        )
        .tag(TAG)
        .needs_key(&[SESSION])
        .query::<HistoryQuery>()
        .answers_page::<HistoryItem>("A page of entries"),
        EndpointDoc::post(
            "/api/user/tokens",
            "createToken",
            "A token with which a user asks for their own points",
        )
        .tag(TAG)
        .about("For keys and administrators only.")
        .needs_key(&[SESSION])
        .body::<CreateToken>()
        .answers::<UserToken>(200, "The token"),
    ]
}

fn holds() -> [EndpointDoc; 3] {
    [
        EndpointDoc::get("/api/user/points/holds/{id}", "getHold", "A hold")
            .tag(TAG)
            .needs_key(&[SESSION])
            .id("id", "`holdId` of `checkBalance`'s answer")
            .query::<UserQuery>()
            .answers::<Hold>(200, "The hold"),
        EndpointDoc::post(
            "/api/user/points/holds/{id}/settle",
            "settleHold",
            "Charges what the call of a hold really used",
        )
        .tag(TAG)
        .about(
            "For keys only. Charges the real cost, above or below the hold. Twice gives the first \
             answer again; late still charges.",
        )
        .needs_key(&[])
        .id("id", "`holdId` of `checkBalance`'s answer")
        .body::<SettleHold>()
        .refuses(&[409])
        .answers::<WebhookAnswer>(200, "It is charged")
        .answers::<WebhookAnswer>(202, "It waits for an administrator or a price"),
        EndpointDoc::post(
            "/api/user/points/holds/{id}/release",
            "releaseHold",
            "Frees the points of a hold",
        )
        .tag(TAG)
        .needs_key(&[SESSION])
        .id("id", "`holdId` of `checkBalance`'s answer")
        .optional_body::<ReleaseHold>()
        .refuses(&[409])
        .answers::<Hold>(200, "The hold"),
    ]
}
