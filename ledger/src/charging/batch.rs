//! A group of reports while it is decided, in memory: the rows it will write.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use shared::api::{HoldStatus, Outcome, QuarantineReason, WebhookAnswer};
use shared::clock::Timestamp;
use shared::money::Points;
use shared::price::PriceBook;
use shared::usage::{MessageUsage, Report, Usage};
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::decide::{Decision, Effect, Incoming, decide};
use super::delivery::{Delivery, IdentifiedDelivery, Resolution};
use super::message::{Message, RecordedReport, usage_of};
use super::record::Record;
use crate::error::Result;
use crate::posting::accounts::Accounts;
use crate::records::actor::Actor;
use crate::records::entry::{Draft, EntriesBefore, MessageCharge, ReportOrigin, total_tokens};
use crate::records::hash::MessageId;
use crate::store::rows::{HoldSettlement, NewClaim, NewDelivery, NewMessageEvent};

/// What became of one report of a group.
#[derive(Debug)]
pub(crate) enum Verdict {
    Answer(WebhookAnswer),
    Conflict {
        message_id: String,
    },
    /// It was to leave quarantine, where it is no longer.
    Gone,
}

/// A hold as its transaction sees it.
#[derive(Debug, Clone)]
pub(crate) struct HeldPoints {
    pub status: HoldStatus,
    pub amount_nano: i64,
    pub message: Option<MessageId>,
}

/// A report that is to wait.
pub(crate) struct Waiting<'a> {
    pub quarantine_id: Uuid,
    pub delivery: &'a Delivery,
    pub reason: QuarantineReason,
    pub message: MessageId,
    pub number: u32,
}

/// A place in quarantine that ends.
pub(crate) struct Release<'a> {
    pub quarantine_id: Uuid,
    pub message: &'a MessageUsage,
    pub resolution: Option<&'a Resolution>,
}

/// A group while it is decided.
pub(crate) struct Batch<'a> {
    pub tokens_max: u64,
    pub accounts: Accounts,
    pub record: Record,
    /// Quarantine rows that wait, locked.
    pub waiting: HashSet<Uuid>,
    /// Holds that were read; the others are taken to be open.
    pub holds: HashMap<Uuid, HeldPoints>,
    pub are_holds_read: bool,
    pub claims: Vec<NewClaim>,
    pub events: Vec<NewMessageEvent>,
    pub deliveries: Vec<NewDelivery<'a>>,
    pub new_waiting: Vec<Waiting<'a>>,
    pub released: Vec<Release<'a>>,
    pub settled: Vec<HoldSettlement>,
    /// What administrators changed by a review.
    pub reviewed: Vec<(&'a Actor, &'a MessageUsage)>,
}

