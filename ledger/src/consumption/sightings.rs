//! Reports of a message beside the one that charged it: what they bring anew, what they take the
//! place of, and who saw what.

use std::borrow::Cow;
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
use super::{Delivery, Entrance, Line, fingerprint_of, public_id};
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
    pub seen_at: OffsetDateTime,
    pub api_key_id: Uuid,
    pub entrance: Entrance,
    pub message: Cow<'a, MessageUsage>,
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
        let calls = seen.message.calls.iter();
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
    .bind(column!(|seen| seen.seen_at))
    .bind(column!(|seen| seen.api_key_id))
    .bind(column!(|seen| seen.entrance.as_str()))
    .bind(column!(|seen| seen.message.evidence.as_str()))
    .bind(column!(|seen| seen.fingerprint.as_slice()))
    .bind(column!(|seen| seen.message.user_id.as_str()))
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

pub(super) struct Charged {
    pub calls: Vec<ModelCall>,
    pub occurred_at: OffsetDateTime,
    pub api_key_id: Uuid,
    pub left_nano: i64,
}

impl Charged {
    fn tokens(&self) -> Tokens {
        sum(&self.calls)
    }

    fn call(&self, call_id: &str) -> Option<&ModelCall> {
        let mut calls = self.calls.iter();
        calls.find(|call| call.call_id.as_deref() == Some(call_id))
    }
}

/// What a better report takes the place of.
pub(super) struct Replacement {
    /// Those of its calls that nobody told as well before.
    pub calls: Vec<ModelCall>,
    /// The parts that are given back for it.
    pub parts: Vec<i32>,
    /// What it does not tell of them, part by part: that is charged again.
    pub kept: Vec<Kept>,
}

/// Something that stays charged, as it was told before.
pub(super) struct Kept {
    pub message: MessageUsage,
    pub entrance: Entrance,
    pub api_key_id: Uuid,
}

impl Standings {
    /// A charge of this very group.
    pub fn charged(&mut self, place: Place, charged: Charged) {
        self.0.insert(place, charged);
    }

    /// What a report knows better than it was charged. Told call by call, it takes the place of those
    /// calls, of what a bare total said of them, and, unless it only goes on, of the message as a
    /// whole; told as a whole, only of what nobody told apart. A bare total counts every token: what
    /// the report leaves of it stays charged, as it would if the total came last. What was corrected since
    /// is only replaced as a whole.
    pub fn replacement(
        &self,
        delivery: &Delivery,
        standing: &[&Part],
    ) -> Result<Option<Replacement>> {
        let message = &delivery.message;
        let is_weaker = |part: &Part| part.evidence < message.evidence;
        if !standing.iter().any(|part| is_weaker(part)) {
            return Ok(None);
        }
        let charged = standing.iter().copied().zip(self.of(standing)?);
        let (weaker, others): (Vec<_>, Vec<_>) = charged.partition(|(part, _)| is_weaker(part));
        // Nothing is made of something.
        let says_more = |told: u64, known: &ModelCall| told > 0 || known.tokens.total() == 0;
        let is_known = |call: &&ModelCall| {
            let Some(id) = call.call_id.as_deref() else {
                return false;
            };
            let mut guessed = weaker.iter().filter_map(|(_, it)| it.call(id));
            others.iter().any(|(_, it)| it.call(id).is_some())
                || !guessed.all(|known| says_more(call.tokens.total(), known))
        };
        let told = message.calls.iter().filter(|call| !is_known(call));
        let calls: Vec<_> = told.cloned().collect();
        let mut known = weaker.iter().flat_map(|(_, charged)| &charged.calls);
        let is_apart = message.is_itemized();
        let can_replace = match is_apart {
            true => !calls.is_empty(),
            false => others.is_empty() && known.all(|call| call.call_id.is_none()),
        };
        if !can_replace {
            return Ok(None);
        }
        let is_told = |part: &Part, call: &ModelCall| {
            let told = match &call.call_id {
                Some(_) => {
                    let told = calls.iter().find(|it| it.call_id == call.call_id);
                    told.map(|told| told.tokens.total())
                }
                None if is_apart && delivery.continues && !call.is_bare_total(part.evidence) => {
                    None
                }
                None => Some(sum(&calls).total()),
            };
            told.is_some_and(|told| says_more(told, call))
        };
        let mut parts = Vec::new();
        let mut kept: Vec<Kept> = Vec::new();
        let mut corrected = Vec::new();
        let mut given_back = Tokens::default();
        let mut total_of = None;
        for (part, charged) in weaker {
            let (told, untold): (Vec<_>, Vec<_>) = charged
                .calls
                .iter()
                .cloned()
                .partition(|call| is_told(part, call));
            if told.is_empty() && !untold.is_empty() {
                continue;
            }
            parts.push(part.part);
            corrected.push(charged.left_nano != part.charge_nano);
            given_back = given_back.saturating_plus(sum(&told));
            if let Some(total) = told
                .into_iter()
                .rfind(|call| call.is_bare_total(part.evidence))
            {
                total_of = Some((kept.len(), total));
            }
            kept.push(Kept {
                message: MessageUsage {
                    calls: untold,
                    evidence: part.evidence,
                    occurred_at: Some(charged.occurred_at.into()),
                    ..message.clone()
                },
                entrance: part.entrance,
                api_key_id: charged.api_key_id,
            });
        }
        if let Some((place, total)) = total_of
            && let Some(kept) = kept.get_mut(place)
        {
            let tokens = given_back.beyond(sum(&calls));
            let rest = (tokens.total() > 0).then_some(ModelCall { tokens, ..total });
            kept.message.calls.extend(rest);
        }
        let is_kept = |kept: &Kept| !kept.message.calls.is_empty();
        // What an administrator has put right is not priced anew where nobody tells it better.
        if kept
            .iter()
            .zip(corrected)
            .any(|(kept, is_corrected)| is_corrected && is_kept(kept))
        {
            return Ok(None);
        }
        kept.retain(is_kept);
        Ok((!parts.is_empty()).then_some(Replacement { calls, parts, kept }))
    }

