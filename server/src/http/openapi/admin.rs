//! What an administrator does.

use shared::api::{
    AccountSummary, AccountsQuery, AddCredit, Balance, ChargeAsReported, ChargeMissing,
    CheckCompleteness, Completeness, CompletenessQuery, Credits, CreditsQuery, DifyMessageEnd,
    DismissMessage, Job, LiveEvent, LiveQuery, MessageReports, PageQuery, PostedEntry,
    PreviewRerating, QuarantineDetail, QuarantineItem, QuarantineQuery, RefundCharge,
    ReportSummary, RerateDifferences, ReviewedMessage, RollupQuery, Rollups, SetDebtLimit,
    StartRerating, StartedJob, WebhookAnswer, WebhookBody,
};

use super::endpoint::{EndpointDoc, SESSION};

pub const TAG: &str = "admin";

pub fn endpoints() -> Vec<EndpointDoc> {
    points()
        .into_iter()
        .chain(quarantine())
        .chain(reports())
        .chain(rerating())
        .chain(monitoring())
        .map(|endpoint| endpoint.tag(TAG).needs_key(&[SESSION]))
        .collect()
}

fn points() -> [EndpointDoc; 5] {
    [
        EndpointDoc::get(
            "/api/admin/accounts",
            "listAccounts",
            "Accounts, by user id",
        )
        .query::<AccountsQuery>()
        .answers_page::<AccountSummary>("A page of accounts"),
        EndpointDoc::put(
            "/api/admin/accounts/{userId}/debt-limit",
            "setDebtLimit",
            "Sets how far below zero new calls of a user may go",
        )
        .id("userId", "The user")
        .body::<SetDebtLimit>()
        .answers::<Balance>(200, "The balance"),
        EndpointDoc::get(
            "/api/admin/credits",
            "getCredits",
            "What is left of a user's points, by where it came from",
        )
        .query::<CreditsQuery>()
        .answers::<Credits>(200, "What is left"),
        EndpointDoc::post(
            "/api/admin/credits",
            "addCredit",
            "Adds points to an account",
        )
        .repeatable()
        .body::<AddCredit>()
        .answers::<PostedEntry>(200, "The entry that was made"),
        EndpointDoc::post(
            "/api/admin/refunds",
            "refund",
            "Gives back points of a charge",
        )
        .repeatable()
        .body::<RefundCharge>()
        .refuses(&[404, 409])
        .answers::<PostedEntry>(200, "The entry that was made"),
    ]
}

fn quarantine() -> [EndpointDoc; 5] {
    [
        EndpointDoc::get(
            "/api/admin/quarantine",
            "listQuarantine",
            "Messages that wait, newest first",
        )
        .query::<QuarantineQuery>()
        .answers_page::<QuarantineItem>("A page of messages"),
        EndpointDoc::get(
            "/api/admin/quarantine/{id}",
            "getQuarantined",
            "A message that waits or has waited",
        )
        .id("id", "Its id in the list")
        .answers::<QuarantineDetail>(200, "The message"),
        EndpointDoc::post(
            "/api/admin/quarantine/{id}/charge",
            "chargeQuarantined",
            "Charges a message as it was reported, whatever was doubted",
        )
        .id("id", "Its id in the list")
        .optional_body::<ChargeAsReported>()
        .refuses(&[409])
        .answers::<WebhookAnswer>(200, "It is charged")
        .answers::<WebhookAnswer>(202, "It still waits, for a price"),
        EndpointDoc::post(
            "/api/admin/quarantine/{id}/correct",
            "correctQuarantined",
            "Charges a message with the numbers of the body",
        )
        .about(
            "The body has the webhook's format and the same `message_id`. The message's other ids, \
             its time and its conversation need not be repeated.",
        )
        .id("id", "Its id in the list")
        .body_either::<WebhookBody, DifyMessageEnd>()
        .refuses(&[409])
        .answers::<WebhookAnswer>(200, "It is charged")
        .answers::<WebhookAnswer>(202, "It still waits, for a price"),
        EndpointDoc::post(
            "/api/admin/quarantine/{id}/dismiss",
            "dismissQuarantined",
            "A message is not charged; delivered again, it is judged anew",
        )
        .id("id", "Its id in the list")
        .body::<DismissMessage>()
        .refuses(&[409])
        .answers::<QuarantineDetail>(200, "The message"),
    ]
}

fn reports() -> [EndpointDoc; 5] {
    [
        EndpointDoc::get(
            "/api/admin/messages/{messageId}/reports",
            "listReports",
            "All reports of a message",
        )
        .id(
            "messageId",
            "Any id that the message is known by: its own, a workflow run's, a node execution's",
        )
        .refuses(&[422])
        .answers::<MessageReports>(200, "The reports"),
        EndpointDoc::get(
            "/api/admin/differences",
            "listDifferences",
            "Reports that differ from what was charged, newest first",
        )
        .query::<PageQuery>()
        .answers_page::<ReportSummary>("A page of reports"),
        EndpointDoc::get(
            "/api/admin/completeness",
            "getCompleteness",
            "What the last comparisons with Dify found",
        )
        .query::<CompletenessQuery>()
        .answers::<Completeness>(200, "What was served and what arrived"),
        EndpointDoc::post(
            "/api/admin/completeness",
            "checkCompleteness",
            "Compares with what Dify lists now",
        )
        .body::<CheckCompleteness>()
        .refuses(&[404])
        .answers::<Completeness>(200, "What was served and what arrived"),
        EndpointDoc::post(
            "/api/admin/completeness/charge",
            "chargeMissing",
            "Charges messages that nobody reported",
        )
        .body::<ChargeMissing>()
        .refuses(&[404])
        .answers_list::<ReviewedMessage>("What became of each"),
    ]
}

fn rerating() -> [EndpointDoc; 4] {
    [
        EndpointDoc::post(
            "/api/admin/reratings/preview",
            "previewRerating",
            "What pricing past messages again would change; enters nothing",
        )
        .body::<PreviewRerating>()
        .answers::<RerateDifferences>(200, "The sum, and a page of users"),
        EndpointDoc::post(
            "/api/admin/reratings",
            "startRerating",
            "Prices past messages again, as a job",
        )
        .about("Doing it again has no effect.")
        .body::<StartRerating>()
        .answers::<StartedJob>(202, "The job has begun"),
        EndpointDoc::get("/api/admin/jobs", "listJobs", "Jobs, newest first")
            .query::<PageQuery>()
            .answers_page::<Job>("A page of jobs"),
        EndpointDoc::get("/api/admin/jobs/{id}", "getJob", "A job")
            .id("id", "The job's id")
            .answers::<Job>(200, "The job"),
    ]
}

fn monitoring() -> [EndpointDoc; 2] {
    let mut live = EndpointDoc::get(
        "/api/admin/live",
        "live",
        "Deliveries as they happen, as server-sent events",
    );
    live.refer::<LiveEvent>();
    [
        EndpointDoc::get(
            "/api/admin/rollups",
            "getRollups",
            "Sums of the journal, by when entries were recorded",
        )
        .query::<RollupQuery>()
        .answers::<Rollups>(200, "The sums"),
        live.about(
            "Each event `delivery` has a `LiveEvent` as data and its cursor as `id`. A client that \
             sends the last one as `Last-Event-ID`, or as `after`, goes on there without gap or \
             repeat.",
        )
        .header(
            "Last-Event-ID",
            "The cursor of the last event that was seen.",
        )
        .query::<LiveQuery>()
        .answers_text(200, "The events, without end", "text/event-stream"),
    ]
}