/// A report with what is known of it before it is decided.
struct Subject<'a> {
    delivery: &'a Delivery,
    account_id: Uuid,
    ids: Cow<'a, [MessageId]>,
    call_ids: &'a [MessageId],
    /// The messages that they belong to.
    found: Vec<MessageId>,
    usage: Usage,
    at: Timestamp,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(tokens_max: u64, accounts: Accounts, record: Record) -> Self {
        Self {
            tokens_max,
            accounts,
            record,
            waiting: HashSet::new(),
            holds: HashMap::new(),
            are_holds_read: false,
            claims: Vec::new(),
            events: Vec::new(),
            deliveries: Vec::new(),
            new_waiting: Vec::new(),
            released: Vec::new(),
            settled: Vec::new(),
            reviewed: Vec::new(),
        }
    }

    /// Decides about each, in order.
    pub(crate) fn take_all(
        &mut self,
        deliveries: &'a [IdentifiedDelivery<'a>],
        book: &PriceBook,
    ) -> Result<Vec<Verdict>> {
        let deliveries = deliveries.iter();
        deliveries
            .map(|delivery| self.take(delivery, book))
            .collect()
    }

    /// Whether the one write has room for all of it, so that nothing need be locked.
    pub(crate) fn is_simple(&self) -> bool {
        self.new_waiting.is_empty() && self.released.is_empty() && self.reviewed.is_empty()
    }

    fn take(
        &mut self,
        identified: &'a IdentifiedDelivery<'a>,
        book: &PriceBook,
    ) -> Result<Verdict> {
        let delivery = identified.delivery;
        if let Some(resolution) = &delivery.resolves
            && !self.waiting.contains(&resolution.quarantine_id)
        {
            return Ok(Verdict::Gone);
        }
        let subject = self.subject(identified);
        let recorded: Vec<Message> = subject
            .found
            .iter()
            .filter_map(|id| self.record.get(*id).cloned())
            .collect();
        let incoming = Incoming {
            account_id: subject.account_id,
            api_key_id: delivery.source.id,
            entrance: delivery.entrance,
            party: delivery.entrance.party(),
            at: subject.at,
            usage: &subject.usage,
            doubt: delivery.doubt(self.tokens_max),
            released: delivery.resolves.as_ref().map(|it| it.quarantine_id),
            is_corrected: delivery.resolves.as_ref().is_some_and(|it| it.is_corrected),
            has_free_id: subject.ids.iter().any(|id| !self.record.is_claimed(*id)),
            balance_nano: self.accounts.get(subject.account_id)?.balance_nano,
        };
        match decide(&recorded, &incoming, book) {
            Decision::Conflict => Ok(self.conflict(delivery)),
            Decision::Duplicate { message, ends } => match recorded.get(message) {
                Some(message) => self.duplicate(&subject, message, &ends),
                None => Ok(Verdict::Gone),
            },
            Decision::Wait {
                message,
                reason,
                is_new,
            } => self.wait(&subject, &recorded, message, reason, is_new),
            Decision::Effect(effect) => self.effect(&subject, &recorded, *effect),
        }
    }

    fn subject(&self, identified: &'a IdentifiedDelivery<'a>) -> Subject<'a> {
        let delivery = identified.delivery;
        let mut ids = Cow::Borrowed(identified.ids.as_slice());
        // A hold that is settled is settled by that message for good, whatever a second settlement
        // calls it: other messages that it names are other calls.
        let held = delivery.hold_id.and_then(|id| self.holds.get(&id));
        if let Some(message) = held.and_then(|held| held.message) {
            let ids = ids.to_mut();
            ids.retain(|id| !self.record.is_claimed(*id));
            ids.insert(0, message);
        }
        if let Some(id) = self.id_of_its_own(identified) {
            ids.to_mut().push(id);
        }
        // What a call's id belongs to counts only where the message's own ids are new.
        let call_ids = identified.call_ids.as_slice();
        let mut found = self.record.find(&ids);
        if found.is_empty() {
            found = self.record.find(call_ids);
        }
        Subject {
            delivery,
            account_id: identified.account_id,
            found,
            ids,
            call_ids,
            usage: delivery.usage(),
            at: delivery.occurred_at(self.accounts.now().into()),
        }
    }

    /// What an administrator has charged although all its ids are another user's is a message of its
    /// own, known by the place where it waited.
    fn id_of_its_own(&self, identified: &IdentifiedDelivery<'_>) -> Option<MessageId> {
        let resolution = identified.delivery.resolves.as_ref()?;
        resolution.by.as_ref()?;
        let is_anothers = |id: &MessageId| {
            let owner = self.record.get(*id).and_then(|it| it.account_id);
            owner.is_some_and(|owner| owner != identified.account_id)
        };
        let is_taken = identified.ids.iter().all(|id| self.record.is_claimed(*id));
        let found = self.record.find(&identified.ids);
        (is_taken && found.iter().all(is_anothers)).then_some(MessageId(resolution.quarantine_id))
    }

    /// The id that a message which begins with this report is known by.
    fn free_id(&self, subject: &Subject<'_>) -> MessageId {
        let mut ids = subject.ids.iter();
        let free = ids.find(|id| !self.record.is_claimed(**id));
        free.or(subject.ids.first())
            .copied()
            .unwrap_or(MessageId(Uuid::nil()))
    }

    /// Its ids that belong to nobody yet, belong to the message from now on.
    fn claim_all(&mut self, subject: &Subject<'_>, message: MessageId, entry: Option<(Uuid, i64)>) {
        for id in subject.ids.iter().chain(subject.call_ids) {
            if !self.record.is_claimed(*id) {
                self.record.claim(*id, message);
                self.claims.push(NewClaim {
                    id: id.0,
                    message: message.0,
                    account_id: entry.map(|(account_id, _)| account_id),
                    entry: entry.map(|(_, entry)| entry),
                });
            }
        }
    }

    fn conflict(&mut self, delivery: &'a Delivery) -> Verdict {
        let row = self.delivery_row(delivery, Outcome::Conflict, Some("message_conflict"));
        let body = Some(delivery.body.as_slice());
        self.deliveries.push(NewDelivery { body, ..row });
        Verdict::Conflict {
            message_id: delivery.message.message_id.clone(),
        }
    }

    fn duplicate(
        &mut self,
        subject: &Subject<'a>,
        message: &Message,
        ends: &[Uuid],
    ) -> Result<Verdict> {
        self.claim_all(subject, message.id, None);
        self.end(subject, message.id, ends)?;
        Ok(self.answer_duplicate(subject.delivery, message))
    }

    /// It changes nothing that is owed: it hears of the message as a whole.
    fn answer_duplicate(&mut self, delivery: &'a Delivery, message: &Message) -> Verdict {
        let row = self.delivery_row(delivery, Outcome::Duplicate, None);
        self.deliveries.push(NewDelivery {
            charge_nano: Some(message.dues.owed_nano),
            balance_after_nano: Some(message.balance_after_nano),
            ..row
        });
        Verdict::Answer(answer(
            Outcome::Duplicate,
            message.id,
            message.dues.owed_nano,
            total_tokens(&message.lines),
            message.balance_after_nano,
        ))
    }

    fn wait(
        &mut self,
        subject: &Subject<'a>,
        recorded: &[Message],
        message: Option<usize>,
        reason: QuarantineReason,
        is_new: bool,
    ) -> Result<Verdict> {
        let delivery = subject.delivery;
        let message = message.and_then(|place| recorded.get(place)).cloned();
        let is_on_record = message.is_some();
        let mut message = message.unwrap_or_else(|| Message::new(self.free_id(subject)));
        let waits_in = match &delivery.resolves {
            None => Some(message.id),
            // It stays where it waits; what could not be read waits in no message.
            Some(resolution) => waiting_in(recorded, resolution.quarantine_id),
        };
        if is_new || is_on_record {
            self.claim_all(subject, message.id, None);
        }
        if is_new {
            let quarantine_id = Uuid::now_v7();
            let number = message.next_number;
            self.new_waiting.push(Waiting {
                quarantine_id,
                delivery,
                reason,
                message: message.id,
                number,
            });
            self.events.push(NewMessageEvent {
                quarantine_id: Some(quarantine_id),
                ..self.report_event(subject, message.id, "waiting", number)
            });
            message.waiting.push(RecordedReport {
                quarantine_id: Some(quarantine_id),
                ..self.recorded(subject, number)
            });
            message.next_number = number.saturating_add(1);
            self.reviewed.extend(
                delivery
                    .reviewed_by
                    .as_ref()
                    .map(|by| (by, &delivery.message)),
            );
        }
        self.record.put(message);
        let row = self.delivery_row(delivery, Outcome::Quarantined, Some(reason.as_str()));
        self.deliveries.push(NewDelivery {
            message: waits_in.map(|message| message.0),
            ..row
        });
        let balance = self.accounts.get(subject.account_id)?.balance_nano;
        let balance = Points::from_nano(balance);
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

    fn effect(
        &mut self,
        subject: &Subject<'a>,
        recorded: &[Message],
        effect: Effect,
    ) -> Result<Verdict> {
        let delivery = subject.delivery;
        let before = effect.message.and_then(|place| recorded.get(place));
        let mut message = match before {
            Some(message) => message.clone(),
            None => Message::new(self.free_id(subject)),
        };
        let is_first = message.entries.is_none();
        for (place, from) in &effect.joined {
            if let Some(other) = recorded.get(*place) {
                self.join(&mut message, other, *from, subject.account_id);
            }
        }
        let gained = Points::from_nano(effect.owed_before_nano)
            .minus(Points::from_nano(effect.dues.owed_nano))?;
        let tokens_before = total_tokens(&message.lines);
        let entry = if is_first || !gained.is_zero() || !effect.joined.is_empty() {
            Some(self.enter(subject, &mut message, &effect, gained)?)
        } else {
            None
        };
        let is_inline =
            before.is_none() && effect.counts_as == 0 && usage_of(&effect.lines) == subject.usage;
        if !is_inline {
            self.add_report_event(subject, &message, &effect, entry);
        }
        let place = entry.map(|entry| (subject.account_id, entry));
        self.claim_all(subject, message.id, place.filter(|_| is_first));
        message.account_id.get_or_insert(subject.account_id);
        message
            .in_effect
            .push(self.recorded(subject, effect.counts_as));
        message.next_number = effect.number.saturating_add(1);
        message
            .waiting
            .retain(|it| it.quarantine_id.is_none_or(|id| !effect.ends.contains(&id)));
        message.lines = effect.lines;
        message.dues = effect.dues;
        self.end(subject, message.id, &effect.ends)?;
        self.reviewed.extend(
            delivery
                .reviewed_by
                .as_ref()
                .map(|by| (by, &delivery.message)),
        );
        let verdict = if !is_first && gained.is_zero() {
            self.answer_duplicate(delivery, &message)
        } else {
            Verdict::Answer(answer(
                Outcome::Charged,
                message.id,
                gained.nano().saturating_neg(),
                total_tokens(&message.lines).saturating_sub(tokens_before),
                message.balance_after_nano,
            ))
        };
        self.record.put(message);
        Ok(verdict)
    }

    /// Appends what the report changes of what is owed, and says under which number.
    fn enter(
        &mut self,
        subject: &Subject<'a>,
        message: &mut Message,
        effect: &Effect,
        gained: Points,
    ) -> Result<i64> {
        let delivery = subject.delivery;
        let reported = &delivery.message;
        let charge = MessageCharge {
            message: message.id,
            origin: Some(ReportOrigin {
                api_key_id: delivery.source.id,
                namespace_id: delivery.source.namespace_id,
                entrance: delivery.entrance.as_str().into(),
                message_id: reported.message_id.clone(),
                conversation_id: reported.conversation_id.clone(),
                request_id: reported.request_id.clone(),
            }),
            lines: effect.lines.clone(),
            dues: effect.dues,
            before: message.entries,
        };
        let draft = Draft::report(gained, subject.at.moment(), charge);
        let entry = self.accounts.append(subject.account_id, draft)??;
        let (number, balance) = (entry.entry, entry.balance_after_nano);
        message.entries = Some(EntriesBefore {
            first: message.entries.map_or(number, |entries| entries.first),
            last: number,
        });
        message.balance_after_nano = balance;
        Ok(number)
    }

    fn add_report_event(
        &mut self,
        subject: &Subject<'a>,
        message: &Message,
        effect: &Effect,
        entry: Option<i64>,
    ) {
        let mut event = self.report_event(subject, message.id, "report", effect.number);
        event.entry = entry;
        event.counts_as = (effect.counts_as != effect.number).then(|| number(effect.counts_as));
        if entry.is_none() && (message.lines != effect.lines || message.dues != effect.dues) {
            event.lines = Some(Json(effect.lines.clone()));
            event.cost_nano = Some(effect.dues.cost_nano);
            event.owed_nano = Some(effect.dues.owed_nano);
            event.basis_nano = Some(effect.dues.basis_nano);
            event.cap_nano = Some(effect.dues.cap_nano);
        }
        self.events.push(event);
    }

    /// Another message is this one: its reports go on here, and it ends.
    fn join(&mut self, message: &mut Message, other: &Message, from: u32, account_id: Uuid) {
        let renumbered = other.renumbered(from);
        for recorded in renumbered.in_effect.iter().chain(&renumbered.waiting) {
            self.events.push(NewMessageEvent {
                message: message.id.0,
                number: number(recorded.report.number),
                kind: match recorded.quarantine_id {
                    None => "report",
                    Some(_) => "waiting",
                },
                account_id: recorded.account_id,
                api_key_id: Some(recorded.api_key_id),
                entrance: Some(recorded.entrance.as_str()),
                occurred_at: Some(recorded.report.at.moment()),
                usage: Some(Json(recorded.report.usage.clone())),
                quarantine_id: recorded.quarantine_id,
                other: Some(other.id.0),
                ..NewMessageEvent::default()
            });
        }
        if !other.versions.is_empty() {
            self.events.push(NewMessageEvent {
                message: message.id.0,
                number: number(from.saturating_add(other.next_number)),
                kind: "rerate",
                account_id,
                versions: Some(Json(other.versions.clone())),
                other: Some(other.id.0),
                ..NewMessageEvent::default()
            });
        }
        self.events.push(NewMessageEvent {
            message: other.id.0,
            number: number(other.next_number),
            kind: "joined",
            account_id,
            other: Some(message.id.0),
            ..NewMessageEvent::default()
        });
        message.in_effect.extend(renumbered.in_effect);
        message.waiting.extend(renumbered.waiting);
        message.lines.extend(renumbered.lines);
        for (model, version) in &other.versions {
            message.versions.entry(model.clone()).or_insert(*version);
        }
        self.record.join(other.id, message.id);
    }

    /// What waited for the message's sake ends: its hold, and its places in quarantine.
    fn end(&mut self, subject: &Subject<'a>, message: MessageId, ends: &[Uuid]) -> Result<()> {
        let delivery = subject.delivery;
        self.settle_hold(subject, message)?;
        let resolution = delivery.resolves.as_ref();
        let resolved = resolution.map(|resolution| resolution.quarantine_id);
        let also = ends.iter().copied().filter(|id| Some(*id) != resolved);
        for quarantine_id in resolved.into_iter().chain(also) {
            // It leaves once.
            self.waiting.remove(&quarantine_id);
            self.released.push(Release {
                quarantine_id,
                message: &delivery.message,
                resolution: resolution.filter(|_| Some(quarantine_id) == resolved),
            });
        }
        Ok(())
    }

    /// Settles the hold that the report names, also when another one was charged first: the call is
    /// over either way.
    fn settle_hold(&mut self, subject: &Subject<'a>, message: MessageId) -> Result<()> {
        let Some(hold_id) = subject.delivery.hold_id else {
            return Ok(());
        };
        let account_id = subject.account_id;
        if self.are_holds_read {
            let Some(held) = self.holds.get_mut(&hold_id) else {
                return Ok(());
            };
            if held.status == HoldStatus::Settled {
                return Ok(());
            }
            if held.status == HoldStatus::Open {
                self.accounts
                    .get_mut(account_id)?
                    .unhold(held.amount_nano)?;
            }
            held.status = HoldStatus::Settled;
            held.message = Some(message);
        }
        self.settled.push(HoldSettlement {
            account_id,
            hold_id,
            message: message.0,
        });
        Ok(())
    }

    fn recorded(&self, subject: &Subject<'a>, number: u32) -> RecordedReport {
        let delivery = subject.delivery;
        RecordedReport {
            report: Report {
                number,
                party: delivery.entrance.party(),
                at: subject.at,
                usage: subject.usage.clone(),
            },
            account_id: subject.account_id,
            api_key_id: delivery.source.id,
            entrance: delivery.entrance,
            quarantine_id: None,
        }
    }

    fn report_event(
        &self,
        subject: &Subject<'a>,
        message: MessageId,
        kind: &'static str,
        at: u32,
    ) -> NewMessageEvent {
        let delivery = subject.delivery;
        NewMessageEvent {
            message: message.0,
            number: number(at),
            kind,
            account_id: subject.account_id,
            api_key_id: Some(delivery.source.id),
            entrance: Some(delivery.entrance.as_str()),
            occurred_at: Some(subject.at.moment()),
            usage: Some(Json(subject.usage.clone())),
            ..NewMessageEvent::default()
        }
    }

    fn delivery_row(
        &self,
        delivery: &'a Delivery,
        outcome: Outcome,
        reason: Option<&'static str>,
    ) -> NewDelivery<'a> {
        let message = &delivery.message;
        let tokens = |count: fn(&shared::tokens::Tokens) -> u64| {
            let calls = message.calls.iter();
            let sum = calls.fold(0_u64, |sum, call| sum.saturating_add(count(&call.tokens)));
            i64::try_from(sum).unwrap_or(i64::MAX)
        };
        NewDelivery {
            received_at: delivery.received_at.moment(),
            api_key_id: delivery.source.id,
            entrance: delivery.entrance.as_str(),
            outcome: outcome.as_str(),
            reason,
            message_id: Some(&message.message_id),
            message: None,
            user_id: Some(message.user_id.as_str()),
            model_names: model_names(message),
            input_tokens: tokens(shared::tokens::Tokens::all_input),
            output_tokens: tokens(shared::tokens::Tokens::all_output),
            charge_nano: None,
            balance_after_nano: None,
            body: None,
        }
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.accounts.now()
    }
}

/// The message that has a report at a place in quarantine.
fn waiting_in(messages: &[Message], quarantine_id: Uuid) -> Option<MessageId> {
    let has_it = |message: &&Message| {
        let mut waiting = message.waiting.iter();
        waiting.any(|report| report.quarantine_id == Some(quarantine_id))
    };
    messages.iter().find(has_it).map(|message| message.id)
}

/// All models of a message, in the order of its calls.
fn model_names(message: &MessageUsage) -> Vec<&str> {
    let calls = message.calls.iter();
    let mut names: Vec<_> = calls.map(|call| call.model_name.as_str()).collect();
    names.dedup();
    names
}

/// Numbers of events are small.
fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn answer(
    status: Outcome,
    message: MessageId,
    deducted_nano: i64,
    tokens_used: u64,
    balance_nano: i64,
) -> WebhookAnswer {
    let points = Points::from_nano(deducted_nano);
    let balance = Points::from_nano(balance_nano);
    WebhookAnswer {
        status,
        consumption_id: Some(message.public()),
        points_deducted: points,
        points_deducted_nano: points.into(),
        tokens_used,
        balance,
        balance_nano: balance.into(),
        reason: None,
    }
}
