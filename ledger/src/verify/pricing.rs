//! Prices, as far as entries by themselves say what they must be.

use std::collections::HashMap;

use shared::clock::Timestamp;
use shared::price::{PriceBook, PriceVersion};
use shared::quote::quote;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::error::Result;
use crate::records::entry::EntryLine;
use crate::store::price_version;

/// All price versions.
pub(super) struct Pricing {
    pub book: PriceBook,
    versions: HashMap<i64, (String, PriceVersion)>,
}

impl Pricing {
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self> {
        let versions = price_version::all(connection).await?;
        Ok(Self {
            book: PriceBook::new(versions.clone()),
            versions: versions
                .into_iter()
                .map(|version| (version.id, (version.model_name.key(), version)))
                .collect(),
        })
    }

    /// What is wrong with the costs of lines: each is its tokens times the price that it names.
    pub(super) fn fault_of(&self, lines: &[EntryLine]) -> Option<String> {
        lines.iter().find_map(|line| {
            let Some((key, version)) = self.versions.get(&line.price_version_id) else {
                return Some(format!(
                    "names price version {}, which is missing",
                    line.price_version_id
                ));
            };
            if *key != line.model_name.key() {
                return Some(format!(
                    "price version {} is one of another model",
                    version.id
                ));
            }
            let cost = quote(&version.rates, &line.tokens).map(|quote| quote.points.nano());
            (cost != Ok(line.cost_nano))
                .then(|| "a line's cost is not its tokens times its price".to_owned())
        })
    }

    /// What is wrong with the versions that a first charge names: each was in force when it happened.
    pub(super) fn fault_of_first(
        &self,
        lines: &[EntryLine],
        occurred_at: OffsetDateTime,
    ) -> Option<String> {
        let at = Timestamp::new(occurred_at);
        let stray = lines.iter().find(|line| {
            let in_force = self.book.in_force(&line.model_name, at);
            in_force.map(|version| version.id) != Ok(line.price_version_id)
        })?;
        Some(format!(
            "price version {} was not in force when it happened",
            stray.price_version_id
        ))
    }
}
