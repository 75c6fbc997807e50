//! One transaction for one group of messages.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use shared::api::{HoldStatus, Outcome, QuarantineReason, WebhookAnswer};
use shared::clock::Timestamp;
use shared::dify::MessageUsage;
use shared::money::Points;
use shared::price::{PriceBook, Unpriced};
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::known::{self, Known, Message, MessageKey, Part, Sighting, Waiting, lookup};
use super::sightings::{self, Charged, Difference, Learned, Replacement, Seen};
use super::{
    Consumption, Delivery, Entrance, Line, NotPriced, Resolution, fingerprint_of, price, public_id,
};
use crate::chain::{self, Hash};
use crate::deliveries::Trace;
use crate::error::{Error, Result};
use crate::holds::{self, HeldPoints, Settled};
use crate::journal::{Claim, Draft, Identity};
use crate::locked::{self, Accounts};
use crate::{Actor, PRICE_LOCK, Settings, audit, prices, quarantine};

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
    connection: &mut PgConnection,
    prices: &prices::Cache,
    settings: &Settings,
    deliveries: &[Delivery],
) -> Result<Vec<Verdict>> {
    let group = Group {
        prices,
        settings,
        deliveries,
        account_ids: &locked::ordered(deliveries.iter().map(account_of)),
        fingerprints: &deliveries
            .iter()
            .map(Delivery::fingerprint)
            .collect::<Vec<_>>(),
    };
    if deliveries.iter().all(Delivery::is_plain)
        && let Some(verdicts) = group.commit_at_once(connection).await?
    {
        return Ok(verdicts);
    }
    group.commit_locked(connection).await
}

/// What is to be committed together.
struct Group<'a> {
    prices: &'a prices::Cache,
    settings: &'a Settings,
    deliveries: &'a [Delivery],
    account_ids: &'a [Uuid],
    fingerprints: &'a [Hash],
}

impl<'a> Group<'a> {
    /// In two statements, for groups of messages that nobody has heard of: reads without locks, and
    /// writes if nothing has changed since. `None`, and nothing is written, when there is more to it.
    async fn commit_at_once(&self, connection: &mut PgConnection) -> Result<Option<Vec<Verdict>>> {
        let names = self.names(&HashMap::new());
        let (ids, fingerprints) = (self.account_ids, self.fingerprints);
        let (accounts, known) = lookup(connection, ids, &names, fingerprints).await?;
        if accounts.count() < ids.len() || !known.is_empty() {
            return Ok(None);
        }
        let book = self
            .prices
            .at_revision(connection, known.price_revision)
            .await?;
        let mut batch = self.batch(accounts, known);
        let verdicts = batch.judge_all(self, names, &book)?;
        let is_written = batch.is_plain()
            && batch
                .accounts
                .write_at_once(connection, &batch.traces, book.revision())
                .await?;
        Ok(is_written.then_some(verdicts))
    }

    /// While the accounts are locked, and the shared price lock is held: no price can be published,
    /// so the book read below stays the right one until the commit.
    async fn commit_locked(&self, connection: &mut PgConnection) -> Result<Vec<Verdict>> {
        let deliveries = self.deliveries;
        loop {
            let mut tx = connection.begin_with(BEGIN).await?;
            if !locked::lock_rows(&mut tx, self.account_ids).await? {
                tx.rollback().await?;
                let users: Vec<_> = deliveries
                    .iter()
                    .map(|delivery| &delivery.message.user_id)
                    .collect();
                locked::open(connection, &users).await?;
                continue;
            }
            let holds = find_holds(&mut tx, deliveries).await?;
            let names = self.names(&holds);
            let (accounts, mut known) =
                lookup(&mut tx, self.account_ids, &names, self.fingerprints).await?;
            let waiting = known.lock_waiting(&mut tx, deliveries).await?;
            let standings = sightings::standings(&mut tx, deliveries, &names, &known).await?;
            let book = self
                .prices
                .at_revision(&mut tx, known.price_revision)
                .await?;
            let mut batch = Batch {
                standings,
                waiting,
                holds,
                ..self.batch(accounts, known)
            };
            let verdicts = batch.judge_all(self, names, &book)?;
            batch.write(&mut tx).await?;
            tx.commit().await?;
            return Ok(verdicts);
        }
    }

