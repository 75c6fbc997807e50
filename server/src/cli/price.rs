use anyhow::Result;
use clap::Subcommand;
use ledger::{Ledger, NewPrice};
use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::money::{Points, UnitPrice};
use shared::price::Rates;

use crate::cli::argument::parsed;
use crate::cli::ending::{Ending, in_words};
use crate::cli::operator::actor;

#[derive(Debug, Subcommand)]
pub(super) enum PriceCommand {
    /// Publish a price for a model, as its next version. Prices are points per 1,000 tokens.
    Set(Set),
}

#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The model's name, as Dify reports it; upper and lower case do not matter.
    #[arg(long, value_parser = parsed::<ModelName>)]
    model: ModelName,
    /// Points per 1,000 input tokens.
    #[arg(long, value_name = "POINTS", allow_hyphen_values = true, value_parser = parsed::<UnitPrice>)]
    input: UnitPrice,
    /// Points per 1,000 output tokens.
    #[arg(long, value_name = "POINTS", allow_hyphen_values = true, value_parser = parsed::<UnitPrice>)]
    output: UnitPrice,
    /// Points per 1,000 input tokens read from the provider's cache; as input when not given.
    #[arg(long, value_name = "POINTS", allow_hyphen_values = true, value_parser = parsed::<UnitPrice>)]
    cached_input: Option<UnitPrice>,
    /// Points per 1,000 input tokens written to the provider's cache; as input when not given.
    #[arg(long, value_name = "POINTS", allow_hyphen_values = true, value_parser = parsed::<UnitPrice>)]
    cache_write: Option<UnitPrice>,
    /// Points per 1,000 reasoning tokens; as output when not given.
    #[arg(long, value_name = "POINTS", allow_hyphen_values = true, value_parser = parsed::<UnitPrice>)]
    reasoning: Option<UnitPrice>,
    /// Points per model call, whatever its tokens.
    #[arg(long, value_name = "POINTS", default_value = "0", allow_hyphen_values = true, value_parser = parsed::<Points>)]
    per_request: Points,
    /// Publish it switched off: the model's messages wait until a price is active.
    #[arg(long)]
    inactive: bool,
    /// From when on it counts, such as 2026-01-31T00:00:00Z; from now on when not given.
    #[arg(long, value_name = "TIME", value_parser = parsed::<Timestamp>)]
    from: Option<Timestamp>,
    /// Why, for the history.
    #[arg(long)]
    note: Option<String>,
}

impl PriceCommand {
    pub(super) async fn run(self, ledger: &Ledger) -> Result<Ending> {
        let Self::Set(set) = self;
        let version = ledger
            .publish_price(
                NewPrice {
                    model_name: set.model,
                    rates: Rates {
                        input: set.input,
                        output: set.output,
                        cached_input: set.cached_input,
                        cache_write: set.cache_write,
                        reasoning: set.reasoning,
                        per_request: set.per_request,
                    },
                    is_active: !set.inactive,
                    effective_from: set.from,
                    note: set.note,
                    expected_version: None,
                },
                &actor(),
            )
            .await
            .map_err(in_words)?;
        let since = match version.effective_from {
            Some(from) => format!("from {from} on"),
            None => "for all its messages, past ones too".to_owned(),
        };
        Ok(Ending::ok(format!(
            "Version {} of the price of {} was published: {} points per 1,000 tokens in, {} out, {since}.{}",
            version.version,
            version.model_name,
            version.rates.input,
            version.rates.output,
            if version.is_active {
                ""
            } else {
                "\nIt is switched off: the model's messages wait in quarantine."
            }
        )))
    }
}
