//! One transaction for one group of messages.

use std::collections::{HashMap, HashSet};

use shared::api::{EntryKind, HoldStatus, Outcome, QuarantineReason, WebhookAnswer};
use shared::dify::MessageUsage;
use shared::money::Points;
use shared::price::{PriceBook, Unpriced};
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, PgPool, Row};
use uuid::Uuid;

use super::{Consumption, Delivery, NotPriced, Resolution, price, public_id};
use crate::chain::{self, Hash};
use crate::deliveries::Trace;
use crate::error::Result;
use crate::holds::{self, HeldPoints};
use crate::journal::{Claim, CreditTerms, Draft, hash_from};
use crate::locked::{self, Accounts};
use crate::{PRICE_LOCK, Settings, audit, prices, quarantine};

/// What became of one message of a group.
pub(super) enum Verdict {
    Answer(WebhookAnswer),
    Conflict {
        message_id: String,
    },
    /// It was to leave quarantine, where it is no longer.
    Gone,
}

/// Prices, deduplicates, chains and writes a group, and gives one verdict for each message, in order.
pub(super) async fn commit(
    pool: &PgPool,
    prices: &prices::Cache,
    settings: &Settings,
    deliveries: &[Delivery],
) -> Result<Vec<Verdict>> {
    let mut connection = pool.acquire().await?;
    loop {
        // While the shared lock is held no price can be published, so the book read below stays the
        // right one until the commit.
        let mut tx = connection.begin_with(BEGIN).await?;
        let ids = deliveries
            .iter()
            .map(|delivery| chain::account_id(&delivery.message.user_id));
        let Some(mut accounts) = locked::lock_rows(&mut tx, ids).await? else {
            tx.rollback().await?;
            let users: Vec<_> = deliveries
                .iter()
                .map(|delivery| &delivery.message.user_id)
                .collect();
            locked::open(&mut connection, &users).await?;
            continue;
        };
        let holds = find_holds(&mut tx, deliveries).await?;
        let identities: Vec<_> = deliveries
            .iter()
            .map(|delivery| identity(&holds, delivery))
            .collect();
        let mut known = lookup(&mut tx, &mut accounts, &identities).await?;
        let waiting = lock_waiting(&mut tx, deliveries, &mut known).await?;
        let book = prices.at_revision(&mut tx, known.price_revision).await?;
        let mut batch = Batch {
            tokens_max: settings.message_tokens_max,
            accounts,
            messages: known.messages,
            waiting,
            holds,
            traces: Vec::with_capacity(deliveries.len()),
            quarantined: Vec::new(),
            released: Vec::new(),
            settled: Vec::new(),
        };
        let mut verdicts = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            verdicts.push(batch.judge(delivery, &book)?);
        }
        batch.write(&mut tx).await?;
        tx.commit().await?;
        return Ok(verdicts);
    }
}

/// The transaction begins by joining the price lock, in the same round trip.
const BEGIN: &str = "begin; select pg_advisory_xact_lock_shared(128021909209090)";
const _: () = assert!(PRICE_LOCK == 128_021_909_209_090);

/// The holds that the group settles; their accounts are locked.
async fn find_holds(
    tx: &mut PgConnection,
    deliveries: &[Delivery],
) -> Result<HashMap<Uuid, HeldPoints>> {
    let mut found = HashMap::new();
    for delivery in deliveries {
        if let Some(hold_id) = delivery.hold_id {
            let account_id = chain::account_id(&delivery.message.user_id);
            if let Some(held) = holds::find(tx, account_id, hold_id).await? {
                found.insert(hold_id, held);
            }
        }
    }
    Ok(found)
}

/// What is on record about a message.
#[derive(Clone, Copy)]
struct Recorded {
    fingerprint: Hash,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Charged(Charge),
    /// In quarantine; the row's id is absent while this very group writes it.
    Waiting(Option<Uuid>),
}