    fn names(&self, holds: &HashMap<Uuid, HeldPoints>) -> Vec<Vec<MessageKey>> {
        let deliveries = self.deliveries.iter();
        deliveries
            .map(|delivery| known::names(holds, delivery))
            .collect()
    }

    fn batch(&self, accounts: Accounts, known: Known) -> Batch<'a> {
        Batch {
            tokens_max: self.settings.message_tokens_max,
            accounts,
            known,
            standings: sightings::Standings::default(),
            waiting: HashSet::new(),
            holds: HashMap::new(),
            traces: Vec::with_capacity(self.deliveries.len()),
            seen: Vec::new(),
            learned: Vec::new(),
            quarantined: Vec::new(),
            released: Vec::new(),
            settled: Vec::new(),
            reviewed: Vec::new(),
        }
    }
}

fn account_of(delivery: &Delivery) -> Uuid {
    chain::account_id(&delivery.message.user_id)
}

/// The transaction begins by joining the price lock, in the same round trip.
const BEGIN: &str = "begin; select pg_advisory_xact_lock_shared(128021909209090)";
const _: () = assert!(PRICE_LOCK == 128_021_909_209_090);

/// The holds that the group settles; their accounts are locked.
async fn find_holds(
    tx: &mut PgConnection,
    deliveries: &[Delivery],
) -> Result<HashMap<Uuid, HeldPoints>> {
    let named = deliveries
        .iter()
        .filter_map(|delivery| Some((account_of(delivery), delivery.hold_id?)));
    holds::find(tx, &named.collect::<Vec<_>>()).await
}

/// A quarantine row whose message is charged.
struct Release<'a> {
    quarantine_id: Uuid,
    message: &'a MessageUsage,
    resolution: Option<&'a Resolution>,
}

/// A message that is to wait.
struct Quarantined<'a> {
    delivery: &'a Delivery,
    /// Under which id the row stands: as a rule the message's.
    row_id: String,
    fingerprint: Hash,
    reason: QuarantineReason,
}

/// The id of a further row of a message that waits: another one for every other report.
fn beside(message_id: &str, fingerprint: &Hash) -> String {
    let (start, _) = fingerprint.split_at(8);
    let hex: String = start.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{message_id} {hex}")
}

/// A group while it is judged: the rows it will write.
struct Batch<'a> {
    tokens_max: u64,
    accounts: Accounts,
    known: Known,
    standings: sightings::Standings,
    /// Quarantine rows that wait, locked.
    waiting: HashSet<Uuid>,
    holds: HashMap<Uuid, HeldPoints>,
    traces: Vec<Trace<'a>>,
    seen: Vec<Seen<'a>>,
    learned: Vec<Learned>,
    quarantined: Vec<Quarantined<'a>>,
    released: Vec<Release<'a>>,
    settled: Vec<(&'a Delivery, Uuid)>,
    /// What administrators changed by a review.
    reviewed: Vec<(&'a Actor, &'a MessageUsage)>,
}

/// How much of a message was charged.
#[derive(Clone, Copy)]
struct Charge {
    consumption_id: Uuid,
    total_tokens: i64,
    charge_nano: i64,
    balance_after_nano: i64,
}

impl Charge {
    /// Together with what was charged right after it.
    const fn and(self, next: Self) -> Self {
        Self {
            consumption_id: self.consumption_id,
            total_tokens: self.total_tokens.saturating_add(next.total_tokens),
            charge_nano: self.charge_nano.saturating_add(next.charge_nano),
            balance_after_nano: next.balance_after_nano,
        }
    }

    /// Of everything that still stands of a message; `None` when it has not been charged.
    fn of(message: &Message) -> Option<Self> {
        let standing = message.standing();
        let (first, last) = (standing.first()?, standing.last()?);
        let sum = |count: fn(&Part) -> i64| {
            let counts = standing.iter().map(|part| count(part));
            counts.fold(0, i64::saturating_add)
        };
        Some(Self {
            consumption_id: first.consumption_id,
            total_tokens: sum(|part| part.total_tokens),
            charge_nano: sum(|part| part.charge_nano),
            balance_after_nano: last.balance_after_nano,
        })
    }
}

/// One charge of a report, priced.
struct Piece<'b> {
    message: &'b MessageUsage,
    entrance: Entrance,
    api_key_id: Uuid,
    occurred_at: OffsetDateTime,
    lines: Vec<Line>,
    total_tokens: i64,
    charge_nano: i64,
    amount: Points,
}

