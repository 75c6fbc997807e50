//! All claims: each leads to a message, and they tell of the same charges as the journal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::records::hash::MessageId;
use crate::store::message::ClaimRow;
use crate::store::verification::claim::{
    ChargePlace, all_untold, in_blocks, missing_charges, of_ids, told_in_range, untold,
};
use crate::store::verification::{AS_IT_COMES, BY_KEYS, Cut, message};
use crate::verify::ranges::in_parallel;
use crate::verify::report::{Finding, Pass, UNTOLD, to_u64};
use crate::verify::tally::Tally;

/// Blocks of the table read in one snapshot: some ten thousand rows.
const BLOCKS: i64 = 200;
/// Differing parts of the claims that are looked at one by one. More of them take longer than
/// comparing everything.
const DIFFERENCES_MAX: usize = 256;

/// The pass over all claims.
pub(crate) struct ClaimScan {
    pub pool: PgPool,
    pub cut: Cut,
    /// Blocks that the table had when verification began: claims beyond are newer.
    pub blocks: i64,
    /// Counts the first charges that claims tell of.
    pub tally: Mutex<Tally>,
}

impl ClaimScan {
    pub(crate) async fn run(self: &Arc<Self>, pass: &mut Pass) -> Result<()> {
        let mut parts = Vec::new();
        let mut first = 0;
        while first < self.blocks {
            let end = first.saturating_add(BLOCKS).min(self.blocks);
            parts.push((first, end));
            first = end;
        }
        let scanned = in_parallel(parts, |blocks| {
            let scan = Arc::clone(self);
            Box::pin(async move { scan.blocks(blocks).await })
        });
        pass.count("claims", 0);
        scanned.await?.into_iter().for_each(|part| pass.add(part));
        Ok(())
    }

    async fn blocks(&self, blocks: (i64, i64)) -> Result<Pass> {
        let mut connection = self.pool.acquire().await?;
        let mut tx = connection.begin_with(BY_KEYS).await?;
        let claims = in_blocks(&mut tx, blocks).await?;
        let mut pass = Pass::default();
        pass.count("claims", to_u64(claims.len()));
        let (roots, others): (Vec<_>, Vec<_>) = claims
            .into_iter()
            .partition(|claim| claim.id == claim.message);
        let uncharged = self.count(&roots)?;
        let known = message::having_events(&mut tx, &uncharged).await?;
        for id in uncharged.into_iter().filter(|id| !known.contains(id)) {
            let name = MessageId(id).public();
            pass.find(Finding::of(format!(
                "message {name} is claimed, and nothing is on record about it"
            )));
        }
        further(&mut tx, &others, &mut pass).await?;
        tx.rollback().await?;
        Ok(pass)
    }

    /// Counts the charges that messages' own claims tell of; returns the messages that were not charged
    /// when they were claimed.
    fn count(&self, roots: &[ClaimRow]) -> Result<Vec<Uuid>> {
        let mut tally = self.tally.lock().map_err(|_| Error::Stopped)?;
        let mut uncharged = Vec::new();
        for claim in roots {
            match place(claim) {
                Some(place) => tally.add(&place),
                None => uncharged.push(claim.id),
            }
        }
        Ok(uncharged)
    }

    /// Compares what claims tell of with what is left of the journal's entries without those that events
    /// tell of. Where it differs, claims have come meanwhile, or something is wrong.
    pub(crate) async fn compare(&self, journal: &Tally, pass: &mut Pass) -> Result<()> {
        let told = self.tally.lock().map_err(|_| Error::Stopped)?.clone();
        let differences = journal.differences(&told);
        let mut connection = self.pool.acquire().await?;
        let mut is_sound = differences.len() <= DIFFERENCES_MAX;
        for (range, expected) in differences {
            if !is_sound {
                break;
            }
            let claims = told_in_range(&mut connection, range, &self.cut).await?;
            let is_missing = claims.iter().any(|claim| claim.is_old.is_none());
            let old = claims.iter().filter(|claim| claim.is_old == Some(true));
            let sum = old.fold(0_u64, |sum, claim| {
                sum.wrapping_add(told.hash(&claim.place))
            });
            is_sound = !is_missing && sum == expected;
        }
        if is_sound {
            return Ok(());
        }
        let mut tx = connection.begin_with(AS_IT_COMES).await?;
        for place in all_untold(&mut tx).await? {
            pass.find(Finding::at(place.account_id, Some(place.entry), UNTOLD));
        }
        for missing in missing_charges(&mut tx).await? {
            let name = MessageId(missing.message).public();
            let by = missing
                .number
                .map_or("its claim".to_owned(), |number| format!("event {number}"));
            let what = format!(
                "message {name} is charged by it, says {by}, but there is no such entry of the message"
            );
            pass.find(Finding::at(missing.account_id, Some(missing.entry), what));
        }
        tx.rollback().await?;
        Ok(())
    }
}

/// Claims of further ids: each leads to a message that has a claim of its own, and says of its charge, if
/// anything, what the message says.
async fn further(tx: &mut PgConnection, claims: &[ClaimRow], pass: &mut Pass) -> Result<()> {
    if claims.is_empty() {
        return Ok(());
    }
    let messages: Vec<Uuid> = claims.iter().map(|claim| claim.message).collect();
    let roots = of_ids(tx, &messages).await?;
    let roots: HashMap<Uuid, ClaimRow> = roots.into_iter().map(|root| (root.id, root)).collect();
    let mut charged = Vec::new();
    for claim in claims {
        let root = roots.get(&claim.message);
        let root = root.filter(|root| root.message == claim.message);
        match (root.map(place), place(claim)) {
            (None, _) => pass.find(finding(claim, "which nobody has claimed")),
            (Some(Some(first)), Some(told)) if first != told => {
                pass.find(finding(claim, NOT_CHARGED_THERE));
            }
            // What waited before it was charged has an event that tells.
            (Some(None), Some(told)) => charged.push((claim, told)),
            (Some(_), _) => {}
        }
    }
    let (charged, places): (Vec<_>, Vec<_>) = charged.into_iter().unzip();
    for place in untold(tx, &places).await? {
        let place = usize::try_from(place)
            .ok()
            .and_then(|place| place.checked_sub(1));
        if let Some(claim) = place.and_then(|place| charged.get(place)) {
            pass.find(finding(claim, NOT_CHARGED_THERE));
        }
    }
    Ok(())
}

const NOT_CHARGED_THERE: &str = "which was not first charged there";

fn place(claim: &ClaimRow) -> Option<ChargePlace> {
    Some(ChargePlace {
        message: claim.message,
        account_id: claim.account_id?,
        entry: claim.entry?,
    })
}

fn finding(claim: &ClaimRow, what: &str) -> Finding {
    let name = MessageId(claim.message).public();
    Finding {
        account_id: claim.account_id,
        entry: claim.entry,
        ..Finding::of(format!(
            "id {} is one of message {name}, {what}",
            claim.id.simple()
        ))
    }
}
