//! What to enter in Dify for a source.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;
use ledger::{CreatedKey, SourceSummary};
use serde::Serialize;
use shared::source::SourceEntrance;
use uuid::Uuid;

use crate::cli::ending::Ending;
use crate::config::Config;
use crate::http::parties::langfuse;

/// One value to be entered somewhere.
struct SetupField {
    /// In JSON.
    name: &'static str,
    /// As the form there calls it.
    label: &'static str,
    value: String,
}

/// Where to go, and what to enter there.
fn entries(
    source: &SourceSummary,
    key: &CreatedKey,
    base: &str,
) -> (&'static str, Vec<SetupField>) {
    let entry = |name, label, value| SetupField { name, label, value };
    let secret = key.key.clone();
    match source.entrance {
        SourceEntrance::Webhook => (
            "In the HTTP node at the end of the workflow, or in a relay of your own, post each message (deploy/dify/ has workflows to import):",
            vec![
                entry("url", "URL", format!("{base}/api/dify/webhook")),
                entry("authorization", "Authorization", format!("Bearer {secret}")),
                entry(
                    "signingSecret",
                    "Signing secret",
                    key.signing_secret.clone(),
                ),
            ],
        ),
        SourceEntrance::Gateway => (
            "In every client of the app, in place of Dify's own:",
            vec![
                entry("baseUrl", "Base URL", format!("{base}/v1")),
                entry("apiKey", "API key", secret),
            ],
        ),
        SourceEntrance::Langfuse => (
            "In Dify: the app, Monitoring, Tracing app performance, Langfuse:",
            vec![
                entry("secretKey", "Secret Key", secret),
                entry("publicKey", "Public Key", langfuse::public_key(source.id)),
                entry("host", "Host", format!("{base}/langfuse")),
            ],
        ),
        SourceEntrance::Guard => (
            "In Dify: Settings, API Extension, Add; then the app's Features, Content Moderation, API Extension, Moderate INPUT content. Add the input variable to the app:",
            vec![
                entry(
                    "apiEndpoint",
                    "API Endpoint",
                    format!("{base}/api/dify/guard"),
                ),
                entry("apiKey", "API-key", secret),
                entry(
                    "inputVariable",
                    "Input variable",
                    source.settings.user_variable.clone().unwrap_or_default(),
                ),
            ],
        ),
        SourceEntrance::Openai => (
            "In Dify: Settings, Model Provider, OpenAI-API-compatible, Add Model:",
            vec![
                entry("apiKey", "API Key", secret),
                entry(
                    "apiEndpointUrl",
                    "API endpoint URL",
                    format!("{base}/openai/v1"),
                ),
            ],
        ),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SourceJson<'a> {
    id: Uuid,
    name: &'a str,
    entrance: SourceEntrance,
    key: &'a str,
    signing_secret: &'a str,
    enter: BTreeMap<&'a str, &'a str>,
}

/// What to enter where, with the key.
pub(super) fn how_to_connect(
    source: &SourceSummary,
    key: &CreatedKey,
    config: &Config,
    json: bool,
    intro: &str,
) -> Result<Ending> {
    let (place, entries) = entries(source, key, &config.base_url());
    if json {
        return Ending::json(&SourceJson {
            id: source.id,
            name: &source.name,
            entrance: source.entrance,
            key: &key.key,
            signing_secret: &key.signing_secret,
            enter: entries
                .iter()
                .map(|entry| (entry.name, entry.value.as_str()))
                .collect(),
        });
    }
    let mut text = format!("{intro} Its key is shown this once.\n\n{place}\n");
    for entry in &entries {
        write!(text, "\n  {:<17} {}", entry.label, entry.value)?;
    }
    if config.public_url.is_none() {
        text.push_str(
            "\n\nDify must reach that address: set TOLLGATE_PUBLIC_URL to the one under which it does.",
        );
    }
    if source.entrance == SourceEntrance::Openai {
        write!(
            text,
            "\n\nCalls that name no user, such as the one with which Dify tries the model out, are charged to the account “source:{}”: give it points first.",
            source.name
        )?;
    }
    Ok(Ending::ok(text))
}