impl<'b> Piece<'b> {
    fn of(
        book: &PriceBook,
        message: &'b MessageUsage,
        entrance: Entrance,
        api_key_id: Uuid,
        occurred_at: OffsetDateTime,
    ) -> std::result::Result<Self, QuarantineReason> {
        let (lines, points) =
            price(book, message, occurred_at.into()).map_err(|unpriced| match unpriced {
                NotPriced::Unpriced(Unpriced::UnknownModel) => QuarantineReason::UnknownModel,
                NotPriced::Unpriced(Unpriced::InactivePrice) => QuarantineReason::InactivePrice,
                NotPriced::Overflow => QuarantineReason::Overflow,
            })?;
        let overflow = |_| QuarantineReason::Overflow;
        Ok(Self {
            message,
            entrance,
            api_key_id,
            occurred_at,
            lines,
            total_tokens: i64::try_from(message.total_tokens())
                .map_err(|_| QuarantineReason::Overflow)?,
            charge_nano: points.nano(),
            amount: points.negated().map_err(overflow)?,
        })
    }
}

/// What a delivery is about, once it is known which message it is.
struct Report<'a> {
    delivery: &'a Delivery,
    key: MessageKey,
    /// All ids of the message that the delivery names, its first among them.
    names: Vec<MessageKey>,
    fingerprint: Hash,
    /// What of it is to be charged.
    usage: Cow<'a, MessageUsage>,
    /// What it takes the place of.
    replacement: Option<Replacement>,
}

impl Report<'_> {
    /// The waiting row that has nothing to wait for any longer; a part of a message leaves the others
    /// waiting.
    fn resolved(&self, waiting: Option<Waiting>) -> Option<Uuid> {
        let waiting = waiting?;
        let is_whole = !self.delivery.grows() || waiting.fingerprint == self.fingerprint;
        waiting.quarantine_id.filter(|_| is_whole)
    }
}

impl<'a> Batch<'a> {
    fn judge_all(
        &mut self,
        group: &Group<'a>,
        names: Vec<Vec<MessageKey>>,
        book: &PriceBook,
    ) -> Result<Vec<Verdict>> {
        let deliveries = group.deliveries.iter().zip(names).zip(group.fingerprints);
        deliveries
            .map(|((delivery, names), fingerprint)| self.judge(delivery, names, *fingerprint, book))
            .collect()
    }

    /// Whether it writes only charges and what became of the deliveries.
    fn is_plain(&self) -> bool {
        self.seen.is_empty()
            && self.learned.is_empty()
            && self.quarantined.is_empty()
            && self.released.is_empty()
            && self.settled.is_empty()
            && self.reviewed.is_empty()
    }

    fn judge(
        &mut self,
        delivery: &'a Delivery,
        names: Vec<MessageKey>,
        fingerprint: Hash,
        book: &PriceBook,
    ) -> Result<Verdict> {
        if let Some(resolution) = &delivery.resolves
            && !self.waiting.contains(&resolution.quarantine_id)
        {
            return Ok(Verdict::Gone);
        }
        // An earlier message of the group may have settled the hold.
        let names = match delivery.hold_id {
            Some(_) => known::names(&self.holds, delivery),
            None => names,
        };
        let found = self.known.find(&names);
        let key = found.or_else(|| names.first().cloned()).unwrap_or_default();
        let message = self.known.get(&key).cloned().unwrap_or_default();
        let report = Report {
            delivery,
            key,
            names,
            fingerprint,
            usage: Cow::Borrowed(&delivery.message),
            replacement: None,
        };
        if let Some(charge) = Charge::of(&message) {
            return self.again(report, &message, charge, book);
        }
        if let Some(waiting) = message.waiting
            // Whoever resolves it may put the numbers right.
            && delivery.resolves.is_none()
            && waiting.fingerprint != report.fingerprint
            && waiting.entrance.reports_like(delivery.entrance)
            && !delivery.grows()
        {
            return Ok(self.conflict(delivery));
        }
        self.enter(&report, message.waiting, book)
    }

