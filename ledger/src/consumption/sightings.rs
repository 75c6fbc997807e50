//! Reports of a message beside the one that charged it: what they bring anew, what they take the
//! place of, and who saw what.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::Serialize;
use shared::api::EntryKind;
use shared::clock::Timestamp;
use shared::dify::{MessageUsage, ModelCall};
use shared::money::Points;
use shared::problem::Problem;
use shared::tokens::Tokens;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::known::{Known, MessageKey, Part};
use super::{Delivery, Line, public_id};
use crate::chain::Hash;
use crate::corrections;
use crate::error::{Error, Result};
use crate::journal::{CreditTerms, Draft};
use crate::{Ledger, page};

/// How a report differs from what was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    Tokens,
    /// It names another user; the first one paid.
    User,
}

impl Difference {
    const ALL: [Self; 2] = [Self::Tokens, Self::User];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::User => "user",
        }
    }
}

/// A row to be written.
pub(super) struct Seen<'a> {
    pub key: MessageKey,
    pub delivery: &'a Delivery,
    pub fingerprint: Hash,
    pub difference: Option<Difference>,
    pub consumption_id: Option<Uuid>,
}

pub(super) async fn insert(tx: &mut PgConnection, seen: &[Seen<'_>]) -> Result<()> {
    if seen.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($field:expr) => {
            seen.iter().map($field).collect::<Vec<_>>()
        };
    }
    fn tokens(seen: &Seen<'_>, count: fn(&Tokens) -> u64) -> i64 {
        let calls = seen.delivery.message.calls.iter();
        let sum = calls.fold(0_u64, |sum, call| sum.saturating_add(count(&call.tokens)));
        i64::try_from(sum).unwrap_or(i64::MAX)
    }
    sqlx::query(
        "insert into sighting (namespace_id, message_id, seen_at, api_key_id, entrance, evidence,
             fingerprint, user_id, input_tokens, output_tokens, difference, consumption_id)
         select * from unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::uuid[], $5::text[],
             $6::text[], $7::bytea[], $8::text[], $9::bigint[], $10::bigint[], $11::text[],
             $12::uuid[])",
    )
    .bind(column!(|seen| seen.key.0))
    .bind(column!(|seen| seen.key.1.as_str()))
    .bind(column!(|seen| seen.delivery.received_at.moment()))
    .bind(column!(|seen| seen.delivery.source.id))
    .bind(column!(|seen| seen.delivery.entrance.as_str()))
    .bind(column!(|seen| seen.delivery.message.evidence.as_str()))
    .bind(column!(|seen| seen.fingerprint.as_slice()))
    .bind(column!(|seen| seen.delivery.message.user_id.as_str()))
    .bind(column!(|seen| tokens(seen, Tokens::all_input)))
    .bind(column!(|seen| tokens(seen, Tokens::all_output)))
    .bind(column!(|seen| seen.difference.map(Difference::as_str)))
    .bind(column!(|seen| seen.consumption_id))
    .execute(tx)
    .await?;
    Ok(())
}

/// A charge by its account and entry.
type Place = (Uuid, i64);

/// What charges that may be continued or replaced used, and what of them was not given back.
#[derive(Default)]
pub(super) struct Standings(HashMap<Place, Charged>);

struct Charged {
    calls: Vec<(Option<String>, Tokens)>,
    left_nano: i64,
}

impl Charged {
    fn tokens(&self) -> Tokens {
        sum(self.calls.iter().map(|(_, tokens)| *tokens))
    }
}

impl Standings {
    /// A charge of this very group.
    pub fn charged(&mut self, account_id: Uuid, entry: i64, calls: &[ModelCall], charge_nano: i64) {
        let calls = calls.iter().map(|call| (call.call_id.clone(), call.tokens));
        self.0.insert(
            (account_id, entry),
            Charged {
                calls: calls.collect(),
                left_nano: charge_nano,
            },
        );
    }

    /// Whether a report tells at least of every call that was charged, and of no use where there was
    /// none: only then may it take the place of what was charged.
    pub fn are_covered(&self, standing: &[Part], message: &MessageUsage) -> Result<bool> {
        let charged = self.of(standing)?;
        let mut calls = charged.iter().flat_map(|charged| &charged.calls);
        Ok(calls.all(|(call_id, tokens)| {
            let told = match call_id {
                Some(id) => message
                    .calls
                    .iter()
                    .find(|call| call.call_id.as_ref() == Some(id))
                    .map(|call| call.tokens.total()),
                None => Some(message.total_tokens()),
            };
            told.is_some_and(|told| told > 0 || tokens.total() == 0)
        }))
    }

    /// Fails for a message that is only recognised by an id which this very group has brought: it was
    /// not read. The deliveries are tried again one by one.
    fn of(&self, standing: &[Part]) -> Result<Vec<&Charged>> {
        let unread = || Error::corrupt("what a message was charged for was not read");
        let charged = standing
            .iter()
            .map(|part| part.place.and_then(|place| self.0.get(&place)));
        charged.map(|charged| charged.ok_or_else(unread)).collect()
    }
}

