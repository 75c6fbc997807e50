use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Subcommand, ValueEnum};
use ledger::{CreatedKey, Ledger, NewSource, SourceSummary};
use serde::Serialize;
use shared::ids::ModelName;
use shared::source::{SourceEntrance, SourceSettings};
use uuid::Uuid;

use super::{Report, actor, in_words, parsed};
use crate::config::{Config, parse_url};
use crate::http::parties::langfuse;

/// Where the upstream key is looked for, if no option gives it.
const UPSTREAM_KEY: &str = "TOLLGATE_UPSTREAM_KEY";
/// The input variable that names the user to a guard, where no other is chosen.
const USER_VARIABLE: &str = "billing_user";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a source, and print what to enter in Dify for it. Its key is shown this once.
    Create(Box<Create>),
    /// List the sources, newest first, with what each delivered last.
    List {
        /// Print a list of {"id","name","entrance","namespace","prefix","settings","createdAt",
        /// "createdBy","revokedAt","lastDelivery"}.
        #[arg(long)]
        json: bool,
    },
    /// Replace a source's key, and print what to enter in Dify instead. The old key ends at once.
    Rotate {
        /// Its name or id.
        #[arg(value_name = "NAME|ID")]
        source: String,
        /// Print {"id","name","entrance","key","signingSecret","enter"}.
        #[arg(long)]
        json: bool,
    },
    /// End a source at once. What it delivered stays.
    Revoke {
        /// Its name or id.
        #[arg(value_name = "NAME|ID")]
        source: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// What people know it by: the Dify app or installation that it connects.
    #[arg(long)]
    name: String,
    /// Which way its messages come in.
    #[arg(long)]
    entrance: Entrance,
    /// The Dify installation it belongs to, where there are several: a message is charged once in
    /// each.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Where calls go on to, with its path: https://dify.example.com/v1 (gateway), or the model
    /// provider's https://api.openai.com/v1 (openai).
    #[arg(long, value_name = "URL", value_parser = parse_upstream)]
    upstream: Option<String>,
    /// The key that the server there wants: Dify's app key, or the provider's. Better given as
    /// TOLLGATE_UPSTREAM_KEY or on standard input, which no list of processes shows.
    #[arg(long, value_name = "KEY", conflicts_with = "upstream_key_stdin")]
    upstream_key: Option<String>,
    /// Read the upstream key from standard input.
    #[arg(long)]
    upstream_key_stdin: bool,
    /// The model of messages that do not tell it, and of calls to be estimated (gateway, langfuse,
    /// guard).
    #[arg(long, value_parser = parsed::<ModelName>)]
    model: Option<ModelName>,
    /// Input tokens that a call is expected to use; what recent calls used when not given (gateway,
    /// guard, openai).
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(..=TOKENS_MAX))]
    estimated_input: Option<u64>,
    /// The same for output tokens.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(..=TOKENS_MAX))]
    estimated_output: Option<u64>,
    /// Let calls through when Tollgate cannot know whether they are affordable (gateway, guard,
    /// openai).
    #[arg(long)]
    fail_open: bool,
    /// Only check balances: what the calls use is charged through another source (gateway, openai).
    #[arg(long)]
    protect_only: bool,
    /// The app's input variable that names the end user (guard); billing_user when not given.
    #[arg(long, value_name = "VARIABLE")]
    user_variable: Option<String>,
    /// Refuse deliveries that are not signed with the signing secret (webhook).
    #[arg(long)]
    require_signature: bool,
    /// Print {"id","name","entrance","key","signingSecret","enter"}: the last holds what to enter
    /// in Dify.
    #[arg(long)]
    json: bool,
}

/// More is a slip of the finger.
const TOKENS_MAX: u64 = 100_000_000;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Entrance {
    /// An HTTP node or a relay posts what each message used.
    Webhook,
    /// API clients call Dify through Tollgate.
    Gateway,
    /// Dify sends traces to Tollgate, as if to Langfuse.
    Langfuse,
    /// Dify asks Tollgate before it answers, as an API extension for content moderation.
    Guard,
    /// Dify calls its models through Tollgate.
    Openai,
}

impl From<Entrance> for SourceEntrance {
    fn from(entrance: Entrance) -> Self {
        match entrance {
            Entrance::Webhook => Self::Webhook,
            Entrance::Gateway => Self::Gateway,
            Entrance::Langfuse => Self::Langfuse,
            Entrance::Guard => Self::Guard,
            Entrance::Openai => Self::Openai,
        }
    }
}

/// For clap: a URL with a path, because both Dify's API and a provider's stand under one.
fn parse_upstream(text: &str) -> Result<String, String> {
    let url = parse_url(text)?;
    let has_path = url
        .split_once("://")
        .is_some_and(|(_, rest)| rest.contains('/'));
    if has_path {
        Ok(url)
    } else {
        Err(format!(
            "needs the path under which the API stands, most often {url}/v1"
        ))
    }
}