    /// A message that was charged is reported again.
    fn again(
        &mut self,
        mut report: Report<'a>,
        message: &Message,
        charge: Charge,
        book: &PriceBook,
    ) -> Result<Verdict> {
        let delivery = report.delivery;
        let entrance = delivery.entrance;
        let standing = message.standing();
        let is_own = standing
            .iter()
            .any(|part| part.entrance.reports_like(entrance));
        let account_id = chain::account_id(&delivery.message.user_id);
        let is_same_user = standing
            .iter()
            .all(|part| part.place.is_none_or(|(account, _)| account == account_id));
        let is_itemized = standing.iter().all(|part| part.is_itemized);
        let tells_calls =
            is_same_user && delivery.message.is_itemized() && (is_itemized || delivery.continues);
        let goes_on =
            is_same_user && is_own && delivery.continues && !delivery.message.is_itemized();
        let is_repeated = standing.iter().any(|part| {
            part.entrance.reports_like(entrance) && part.fingerprint == report.fingerprint
        }) || message.sightings.contains(&Sighting {
            entrance,
            fingerprint: report.fingerprint,
        });
        // Two calls may have used the same.
        let is_unheard = is_same_user
            && delivery.message.is_itemized()
            && self.claimed(&report).any(|claimed| claimed.is_none());
        if is_same_user
            && !goes_on
            && (is_unheard || !is_repeated)
            && let Some(replacement) = self.standings.replacement(delivery, &standing)?
        {
            if replacement.calls != delivery.message.calls {
                report.usage.to_mut().calls.clone_from(&replacement.calls);
            }
            report.replacement = Some(replacement);
            return self.enter(&report, message.waiting, book);
        }
        if is_repeated && !(is_unheard && tells_calls) {
            self.repeat(&report, true);
            return self.same(&report, message, charge);
        }
        if is_same_user
            && !is_itemized
            && delivery.is_charged_by_its_sum(is_own, charge.total_tokens)
        {
            self.repeat(&report, is_own);
            return self.same(&report, message, charge);
        }
        if tells_calls {
            let calls = &delivery.message.calls;
            let new_calls: Vec<_> = calls
                .iter()
                .zip(self.claimed(&report))
                .filter(|(_, claimed)| claimed.is_none())
                .map(|(call, _)| call.clone())
                .collect();
            if !new_calls.is_empty() {
                report.usage.to_mut().calls = new_calls;
                return self.enter(&report, message.waiting, book);
            }
            if self.tells_as_before(&report, &standing) {
                self.repeat(&report, is_own);
                return self.same(&report, message, charge);
            }
        } else if goes_on {
            let rest = sightings::rest(&delivery.message, &standing, &self.standings)?;
            if rest.is_empty() {
                self.repeat(&report, is_own);
                return self.same(&report, message, charge);
            }
            report.usage.to_mut().calls = rest;
            return self.enter(&report, message.waiting, book);
        }
        if self.is_contradiction(&report, &standing, is_same_user) {
            return Ok(self.conflict(delivery));
        }
        let difference = if !is_same_user {
            Some(Difference::User)
        } else if i64::try_from(delivery.message.total_tokens()) == Ok(charge.total_tokens) {
            None
        } else {
            Some(Difference::Tokens)
        };
        self.see(&report, difference, None);
        if is_same_user {
            self.learn(&report);
        }
        self.same(&report, message, charge)
    }

    /// Whether the calls of a report are what they were told as before.
    fn tells_as_before(&self, report: &Report<'a>, standing: &[&Part]) -> bool {
        let message = &report.delivery.message;
        let told = |call| fingerprint_of(message.user_id.as_str(), std::slice::from_ref(call));
        let mut calls = message.calls.iter().zip(self.claimed(report));
        calls.all(|(call, claimed)| {
            let id = call.call_id.as_deref().unwrap_or_default();
            // What was claimed under its id may have been replaced; the message's own id stands for
            // the message.
            let stands = self.standings.call(standing, id);
            let stands = stands.filter(|_| id != report.key.1).map(told);
            stands.as_ref().or(claimed) == Some(&told(call))
        })
    }

    /// A party must say the same each time, as long as it is as sure of it; who tells calls need not
    /// tell all of them.
    fn is_contradiction(
        &self,
        report: &Report<'a>,
        standing: &[&Part],
        is_same_user: bool,
    ) -> bool {
        let (entrance, message) = (report.delivery.entrance, &report.delivery.message);
        let differs = |part: &Part| match (message.is_itemized(), part.is_itemized) {
            (true, true) => self.standings.differs(part, &message.calls),
            (true, false) => !message.is_estimated(),
            (false, _) => true,
        };
        standing.iter().any(|part| {
            part.entrance.reports_like(entrance)
                && (!is_same_user || part.evidence == message.evidence && differs(part))
        })
    }

