//! What waits: each report that does has its place in quarantine, and the other way round; and what was
//! answered that it waits, does or did.

use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection, PgPool};

use super::report::{Finding, Pass};
use crate::error::Result;
use crate::records::hash::MessageId;
use crate::store::partition::{DELIVERY_LOG, rows_dropped};
use crate::store::verification::AS_IT_COMES;
use crate::store::verification::quarantine::{
    QuarantinedDelivery, StrayWait, bodies_not_waiting, counts, deliveries, not_waiting,
    without_event, without_place,
};

/// Deliveries looked at in one snapshot.
const DELIVERIES_MAX: i64 = 5_000;

pub(super) async fn quarantine(pool: &PgPool) -> Result<Pass> {
    let mut pass = Pass::new("quarantine");
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin_with(AS_IT_COMES).await?;
    for name in ["waiting", "resolved", "deliveries"] {
        pass.count(name, 0);
    }
    for (status, count) in counts(&mut tx).await? {
        let name = if status == "waiting" {
            "waiting"
        } else {
            "resolved"
        };
        pass.count(name, u64::try_from(count).unwrap_or(0));
    }
    // What nobody can look at any longer.
    let dropped = rows_dropped(&mut *tx, DELIVERY_LOG).await?;
    pass.count("droppedDeliveries", u64::try_from(dropped).unwrap_or(0));
    for stray in without_event(&mut tx).await? {
        pass.find(finding(
            &stray,
            "is in quarantine, but not among the message's reports",
        ));
    }
    for stray in without_place(&mut tx).await? {
        pass.find(finding(&stray, "waits, but is not in quarantine"));
    }
    tx.rollback().await?;
    let mut after = ("0".to_owned(), 0);
    loop {
        let mut tx = connection.begin_with(AS_IT_COMES).await?;
        let rows = deliveries(&mut tx, (&after.0, after.1), DELIVERIES_MAX).await?;
        let Some(last) = rows.last() else {
            return Ok(pass);
        };
        after = (last.tx.clone(), last.id);
        look_up(&mut tx, &rows, &mut pass).await?;
        tx.rollback().await?;
    }
}

fn finding(stray: &StrayWait, what: &str) -> Finding {
    let name = MessageId(stray.message).public();
    Finding {
        account_id: stray.account_id,
        ..Finding::of(format!("report {} of message {name} {what}", stray.number))
    }
}

/// Looks for what waits, or waited, of deliveries that were to wait. Which report of its message a delivery
/// was, is not known, so one suffices; of a body that could not be read, its digest is.
async fn look_up(
    tx: &mut PgConnection,
    rows: &[QuarantinedDelivery],
    pass: &mut Pass,
) -> Result<()> {
    let mut told = (Vec::new(), Vec::new(), Vec::new());
    let mut unread = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        pass.count("deliveries", 1);
        match (&row.message_id, &row.body) {
            (Some(id), _) => {
                told.0.push(MessageId::new(row.namespace_id, id).0);
                told.1.push(row.api_key_id);
                told.2.push(format!("of message {id}"));
            }
            (None, Some(body)) => {
                unread.0.push(row.namespace_id);
                unread.1.push(Sha256::digest(body).to_vec());
                unread.2.push("that could not be read".to_owned());
            }
            (None, None) => {}
        }
    }
    let mut missing = Vec::new();
    for place in not_waiting(tx, &told.0, &told.1).await? {
        missing.push((place, &told.2));
    }
    for place in bodies_not_waiting(tx, &unread.0, &unread.1).await? {
        missing.push((place, &unread.2));
    }
    for (place, names) in missing {
        let place = usize::try_from(place)
            .ok()
            .and_then(|place| place.checked_sub(1));
        if let Some(name) = place.and_then(|place| names.get(place)) {
            pass.find(Finding::of(format!(
                "a delivery {name} was to wait, and is not in quarantine"
            )));
        }
    }
    Ok(())
}
