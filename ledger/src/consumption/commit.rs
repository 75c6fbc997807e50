//! One transaction for one group of messages.

use std::collections::HashMap;

use shared::api::{EntryKind, Outcome, QuarantineReason, WebhookAnswer};
use shared::money::Points;
use shared::price::Unpriced;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Connection, PgConnection, PgPool, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Consumption, Delivery, NotPriced, price, public_id};
use crate::chain::{self, Hash};
use crate::deliveries::{self, Trace};
use crate::error::{Error, Result};
use crate::journal::{self, Account, Draft, Link};
use crate::quarantine;
use crate::{PRICE_LOCK, prices};

/// What became of one message of a group.
pub(super) enum Verdict {
    Answer(WebhookAnswer),
    Conflict { message_id: String },
}

/// Prices, deduplicates, chains and writes a group, and gives one verdict for each message, in order.
pub(super) async fn commit(
    pool: &PgPool,
    prices: &prices::Cache,
    deliveries: &[Delivery],
) -> Result<Vec<Verdict>> {
    let mut connection = pool.acquire().await?;
    let users: Vec<_> = deliveries
        .iter()
        .map(|delivery| &delivery.message.user_id)
        .collect();
    loop {
        // While the shared lock is held no price can be published, so the book read below stays the
        // right one until the commit.
        let mut tx = connection.begin_with(format_lock()).await?;
        let Some(accounts) = journal::lock_accounts(&mut tx, &users).await? else {
            // Accounts are opened outside the transaction: inserting while holding row locks could
            // deadlock with another process.
            tx.rollback().await?;
            journal::open_accounts(&mut connection, &users).await?;
            continue;
        };
        let known = lookup(&mut tx, deliveries).await?;
        let book = prices.at_revision(&mut tx, known.price_revision).await?;
        let mut batch = Batch {
            accounts,
            messages: known.messages,
            now: known.now,
            links: Vec::new(),
            traces: Vec::with_capacity(deliveries.len()),
            quarantined: Vec::new(),
            released: Vec::new(),
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

fn format_lock() -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!(
        "begin; select pg_advisory_xact_lock_shared({PRICE_LOCK})"
    ))
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
    Waiting {
        /// Absent while the row is still being written by this group.
        quarantine_id: Option<Uuid>,
        reason: QuarantineReason,
    },
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
    now: OffsetDateTime,
}

/// Reads what is known about the group's messages, the price revision and the time, in one round trip.
async fn lookup(tx: &mut PgConnection, deliveries: &[Delivery]) -> Result<Known> {
    let namespaces: Vec<i64> = deliveries
        .iter()
        .map(|delivery| delivery.source.namespace_id)
        .collect();
    let message_ids: Vec<&str> = deliveries
        .iter()
        .map(|delivery| delivery.message.message_id.as_str())
        .collect();
    let rows = sqlx::query(
        "select clock_timestamp() as now,
                (select coalesce(max(price_version_id), 0) from price_version) as price_revision,
                k.namespace_id, k.message_id,
                m.fingerprint, m.consumption_id, m.total_tokens, m.charge_nano, m.balance_after_nano,
                q.quarantine_id, q.fingerprint as waiting_fingerprint, q.reason
         from unnest($1::bigint[], $2::text[]) as k (namespace_id, message_id)
         left join message m on m.namespace_id = k.namespace_id and m.message_id = k.message_id
         left join quarantine q on q.namespace_id = k.namespace_id and q.message_id = k.message_id
             and q.status = 'waiting'",
    )
    .bind(namespaces)
    .bind(message_ids)
    .fetch_all(tx)
    .await?;
    let mut known = Known {
        messages: HashMap::with_capacity(rows.len()),
        price_revision: 0,
        now: OffsetDateTime::UNIX_EPOCH,
    };
    for row in &rows {
        known.price_revision = row.try_get("price_revision")?;
        known.now = row.try_get("now")?;
        if let Some(recorded) = recorded(row)? {
            let key = (row.try_get("namespace_id")?, row.try_get("message_id")?);
            known.messages.insert(key, recorded);
        }
    }
    Ok(known)
}

fn recorded(row: &PgRow) -> Result<Option<Recorded>> {
    if let Some(fingerprint) = row.try_get::<Option<Vec<u8>>, _>("fingerprint")? {
        return Ok(Some(Recorded {
            fingerprint: journal::hash_from(fingerprint)?,
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
        fingerprint: journal::hash_from(fingerprint)?,
        state: State::Waiting {
            quarantine_id: row.try_get("quarantine_id")?,
            reason: quarantine::reason(row.try_get("reason")?)?,
        },
    }))
}

/// A group while it is judged: the rows it will write.
struct Batch<'a> {
    accounts: HashMap<Uuid, Account>,
    messages: HashMap<MessageKey, Recorded>,
    now: OffsetDateTime,
    links: Vec<(Link, Hash)>,
    traces: Vec<Trace<'a>>,
    quarantined: Vec<(&'a Delivery, Hash, QuarantineReason)>,
    released: Vec<Uuid>,
}

impl<'a> Batch<'a> {
    fn judge(
        &mut self,
        delivery: &'a Delivery,
        book: &shared::price::PriceBook,
    ) -> Result<Verdict> {
        let fingerprint = delivery.fingerprint();
        let key = (
            delivery.source.namespace_id,
            delivery.message.message_id.clone(),
        );
        let waiting = match self.messages.get(&key) {
            Some(recorded) if recorded.fingerprint != fingerprint => {
                return Ok(self.conflict(delivery));
            }
            Some(Recorded {
                state: State::Charged(charge),
                ..
            }) => {
                let charge = *charge;
                return Ok(self.duplicate(delivery, charge));
            }
            Some(Recorded {
                state:
                    State::Waiting {
                        quarantine_id,
                        reason,
                    },
                ..
            }) => Some((*quarantine_id, *reason)),
            None => None,
        };
        match self.charge(delivery, book) {
            Ok(link) => {
                let charge = charge_of(&link)?;
                if let Some((Some(quarantine_id), _)) = waiting {
                    self.released.push(quarantine_id);
                }
                self.messages.insert(
                    key,
                    Recorded {
                        fingerprint,
                        state: State::Charged(charge),
                    },
                );
                self.links.push((link, fingerprint));
                self.trace(delivery, Outcome::Charged, None, Some(charge));
                Ok(Verdict::Answer(charge.answer(Outcome::Charged)))
            }
            Err(reason) => {
                if waiting.is_none() {
                    self.quarantined.push((delivery, fingerprint, reason));
                    self.messages.insert(
                        key,
                        Recorded {
                            fingerprint,
                            state: State::Waiting {
                                quarantine_id: None,
                                reason,
                            },
                        },
                    );
                }
                // What is told is why it waits now; the row keeps why it came there.
                Ok(self.quarantine(delivery, reason))
            }
        }
    }

    /// Appends the charge to the account's chain, or says why there is none.
    fn charge(
        &mut self,
        delivery: &Delivery,
        book: &shared::price::PriceBook,
    ) -> std::result::Result<Link, QuarantineReason> {
        if delivery.message.is_contradictory() {
            return Err(QuarantineReason::ContradictoryTokens);
        }
        let occurred_at = delivery.occurred_at(self.now.into());
        let (lines, charge) =
            price(book, &delivery.message, occurred_at).map_err(|error| match error {
                NotPriced::Unpriced(Unpriced::UnknownModel) => QuarantineReason::UnknownModel,
                NotPriced::Unpriced(Unpriced::InactivePrice) => QuarantineReason::InactivePrice,
                NotPriced::Overflow => QuarantineReason::Overflow,
            })?;
        let account = self
            .accounts
            .get_mut(&chain::account_id(&delivery.message.user_id))
            .ok_or(QuarantineReason::Overflow)?;
        let message = &delivery.message;
        let draft = Draft {
            recorded_at: self.now,
            occurred_at: occurred_at.moment(),
            kind: EntryKind::Charge,
            amount: charge.negated().map_err(|_| QuarantineReason::Overflow)?,
            reason: None,
            actor: None,
            consumption: Some(Consumption {
                consumption_id: Uuid::now_v7(),
                namespace_id: delivery.source.namespace_id,
                message_id: message.message_id.clone(),
                conversation_id: message.conversation_id.clone(),
                request_id: message.request_id.clone(),
                api_key_id: delivery.source.id,
                entrance: delivery.entrance.as_str().to_owned(),
                occurred_at: occurred_at.moment(),
                total_tokens: i64::try_from(message.total_tokens())
                    .map_err(|_| QuarantineReason::Overflow)?,
                charge_nano: charge.nano(),
                lines,
            }),
        };
        account
            .append(draft)
            .map_err(|_| QuarantineReason::Overflow)
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

    fn quarantine(&mut self, delivery: &'a Delivery, reason: QuarantineReason) -> Verdict {
        self.trace(delivery, Outcome::Quarantined, Some(reason.as_str()), None);
        let balance = self
            .accounts
            .get(&chain::account_id(&delivery.message.user_id))
            .map_or(Points::ZERO, |account| {
                Points::from_nano(account.balance_nano)
            });
        Verdict::Answer(WebhookAnswer {
            status: Outcome::Quarantined,
            consumption_id: None,
            points_deducted: Points::ZERO,
            points_deducted_nano: Points::ZERO.into(),
            tokens_used: delivery.message.total_tokens(),
            balance,
            balance_nano: balance.into(),
            reason: Some(reason),
        })
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
        if !self.links.is_empty() {
            insert_consumptions(tx, &self.links).await?;
            let links: Vec<_> = self.links.iter().map(|(link, _)| link).collect();
            journal::insert(tx, &links).await?;
            journal::update_accounts(tx, self.accounts.values(), self.now).await?;
        }
        for (delivery, fingerprint, reason) in &self.quarantined {
            quarantine::insert(tx, delivery, fingerprint, *reason).await?;
        }
        quarantine::resolve(tx, &self.released).await?;
        deliveries::insert(tx, &self.traces).await
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

fn charge_of(link: &Link) -> Result<Charge> {
    let consumption = consumption_of(link)?;
    Ok(Charge {
        consumption_id: consumption.consumption_id,
        total_tokens: consumption.total_tokens,
        charge_nano: consumption.charge_nano,
        balance_after_nano: link.entry.balance_after_nano,
    })
}

fn consumption_of(link: &Link) -> Result<&Consumption> {
    link.entry
        .consumption
        .as_ref()
        .ok_or_else(|| Error::corrupt("a charge without a consumption"))
}

/// Writes the consumptions and claims the messages' identities; a claim that another process won
/// fails on `message_pkey` and the group is tried again.
async fn insert_consumptions(tx: &mut PgConnection, links: &[(Link, Hash)]) -> Result<()> {
    let rows = links
        .iter()
        .map(|(link, fingerprint)| Ok((link, consumption_of(link)?, fingerprint.as_slice())))
        .collect::<Result<Vec<_>>>()?;
    macro_rules! column {
        ($field:expr) => {
            rows.iter().map($field).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "with input as (
             select * from unnest(
                 $1::uuid[], $2::bigint[], $3::timestamptz[], $4::uuid[], $5::bigint[], $6::text[],
                 $7::text[], $8::text[], $9::uuid[], $10::text[], $11::timestamptz[], $12::bigint[],
                 $13::bigint[], $14::jsonb[], $15::bytea[], $16::bigint[]
             ) as t (account_id, entry, recorded_at, consumption_id, namespace_id, message_id,
                 conversation_id, request_id, api_key_id, entrance, occurred_at, total_tokens,
                 charge_nano, lines, fingerprint, balance_after_nano)
         ), claimed as (
             insert into message (namespace_id, message_id, fingerprint, consumption_id,
                 total_tokens, charge_nano, balance_after_nano, recorded_at)
             select namespace_id, message_id, fingerprint, consumption_id,
                 total_tokens, charge_nano, balance_after_nano, recorded_at
             from input order by namespace_id, message_id
         )
         insert into consumption (account_id, entry, recorded_at, consumption_id, namespace_id,
             message_id, conversation_id, request_id, api_key_id, entrance, occurred_at,
             total_tokens, charge_nano, lines)
         select account_id, entry, recorded_at, consumption_id, namespace_id,
             message_id, conversation_id, request_id, api_key_id, entrance, occurred_at,
             total_tokens, charge_nano, lines
         from input",
    )
    .bind(column!(|(link, _, _)| link.entry.account_id))
    .bind(column!(|(link, _, _)| link.entry.entry))
    .bind(column!(|(link, _, _)| link.entry.recorded_at))
    .bind(column!(|(_, used, _)| used.consumption_id))
    .bind(column!(|(_, used, _)| used.namespace_id))
    .bind(column!(|(_, used, _)| used.message_id.as_str()))
    .bind(column!(|(_, used, _)| used.conversation_id.as_deref()))
    .bind(column!(|(_, used, _)| used.request_id.as_deref()))
    .bind(column!(|(_, used, _)| used.api_key_id))
    .bind(column!(|(_, used, _)| used.entrance.as_str()))
    .bind(column!(|(_, used, _)| used.occurred_at))
    .bind(column!(|(_, used, _)| used.total_tokens))
    .bind(column!(|(_, used, _)| used.charge_nano))
    .bind(column!(|(_, used, _)| Json(&used.lines)))
    .bind(column!(|(_, _, fingerprint)| *fingerprint))
    .bind(column!(|(link, _, _)| link.entry.balance_after_nano))
    .execute(tx)
    .await?;
    Ok(())
}
