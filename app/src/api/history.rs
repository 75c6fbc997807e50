//! An account's entries, with the prices that their receipts need.

use serde::{Deserialize, Serialize};
use shared::api::{EntryKind, HistoryItem};
use shared::money::Points;
use shared::price::Rates;
#[cfg(feature = "ssr")]
use shared::{api::HistoryFilter, ids::UserId};

/// A page of entries, with the prices its receipts need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryView {
    pub items: Vec<HistoryItem>,
    pub next_cursor: Option<String>,
    pub rates: Vec<VersionRates>,
    /// What the page's corrections and expiries are about.
    pub origins: Vec<Origin>,
    /// What is left to be given back of the page's charges; only for an administrator.
    pub refundable: Vec<(i64, Points)>,
}

/// The unit prices of one price version, to compute a receipt with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRates {
    pub price_version_id: i64,
    pub rates: Rates,
}

/// The entry that another one puts right, or whose points it takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    pub entry: i64,
    /// The models of a charge, or the reason of any other entry.
    pub what: String,
    pub points: Points,
}

/// Entries of the signed-in user, or of the user an administrator names.
#[cfg(feature = "ssr")]
pub async fn history_page(
    user_id: Option<UserId>,
    filter: HistoryFilter,
    cursor: Option<String>,
) -> Result<HistoryView, crate::error::AppError> {
    use shared::api::PAGE_ITEMS_DEFAULT;

    let is_administrator = user_id.is_some();
    let subject = crate::auth::subject(user_id).await?;
    let (ledger, user) = (&subject.context.ledger, &subject.user_id);
    let page = ledger
        .history(user, &filter, cursor.as_deref(), PAGE_ITEMS_DEFAULT)
        .await?;
    let book = ledger.price_book().await?;
    let rates = rates_of(&page.items, &book);
    let corrected: Vec<i64> = page
        .items
        .iter()
        .filter_map(|item| item.corrects_entry)
        .collect();
    let origins = if corrected.is_empty() {
        Vec::new()
    } else {
        ledger.entries(user, &corrected).await?
    };
    let charges: Vec<i64> = page
        .items
        .iter()
        .filter(|item| item.kind == EntryKind::Charge)
        .map(|item| item.entry)
        .collect();
    let refundable = if is_administrator && !charges.is_empty() {
        ledger.refundable(user, &charges).await?
    } else {
        Vec::new()
    };
    Ok(HistoryView {
        origins: origins.iter().map(Origin::of).collect(),
        refundable,
        items: page.items,
        next_cursor: page.next_cursor,
        rates,
    })
}

/// The price versions of all lines, each once.
#[cfg(feature = "ssr")]
fn rates_of(items: &[HistoryItem], book: &shared::price::PriceBook) -> Vec<VersionRates> {
    let lines = items
        .iter()
        .filter_map(|item| item.consumption.as_ref())
        .flat_map(|consumption| &consumption.lines);
    let mut known = std::collections::BTreeSet::new();
    let versions = lines.filter_map(|line| {
        let mut versions = book.history(&line.model_name);
        let version = versions.find(|version| version.id == line.price_version_id)?;
        known.insert(version.id).then_some(VersionRates {
            price_version_id: version.id,
            rates: version.rates,
        })
    });
    versions.collect()
}

#[cfg(feature = "ssr")]
impl Origin {
    fn of(entry: &HistoryItem) -> Self {
        Self {
            entry: entry.entry,
            what: what_of(entry),
            points: entry.points,
        }
    }
}

/// What an entry is about, as its writer put it: models, or a reason. An expiry has neither.
#[must_use]
pub fn what_of(item: &HistoryItem) -> String {
    match (&item.consumption, &item.reason) {
        (Some(consumption), _) => {
            let mut models: Vec<&str> = consumption
                .lines
                .iter()
                .map(|line| line.model_name.as_str())
                .collect();
            models.dedup();
            models.join(", ")
        }
        (None, Some(reason)) if item.kind != EntryKind::Expiry => reason.clone(),
        (None, _) => String::new(),
    }
}