    /// Whether a part tells other numbers of a call that was told.
    pub fn differs(&self, part: &Part, told: &[ModelCall]) -> bool {
        let charged = part.place.and_then(|place| self.0.get(&place));
        told.iter().any(|call| {
            let known = charged.zip(call.call_id.as_deref());
            let known = known.and_then(|(charged, id)| charged.call(id));
            known.is_some_and(|known| {
                (known.model_name.key(), known.tokens) != (call.model_name.key(), call.tokens)
            })
        })
    }

    /// What stands of a call, where it was read.
    pub fn call(&self, standing: &[&Part], call_id: &str) -> Option<&ModelCall> {
        let mut charged = standing.iter().filter_map(|part| self.0.get(&part.place?));
        charged.find_map(|charged| charged.call(call_id))
    }

    /// Fails for a message that is only recognised by an id which this very group has brought: it was
    /// not read. The deliveries are tried again one by one.
    fn of(&self, standing: &[&Part]) -> Result<Vec<&Charged>> {
        let unread = || Error::corrupt("what a message was charged for was not read");
        let charged = standing
            .iter()
            .map(|part| part.place.and_then(|place| self.0.get(&place)));
        charged.map(|charged| charged.ok_or_else(unread)).collect()
    }
}

fn sum<'a>(calls: impl IntoIterator<Item = &'a ModelCall>) -> Tokens {
    let tokens = calls.into_iter().map(|call| call.tokens);
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
        let reported = &delivery.message;
        let standing = message.standing();
        let was_replaced = standing.len() < message.parts.len();
        let differs = reported.calls.iter().any(|call| {
            let id = call.call_id.clone();
            let claimed = id.and_then(|id| known.claimed(&(delivery.source.namespace_id, id)));
            let told = || fingerprint_of(reported.user_id.as_str(), std::slice::from_ref(call));
            claimed.is_some_and(|claimed| *claimed != told())
        });
        if !delivery.continues
            && !was_replaced
            && !differs
            && standing
                .iter()
                .all(|part| part.evidence >= reported.evidence)
        {
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
    let row = sqlx::query(
        "select lines, occurred_at, api_key_id from consumption
         where account_id = $1 and entry = $2",
    )
    .bind(account_id)
    .bind(entry)
    .fetch_one(&mut *tx)
    .await?;
    let Json(lines): Json<Vec<Line>> = row.try_get("lines")?;
    let standing = corrections::standing(tx, account_id, entry)
        .await?
        .ok_or_else(|| Error::corrupt("a message's charge is missing"))?;
    let calls = lines.into_iter().map(|line| ModelCall {
        call_id: line.call_id,
        model_name: line.model_name,
        tokens: line.tokens,
    });
    Ok(Charged {
        calls: calls.collect(),
        occurred_at: row.try_get("occurred_at")?,
        api_key_id: row.try_get("api_key_id")?,
        left_nano: standing.cost_nano.saturating_sub(standing.refunded_nano),
    })
}

/// What is new in cumulative numbers; the calls that are told last told it.
pub(super) fn rest(
    message: &MessageUsage,
    standing: &[&Part],
    standings: &Standings,
) -> Result<Vec<ModelCall>> {
    let charged = standings.of(standing)?;
    let before = charged.into_iter().map(Charged::tokens);
    let before = before.fold(Tokens::default(), Tokens::saturating_plus);
    let mut new = sum(&message.calls).beyond(before);
    let mut rest = Vec::new();
    for call in message.calls.iter().rev() {
        let tokens = call.tokens.at_most(new);
        new = new.saturating_minus(tokens);
        if tokens.total() > 0 {
            let call = call.clone();
            rest.push(ModelCall { tokens, ..call });
        }
    }
    rest.reverse();
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
             evidence, is_itemized, replaces)
         select m.namespace_id, t.name, 0, t.fingerprint, m.consumption_id, m.total_tokens,
             m.charge_nano, m.balance_after_nano, m.recorded_at, m.message_id, m.account_id, m.entry,
             m.entrance, m.evidence, m.is_itemized, '{}'
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

/// The entries that give back what is left of the parts that a better report replaces.
pub(super) fn refunds(
    replacement: &Replacement,
    standing: &[&Part],
    standings: &Standings,
    now: OffsetDateTime,
) -> Result<Vec<Draft>> {
    let mut refunds = Vec::new();
    for (part, charged) in standing.iter().zip(standings.of(standing)?) {
        if charged.left_nano > 0 && replacement.parts.contains(&part.part) {
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