impl Command {
    pub(super) async fn run(self, ledger: &Ledger, config: &Config) -> Result<Report> {
        match self {
            Self::Create(create) => create.run(ledger, config).await,
            Self::List { json } => list(ledger, json).await,
            Self::Rotate { source, json } => {
                let source = find(ledger, &source).await?;
                let key = ledger
                    .rotate_api_key(source.id, &actor())
                    .await
                    .map_err(in_words)?;
                let intro = format!(
                    "The key of “{}” was replaced; the old one opens nothing any more.",
                    source.name
                );
                told(&source, &key, config, json, &intro)
            }
            Self::Revoke { source } => {
                let source = find(ledger, &source).await?;
                ledger
                    .revoke_api_key(source.id, &actor())
                    .await
                    .map_err(in_words)?;
                Ok(Report::ok(format!(
                    "“{}” was revoked; its key opens nothing any more. Remove it from Dify, which would try in vain.",
                    source.name
                )))
            }
        }
    }
}

impl Create {
    async fn run(self, ledger: &Ledger, config: &Config) -> Result<Report> {
        self.refuse_what_makes_no_sense()?;
        let entrance = SourceEntrance::from(self.entrance);
        let (upstream_url, upstream_key) = if entrance.has_upstream() {
            let (url, key) = self.upstream(entrance)?;
            (Some(url), Some(key))
        } else {
            (None, None)
        };
        let user_variable = match entrance {
            SourceEntrance::Guard => Some(
                self.user_variable
                    .unwrap_or_else(|| USER_VARIABLE.to_owned()),
            ),
            _ => None,
        };
        let new = NewSource {
            name: self.name,
            entrance,
            namespace: self.namespace,
            require_signature: self.require_signature,
            settings: SourceSettings {
                upstream_url,
                model_name: self.model,
                estimated_input_tokens: self.estimated_input,
                estimated_output_tokens: self.estimated_output,
                is_fail_open: self.fail_open,
                is_protecting_only: self.protect_only,
                user_variable,
            },
            upstream_key,
        };
        let key = ledger
            .create_source(&new, &actor())
            .await
            .map_err(in_words)?;
        let sources = ledger.sources().await.map_err(in_words)?;
        let source = sources
            .iter()
            .find(|source| source.id == key.id)
            .ok_or_else(|| anyhow!("the source was created, but somebody has removed it"))?;
        let mut intro = format!("Source “{}” was created.", source.name);
        if let Some(warning) = charged_twice(source, &sources) {
            write!(intro, "\n\nBeware: {warning}")?;
        }
        told(source, &key, config, self.json, &intro)
    }

    /// An option that would be ignored is a misunderstanding.
    fn refuse_what_makes_no_sense(&self) -> Result<()> {
        use SourceEntrance::{Gateway, Guard, Langfuse, Openai, Webhook};
        let entrance = SourceEntrance::from(self.entrance);
        let options: [(&str, bool, &[SourceEntrance]); 10] = [
            ("upstream", self.upstream.is_some(), &[Gateway, Openai]),
            (
                "upstream-key",
                self.upstream_key.is_some(),
                &[Gateway, Openai],
            ),
            (
                "upstream-key-stdin",
                self.upstream_key_stdin,
                &[Gateway, Openai],
            ),
            ("model", self.model.is_some(), &[Gateway, Langfuse, Guard]),
            (
                "estimated-input",
                self.estimated_input.is_some(),
                &[Gateway, Guard, Openai],
            ),
            (
                "estimated-output",
                self.estimated_output.is_some(),
                &[Gateway, Guard, Openai],
            ),
            ("fail-open", self.fail_open, &[Gateway, Guard, Openai]),
            ("protect-only", self.protect_only, &[Gateway, Openai]),
            ("user-variable", self.user_variable.is_some(), &[Guard]),
            ("require-signature", self.require_signature, &[Webhook]),
        ];
        for (option, is_given, entrances) in options {
            if is_given && !entrances.contains(&entrance) {
                let names: Vec<&str> = entrances.iter().map(|it| it.as_str()).collect();
                bail!(
                    "--{option} means nothing for the entrance {}; it is for {}",
                    entrance.as_str(),
                    names.join(", ")
                );
            }
        }
        Ok(())
    }