#[derive(Clone, Copy)]
struct Charge {
    consumption_id: Uuid,
    total_tokens: i64,
    charge_nano: i64,
    balance_after_nano: i64,
}

type MessageKey = (i64, String);

struct Known {
    messages: HashMap<MessageKey, Recorded>,
    price_revision: i64,
}

/// A message's identity. A hold that is settled is settled by that message for good, whatever a
/// second settlement calls it.
fn identity(holds: &HashMap<Uuid, HeldPoints>, delivery: &Delivery) -> MessageKey {
    let settled = delivery
        .hold_id
        .and_then(|hold_id| holds.get(&hold_id))
        .and_then(|held| Some((held.namespace_id?, held.message_id.clone()?)));
    settled.unwrap_or_else(|| {
        (
            delivery.source.namespace_id,
            delivery.message.message_id.clone(),
        )
    })
}

/// Reads what is known about the group's messages, the price revision, and the credits of the
/// locked accounts, in one round trip.
async fn lookup(
    tx: &mut PgConnection,
    accounts: &mut Accounts,
    identities: &[MessageKey],
) -> Result<Known> {
    let namespaces: Vec<i64> = identities.iter().map(|(namespace, _)| *namespace).collect();
    let message_ids: Vec<&str> = identities.iter().map(|(_, id)| id.as_str()).collect();
    let rows = sqlx::query(
        "select clock_timestamp() as now,
                (select coalesce(max(price_version_id), 0) from price_version) as price_revision,
                k.namespace_id, k.message_id,
                m.fingerprint, m.consumption_id, m.total_tokens, m.charge_nano, m.balance_after_nano,
                q.quarantine_id, q.fingerprint as waiting_fingerprint,
                null::uuid as account_id, null::bigint as entry, null::bigint as amount_nano,
                null::bigint as remaining_nano, null::boolean as is_bought,
                null::timestamptz as expires_at
         from unnest($2::bigint[], $3::text[]) as k (namespace_id, message_id)
         left join message m on m.namespace_id = k.namespace_id and m.message_id = k.message_id
         left join quarantine q on q.namespace_id = k.namespace_id and q.message_id = k.message_id
             and q.status = 'waiting'
         union all
         select clock_timestamp(), 0, null, null, null, null, null, null, null, null, null,
                account_id, entry, amount_nano, remaining_nano, is_bought, expires_at
         from credit where account_id = any($1) and remaining_nano > 0",
    )
    .bind(accounts.ids())
    .bind(namespaces)
    .bind(message_ids)
    .fetch_all(tx)
    .await?;
    accounts.take_credits(&rows)?;
    let mut known = Known {
        messages: HashMap::with_capacity(rows.len()),
        price_revision: 0,
    };
    for row in &rows {
        known.price_revision = known.price_revision.max(row.try_get("price_revision")?);
        if let Some(recorded) = recorded(row)? {
            let key = (row.try_get("namespace_id")?, row.try_get("message_id")?);
            known.messages.insert(key, recorded);
        }
    }
    Ok(known)
}

/// Locks the quarantine rows that the group may release, so that none is dismissed meanwhile, and
/// forgets those that have stopped waiting.
async fn lock_waiting(
    tx: &mut PgConnection,
    deliveries: &[Delivery],
    known: &mut Known,
) -> Result<HashSet<Uuid>> {
    let found = known.messages.values().filter_map(|recorded| {
        let State::Waiting(quarantine_id) = recorded.state else {
            return None;
        };
        quarantine_id
    });
    let resolved = deliveries
        .iter()
        .filter_map(|delivery| Some(delivery.resolves.as_ref()?.quarantine_id));
    let ids: Vec<Uuid> = found.chain(resolved).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let waiting = quarantine::lock_waiting(tx, &ids).await?;
    known.messages.retain(|_, recorded| match recorded.state {
        State::Waiting(Some(quarantine_id)) => waiting.contains(&quarantine_id),
        _ => true,
    });
    Ok(waiting)
}

