//! Books in memory: what there is of messages, ids and balances, and what decisions make of them.

use std::collections::{BTreeMap, HashMap};

use shared::api::QuarantineReason;
use shared::clock::Timestamp;
use shared::ids::ModelName;
use shared::money::UnitPrice;
use shared::price::{PriceBook, PriceVersion, Rates};
use shared::tokens::Tokens;
use shared::usage::{Count, Evidence, Line, Report, Usage, Whole};
use uuid::Uuid;

use crate::Entrance;
use crate::charging::change::DecidedChange;
use crate::charging::decide::{Decision, Effect, Incoming, decide};
use crate::charging::message::{Message, RecordedReport, payable};
use crate::records::entry::{EntriesBefore, EntryLine};
use crate::records::hash::MessageId;

/// What somebody says, who says it, and of whom.
#[derive(Debug, Clone)]
pub struct Said {
    pub user: u128,
    pub entrance: Entrance,
    pub ids: Vec<String>,
    pub second: i64,
    pub usage: Usage,
    pub doubt: Option<QuarantineReason>,
}

/// What somebody says of a message with these ids, with spaces between them.
pub fn said(entrance: Entrance, ids: &str) -> Said {
    Said {
        user: 1,
        entrance,
        ids: ids.split(' ').map(str::to_owned).collect(),
        second: 0,
        usage: Usage::default(),
        doubt: None,
    }
}

pub fn gateway(ids: &str) -> Said {
    said(Entrance::Gateway, ids)
}

pub fn traces(ids: &str) -> Said {
    said(Entrance::Langfuse, ids)
}

pub fn webhook(ids: &str) -> Said {
    said(Entrance::Webhook, ids)
}

pub fn review(ids: &str) -> Said {
    said(Entrance::Review, ids)
}

pub fn line(model_name: &str, tokens: Tokens, evidence: Evidence) -> Line {
    Line {
        model_name: model_name.parse().unwrap(),
        tokens,
        evidence,
    }
}

impl Said {
    pub fn with_line(mut self, id: &str, line: Line) -> Self {
        self.usage.calls.insert(id.to_owned(), line);
        self
    }

    /// A call whose tokens and model were told.
    pub fn call(self, id: &str, model_name: &str, input: u64) -> Self {
        self.call_by(id, model_name, input, Evidence::Measured)
    }

    pub fn call_by(self, id: &str, model_name: &str, input: u64, evidence: Evidence) -> Self {
        self.with_line(id, line(model_name, Tokens::new(input, 0), evidence))
    }

    pub fn whole(self, model_name: &str, input: u64) -> Self {
        self.whole_by(model_name, input, Evidence::Measured)
    }

    pub fn whole_by(mut self, model_name: &str, input: u64, evidence: Evidence) -> Self {
        self.usage.whole = Some(Whole {
            lines: vec![line(model_name, Tokens::new(input, 0), evidence)],
            is_so_far: false,
        });
        self
    }

    /// A whole that may grow.
    pub fn so_far(self, model_name: &str, input: u64) -> Self {
        let mut said = self.whole(model_name, input);
        if let Some(whole) = &mut said.usage.whole {
            whole.is_so_far = true;
        }
        said
    }

    pub fn count(mut self, tokens: u64) -> Self {
        self.usage.count = Some(Count {
            tokens,
            model_name: "m".parse().unwrap(),
        });
        self
    }

    pub const fn at(mut self, second: i64) -> Self {
        self.second = second;
        self
    }

    pub const fn of_user(mut self, user: u128) -> Self {
        self.user = user;
        self
    }

    pub const fn doubted(mut self) -> Self {
        self.doubt = Some(QuarantineReason::ZeroUsage);
        self
    }
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// With what it changed, in nanopoints.
    Charged(i64),
    Duplicate,
    Waits(QuarantineReason),
    Conflict,
}

impl Answer {
    pub const fn waits(self) -> bool {
        matches!(self, Self::Waits(_))
    }
}

/// An entry of the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    pub kind: &'static str,
    pub message: MessageId,
    /// What the account gains, in nanopoints.
    pub amount: i64,
}

#[derive(Debug, Clone, Default)]
pub struct World {
    versions: Vec<PriceVersion>,
    messages: BTreeMap<MessageId, Message>,
    claims: BTreeMap<String, MessageId>,
    waiting: BTreeMap<Uuid, Said>,
    pub entries: Vec<Entered>,
    /// What accounts have spent.
    spent: BTreeMap<u128, i64>,
    balance_at_first: i64,
    quarantined: u128,
}

