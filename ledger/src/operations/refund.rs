//! Refunds: points of a message given back. Nothing is ever changed; a new entry says it.

use serde::Serialize;
use shared::api::{Balance, PostedEntry};
use shared::ids::UserId;
use shared::money::Points;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::charging::change::DecidedChange;
use crate::charging::message::Message;
use crate::charging::record::Record;
use crate::error::{Attempt, Error, OperationError, Result, refusal};
use crate::operations::account::{ReasonFault, checked_reason};
use crate::operations::idempotency::{self, KeyReused};
use crate::operations::ledger::Ledger;
use crate::posting::accounts;
use crate::records::actor::Actor;
use crate::records::entry::Decided;
use crate::records::hash::{Hasher, MessageId, account_id};
use crate::records::idempotency_key::IdempotencyKey;
use crate::store;
use crate::store::audit_log;
use crate::store::write::{self, Rows};

/// The user has no such charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownCharge;

refusal!(UnknownCharge);

/// Why no points were given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundRefusal {
    Reason(ReasonFault),
    Charge(UnknownCharge),
    /// Nothing is asked for, or nothing is left of the charge.
    NoPoints,
    /// More than the charge still stands for.
    MoreThanCharged,
    Key(KeyReused),
}

refusal!(
    RefundRefusal,
    Reason(ReasonFault),
    Charge(UnknownCharge),
    Key(KeyReused)
);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refunded<'a> {
    entry: i64,
    points: Points,
    reason: &'a str,
}

/// The message that an entry of a locked account is about.
async fn message_at(
    tx: &mut PgConnection,
    account_id: Uuid,
    entry: i64,
) -> Result<Option<Message>> {
    let Some(id) = store::message::of_entry(&mut *tx, account_id, entry).await? else {
        return Ok(None);
    };
    let id = MessageId(id);
    let record = Record::read(tx, &[id]).await?;
    let message = record.find(&[id]).first().and_then(|id| record.get(*id));
    Ok(message.filter(|message| message.entries.is_some()).cloned())
}

impl Ledger {
    /// Gives points of a charge back: all that is left of it, or a part.
    ///
    /// # Errors
    /// The user has no such charge; the points are more than it still stands for, or none; nobody can
    /// read the reason.
    pub async fn refund(
        &self,
        user: &UserId,
        entry: i64,
        points: Option<Points>,
        reason: &str,
        actor: &Actor,
    ) -> Attempt<Balance, RefundRefusal> {
        self.refund_once(user, entry, points, reason, None, actor)
            .await?;
        Ok(self.balance(user).await?)
    }

    /// As [`Ledger::refund`]; the same key again gives the first answer again.
    ///
    /// # Errors
    /// Also [`KeyReused`].
    pub async fn refund_once(
        &self,
        user: &UserId,
        entry: i64,
        points: Option<Points>,
        reason: &str,
        key: Option<&IdempotencyKey>,
        actor: &Actor,
    ) -> Attempt<PostedEntry, RefundRefusal> {
        let reason = checked_reason(reason)?;
        let account_id = account_id(user);
        let mut fingerprint = Hasher::new("tollgate refund 1");
        fingerprint.text(user.as_str());
        fingerprint.int(entry);
        // Nothing is not an amount that can be refunded, so it stands for "all that is left".
        fingerprint.int(points.map_or(0, Points::nano));
        fingerprint.text(reason);
        let mut tx = self.pool().begin_with(accounts::BEGIN).await?;
        let first = idempotency::claim(&mut tx, key, &fingerprint.finish()).await;
        if let Some(answer) = first.map_err(OperationError::widen)? {
            return Ok(answer);
        }
        let mut accounts = accounts::lock(&mut tx, [account_id])
            .await?
            .ok_or(UnknownCharge)?;
        let message = message_at(&mut tx, account_id, entry)
            .await?
            .ok_or(UnknownCharge)?;
        let points = points.unwrap_or(Points::from_nano(message.dues.owed_nano));
        if points <= Points::ZERO {
            return Err(RefundRefusal::NoPoints.into());
        }
        let change =
            DecidedChange::refund(&message, points.nano()).ok_or(RefundRefusal::MoreThanCharged)?;
        let by = Decided {
            reason,
            actor: &actor.name,
        };
        let (entered, event) = change.enter(&message, account_id, &mut accounts, by)?;
        let posted = entered
            .ok_or_else(|| Error::corrupt("a refund of nothing"))?
            .posted(user);
        let rows = Rows {
            events: vec![event],
            ..accounts.rows()
        };
        write::write(&mut tx, accounts.now(), &rows).await?;
        let after = Refunded {
            entry,
            points,
            reason,
        };
        let (action, subject) = ("charge.refund", user.as_str());
        audit_log::record(
            &mut tx,
            actor,
            action,
            subject,
            audit_log::NOTHING,
            Some(&after),
        )
        .await?;
        idempotency::keep(&mut tx, key, &posted).await?;
        tx.commit().await?;
        Ok(posted)
    }

    /// What is left to be given back of some of a user's messages, by the entries of their first
    /// charges; entries that are none are left out.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn refundable(&self, user: &UserId, entries: &[i64]) -> Result<Vec<(i64, Points)>> {
        let account_id = account_id(user);
        let charges = store::message::charges(self.pool(), account_id, entries).await?;
        let ids: Vec<MessageId> = charges.iter().map(|(_, id)| MessageId(*id)).collect();
        let mut connection = self.pool().acquire().await?;
        let record = Record::read(&mut connection, &ids).await?;
        let left = charges.into_iter().filter_map(|(entry, id)| {
            let message = record.get(*record.find(&[MessageId(id)]).first()?)?;
            // What turned out to be another message is given back there.
            let is_first = message
                .entries
                .is_some_and(|entries| entries.first == entry);
            let owed = if is_first { message.dues.owed_nano } else { 0 };
            Some((entry, Points::from_nano(owed)))
        });
        Ok(left.collect())
    }

    /// The entry of a charge, by its consumption's public id (`cons_…`).
    ///
    /// # Errors
    /// [`UnknownCharge`].
    pub async fn charge_entry(
        &self,
        user: &UserId,
        consumption_id: &str,
    ) -> Attempt<i64, UnknownCharge> {
        let id = MessageId::parse(consumption_id).ok_or(UnknownCharge)?;
        let mut connection = self.pool().acquire().await?;
        let record = Record::read(&mut connection, &[id]).await?;
        let found = record.find(&[id]);
        let message = found.first().and_then(|id| record.get(*id));
        let message = message.filter(|it| it.account_id == Some(account_id(user)));
        let entries = message.and_then(|message| message.entries);
        Ok(entries.ok_or(UnknownCharge)?.first)
    }
}