fn recorded(row: &PgRow) -> Result<Option<Recorded>> {
    if let Some(fingerprint) = row.try_get::<Option<Vec<u8>>, _>("fingerprint")? {
        return Ok(Some(Recorded {
            fingerprint: hash_from(fingerprint)?,
            state: State::Charged(Charge {
                consumption_id: row.try_get("consumption_id")?,
                total_tokens: row.try_get("total_tokens")?,
                charge_nano: row.try_get("charge_nano")?,
                balance_after_nano: row.try_get("balance_after_nano")?,
            }),
        }));
    }
    let Some(fingerprint) = row.try_get::<Option<Vec<u8>>, _>("waiting_fingerprint")? else {
        return Ok(None);
    };
    Ok(Some(Recorded {
        fingerprint: hash_from(fingerprint)?,
        state: State::Waiting(row.try_get("quarantine_id")?),
    }))
}

/// A quarantine row whose message is charged.
struct Release<'a> {
    quarantine_id: Uuid,
    message: &'a MessageUsage,
    resolution: Option<&'a Resolution>,
}

/// A group while it is judged: the rows it will write.
struct Batch<'a> {
    tokens_max: u64,
    accounts: Accounts,
    messages: HashMap<MessageKey, Recorded>,
    /// Quarantine rows that wait, locked.
    waiting: HashSet<Uuid>,
    holds: HashMap<Uuid, HeldPoints>,
    traces: Vec<Trace<'a>>,
    quarantined: Vec<(&'a Delivery, Hash, QuarantineReason)>,
    released: Vec<Release<'a>>,
    settled: Vec<(&'a Delivery, Uuid)>,
}

impl<'a> Batch<'a> {
    fn judge(&mut self, delivery: &'a Delivery, book: &PriceBook) -> Result<Verdict> {
        if let Some(resolution) = &delivery.resolves
            && !self.waiting.contains(&resolution.quarantine_id)
        {
            return Ok(Verdict::Gone);
        }
        let fingerprint = delivery.fingerprint();
        let key = identity(&self.holds, delivery);
        let waiting = match self.messages.get(&key).copied() {
            Some(Recorded {
                state: State::Charged(charge),
                fingerprint: charged,
            }) => {
                if charged != fingerprint {
                    return Ok(self.conflict(delivery));
                }
                self.settle_hold(delivery, &key)?;
                self.release(delivery, None);
                return Ok(self.duplicate(delivery, charge));
            }
            Some(Recorded {
                state: State::Waiting(waiting),
                fingerprint: reported,
            }) => {
                // Whoever resolves it may put the numbers right.
                if reported != fingerprint && delivery.resolves.is_none() {
                    return Ok(self.conflict(delivery));
                }
                Some(waiting)
            }
            None => None,
        };
        match self.charge(delivery, &key, fingerprint, book)? {
            Ok(charge) => {
                self.settle_hold(delivery, &key)?;
                self.release(delivery, waiting.flatten());
                self.messages.insert(
                    key,
                    Recorded {
                        fingerprint,
                        state: State::Charged(charge),
                    },
                );
                self.trace(delivery, Outcome::Charged, None, Some(charge));
                Ok(Verdict::Answer(charge.answer(Outcome::Charged)))
            }
            Err(reason) => {
                if waiting.is_none() && delivery.resolves.is_none() {
                    self.quarantined.push((delivery, fingerprint, reason));
                    self.messages.insert(
                        key,
                        Recorded {
                            fingerprint,
                            state: State::Waiting(None),
                        },
                    );
                }
                // What is told is why it waits now; the row keeps why it came there.
                self.quarantine(delivery, reason)
            }
        }
    }

    /// Appends the charge to the account's chain, or says why there is none.
    fn charge(
        &mut self,
        delivery: &'a Delivery,
        (namespace_id, message_id): &MessageKey,
        fingerprint: Hash,
        book: &PriceBook,
    ) -> Result<std::result::Result<Charge, QuarantineReason>> {
        let message = &delivery.message;
        if delivery.resolves.is_none()
            && let Some(reason) = doubt(message, self.tokens_max)
        {
            return Ok(Err(reason));
        }
        let occurred_at = delivery.occurred_at(self.accounts.now().into());
        let (lines, points) = match price(book, message, occurred_at) {
            Ok(priced) => priced,
            Err(NotPriced::Unpriced(Unpriced::UnknownModel)) => {
                return Ok(Err(QuarantineReason::UnknownModel));
            }
            Err(NotPriced::Unpriced(Unpriced::InactivePrice)) => {
                return Ok(Err(QuarantineReason::InactivePrice));
            }
            Err(NotPriced::Overflow) => return Ok(Err(QuarantineReason::Overflow)),
        };
        let (Ok(amount), Ok(total_tokens)) =
            (points.negated(), i64::try_from(message.total_tokens()))
        else {
            return Ok(Err(QuarantineReason::Overflow));
        };
        let consumption_id = Uuid::now_v7();
        let draft = Draft {
            occurred_at: occurred_at.moment(),
            kind: EntryKind::Charge,
            amount,
            corrects_entry: None,
            reason: None,
            actor: None,
            consumption: Some(Claim {
                fingerprint,
                consumption: Consumption {
                    consumption_id,
                    namespace_id: *namespace_id,
                    message_id: message_id.clone(),
                    conversation_id: message.conversation_id.clone(),
                    request_id: message.request_id.clone(),
                    api_key_id: delivery.source.id,
                    entrance: delivery.entrance.as_str().to_owned(),
                    occurred_at: occurred_at.moment(),
                    total_tokens,
                    charge_nano: points.nano(),
                    lines,
                },
            }),
            terms: CreditTerms::default(),
        };
        let account_id = chain::account_id(&message.user_id);
        let balance_after_nano = match self.accounts.append(account_id, draft)? {
            Ok(link) => link.entry.balance_after_nano,
            Err(_) => return Ok(Err(QuarantineReason::Overflow)),
        };
        Ok(Ok(Charge {
            consumption_id,
            total_tokens,
            charge_nano: points.nano(),
            balance_after_nano,
        }))
    }

    /// Settles the hold that the message names, also when another entrance was charged first: the
    /// call is over either way.
    fn settle_hold(
        &mut self,
        delivery: &'a Delivery,
        (namespace_id, message_id): &MessageKey,
    ) -> Result<()> {
        if let Some(hold_id) = delivery.hold_id
            && let Some(held) = self.holds.get_mut(&hold_id)
            && held.status != HoldStatus::Settled
        {
            if held.status == HoldStatus::Open {
                self.accounts
                    .get_mut(chain::account_id(&delivery.message.user_id))?
                    .unhold(held.amount_nano)?;
            }
            held.status = HoldStatus::Settled;
            held.namespace_id = Some(*namespace_id);
            held.message_id = Some(message_id.clone());
            self.settled.push((delivery, hold_id));
        }
        Ok(())
    }

    /// The message of this delivery needs to wait no longer, wherever it waited.
    fn release(&mut self, delivery: &'a Delivery, waiting: Option<Uuid>) {
        let resolution = delivery.resolves.as_ref();
        let resolved = resolution.map(|resolution| resolution.quarantine_id);
        for quarantine_id in resolved
            .into_iter()
            .chain(waiting.filter(|id| Some(*id) != resolved))
        {
            self.released.push(Release {
                quarantine_id,
                message: &delivery.message,
                resolution: resolution.filter(|_| Some(quarantine_id) == resolved),
            });
        }
    }

    fn conflict(&mut self, delivery: &'a Delivery) -> Verdict {
        self.trace(delivery, Outcome::Conflict, Some("message_conflict"), None);
        Verdict::Conflict {
            message_id: delivery.message.message_id.clone(),
        }
    }

    fn duplicate(&mut self, delivery: &'a Delivery, charge: Charge) -> Verdict {
        self.trace(delivery, Outcome::Duplicate, None, Some(charge));
        Verdict::Answer(charge.answer(Outcome::Duplicate))
    }

    fn quarantine(&mut self, delivery: &'a Delivery, reason: QuarantineReason) -> Result<Verdict> {
        self.trace(delivery, Outcome::Quarantined, Some(reason.as_str()), None);
        let account = self.accounts.get(&delivery.message.user_id)?;
        let balance = Points::from_nano(account.balance_nano);
        Ok(Verdict::Answer(WebhookAnswer {
            status: Outcome::Quarantined,
            consumption_id: None,
            points_deducted: Points::ZERO,
            points_deducted_nano: Points::ZERO.into(),
            tokens_used: delivery.message.total_tokens(),
            balance,
            balance_nano: balance.into(),
            reason: Some(reason),
        }))
    }

    fn trace(
        &mut self,
        delivery: &'a Delivery,
        outcome: Outcome,
        reason: Option<&'static str>,
        charge: Option<Charge>,
    ) {
        self.traces.push(Trace {
            received_at: delivery.received_at.moment(),
            api_key_id: delivery.source.id,
            entrance: delivery.entrance.as_str(),
            outcome,
            reason,
            usage: Some(&delivery.message),
            charge_nano: charge.map(|charge| charge.charge_nano),
            balance_after_nano: charge.map(|charge| charge.balance_after_nano),
            consumption_id: charge.map(|charge| charge.consumption_id),
            body: (outcome == Outcome::Conflict).then_some(delivery.body.as_slice()),
        });
    }

    async fn write(self, tx: &mut PgConnection) -> Result<()> {
        // Fails on `message_pkey` when another process has won a claim: the group is tried again.
        self.accounts.write_traced(tx, &self.traces).await?;
        for (delivery, hold_id) in &self.settled {
            let account_id = chain::account_id(&delivery.message.user_id);
            if let Some(held) = self.holds.get(hold_id)
                && let (Some(namespace_id), Some(message_id)) =
                    (held.namespace_id, held.message_id.as_deref())
            {
                holds::settle(tx, account_id, *hold_id, namespace_id, message_id).await?;
            }
        }
        for (delivery, fingerprint, reason) in &self.quarantined {
            quarantine::insert(tx, delivery, fingerprint, *reason).await?;
        }
        for release in &self.released {
            let by = release
                .resolution
                .and_then(|resolution| resolution.by.as_ref());
            let actor = by.map(|(actor, _)| actor);
            quarantine::mark_charged(tx, release.quarantine_id, actor).await?;
            if let Some((actor, reported)) = by {
                audit::record(
                    tx,
                    actor,
                    "quarantine.charge",
                    &release.message.message_id,
                    reported.as_ref(),
                    Some(release.message),
                )
                .await?;
            }
        }
        Ok(())
    }
}

/// Why a report cannot be believed as it stands.
fn doubt(message: &MessageUsage, tokens_max: u64) -> Option<QuarantineReason> {
    if message.is_contradictory() {
        Some(QuarantineReason::ContradictoryTokens)
    } else if message.is_missing_usage() {
        Some(QuarantineReason::ZeroUsage)
    } else if message.total_tokens() > tokens_max {
        Some(QuarantineReason::TooManyTokens)
    } else {
        None
    }
}

impl Charge {
    fn answer(self, status: Outcome) -> WebhookAnswer {
        let points = Points::from_nano(self.charge_nano);
        let balance = Points::from_nano(self.balance_after_nano);
        WebhookAnswer {
            status,
            consumption_id: Some(public_id(self.consumption_id)),
            points_deducted: points,
            points_deducted_nano: points.into(),
            tokens_used: u64::try_from(self.total_tokens).unwrap_or(0),
            balance,
            balance_nano: balance.into(),
            reason: None,
        }
    }
}