pub const fn account(user: u128) -> Uuid {
    Uuid::from_u128(user)
}

/// Prices are nanopoints for a token: `m` 1, `dear` 10.
pub fn world() -> World {
    let mut world = World::default();
    world.publish("m", 1, None);
    world.publish("dear", 10, None);
    world
}

pub fn moment(second: i64) -> Timestamp {
    Timestamp::from_unix_seconds(second).unwrap()
}

impl World {
    /// One whose accounts cannot go below zero by more than so many nanopoints.
    pub fn with_room(room: i64) -> Self {
        Self {
            balance_at_first: i64::MIN + room,
            ..Self::default()
        }
    }

    /// A price from a second on, or since ever. Returns its id.
    pub fn publish(&mut self, model_name: &str, nano: i64, from: Option<i64>) -> i64 {
        let price = UnitPrice::from_nano_per_token(nano).unwrap();
        self.publish_rates(model_name, Rates::new(price, price), from)
    }

    pub fn publish_rates(&mut self, model_name: &str, rates: Rates, from: Option<i64>) -> i64 {
        let model_name: ModelName = model_name.parse().unwrap();
        let same = self.versions.iter();
        let same = same.filter(|it| it.model_name == model_name).count();
        let id = i64::try_from(self.versions.len()).unwrap() + 1;
        self.versions.push(PriceVersion {
            id,
            model_name,
            version: i32::try_from(same).unwrap() + 1,
            rates,
            is_active: true,
            effective_from: from.map(moment),
            created_at: moment(0),
            created_by: "tests".into(),
            note: None,
        });
        id
    }

    pub fn set_inactive(&mut self, version: i64) {
        let mut versions = self.versions.iter_mut();
        versions.find(|it| it.id == version).unwrap().is_active = false;
    }

    pub fn book(&self) -> PriceBook {
        PriceBook::new(self.versions.iter().cloned())
    }

    pub fn version(&self, id: i64) -> &PriceVersion {
        self.versions.iter().find(|it| it.id == id).unwrap()
    }

    /// What the first user has spent, in nanopoints.
    pub fn spent(&self) -> i64 {
        self.spent_by(1)
    }

