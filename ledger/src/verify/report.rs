//! What verification found.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

/// Findings of a pass listed at most; the count goes on.
const FINDINGS_LISTED_MAX: usize = 1000;

/// Of an entry that neither a claim nor an event tells of.
pub(super) const UNTOLD: &str =
    "its message's claim is missing, or says that it was charged elsewhere";

/// What verification found, pass by pass.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    pub ok: bool,
    /// Of all passes.
    pub broken: u64,
    pub passes: Vec<Pass>,
}

/// One way through the books.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pass {
    pub name: &'static str,
    /// How many of what were looked at.
    pub counts: BTreeMap<&'static str, u64>,
    /// How many accounts are broken, or how many rows do not fit what they belong to.
    pub broken: u64,
    /// The first broken entry of each broken account, and each such row, up to a thousand.
    pub findings: Vec<Finding>,
}

/// One place where the books are not what the ledger wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub account_id: Option<Uuid>,
    pub user_id: Option<String>,
    pub entry: Option<i64>,
    pub what: String,
}

impl VerifyReport {
    pub(super) fn new(passes: Vec<Pass>) -> Self {
        let broken = passes.iter().map(|pass| pass.broken).sum();
        Self {
            ok: broken == 0,
            broken,
            passes,
        }
    }

    /// All that are listed, pass by pass.
    #[must_use]
    pub fn findings(&self) -> Vec<&Finding> {
        let passes = self.passes.iter();
        passes.flat_map(|pass| &pass.findings).collect()
    }

    /// How many of something all passes looked at.
    #[must_use]
    pub fn count(&self, of: &str) -> u64 {
        let passes = self.passes.iter();
        passes.filter_map(|pass| pass.counts.get(of)).sum()
    }
}

impl Finding {
    /// At an entry of an account, or at the account as a whole.
    pub(super) fn at(account_id: Uuid, entry: Option<i64>, what: impl Into<String>) -> Self {
        Self {
            account_id: Some(account_id),
            user_id: None,
            entry,
            what: what.into(),
        }
    }

    /// Of no account.
    pub(super) fn of(what: impl Into<String>) -> Self {
        Self {
            account_id: None,
            user_id: None,
            entry: None,
            what: what.into(),
        }
    }
}

impl Pass {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    pub(super) fn find(&mut self, finding: Finding) {
        self.broken += 1;
        if self.findings.len() < FINDINGS_LISTED_MAX {
            self.findings.push(finding);
        }
    }

    pub(super) fn count(&mut self, what: &'static str, number: u64) {
        *self.counts.entry(what).or_default() += number;
    }

    /// Adds what another part of the same pass found, after this one.
    pub(super) fn add(&mut self, part: Self) {
        for (what, number) in part.counts {
            self.count(what, number);
        }
        // Those beyond the listed ones are only counted.
        let unlisted = part.broken.saturating_sub(to_u64(part.findings.len()));
        part.findings
            .into_iter()
            .for_each(|finding| self.find(finding));
        self.broken += unlisted;
    }
}

/// A length always fits: it comes from memory.
pub(super) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
