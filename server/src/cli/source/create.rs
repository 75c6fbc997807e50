use std::fmt::Write;
use std::io;

use anyhow::{Context, Result, anyhow, bail};
use ledger::{Ledger, NewSource, SourceSummary};
use shared::ids::ModelName;
use shared::source::{SourceEntrance, SourceSettings};

use super::connect::how_to_connect;
use super::entrance::entrance;
use crate::cli::argument::parsed;
use crate::cli::ending::{Ending, in_words};
use crate::cli::operator::actor;
use crate::config::{Config, parse_url};

/// Where the upstream key is looked for, if no option gives it.
const UPSTREAM_KEY: &str = "TOLLGATE_UPSTREAM_KEY";
/// The input variable that names the user to a guard, where no other is chosen.
const USER_VARIABLE: &str = "billing_user";

/// More is a slip of the finger.
const TOKENS_MAX: u64 = 100_000_000;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    /// What people know it by: the Dify app or installation that it connects.
    #[arg(long)]
    name: String,
    /// Which way its messages come in.
    #[arg(long, value_parser = entrance())]
    entrance: SourceEntrance,
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

impl Create {
    pub(super) async fn run(self, ledger: &Ledger, config: &Config) -> Result<Ending> {
        self.refuse_what_makes_no_sense()?;
        let entrance = self.entrance;
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
        how_to_connect(source, &key, config, self.json, &intro)
    }

    /// An option that would be ignored is a misunderstanding.
    fn refuse_what_makes_no_sense(&self) -> Result<()> {
        use SourceEntrance::{Gateway, Guard, Langfuse, Openai, Webhook};
        let entrance = self.entrance;
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