    /// Nothing new was used. Whoever names a new id stays on record, also after telling the same
    /// before.
    fn repeat(&mut self, report: &Report<'a>, is_own: bool) {
        if self.learn(report) || !is_own {
            self.see(report, None, None);
        }
    }

    /// A charged message is also known by the ids that only this report names, if any.
    fn learn(&mut self, report: &Report<'a>) -> bool {
        let claims = self.claims(report);
        let has_learned = !claims.is_empty();
        for (name, fingerprint) in claims {
            self.known
                .claim(name.clone(), report.key.clone(), fingerprint);
            self.learned.push(Learned {
                name,
                message_id: report.key.1.clone(),
                fingerprint,
            });
        }
        has_learned
    }

    /// What was claimed under the ids of the report's calls.
    fn claimed<'b>(&'b self, report: &'b Report<'a>) -> impl Iterator<Item = Option<&'b Hash>> {
        let namespace_id = report.key.0;
        report.delivery.message.calls.iter().map(move |call| {
            let call_id = call.call_id.clone()?;
            self.known.claimed(&(namespace_id, call_id))
        })
    }

    /// A report that changes nothing.
    fn same(&mut self, report: &Report<'a>, message: &Message, charge: Charge) -> Result<Verdict> {
        let delivery = report.delivery;
        self.settle_hold(delivery, &report.key)?;
        self.release(delivery, report.resolved(message.waiting));
        self.trace(delivery, Outcome::Duplicate, None, Some(charge));
        Ok(Verdict::Answer(charge.answer(Outcome::Duplicate)))
    }

    /// Charges a report, or keeps it in quarantine.
    fn enter(
        &mut self,
        report: &Report<'a>,
        waiting: Option<Waiting>,
        book: &PriceBook,
    ) -> Result<Verdict> {
        let delivery = report.delivery;
        match self.charge(report, book)? {
            Ok(charge) => {
                self.settle_hold(delivery, &report.key)?;
                self.release(delivery, report.resolved(waiting));
                self.review(delivery);
                self.trace(delivery, Outcome::Charged, None, Some(charge));
                Ok(Verdict::Answer(charge.answer(Outcome::Charged)))
            }
            Err(reason) => {
                // A row of its own: an id that was claimed for it may be another one.
                let own = (report.key.0, delivery.message.message_id.clone());
                let waiting = waiting.or(self.known.get(&own).and_then(|it| it.waiting));
                let is_new = waiting.is_none_or(|waiting| {
                    // More of a message of which something waits already waits beside it.
                    delivery.grows() && waiting.fingerprint != report.fingerprint
                });
                if is_new && delivery.resolves.is_none() {
                    let row_id = match waiting {
                        None => delivery.message.message_id.clone(),
                        Some(_) => beside(&delivery.message.message_id, &report.fingerprint),
                    };
                    self.quarantined.push(Quarantined {
                        delivery,
                        row_id,
                        fingerprint: report.fingerprint,
                        reason,
                    });
                    self.review(delivery);
                    self.known.get_mut(own).waiting.get_or_insert(Waiting {
                        fingerprint: report.fingerprint,
                        entrance: delivery.entrance,
                        quarantine_id: None,
                    });
                }
                // What is told is why it waits now; the row keeps why it came there.
                self.quarantine(delivery, reason)
            }
        }
    }

    /// Appends to the account's chain what a report is charged, and what it takes the place of and
    /// does not tell, or says why there is nothing.
    fn charge(
        &mut self,
        report: &Report<'a>,
        book: &PriceBook,
    ) -> Result<std::result::Result<Charge, QuarantineReason>> {
        let delivery = report.delivery;
        if delivery.resolves.is_none()
            && let Some(reason) = doubt(delivery, self.tokens_max)
        {
            return Ok(Err(reason));
        }
        let replacement = report.replacement.as_ref();
        let now = self.accounts.now();
        let own = Piece::of(
            book,
            &report.usage,
            delivery.entrance,
            delivery.source.id,
            delivery.occurred_at(now.into()).moment(),
        );
        let kept = replacement.iter().flat_map(|replacement| &replacement.kept);
        let kept = kept.map(|kept| {
            let at = kept.message.occurred_at.map_or(now, Timestamp::moment);
            Piece::of(book, &kept.message, kept.entrance, kept.api_key_id, at)
        });
        let pieces: std::result::Result<Vec<_>, _> = std::iter::once(own).chain(kept).collect();
        let pieces = match pieces {
            Ok(pieces) => pieces,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut refunds = Vec::new();
        if let Some(replacement) = replacement
            && let Some(known) = self.known.get(&report.key)
        {
            let standing = known.standing();
            refunds = sightings::refunds(replacement, &standing, &self.standings, now)?;
        }
        // All of it, or nothing.
        let amounts = refunds.iter().map(|refund| refund.amount);
        let mut amounts = amounts.chain(pieces.iter().map(|piece| piece.amount));
        let balance = self.accounts.get(&report.usage.user_id)?.balance_nano;
        let after = amounts.try_fold(Points::from_nano(balance), Points::plus);
        if after.is_err() {
            return Ok(Err(QuarantineReason::Overflow));
        }
        let account_id = chain::account_id(&report.usage.user_id);
        for refund in refunds {
            self.accounts.append(account_id, refund)??;
        }
        let mut charged: Option<Charge> = None;
        for piece in pieces {
            let charge = self.append(report, piece, charged.is_none())?;
            charged = Some(match charged {
                Some(charged) => charged.and(charge),
                None => charge,
            });
        }
        charged
            .map(Ok)
            .ok_or_else(|| Error::corrupt("a report without a charge"))
    }

    /// Appends one part of a message: what a report itself brings, or what stays of what it replaces.
    fn append(&mut self, report: &Report<'a>, piece: Piece<'_>, is_own: bool) -> Result<Charge> {
        let (namespace_id, message_id) = &report.key;
        let message = piece.message;
        let part = self.known.get(&report.key).map_or(0, Message::next_part);
        let account_id = chain::account_id(&message.user_id);
        let consumption_id = Uuid::now_v7();
        let fingerprint = fingerprint_of(message.user_id.as_str(), &message.calls);
        let claims = if is_own {
            self.claims(report)
        } else {
            Vec::new()
        };
        let replacement = report.replacement.as_ref().filter(|_| is_own);
        let replaces = replacement.map_or_else(Vec::new, |it| it.parts.clone());
        let draft = Draft::charge(
            piece.amount,
            Claim {
                identity: Identity {
                    fingerprint,
                    evidence: message.evidence,
                    is_itemized: message.is_itemized(),
                    replaces: replaces.clone(),
                    aliases: claims
                        .iter()
                        .map(|((_, name), fingerprint)| (name.clone(), *fingerprint))
                        .collect(),
                },
                consumption: Consumption {
                    consumption_id,
                    namespace_id: *namespace_id,
                    message_id: message_id.clone(),
                    part,
                    conversation_id: message.conversation_id.clone(),
                    request_id: message.request_id.clone(),
                    api_key_id: piece.api_key_id,
                    entrance: piece.entrance.as_str().to_owned(),
                    occurred_at: piece.occurred_at,
                    total_tokens: piece.total_tokens,
                    charge_nano: piece.charge_nano,
                    lines: piece.lines,
                },
            },
        );
        let link = self.accounts.append(account_id, draft)??;
        let (entry, balance_after_nano) = (link.entry.entry, link.entry.balance_after_nano);
        for (name, fingerprint) in claims {
            self.known.claim(name, report.key.clone(), fingerprint);
        }
        if part == 0 {
            // As it will be read: a call may have the message's own id.
            let own = report.key.clone();
            self.known.claim(own.clone(), own, fingerprint);
        }
        let known = self.known.get_mut(report.key.clone());
        if !report.delivery.grows() {
            known.waiting = None;
        }
        known.parts.push(Part {
            part,
            fingerprint,
            consumption_id,
            total_tokens: piece.total_tokens,
            charge_nano: piece.charge_nano,
            balance_after_nano,
            place: Some((account_id, entry)),
            entrance: piece.entrance,
            evidence: message.evidence,
            is_itemized: message.is_itemized(),
            replaces,
        });
        self.standings.charged(
            (account_id, entry),
            Charged {
                calls: message.calls.clone(),
                occurred_at: piece.occurred_at,
                api_key_id: piece.api_key_id,
                left_nano: piece.charge_nano,
            },
        );
        if is_own && part > 0 {
            self.see(report, None, Some(consumption_id));
        } else if !is_own {
            let known = self.known.get_mut(report.key.clone());
            known.sightings.insert(Sighting {
                entrance: piece.entrance,
                fingerprint,
            });
            self.seen.push(Seen {
                key: report.key.clone(),
                seen_at: report.delivery.received_at.moment(),
                api_key_id: piece.api_key_id,
                entrance: piece.entrance,
                message: Cow::Owned(message.clone()),
                fingerprint,
                difference: None,
                consumption_id: Some(consumption_id),
            });
        }
        Ok(Charge {
            consumption_id,
            total_tokens: piece.total_tokens,
            charge_nano: piece.charge_nano,
            balance_after_nano,
        })
    }

    /// The further ids that a charge claims for its message, with what they stand for.
    fn claims(&self, report: &Report<'a>) -> Vec<(MessageKey, Hash)> {
        let message = &report.usage;
        let user_id = message.user_id.as_str();
        let mut claims: Vec<(MessageKey, Hash)> = Vec::new();
        for name in &report.names {
            if *name == report.key
                || self.known.claimed(name).is_some()
                || claims.iter().any(|(claim, _)| claim == name)
            {
                continue;
            }
            let mut calls = message.calls.iter();
            let call = calls.find(|call| call.call_id.as_ref() == Some(&name.1));
            let fingerprint = match call {
                Some(call) => fingerprint_of(user_id, std::slice::from_ref(call)),
                None => report.fingerprint,
            };
            claims.push((name.clone(), fingerprint));
        }
        claims
    }

    /// Records that a message was reported beside what charged it first.
    fn see(
        &mut self,
        report: &Report<'a>,
        difference: Option<Difference>,
        consumption_id: Option<Uuid>,
    ) {
        let sighting = Sighting {
            entrance: report.delivery.entrance,
            fingerprint: report.fingerprint,
        };
        self.known
            .get_mut(report.key.clone())
            .sightings
            .insert(sighting);
        let delivery = report.delivery;
        self.seen.push(Seen {
            key: report.key.clone(),
            seen_at: delivery.received_at.moment(),
            api_key_id: delivery.source.id,
            entrance: delivery.entrance,
            message: Cow::Borrowed(&delivery.message),
            fingerprint: report.fingerprint,
            difference,
            consumption_id,
        });
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
        for quarantine_id in resolved.into_iter().chain(waiting) {
            // It leaves once.
            if !self.waiting.remove(&quarantine_id) {
                continue;
            }
            self.released.push(Release {
                quarantine_id,
                message: &delivery.message,
                resolution: resolution.filter(|_| Some(quarantine_id) == resolved),
            });
        }
    }

    /// The message is charged, or waits, because an administrator has decided so.
    fn review(&mut self, delivery: &'a Delivery) {
        let reviewed = delivery.reviewed_by.as_ref();
        self.reviewed
            .extend(reviewed.map(|actor| (actor, &delivery.message)));
    }

    fn conflict(&mut self, delivery: &'a Delivery) -> Verdict {
        self.trace(delivery, Outcome::Conflict, Some("message_conflict"), None);
        Verdict::Conflict {
            message_id: delivery.message.message_id.clone(),
        }
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
        sightings::insert(tx, &self.seen).await?;
        sightings::claim(tx, &self.learned).await?;
        let settled = self.settled.iter().filter_map(|(delivery, hold_id)| {
            let held = self.holds.get(hold_id)?;
            Some(Settled {
                account_id: chain::account_id(&delivery.message.user_id),
                hold_id: *hold_id,
                namespace_id: held.namespace_id?,
                message_id: held.message_id.as_deref()?,
            })
        });
        holds::settle(tx, &settled.collect::<Vec<_>>()).await?;
        for row in &self.quarantined {
            let Quarantined {
                delivery,
                row_id,
                fingerprint,
                reason,
            } = row;
            quarantine::insert(tx, delivery, row_id, fingerprint, *reason).await?;
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
        for (actor, message) in &self.reviewed {
            audit::record(
                tx,
                actor,
                "completeness.charge",
                &message.message_id,
                audit::NOTHING,
                Some(message),
            )
            .await?;
        }
        Ok(())
    }
}

/// Why a report cannot be believed as it stands.
fn doubt(delivery: &Delivery, tokens_max: u64) -> Option<QuarantineReason> {
    let message = &delivery.message;
    // What goes on tells the total of the whole.
    if message.is_contradictory() && !delivery.continues {
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