fn sum(tokens: impl Iterator<Item = Tokens>) -> Tokens {
    tokens.fold(Tokens::default(), Tokens::saturating_plus)
}

/// Reads what is needed to continue or to replace what was charged before; as a rule nothing.
pub(super) async fn standings(
    tx: &mut PgConnection,
    deliveries: &[Delivery],
    names: &[Vec<MessageKey>],
    known: &Known,
) -> Result<Standings> {
    let mut standings = Standings::default();
    if known.is_empty() {
        return Ok(standings);
    }
    for (delivery, names) in deliveries.iter().zip(names) {
        let Some(message) = known.find(names).and_then(|key| known.get(&key)) else {
            continue;
        };
        let evidence = delivery.message.evidence;
        let standing = message.standing();
        if !delivery.continues && standing.iter().all(|part| part.evidence >= evidence) {
            continue;
        }
        for place in standing.iter().filter_map(|part| part.place) {
            if let Entry::Vacant(missing) = standings.0.entry(place) {
                missing.insert(charged(tx, place).await?);
            }
        }
    }
    Ok(standings)
}

async fn charged(tx: &mut PgConnection, (account_id, entry): Place) -> Result<Charged> {
    let Json(lines): Json<Vec<Line>> =
        sqlx::query_scalar("select lines from consumption where account_id = $1 and entry = $2")
            .bind(account_id)
            .bind(entry)
            .fetch_one(&mut *tx)
            .await?;
    let standing = corrections::standing(tx, account_id, entry)
        .await?
        .ok_or_else(|| Error::corrupt("a message's charge is missing"))?;
    Ok(Charged {
        calls: lines
            .into_iter()
            .map(|line| (line.call_id, line.tokens))
            .collect(),
        left_nano: standing.cost_nano.saturating_sub(standing.refunded_nano),
    })
}

/// What is new in cumulative numbers.
pub(super) fn rest(
    message: &MessageUsage,
    standing: &[Part],
    standings: &Standings,
) -> Result<Vec<ModelCall>> {
    let charged = standings.of(standing)?;
    let mut before = sum(charged.into_iter().map(Charged::tokens));
    if message.is_bare_total() {
        // It does not tell what went in from what came out.
        before = Tokens::new(before.total(), 0);
    }
    let mut rest = Vec::new();
    for call in &message.calls {
        let tokens = call.tokens.saturating_minus(before);
        before = before.saturating_minus(call.tokens);
        if tokens.total() > 0 {
            let call = call.clone();
            rest.push(ModelCall { tokens, ..call });
        }
    }
    Ok(rest)
}

/// Another id of a message that was charged.
pub(super) struct Learned {
    pub name: MessageKey,
    pub message_id: String,
    pub fingerprint: Hash,
}

/// Claims ids for messages that were charged without them. Fails on `message_pkey` when another
/// process has charged a message under one of them: the group is tried again.
pub(super) async fn claim(tx: &mut PgConnection, learned: &[Learned]) -> Result<()> {
    if learned.is_empty() {
        return Ok(());
    }
    let namespaces: Vec<_> = learned.iter().map(|learned| learned.name.0).collect();
    let names: Vec<_> = learned
        .iter()
        .map(|learned| learned.name.1.as_str())
        .collect();
    let messages: Vec<_> = learned
        .iter()
        .map(|learned| learned.message_id.as_str())
        .collect();
    let fingerprints: Vec<_> = learned.iter().map(|it| it.fingerprint.as_slice()).collect();
    sqlx::query(
        "insert into message (namespace_id, message_id, part, fingerprint, consumption_id, total_tokens,
             charge_nano, balance_after_nano, recorded_at, alias_of, account_id, entry, entrance,
             evidence, is_itemized, is_replacement)
         select m.namespace_id, t.name, 0, t.fingerprint, m.consumption_id, m.total_tokens,
             m.charge_nano, m.balance_after_nano, m.recorded_at, m.message_id, m.account_id, m.entry,
             m.entrance, m.evidence, m.is_itemized, false
         from unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[])
             as t (namespace_id, name, message_id, fingerprint)
         join message m on m.namespace_id = t.namespace_id and m.message_id = t.message_id
             and m.part = 0 and m.alias_of is null
         order by 1, 2",
    )
    .bind(namespaces)
    .bind(names)
    .bind(messages)
    .bind(fingerprints)
    .execute(tx)
    .await?;
    Ok(())
}

