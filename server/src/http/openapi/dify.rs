//! What is reported, and what Dify asks.

use shared::api::{BatchAnswer, DifyMessageEnd, WebhookAnswer, WebhookBody};

use super::endpoint::EndpointDoc;
use crate::http::parties::guard::{GuardNote, Moderation, Question};
use crate::http::parties::webhook::BATCH_EVENTS_MAX;

pub const TAG: &str = "dify";

pub fn endpoints() -> Vec<EndpointDoc> {
    vec![
        signed(
            EndpointDoc::post("/api/dify/webhook", "report", "Reports what a message used")
                .about(
                    "For a key of scope `webhook`. Delivered again, a message gets its first answer \
                     again. A body that cannot be read is refused, and kept for the administrator.",
                )
                .body_either::<WebhookBody, DifyMessageEnd>()
                .refuses(&[409])
                .answers::<WebhookAnswer>(200, "It is charged, or was before")
                .answers::<WebhookAnswer>(202, "It waits for an administrator or a price"),
        ),
        signed(
            EndpointDoc::post(
                "/api/dify/webhook/batch",
                "reportBatch",
                "Reports what up to 1,000 messages used",
            )
            .about("As the webhook, for each event. One bad event spoils no other.")
            .body_list_of_either::<WebhookBody, DifyMessageEnd>("events", BATCH_EVENTS_MAX)
            .answers::<BatchAnswer>(200, "What became of each event"),
        ),
        EndpointDoc::post(
            "/api/dify/guard",
            "guard",
            "Dify's API-based extension: whether a message may pass",
        )
        .tag(TAG)
        .about(
            "For the key of a source of this entrance. The user is the value of the source's input \
             variable in `params.inputs`.",
        )
        .needs_key(&[])
        .body::<Question>()
        .answers_either::<Moderation, GuardNote>("The answer, in the shape that Dify reads"),
    ]
}

/// If its key requires it, a report is signed by the Standard Webhooks scheme.
fn signed(endpoint: EndpointDoc) -> EndpointDoc {
    endpoint
        .tag(TAG)
        .needs_key(&[])
        .header("webhook-id", "Of a signed request: its id.")
        .header("webhook-timestamp", "Of a signed request: Unix seconds.")
        .header(
            "webhook-signature",
            "Of a signed request, by the Standard Webhooks scheme: `v1,…`.",
        )
}