    pub fn spent_by(&self, user: u128) -> i64 {
        self.spent.get(&user).copied().unwrap_or_default()
    }

    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.values()
    }

    /// The message that an id belongs to.
    pub fn message(&self, id: &str) -> &Message {
        &self.messages[&self.claims[id]]
    }

    pub fn knows(&self, id: &str) -> bool {
        self.claims.contains_key(id)
    }

    /// The newest version of a model.
    pub fn newest(&self, model_name: &str) -> i64 {
        let versions = self.versions.iter();
        let mut versions = versions.filter(|it| it.model_name.as_str() == model_name);
        versions.next_back().unwrap().id
    }

    /// How many reports wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn belongs_to(&self, ids: &[String]) -> Vec<MessageId> {
        let mut found = Vec::new();
        for id in ids.iter().filter_map(|id| self.claims.get(id)) {
            if !found.contains(id) {
                found.push(*id);
            }
        }
        found
    }

    pub fn take(&mut self, said: &Said) -> Answer {
        self.decide(said, None, false)
    }

    pub fn take_all<'a>(&mut self, said: impl IntoIterator<Item = &'a Said>) -> Vec<Answer> {
        said.into_iter().map(|said| self.take(said)).collect()
    }

    fn decide(&mut self, said: &Said, released: Option<Uuid>, is_corrected: bool) -> Answer {
        let call_ids: Vec<String> = said.usage.calls.keys().cloned().collect();
        let mut found = self.belongs_to(&said.ids);
        if found.is_empty() {
            found = self.belongs_to(&call_ids);
        }
        let recorded: Vec<Message> = found.iter().map(|id| self.messages[id].clone()).collect();
        let incoming = Incoming {
            account_id: account(said.user),
            api_key_id: Uuid::nil(),
            entrance: said.entrance,
            party: said.entrance.party(),
            at: moment(said.second),
            usage: &said.usage,
            doubt: said.doubt,
            released,
            is_corrected,
            has_free_id: said.ids.iter().any(|id| !self.claims.contains_key(id)),
            balance_nano: self.balance_at_first - self.spent_by(said.user),
        };
        let (answer, message) = match decide(&recorded, &incoming, &self.book()) {
            Decision::Conflict => return Answer::Conflict,
            Decision::Duplicate { message, ends } => {
                self.waiting.retain(|id, _| !ends.contains(id));
                let mut message = recorded[message].clone();
                message
                    .waiting
                    .retain(|it| it.quarantine_id.is_none_or(|id| !ends.contains(&id)));
                (Answer::Duplicate, message)
            }
            Decision::Wait {
                message,
                reason,
                is_new,
            } => {
                let message = message.map(|place| recorded[place].clone());
                let message = message.unwrap_or_else(|| self.new_message(said));
                let message = self.wait(said, message, is_new);
                (Answer::Waits(reason), message)
            }
            Decision::Effect(effect) => self.effect(said, &recorded, *effect),
        };
        for id in said.ids.iter().chain(&call_ids) {
            self.claims.entry(id.clone()).or_insert(message.id);
        }
        self.check(&message);
        self.messages.insert(message.id, message);
        answer
    }

    fn new_message(&self, said: &Said) -> Message {
        let mut ids = said.ids.iter();
        let free = ids.find(|id| !self.claims.contains_key(*id)).unwrap();
        Message::new(MessageId::new(0, free))
    }

    fn wait(&mut self, said: &Said, mut message: Message, is_new: bool) -> Message {
        if is_new {
            self.quarantined += 1;
            let quarantine_id = Uuid::from_u128(self.quarantined);
            self.waiting.insert(quarantine_id, said.clone());
            let report = recorded(said, message.next_number);
            message.waiting.push(RecordedReport {
                quarantine_id: Some(quarantine_id),
                ..report
            });
            message.next_number += 1;
        }
        message
    }

    fn effect(&mut self, said: &Said, before: &[Message], effect: Effect) -> (Answer, Message) {
        let message = effect.message.map(|place| before[place].clone());
        let mut message = message.unwrap_or_else(|| self.new_message(said));
        let is_first = message.entries.is_none();
        let mut owed = message.dues.owed_nano;
        for (place, from) in &effect.joined {
            let other = before[*place].renumbered(*from);
            assert!(*from >= message.next_number, "numbers are used once");
            assert!(
                !is_first || other.entries.is_none(),
                "it goes on from what was charged"
            );
            owed += other.dues.owed_nano;
            message.next_number = from + other.next_number + 1;
            message.in_effect.extend(other.in_effect);
            message.waiting.extend(other.waiting);
            for (model, version) in other.versions {
                message.versions.entry(model).or_insert(version);
            }
            self.end(other.id, message.id);
        }
        assert!(
            effect.number >= message.next_number,
            "numbers are used once"
        );
        assert_eq!(effect.owed_before_nano, owed, "what all of them owed");
        message.in_effect.push(recorded(said, effect.counts_as));
        message.in_effect.sort_by_key(|it| it.report.number);
        message.next_number = effect.number + 1;
        message.account_id.get_or_insert(account(said.user));
        message
            .waiting
            .retain(|it| it.quarantine_id.is_none_or(|id| !effect.ends.contains(&id)));
        self.waiting.retain(|id, _| !effect.ends.contains(id));
        message.lines = effect.lines;
        message.dues = effect.dues;
        let amount = owed - effect.dues.owed_nano;
        if is_first || amount != 0 {
            let kind = if is_first { "charge" } else { "correction" };
            assert!(!is_first || amount <= 0, "a charge takes points");
            self.enter(kind, &mut message, amount);
            return (Answer::Charged(-amount), message);
        }
        (Answer::Duplicate, message)
    }

    fn enter(&mut self, kind: &'static str, message: &mut Message, amount: i64) {
        let user = message.account_id.unwrap().as_u128();
        *self.spent.entry(user).or_default() -= amount;
        self.entries.push(Entered {
            kind,
            message: message.id,
            amount,
        });
        let entry = i64::try_from(self.entries.len()).unwrap();
        let first = message.entries.map_or(entry, |entries| entries.first);
        message.entries = Some(EntriesBefore { first, last: entry });
    }

    /// A message has turned out to be another one.
    fn end(&mut self, ended: MessageId, into: MessageId) {
        self.messages.remove(&ended);
        for message in self.claims.values_mut().filter(|id| **id == ended) {
            *message = into;
        }
        for entry in self.entries.iter_mut().filter(|it| it.message == ended) {
            entry.message = into;
        }
    }

    /// What is true of every message at any time.
    fn check(&self, message: &Message) {
        let dues = message.dues;
        let costs: i64 = message.lines.iter().map(|line| line.cost_nano).sum();
        assert_eq!(costs, dues.cost_nano, "the lines are what it costs");
        let of_message = self.entries.iter().filter(|it| it.message == message.id);
        let entered: i64 = of_message.map(|it| it.amount).sum();
        assert_eq!(-entered, dues.owed_nano, "the entries are what it owes");
        assert!(0 <= dues.owed_nano && dues.owed_nano <= dues.cost_nano);
        // What was given back stays given back where it costs as much as then, or more.
        if dues.cost_nano >= dues.basis_nano {
            let discount = dues.basis_nano - dues.cap_nano;
            assert_eq!(dues.cost_nano - dues.owed_nano, discount);
        } else {
            assert_eq!(dues.owed_nano, dues.cost_nano.min(dues.cap_nano));
        }
        let paid = payable(&message.in_effect);
        let paid = paid.iter().map(|it| (&it.place, it.report, it.tokens));
        let charged = message.lines.iter();
        assert!(
            paid.eq(charged.map(|it| (&it.place, it.report, it.tokens))),
            "the lines are those of the reports in effect"
        );
        let all = message.in_effect.iter().chain(&message.waiting);
        let mut numbers: Vec<u32> = all.map(|it| it.report.number).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "numbers are used once");
        assert!(numbers.iter().all(|number| *number < message.next_number));
    }

    /// Lets all that waits be decided again, until nothing changes.
    pub fn release(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        loop {
            let waiting: Vec<_> = self.waiting.keys().copied().collect();
            let before = answers.len();
            for id in waiting {
                let Some(said) = self.waiting.get(&id).cloned() else {
                    continue;
                };
                let answer = self.decide(&said, Some(id), false);
                if !self.waiting.contains_key(&id) {
                    answers.push(answer);
                }
            }
            if answers.len() == before {
                return answers;
            }
        }
    }

    /// The report that has waited longest is decided again.
    pub fn release_first(&mut self) -> Answer {
        let (id, said) = self.waiting.iter().next().unwrap();
        let (id, said) = (*id, said.clone());
        self.decide(&said, Some(id), false)
    }

    /// The last report that waits is charged as an administrator puts it right.
    pub fn correct(&mut self, usage: Usage) -> Answer {
        let (id, said) = self.waiting.iter().next_back().unwrap();
        let (id, said) = (*id, said.clone());
        let usage = usage.decided();
        self.decide(&Said { usage, ..said }, Some(id), true)
    }

    pub fn refund(&mut self, id: &str, nano: i64) {
        let mut message = self.message(id).clone();
        let change = DecidedChange::refund(&message, nano).unwrap();
        self.change(&mut message, change, "refund");
    }

    /// All that is left is given back.
    pub fn refund_all(&mut self, id: &str) {
        self.refund(id, self.message(id).dues.owed_nano);
    }

    /// Every message is priced by a version.
    pub fn rerate(&mut self, version: i64) {
        let version = self.version(version).clone();
        let versions = HashMap::from([(version.model_name.key(), version)]);
        let messages: Vec<Message> = self.messages.values().cloned().collect();
        for mut message in messages.into_iter().filter(|it| it.entries.is_some()) {
            if let Some(change) = DecidedChange::rerate(&message, &versions).unwrap() {
                self.change(&mut message, change, "rerate");
            }
        }
    }

    /// A model gets a new price, also for what was charged.
    pub fn reprice(&mut self, model_name: &str, nano: i64) {
        let version = self.publish(model_name, nano, None);
        self.rerate(version);
    }

    fn change(&mut self, message: &mut Message, change: DecidedChange, kind: &'static str) {
        let amount = message.dues.owed_nano - change.dues.owed_nano;
        assert_eq!(change.gain(message).unwrap().nano(), amount);
        message.lines = change.lines;
        message.dues = change.dues;
        message.versions.extend(change.versions);
        message.next_number += 1;
        if amount != 0 {
            self.enter(kind, message, amount);
        }
        self.check(message);
        self.messages.insert(message.id, message.clone());
    }

    /// The amounts of all entries, in order.
    pub fn amounts(&self) -> Vec<i64> {
        self.entries.iter().map(|it| it.amount).collect()
    }

    /// Of a line of a message: its tokens, and the version that it is priced by.
    pub fn lines(&self, id: &str) -> &[EntryLine] {
        &self.message(id).lines
    }
}

fn recorded(said: &Said, number: u32) -> RecordedReport {
    RecordedReport {
        report: Report {
            number,
            party: said.entrance.party(),
            at: moment(said.second),
            usage: said.usage.clone(),
        },
        account_id: account(said.user),
        api_key_id: Uuid::nil(),
        entrance: said.entrance,
        quarantine_id: None,
    }
}