    /// Where calls go on to, and with which key.
    fn upstream(&self, entrance: SourceEntrance) -> Result<(String, String)> {
        let is_dify = entrance == SourceEntrance::Gateway;
        let Some(url) = self.upstream.clone() else {
            bail!(
                "a source of the entrance {} needs --upstream: {}",
                entrance.as_str(),
                if is_dify {
                    "the base URL that Dify shows on the app's page “API Access”, such as https://dify.example.com/v1"
                } else {
                    "the base URL of the model provider, such as https://api.openai.com/v1"
                }
            );
        };
        let given = if self.upstream_key_stdin {
            let mut line = String::new();
            io::stdin()
                .read_line(&mut line)
                .context("the upstream key could not be read from standard input")?;
            Some(line)
        } else {
            let from_environment = || std::env::var(UPSTREAM_KEY).ok();
            self.upstream_key.clone().or_else(from_environment)
        };
        match given.as_deref().map(str::trim) {
            Some(key) if !key.is_empty() => Ok((url, key.to_owned())),
            _ => bail!(
                "a source of the entrance {} needs {}: set {UPSTREAM_KEY}, or give it with --upstream-key-stdin or --upstream-key",
                entrance.as_str(),
                if is_dify {
                    "the app key of Dify (app-…)"
                } else {
                    "the API key of the model provider"
                }
            ),
        }
    }
}

/// What a call behind Dify uses is a part of what a message in front of it uses, and nothing tells
/// which.
fn charged_twice(new: &SourceSummary, all: &[SourceSummary]) -> Option<String> {
    let is_metering = |source: &&SourceSummary| {
        source.revoked_at.is_none()
            && source.namespace == new.namespace
            && source.entrance != SourceEntrance::Guard
            && !source.settings.is_protecting_only
    };
    let is_behind = |source: &SourceSummary| source.entrance == SourceEntrance::Openai;
    is_metering(&new).then_some(())?;
    let others: Vec<&str> = all
        .iter()
        .filter(is_metering)
        .filter(|other| is_behind(other) != is_behind(new))
        .map(|other| other.name.as_str())
        .collect();
    if others.is_empty() {
        return None;
    }
    Some(format!(
        "an app whose messages come through “{}” and through {} is charged twice, once for each model call and once for the message. Connect each app through one of them only, or create the one with --protect-only.",
        new.name,
        others
            .iter()
            .map(|name| format!("“{name}”"))
            .collect::<Vec<String>>()
            .join(", ")
    ))
}

/// The source of a name or id that is not revoked.
async fn find(ledger: &Ledger, name: &str) -> Result<SourceSummary> {
    let id: Option<Uuid> = name.parse().ok();
    let mut found: Vec<SourceSummary> = ledger
        .sources()
        .await
        .map_err(in_words)?
        .into_iter()
        .filter(|source| source.name == name || Some(source.id) == id)
        .collect();
    if found.iter().all(|source| source.revoked_at.is_some()) {
        bail!(match found.is_empty() {
            true => format!("there is no source “{name}”; “tollgate source list” shows them"),
            false => format!("“{name}” is revoked; create a new source instead"),
        });
    }
    found.retain(|source| source.revoked_at.is_none());
    match (found.pop(), found.is_empty()) {
        (Some(source), true) => Ok(source),
        _ => bail!(
            "several sources are called “{name}”; name the one by its id, which “tollgate source list” shows"
        ),
    }
}

async fn list(ledger: &Ledger, json: bool) -> Result<Report> {
    let sources = ledger.sources().await.map_err(in_words)?;
    if json {
        return Report::json(&sources);
    }
    let mut text = match sources.len() {
        0 => "There are no sources yet. Create one with “tollgate source create”.".to_owned(),
        count => format!("{count} sources."),
    };
    for source in &sources {
        write!(
            text,
            "\n  {}  {}  {}  {}…  namespace {}: ",
            source.id,
            source.name,
            source.entrance.as_str(),
            source.prefix,
            source.namespace
        )?;
        if let Some(at) = source.revoked_at {
            write!(text, "revoked {at}, ")?;
        }
        match &source.last_delivery {
            None => write!(text, "nothing delivered yet")?,
            Some(last) => {
                let (at, outcome) = (last.received_at, last.outcome.as_str());
                write!(text, "last delivery {at} {outcome}")?;
                if let Some(reason) = &last.reason {
                    write!(text, " ({reason})")?;
                }
            }
        }
    }
    Ok(Report::ok(text))
}

/// One value to be entered somewhere.
struct Entry {
    /// In JSON.
    name: &'static str,
    /// As the form there calls it.
    label: &'static str,
    value: String,
}

/// Where to go, and what to enter there.
fn entries(source: &SourceSummary, key: &CreatedKey, base: &str) -> (&'static str, Vec<Entry>) {
    let entry = |name, label, value| Entry { name, label, value };
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
struct Json<'a> {
    id: Uuid,
    name: &'a str,
    entrance: SourceEntrance,
    key: &'a str,
    signing_secret: &'a str,
    enter: BTreeMap<&'a str, &'a str>,
}

/// What to enter where, with the key.
fn told(
    source: &SourceSummary,
    key: &CreatedKey,
    config: &Config,
    json: bool,
    intro: &str,
) -> Result<Report> {
    let (place, entries) = entries(source, key, &config.base_url());
    if json {
        return Report::json(&Json {
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
    Ok(Report::ok(text))
}