/// The entries that give back what is left of charges that a better report replaces.
pub(super) fn refunds(
    standing: &[Part],
    standings: &Standings,
    now: OffsetDateTime,
) -> Result<Vec<Draft>> {
    let mut refunds = Vec::new();
    for (part, charged) in standing.iter().zip(standings.of(standing)?) {
        if charged.left_nano > 0 {
            refunds.push(Draft {
                occurred_at: now,
                kind: EntryKind::Refund,
                amount: Points::from_nano(charged.left_nano),
                corrects_entry: part.place.map(|(_, entry)| entry),
                reason: Some("a better report of the message arrived".into()),
                actor: Some("tollgate".into()),
                consumption: None,
                terms: CreditTerms::default(),
            });
        }
    }
    Ok(refunds)
}

/// One report of a message, as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SightingSummary {
    pub message_id: String,
    pub seen_at: Timestamp,
    /// The name of the source.
    pub source: String,
    pub entrance: String,
    pub evidence: String,
    pub user_id: String,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub difference: Option<Difference>,
    /// What was charged by it; absent when it brought nothing new.
    pub consumption_id: Option<String>,
}

impl Ledger {
    /// Everybody who reported a message, in order, beginning with whoever's report was charged.
    /// `message_id` is any id that the message is known by.
    ///
    /// # Errors
    /// `NotFound` when no charged message has this id.
    pub async fn sightings(&self, message_id: &str) -> Result<Vec<SightingSummary>> {
        let sightings = sqlx::query(
            "with m as (
                 select namespace_id, coalesce(alias_of, message_id) as message_id
                 from namespace join message using (namespace_id)
                 where message_id = $1 and part = 0
             )
             select m.namespace_id, 0 as sighting_id, c.message_id, p.recorded_at as seen_at, k.name, p.entrance, p.evidence, a.user_id,
                    d.input_tokens, d.output_tokens, null as difference, p.consumption_id
             from m
             join message p on p.namespace_id = m.namespace_id and p.message_id = m.message_id
                 and p.part = 0 and p.alias_of is null
             join consumption c on c.account_id = p.account_id and c.entry = p.entry
                 and c.recorded_at = p.recorded_at
             join account a on a.account_id = p.account_id
             join api_key k on k.api_key_id = c.api_key_id
             cross join lateral (
                 select coalesce(sum((l -> 'tokens' ->> 'input')::bigint
                            + coalesce((l -> 'tokens' ->> 'cachedInput')::bigint, 0)
                            + coalesce((l -> 'tokens' ->> 'cacheWrite')::bigint, 0)), 0)::bigint
                            as input_tokens,
                        coalesce(sum((l -> 'tokens' ->> 'output')::bigint
                            + coalesce((l -> 'tokens' ->> 'reasoning')::bigint, 0)), 0)::bigint
                            as output_tokens
                 from jsonb_array_elements(c.lines) l
             ) d
             union all
             select s.namespace_id, s.sighting_id, s.message_id, s.seen_at, k.name, s.entrance, s.evidence, s.user_id,
                    s.input_tokens, s.output_tokens, s.difference, s.consumption_id
             from m join sighting s using (namespace_id, message_id)
             join api_key k using (api_key_id)
             order by namespace_id, sighting_id",
        )
        .bind(message_id)
        .fetch_all(self.pool())
        .await?
        .iter()
        .map(summary)
        .collect::<Result<Vec<_>>>()?;
        if sightings.is_empty() {
            return Err(Problem::NotFound.into());
        }
        Ok(sightings)
    }

    /// Reports that differ from what was charged, newest first.
    ///
    /// # Errors
    /// A bad cursor is a problem of the field `cursor`.
    pub async fn differences(
        &self,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<shared::api::Page<SightingSummary>> {
        let before = page::cursor::<i64>(cursor)?.unwrap_or(i64::MAX);
        let rows = sqlx::query(
            "select s.*, k.name from sighting s join api_key k using (api_key_id)
             where s.difference is not null and s.sighting_id < $1
             order by s.sighting_id desc limit $2",
        )
        .bind(before)
        .bind(i64::from(limit) + 1)
        .fetch_all(self.pool())
        .await?;
        page::build(&rows, limit, |row| {
            let id: i64 = row.try_get("sighting_id")?;
            Ok((id.to_string(), summary(row)?))
        })
    }
}

fn summary(row: &PgRow) -> Result<SightingSummary> {
    let difference: Option<&str> = row.try_get("difference")?;
    Ok(SightingSummary {
        message_id: row.try_get("message_id")?,
        seen_at: row.try_get::<OffsetDateTime, _>("seen_at")?.into(),
        source: row.try_get("name")?,
        entrance: row.try_get("entrance")?,
        evidence: row.try_get("evidence")?,
        user_id: row.try_get("user_id")?,
        input_tokens: row.try_get("input_tokens")?,
        output_tokens: row.try_get("output_tokens")?,
        difference: difference
            .map(|text| {
                Difference::ALL
                    .into_iter()
                    .find(|known| known.as_str() == text)
                    .ok_or_else(|| Error::corrupt(format!("difference {text}")))
            })
            .transpose()?,
        consumption_id: row
            .try_get::<Option<Uuid>, _>("consumption_id")?
            .map(public_id),
    })
}
