//! The obvious ledger: lists and additions. It knows an account's entries and nothing else of it;
//! whatever it is asked, it adds them up again from the first one. Amounts are nanopoints in 128
//! bits, times whole seconds.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Entrance;
use shared::api::{EntryKind, HoldStatus, Outcome, QuarantineReason};
use shared::dify::Evidence;
use shared::problem::{FieldFault, Problem};

use super::steps::{Call, DEAR, HUGE_NANO, Prices, Report, Step, TOKENS_MAX, USERS};

/// How long before now a price may still be said to start.
const START_TOLERANCE_SECONDS: i64 = 300;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub call: Call,
    /// By the order of publishing.
    pub version: usize,
    pub cost: i128,
    /// Since it was last re-rated.
    pub new_cost: i128,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: EntryKind,
    pub amount: i128,
    pub recorded: i64,
    pub occurred: i64,
    /// Entries are numbered from 1.
    pub corrects: Option<usize>,
    /// Of points that came in.
    pub is_bought: bool,
    pub expires: Option<i64>,
    /// Of a charge.
    pub lines: Vec<Line>,
}

/// Points that came in by one entry, and what is left of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lot {
    pub entry: usize,
    pub left: i128,
    pub is_bought: bool,
    pub expires: Option<i64>,
}

#[derive(Debug, Clone, Default)]
pub struct Account {
    pub entries: Vec<Entry>,
    pub debt_limit: i128,
}

impl Account {
    pub fn balance(&self) -> i128 {
        self.entries.iter().map(|entry| entry.amount).sum()
    }

    /// Points that come in pay debts first. Points go out soonest expiry first, what never expires
    /// last, then granted before bought, then oldest first.
    pub fn lots(&self) -> Vec<Lot> {
        let mut lots: Vec<Lot> = Vec::new();
        let mut balance = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            if entry.amount > 0 {
                let debt = (-balance).max(0);
                lots.push(Lot {
                    entry: index + 1,
                    left: (entry.amount - debt).max(0),
                    is_bought: entry.is_bought,
                    expires: entry.expires,
                });
            } else if entry.kind == EntryKind::Expiry {
                for lot in lots
                    .iter_mut()
                    .filter(|lot| Some(lot.entry) == entry.corrects)
                {
                    lot.left += entry.amount;
                }
            } else {
                lots.sort_by_key(burn_order);
                let mut owed = -entry.amount;
                for lot in &mut lots {
                    let taken = owed.min(lot.left);
                    lot.left -= taken;
                    owed -= taken;
                }
            }
            balance += entry.amount;
        }
        lots.retain(|lot| lot.left > 0);
        lots.sort_by_key(burn_order);
        lots
    }

    /// What an entry's message costs, and what was given back of it; `None` if it is no charge.
    fn standing(&self, entry: usize) -> Option<(i128, i128)> {
        let charge = self.entries.get(entry.checked_sub(1)?)?;
        if charge.kind != EntryKind::Charge {
            return None;
        }
        let corrections = |kind| -> i128 {
            let corrects = |it: &&Entry| it.kind == kind && it.corrects == Some(entry);
            self.entries
                .iter()
                .filter(corrects)
                .map(|it| it.amount)
                .sum()
        };
        let cost = -charge.amount - corrections(EntryKind::Rerate);
        Some((cost, corrections(EntryKind::Refund)))
    }

    /// Enters the end of what is past its time.
    fn expire(&mut self, now: i64) {
        for lot in self.lots() {
            if let Some(expires) = lot.expires.filter(|expires| *expires <= now) {
                self.entries.push(Entry {
                    kind: EntryKind::Expiry,
                    amount: -lot.left,
                    recorded: now,
                    occurred: expires,
                    corrects: Some(lot.entry),
                    is_bought: false,
                    expires: None,
                    lines: Vec::new(),
                });
            }
        }
    }

    fn has_expired(&self, now: i64) -> bool {
        self.lots()
            .iter()
            .any(|lot| lot.expires.is_some_and(|expires| expires <= now))
    }
}

fn burn_order(lot: &Lot) -> (i64, bool, usize) {
    (lot.expires.unwrap_or(i64::MAX), lot.is_bought, lot.entry)
}

#[derive(Debug, Clone)]
pub struct Version {
    pub model: usize,
    pub number: i32,
    pub prices: Prices,
    pub is_active: bool,
    /// `None` is since ever.
    pub from: Option<i64>,
}

impl Prices {
    fn cost(&self, call: &Call) -> i128 {
        let cached = self.cached.unwrap_or(self.input);
        i128::from(self.input) * i128::from(call.input)
            + i128::from(cached) * i128::from(call.cached)
            + i128::from(self.output) * i128::from(call.output)
            + i128::from(self.per_request)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState {
    Open,
    /// By this message.
    Settled(u8),
    Released,
    Expired,
}

impl HoldState {
    pub const fn status(self) -> HoldStatus {
        match self {
            Self::Open => HoldStatus::Open,
            Self::Settled(_) => HoldStatus::Settled,
            Self::Released => HoldStatus::Released,
            Self::Expired => HoldStatus::Expired,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Hold {
    pub user: usize,
    pub amount: i128,
    pub expires: i64,
    pub state: HoldState,
}

/// One charge of a message, and what its sender was told.
#[derive(Debug, Clone)]
struct Part {
    /// With the calls that were charged, which need not be all that were reported.
    report: Report,
    entry: usize,
    points: i128,
    balance: i128,
}

/// A message that was charged.
#[derive(Debug, Clone)]
pub struct Charged {
    first: Report,
    /// Those that were not replaced.
    parts: Vec<Part>,
    /// Reports beside the first.
    seen: Vec<Report>,
}

impl Charged {
    pub const fn first(&self) -> &Report {
        &self.first
    }

    fn tokens(&self) -> u64 {
        self.parts.iter().map(|part| part.report.tokens()).sum()
    }

    /// What stands of a call that was charged under this id.
    fn call(&self, id: u8) -> Option<&Call> {
        self.parts.iter().find_map(|part| part.report.call(id))
    }

    /// Whether its sender said exactly this before.
    fn was_told(&self, report: &Report) -> bool {
        let is_charged = self.parts.iter().any(|part| {
            part.report.is_of_same_party(report) && part.report.use_of() == report.use_of()
        });
        is_charged
            || self
                .seen
                .iter()
                .any(|it| it.entrance == report.entrance && it.use_of() == report.use_of())
    }

    /// What cumulative numbers say beyond what was charged: the last calls tell it.
    fn new_in(&self, report: &Report) -> Vec<Call> {
        let parts = self.parts.iter();
        let charged: Vec<_> = parts.flat_map(|part| part.report.calls.clone()).collect();
        let mut new = beyond(&report.calls, &charged);
        let mut calls = Vec::new();
        for call in report.calls.iter().rev() {
            let told = Call {
                model: call.model,
                input: take(call.input, &mut new.input),
                cached: take(call.cached, &mut new.cached),
                output: take(call.output, &mut new.output),
            };
            if told.tokens() > 0 {
                calls.insert(0, told);
            }
        }
        calls
    }
}

/// A report beside the one that was charged first, as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub message: String,
    pub entrance: String,
    pub evidence: String,
    pub user: usize,
    pub input: u64,
    pub output: u64,
    pub difference: Option<String>,
    /// Whether something was charged by it.
    pub is_charged: bool,
}

/// What waits is a report, or a body that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    Report(Report),
    Body(u8),
}

#[derive(Debug, Clone)]
pub struct Row {
    pub waiting: Waiting,
    received: i64,
    pub reason: QuarantineReason,
    /// `waiting`, `charged` or `dismissed`.
    pub status: &'static str,
}

impl Row {
    /// The message's id, where the body could be read.
    pub fn reported_id(&self) -> Option<u8> {
        match &self.waiting {
            Waiting::Report(report) => Some(report.id),
            Waiting::Body(_) => None,
        }
    }
}

/// What the ledger says to a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Done,
    Problem(Problem),
    Message {
        outcome: Outcome,
        /// The message whose charge is told.
        of: Option<String>,
        points: i128,
        tokens: u64,
        balance: i128,
        reason: Option<QuarantineReason>,
    },
    Messages(Vec<Answer>),
    Checked {
        can_proceed: bool,
        is_held: bool,
        balance: i128,
        held: i128,
        estimate: i128,
        shortfall: i128,
    },
    Hold(HoldStatus),
    Count(u64),
    Published {
        version: i32,
        from: Option<i64>,
    },
    /// By user: messages and what the balance gains.
    Rerated(Vec<(usize, u64, i128)>),
}

impl Answer {
    /// Of two charges, one right after the other.
    fn and(mut self, next: &Self) -> Self {
        if let (
            Self::Message {
                points,
                tokens,
                balance,
                ..
            },
            Self::Message {
                points: next_points,
                tokens: next_tokens,
                balance: next_balance,
                ..
            },
        ) = (&mut self, next)
        {
            *points += next_points;
            *tokens += next_tokens;
            *balance = *next_balance;
        }
        self
    }
}

#[derive(Debug, Clone)]
pub struct Model {
    pub now: i64,
    pub accounts: Vec<Account>,
    pub versions: Vec<Version>,
    pub holds: Vec<Hold>,
    pub messages: BTreeMap<u8, Charged>,
    /// By every id that a charged message is known by: the message, and by whom and with which calls
    /// it was told of under that id.
    pub names: BTreeMap<u8, (u8, usize, Vec<Call>)>,
    pub sightings: Vec<Sighting>,
    pub rows: Vec<Row>,
    /// Everything that was ever reported, to be reported again.
    pub reports: Vec<Report>,
    pub answer: Answer,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            now: 0,
            accounts: vec![Account::default(); USERS],
            versions: Vec::new(),
            holds: Vec::new(),
            messages: BTreeMap::new(),
            names: BTreeMap::new(),
            sightings: Vec::new(),
            rows: Vec::new(),
            reports: Vec::new(),
            answer: Answer::Done,
        }
    }
}

type Refused<T> = Result<T, Problem>;

fn refuse<T>(field: &str, fault: FieldFault) -> Refused<T> {
    Err(Problem::field(field, fault))
}

fn fits(nano: i128) -> bool {
    i64::try_from(nano).is_ok()
}

impl Call {
    const fn tokens(&self) -> u64 {
        self.input + self.cached + self.output
    }
}

impl Report {
    /// With what the first report said and this one, which puts it right, does not repeat.
    fn completed(mut self, first: &Self) -> Self {
        for id in first.also.iter().chain(&first.call_ids) {
            if !self.also.contains(id) && !self.call_ids.contains(id) {
                self.also.push(*id);
            }
        }
        self.happened = self.happened.or(first.happened);
        self
    }

    fn tokens(&self) -> u64 {
        self.calls.iter().map(Call::tokens).sum()
    }

    /// The operator's own systems use the webhook and settle holds.
    fn is_of_same_party(&self, other: &Self) -> bool {
        let party = |entrance| match entrance {
            Entrance::Settlement => Entrance::Webhook,
            entrance => entrance,
        };
        party(self.entrance) == party(other.entrance)
    }

    /// All ids that it names.
    fn ids(&self) -> Vec<u8> {
        let also = self.also.iter().chain(&self.call_ids);
        std::iter::once(&self.id).chain(also).copied().collect()
    }

    fn is_itemized(&self) -> bool {
        !self.calls.is_empty() && self.call_ids.len() == self.calls.len()
    }

    /// Its calls, each with its id where it has one.
    fn told(&self) -> Vec<(Option<u8>, Call)> {
        let ids = self.call_ids.iter().copied().map(Some);
        let ids = ids.chain(std::iter::repeat(None));
        ids.zip(self.calls.iter().cloned()).collect()
    }

    /// Whether a call of it is only how many tokens there were.
    fn is_bare_total(&self, (id, call): &(Option<u8>, Call)) -> bool {
        self.evidence == Evidence::Estimated && id.is_none() && call.tokens() == call.input
    }

    /// Whether a sum that was charged contains all that it tells.
    fn is_in_sum_of(&self, charged: u64, is_own: bool) -> bool {
        let total = match self.so_far {
            Some(total) if self.continues => Some(total),
            _ if is_own && !self.continues && self.evidence == Evidence::Estimated => {
                Some(self.tokens())
            }
            _ => None,
        };
        self.is_itemized() && total.is_some_and(|total| total <= charged)
    }

    fn call(&self, id: u8) -> Option<&Call> {
        let place = self.call_ids.iter().position(|it| *it == id)?;
        self.calls.get(place)
    }

    /// Equal for two reports of the same use by the same user.
    fn use_of(&self) -> (usize, &[Call]) {
        (self.user, &self.calls)
    }

    fn doubt(&self) -> Option<QuarantineReason> {
        if self.contradicts {
            Some(QuarantineReason::ContradictoryTokens)
        } else if self.has_answer && self.tokens() == 0 {
            Some(QuarantineReason::ZeroUsage)
        } else {
            (self.tokens() > TOKENS_MAX).then_some(QuarantineReason::TooManyTokens)
        }
    }
}

impl Model {
    /// One step takes a second, so that no two have the same time.
    pub fn take(&mut self, step: &Step) {
        self.now += 1;
        self.answer = self.act(step).unwrap_or_else(Answer::Problem);
    }

    fn act(&mut self, step: &Step) -> Refused<Answer> {
        match step {
            Step::Wait { seconds } => {
                self.now += seconds;
                Ok(Answer::Done)
            }
            Step::Deliver(report) => Ok(self.deliver(report)),
            Step::DeliverTogether(reports) => Ok(Answer::Messages(
                reports.iter().map(|report| self.deliver(report)).collect(),
            )),
            Step::Check {
                user,
                model,
                input,
                output,
                hold_seconds,
            } => {
                let call = Call {
                    model: *model,
                    input: *input,
                    cached: 0,
                    output: *output,
                };
                self.check(*user, &call, *hold_seconds)
            }
            Step::Settle { hold, report } => self.settle(*hold, report),
            Step::Release { hold, user } => self.release(*hold, *user),
            Step::ExpireHolds => Ok(self.expire_holds()),
            Step::ExpireCredits => Ok(self.expire_credits()),
            Step::Grant {
                user,
                nano,
                is_bought,
                seconds,
            } => self.grant(*user, *nano, *is_bought, *seconds),
            Step::LimitDebt { user, nano } => self.limit_debt(*user, *nano),
            Step::Refund { user, entry, nano } => self.refund(*user, *entry, *nano),
            Step::Publish {
                model,
                prices,
                is_active,
                starts_in,
                is_outdated,
            } => {
                if *is_outdated {
                    return Err(Problem::Outdated);
                }
                self.publish(*model, *prices, *is_active, *starts_in)
            }
            Step::Rerate { versions, from, to } => self.rerate(versions, *from, *to),
            Step::Reject { body } => Ok(self.reject(*body)),
            Step::Dismiss { row } => self.dismiss(*row),
            Step::ChargeWaiting { row, corrected } => self.charge_waiting(*row, corrected.as_ref()),
        }
    }

    pub fn held(&self, user: usize) -> i128 {
        let is_open = |hold: &&Hold| hold.user == user && hold.state == HoldState::Open;
        self.holds
            .iter()
            .filter(is_open)
            .map(|hold| hold.amount)
            .sum()
    }

    /// When something runs out or begins: later than now.
    pub fn dates(&self) -> Vec<i64> {
        let lots = self.accounts.iter().flat_map(Account::lots);
        let open = |hold: &&Hold| hold.state == HoldState::Open;
        let holds = self.holds.iter().filter(open).map(|hold| hold.expires);
        lots.filter_map(|lot| lot.expires)
            .chain(holds)
            .chain(self.versions.iter().filter_map(|version| version.from))
            .filter(|date| *date > self.now)
            .collect()
    }

    fn usable(&self, user: usize) -> i128 {
        let account = &self.accounts[user];
        account.balance() - self.held(user) + account.debt_limit
    }

    /// Every charge: user, entry, and what may still be refunded.
    pub fn charges(&self) -> Vec<(usize, usize, i128)> {
        let mut charges = Vec::new();
        for (user, account) in self.accounts.iter().enumerate() {
            for entry in 1..=account.entries.len() {
                if let Some((cost, refunded)) = account.standing(entry) {
                    charges.push((user, entry, cost - refunded));
                }
            }
        }
        charges
    }

    /// Adds an entry after what runs out before it, or changes nothing if it does not fit.
    fn enter(&mut self, user: usize, entry: Entry) -> Refused<()> {
        let mut account = self.accounts[user].clone();
        account.expire(self.now);
        if !fits(account.balance() + entry.amount) {
            return refuse("points", FieldFault::TooLarge);
        }
        account.entries.push(entry);
        self.accounts[user] = account;
        Ok(())
    }

    fn entry(&self, kind: EntryKind, amount: i128) -> Entry {
        Entry {
            kind,
            amount,
            recorded: self.now,
            occurred: self.now,
            corrects: None,
            is_bought: false,
            expires: None,
            lines: Vec::new(),
        }
    }

    /// The version in force is the one that started last; of two that started at once, the later.
    fn in_force(&self, model: usize, at: i64) -> Result<usize, QuarantineReason> {
        let newest = (0..self.versions.len())
            .filter(|index| self.versions[*index].model == model)
            .filter(|index| self.versions[*index].from.is_none_or(|from| from <= at))
            .max_by_key(|index| (self.versions[*index].from, self.versions[*index].number))
            .ok_or(QuarantineReason::UnknownModel)?;
        if self.versions[newest].is_active {
            Ok(newest)
        } else {
            Err(QuarantineReason::InactivePrice)
        }
    }

    fn deliver(&mut self, report: &Report) -> Answer {
        self.reports.push(report.clone());
        self.judge(report, self.now, None, None)
    }

    /// `hold` is what the message settles, `resolves` the quarantine row that it was.
    fn judge(
        &mut self,
        report: &Report,
        received: i64,
        hold: Option<usize>,
        resolves: Option<usize>,
    ) -> Answer {
        self.accounts[report.user].expire(self.now);
        // A settled hold stays settled by its first message, whatever a second one is called.
        let own = match hold.map(|hold| self.holds[hold].state) {
            Some(HoldState::Settled(by)) => by,
            _ => report.id,
        };
        let conflict = Answer::Problem(Problem::MessageConflict {
            message_id: message_name(report.id),
        });
        let report = &Report {
            id: own,
            ..report.clone()
        };
        if let Some(id) = self.known_as(report) {
            let Some(answer) = self.again(id, report, received) else {
                return conflict;
            };
            self.close(hold, id);
            self.mark_charged(resolves);
            return answer;
        }
        let waits = self.rows.iter().position(|row| match &row.waiting {
            Waiting::Report(report) => report.id == own && row.status == "waiting",
            Waiting::Body(_) => false,
        });
        // Whoever resolves it may put the numbers right.
        if let Some(Waiting::Report(waiting)) = waits.map(|row| &self.rows[row].waiting)
            && waiting.is_of_same_party(report)
            && waiting.use_of() != report.use_of()
            && resolves.is_none()
        {
            return conflict;
        }
        match self.charge(own, report, &report.calls, received, resolves.is_some()) {
            Ok(answer) => {
                self.learn(own, report);
                self.close(hold, own);
                self.mark_charged(resolves);
                self.mark_charged(waits);
                answer
            }
            Err(reason) => {
                if waits.is_none() && resolves.is_none() {
                    let waiting = Waiting::Report(report.clone());
                    self.rows.push(Row {
                        waiting,
                        received,
                        reason,
                        status: "waiting",
                    });
                }
                Answer::Message {
                    outcome: Outcome::Quarantined,
                    of: None,
                    points: 0,
                    tokens: report.tokens(),
                    balance: self.accounts[report.user].balance(),
                    reason: Some(reason),
                }
            }
        }
    }

    /// The charged message that the first of a report's ids which is known leads to.
    fn known_as(&self, report: &Report) -> Option<u8> {
        let ids = report.ids();
        ids.iter().find_map(|id| Some(self.names.get(id)?.0))
    }

    /// A report of a message that was charged; no answer where a party contradicts itself.
    fn again(&mut self, id: u8, report: &Report, received: i64) -> Option<Answer> {
        let message = self.messages[&id].clone();
        let parts = message.parts.iter().map(|part| &part.report);
        let is_own = parts.clone().any(|part| part.is_of_same_party(report));
        let is_same_user = parts.clone().all(|part| part.user == report.user);
        let is_itemized = parts.clone().all(Report::is_itemized);
        let tells_calls = is_same_user && report.is_itemized() && (is_itemized || report.continues);
        let is_new = |call: &u8| tells_calls && !self.names.contains_key(call);
        let new_ids: Vec<_> = report.call_ids.iter().copied().filter(is_new).collect();
        let goes_on = is_same_user && is_own && report.continues && !report.is_itemized();
        // Another call may have used the same.
        let is_repeated = message.was_told(report);
        let mut call_ids = report.call_ids.iter();
        let is_unheard = report.is_itemized() && call_ids.any(|it| !self.names.contains_key(it));
        if is_same_user
            && !goes_on
            && (is_unheard || !is_repeated)
            && let Some(answer) = self.replace(id, report, received)
        {
            return Some(answer);
        }
        if is_repeated && new_ids.is_empty() {
            return Some(self.repeated(id, report, true));
        }
        if is_same_user && !is_itemized && report.is_in_sum_of(message.tokens(), is_own) {
            return Some(self.repeated(id, report, is_own));
        }
        if tells_calls {
            // Calls that nobody has told of are charged; the others must be what they were.
            if !new_ids.is_empty() {
                return Some(self.charge_more(id, report, new_ids, received));
            }
            let is_as_before = |call: &u8| {
                let (_, user, calls) = &self.names[call];
                let told = report.call(*call).map(std::slice::from_ref);
                let stands = message.call(*call).filter(|_| *call != id);
                let calls = stands.map_or(calls.as_slice(), std::slice::from_ref);
                *user == report.user && Some(calls) == told
            };
            if report.call_ids.iter().all(is_as_before) {
                return Some(self.repeated(id, report, is_own));
            }
        } else if goes_on {
            let calls = message.new_in(report);
            if calls.is_empty() {
                return Some(self.repeated(id, report, true));
            }
            return Some(self.charge_part(id, report, &calls, received));
        }
        let told = report.told();
        let contradicts = |part: &Part| {
            let differs = |(id, call): &(Option<u8>, Call)| {
                let known = id.and_then(|id| part.report.call(id));
                known.is_some_and(|known| known != call)
            };
            part.report.is_of_same_party(report)
                && (!is_same_user
                    || part.report.evidence == report.evidence
                        && match (report.is_itemized(), part.report.is_itemized()) {
                            (true, true) => told.iter().any(differs),
                            (true, false) => report.evidence != Evidence::Estimated,
                            (false, _) => true,
                        })
        };
        if message.parts.iter().any(contradicts) {
            return None;
        }
        let difference = if !is_same_user {
            Some("user")
        } else if report.tokens() == message.tokens() {
            None
        } else {
            Some("tokens")
        };
        self.see(id, report, difference, false);
        if is_same_user {
            self.learn(id, report);
        }
        Some(self.duplicate(id))
    }

    /// Charges what a report knows better than it was charged, in the place of that; what it does not
    /// tell of what is given back is charged again.
    fn replace(&mut self, id: u8, report: &Report, received: i64) -> Option<Answer> {
        let message = self.messages[&id].clone();
        let is_weaker = |part: &Part| part.report.evidence < report.evidence;
        let (weaker, others): (Vec<_>, Vec<_>) = message.parts.into_iter().partition(is_weaker);
        let is_apart = report.is_itemized();
        let is_known = |id| others.iter().any(|part| part.report.call(id).is_some());
        let is_made_nothing = |id, call: &Call| {
            let mut guessed = weaker.iter().filter_map(|part| part.report.call(id));
            call.tokens() == 0 && guessed.any(|guessed| guessed.tokens() > 0)
        };
        let mut new = report.told();
        new.retain(|(id, call)| !id.is_some_and(|id| is_known(id) || is_made_nothing(id, call)));
        let is_of_calls = |part: &Part| !part.report.call_ids.is_empty();
        let is_possible = match is_apart {
            true => !new.is_empty(),
            false => others.is_empty() && !weaker.iter().any(is_of_calls),
        };
        if weaker.is_empty() || !is_possible {
            return None;
        }
        let (new_ids, new_calls): (Vec<_>, Vec<_>) = new.into_iter().unzip();
        let (mut given_back, mut told) = (Vec::new(), Vec::new());
        let mut total_of = None;
        for part in weaker {
            let lines = part.report.told();
            let is_told = |line: &(Option<u8>, Call)| {
                let is_sum = line.0.is_none() && !part.report.is_bare_total(line);
                let tells_of = match line.0 {
                    Some(_) => new_ids.contains(&line.0),
                    None => !(is_sum && is_apart && report.continues),
                };
                let calls = new_ids.iter().zip(&new_calls);
                let tells: u64 = calls
                    .filter(|(id, _)| line.0.is_none() || **id == line.0)
                    .map(|(_, call)| call.tokens())
                    .sum();
                tells_of && (tells > 0 || line.1.tokens() == 0)
            };
            let is_empty = lines.is_empty();
            let (told_lines, kept): (Vec<_>, Vec<_>) = lines.into_iter().partition(is_told);
            if told_lines.is_empty() && !is_empty {
                continue;
            }
            let mut totals = told_lines.iter().rev();
            if let Some((_, total)) = totals.find(|line| part.report.is_bare_total(line)) {
                total_of = Some((given_back.len(), total.model));
            }
            told.extend(told_lines.into_iter().map(|(_, call)| call));
            given_back.push((part, kept));
        }
        if given_back.is_empty() {
            return None;
        }
        if let Some((place, model)) = total_of {
            let rest = Call {
                model,
                ..beyond(&told, &new_calls)
            };
            if rest.tokens() > 0 {
                given_back[place].1.push((None, rest));
            }
        }
        let user = report.user;
        let account = &self.accounts[user];
        let is_corrected = |part: &Part| {
            let (cost, refunded) = account.standing(part.entry).unwrap();
            cost - refunded != -account.entries[part.entry - 1].amount
        };
        let mut given = given_back.iter();
        if given.any(|(part, kept)| !kept.is_empty() && is_corrected(part)) {
            return None;
        }
        for (part, _) in &given_back {
            let (cost, refunded) = self.accounts[user].standing(part.entry).unwrap();
            if cost > refunded {
                let refund = Entry {
                    corrects: Some(part.entry),
                    ..self.entry(EntryKind::Refund, cost - refunded)
                };
                self.enter(user, refund).unwrap();
            }
        }
        let is_given_back = |it: &Part| given_back.iter().any(|(part, _)| part.entry == it.entry);
        let parts = &mut self.messages.get_mut(&id).unwrap().parts;
        parts.retain(|part| !is_given_back(part));
        let mut answer = self.charge_part(id, report, &new_calls, received);
        self.name_calls(id, new_ids.into_iter().flatten().collect());
        for (part, kept) in given_back {
            if kept.is_empty() {
                continue;
            }
            let (ids, calls): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
            let happened = self.accounts[user].entries[part.entry - 1].occurred;
            let again = Report {
                id,
                also: Vec::new(),
                call_ids: ids.into_iter().flatten().collect(),
                calls: calls.clone(),
                happened: Some(happened),
                ..part.report
            };
            let kept = self.charge(id, &again, &calls, happened, true).unwrap();
            self.see(id, &again, None, true);
            answer = answer.and(&kept);
        }
        Some(answer)
    }

    /// By which ids the calls are known that were charged last.
    fn name_calls(&mut self, id: u8, call_ids: Vec<u8>) {
        let parts = &mut self.messages.get_mut(&id).unwrap().parts;
        parts.last_mut().unwrap().report.call_ids = call_ids;
    }

    fn charge_more(&mut self, id: u8, report: &Report, new_ids: Vec<u8>, received: i64) -> Answer {
        let calls: Vec<_> = new_ids
            .iter()
            .map(|call| report.call(*call).unwrap().clone())
            .collect();
        let answer = self.charge_part(id, report, &calls, received);
        self.name_calls(id, new_ids);
        answer
    }

    /// Charges some of a report's calls beside what was charged before.
    fn charge_part(&mut self, id: u8, report: &Report, calls: &[Call], received: i64) -> Answer {
        let answer = self.charge(id, report, calls, received, false).unwrap();
        self.see(id, report, None, true);
        self.learn(id, report);
        answer
    }

    /// Nothing new, but perhaps from somebody new, or by a new name.
    fn repeated(&mut self, id: u8, report: &Report, is_own: bool) -> Answer {
        if self.learn(id, report) || !is_own {
            self.see(id, report, None, false);
        }
        self.duplicate(id)
    }

    /// From now on the message is known by all ids that the report names and that are nobody's yet.
    fn learn(&mut self, id: u8, report: &Report) -> bool {
        let known = self.names.len();
        // The message itself is the whole of its first report, whatever its calls are called.
        let own = self.names.entry(id);
        own.or_insert_with(|| (id, report.user, report.calls.clone()));
        for name in report.ids() {
            let calls = report
                .call(name)
                .map_or_else(|| report.calls.clone(), |call| vec![call.clone()]);
            self.names.entry(name).or_insert((id, report.user, calls));
        }
        self.names.len() > known
    }

    fn see(&mut self, id: u8, report: &Report, difference: Option<&str>, is_charged: bool) {
        let message = self.messages.get_mut(&id).unwrap();
        message.seen.push(report.clone());
        let count = |count: fn(&Call) -> u64| report.calls.iter().map(count).sum();
        self.sightings.push(Sighting {
            message: message_name(id),
            entrance: report.entrance.as_str().to_owned(),
            evidence: report.evidence.as_str().to_owned(),
            user: report.user,
            input: count(|call| call.input + call.cached),
            output: count(|call| call.output),
            difference: difference.map(str::to_owned),
            is_charged,
        });
    }

    /// What stands of the whole message is told to whoever reports it again.
    fn duplicate(&self, id: u8) -> Answer {
        let message = &self.messages[&id];
        Answer::Message {
            outcome: Outcome::Duplicate,
            of: Some(message_name(id)),
            points: message.parts.iter().map(|part| part.points).sum(),
            tokens: message.tokens(),
            balance: message.parts.last().unwrap().balance,
            reason: None,
        }
    }

    /// Whether all that is known of a message was plainly reported.
    pub fn is_plain(&self, report: &Report, hold: HoldState) -> bool {
        let id = match hold {
            HoldState::Settled(by) => by,
            _ => report.id,
        };
        let report = Report {
            id,
            ..report.clone()
        };
        let message = self.known_as(&report).map(|id| &self.messages[&id]);
        message.is_none_or(|message| {
            let mut parts = message.parts.iter();
            parts.all(|part| part.report.evidence == Evidence::Reported)
        })
    }

    pub fn has_price(&self, model: usize) -> bool {
        self.in_force(model, self.now + 1).is_ok()
    }

    /// Whether nothing keeps a report in quarantine, whatever of it is charged.
    pub fn would_charge(&self, report: &Report) -> bool {
        let next = self.now + 1;
        let occurred = report.happened.unwrap_or(next).min(next);
        let mut calls = report.calls.iter();
        report.doubt().is_none()
            && calls.all(|call| call.model != DEAR && self.in_force(call.model, occurred).is_ok())
            && self.accounts[report.user].balance().abs() < i128::from(HUGE_NANO) / 2
    }

    fn close(&mut self, hold: Option<usize>, by: u8) {
        if let Some(hold) = hold {
            self.holds[hold].state = HoldState::Settled(by);
        }
    }

    fn mark_charged(&mut self, row: Option<usize>) {
        if let Some(row) = row {
            self.rows[row].status = "charged";
        }
    }

    /// Charges some calls of a report, as a part of a message.
    fn charge(
        &mut self,
        id: u8,
        report: &Report,
        calls: &[Call],
        received: i64,
        is_believed: bool,
    ) -> Result<Answer, QuarantineReason> {
        if let Some(doubt) = report.doubt().filter(|_| !is_believed) {
            return Err(doubt);
        }
        // A message never happens after its arrival.
        let occurred = report.happened.unwrap_or(received).min(received);
        let mut lines = Vec::new();
        for call in calls {
            let version = self.in_force(call.model, occurred)?;
            let cost = self.versions[version].prices.cost(call);
            lines.push(Line {
                call: call.clone(),
                version,
                cost,
                new_cost: cost,
            });
            if !fits(lines.iter().map(|line| line.cost).sum()) {
                return Err(QuarantineReason::Overflow);
            }
        }
        let points: i128 = lines.iter().map(|line| line.cost).sum();
        let entry = Entry {
            occurred,
            lines,
            ..self.entry(EntryKind::Charge, -points)
        };
        self.enter(report.user, entry)
            .map_err(|_| QuarantineReason::Overflow)?;
        let charged = Report {
            calls: calls.to_vec(),
            ..report.clone()
        };
        let tokens = charged.tokens();
        let account = &self.accounts[report.user];
        let balance = account.balance();
        let part = Part {
            report: charged,
            entry: account.entries.len(),
            points,
            balance,
        };
        let message = self.messages.entry(id).or_insert_with(|| Charged {
            first: report.clone(),
            parts: Vec::new(),
            seen: Vec::new(),
        });
        message.parts.push(part);
        Ok(Answer::Message {
            outcome: Outcome::Charged,
            of: Some(message_name(id)),
            points,
            tokens,
            balance,
            reason: None,
        })
    }

    fn check(&mut self, user: usize, call: &Call, seconds: Option<u32>) -> Refused<Answer> {
        let version = match self.in_force(call.model, self.now) {
            Ok(version) => version,
            Err(QuarantineReason::InactivePrice) => {
                return refuse("modelName", FieldFault::PriceInactive);
            }
            Err(_) => return refuse("modelName", FieldFault::NotPriced),
        };
        let cost = self.versions[version].prices.cost(call);
        // Until its expiry is entered, what ran out a moment ago still shows.
        let (balance, held) = (self.accounts[user].balance(), self.held(user));
        let mut shortfall = (cost - self.usable(user)).max(0);
        let mut is_held = false;
        if shortfall == 0
            && let Some(seconds) = seconds
        {
            self.accounts[user].expire(self.now);
            is_held = cost <= self.usable(user);
            if is_held {
                let expires = self.now + i64::from(seconds);
                self.holds.push(Hold {
                    user,
                    amount: cost,
                    expires,
                    state: HoldState::Open,
                });
            } else {
                // How much is missing is not looked up again: the least amount stands for it.
                shortfall = 1;
            }
        }
        let can_proceed = shortfall == 0;
        Ok(Answer::Checked {
            can_proceed,
            is_held,
            balance,
            held,
            estimate: cost,
            shortfall,
        })
    }

    fn settle(&mut self, hold: usize, report: &Report) -> Refused<Answer> {
        if self.holds[hold].user != report.user {
            return Err(Problem::NotFound);
        }
        let report = Report {
            entrance: Entrance::Settlement,
            ..report.clone()
        };
        self.reports.push(report.clone());
        Ok(self.judge(&report, self.now, Some(hold), None))
    }

    fn release(&mut self, hold: usize, user: usize) -> Refused<Answer> {
        if self.holds[hold].user != user {
            return Err(Problem::NotFound);
        }
        match self.holds[hold].state {
            HoldState::Settled(_) => return Err(Problem::Outdated),
            HoldState::Open => self.holds[hold].state = HoldState::Released,
            HoldState::Released | HoldState::Expired => {}
        }
        self.accounts[user].expire(self.now);
        Ok(Answer::Hold(self.holds[hold].state.status()))
    }

    fn expire_holds(&mut self) -> Answer {
        let mut count = 0;
        let mut touched = BTreeSet::new();
        for hold in &mut self.holds {
            if hold.state == HoldState::Open && hold.expires <= self.now {
                hold.state = HoldState::Expired;
                touched.insert(hold.user);
                count += 1;
            }
        }
        for user in touched {
            self.accounts[user].expire(self.now);
        }
        Answer::Count(count)
    }

    fn expire_credits(&mut self) -> Answer {
        let mut count = 0;
        for account in &mut self.accounts {
            count += u64::from(account.has_expired(self.now));
            account.expire(self.now);
        }
        Answer::Count(count)
    }

    fn grant(
        &mut self,
        user: usize,
        nano: i64,
        is_bought: bool,
        seconds: Option<i64>,
    ) -> Refused<Answer> {
        if nano == 0 || (nano < 0 && seconds.is_some()) {
            return refuse("points", FieldFault::NotPositive);
        }
        if seconds.is_some_and(|seconds| seconds <= 0) {
            return refuse("expiresAt", FieldFault::InThePast);
        }
        let kind = if nano < 0 {
            EntryKind::Adjustment
        } else {
            EntryKind::Grant
        };
        let entry = Entry {
            is_bought,
            expires: seconds.map(|seconds| self.now + seconds),
            ..self.entry(kind, nano.into())
        };
        self.enter(user, entry)?;
        Ok(Answer::Done)
    }

    fn limit_debt(&mut self, user: usize, nano: i64) -> Refused<Answer> {
        if nano < 0 {
            return refuse("debtLimit", FieldFault::Negative);
        }
        self.accounts[user].expire(self.now);
        self.accounts[user].debt_limit = nano.into();
        Ok(Answer::Done)
    }

    fn refund(&mut self, user: usize, entry: usize, nano: Option<i64>) -> Refused<Answer> {
        let standing = self.accounts[user].standing(entry);
        let (cost, refunded) = standing.ok_or(Problem::NotFound)?;
        let left = cost - refunded;
        let points = nano.map_or(left, i128::from);
        if points <= 0 {
            return refuse("points", FieldFault::NotPositive);
        }
        if points > left {
            return refuse("points", FieldFault::TooLarge);
        }
        let refund = Entry {
            corrects: Some(entry),
            ..self.entry(EntryKind::Refund, points)
        };
        self.enter(user, refund)?;
        Ok(Answer::Done)
    }

    fn publish(
        &mut self,
        model: usize,
        prices: Prices,
        is_active: bool,
        starts_in: Option<i64>,
    ) -> Refused<Answer> {
        let earlier = self
            .versions
            .iter()
            .filter(|version| version.model == model)
            .count();
        let from = match starts_in {
            None if earlier == 0 => None,
            None => Some(self.now),
            Some(seconds) if seconds < -START_TOLERANCE_SECONDS => {
                return refuse("effectiveFrom", FieldFault::InThePast);
            }
            Some(seconds) => Some(self.now + seconds.max(0)),
        };
        let number = i32::try_from(earlier + 1).unwrap();
        self.versions.push(Version {
            model,
            number,
            prices,
            is_active,
            from,
        });
        if is_active {
            for index in 0..self.rows.len() {
                let row = self.rows[index].clone();
                let for_a_price = matches!(
                    row.reason,
                    QuarantineReason::UnknownModel | QuarantineReason::InactivePrice
                );
                if let Waiting::Report(report) = row.waiting
                    && row.status == "waiting"
                    && for_a_price
                    && report.calls.iter().any(|call| call.model == model)
                {
                    self.judge(&report, row.received, None, Some(index));
                }
            }
        }
        Ok(Answer::Published {
            version: number,
            from,
        })
    }

    /// What an entry's account gains now that its lines have their new costs: of what was given back
    /// of the message, nothing is given back again or taken back.
    fn gain(&self, user: usize, entry: usize) -> i128 {
        let account = &self.accounts[user];
        let (cost, refunded) = account.standing(entry).unwrap();
        let charge = &account.entries[entry - 1];
        let new_cost: i128 = charge.lines.iter().map(|line| line.new_cost).sum();
        let corrections = account
            .entries
            .iter()
            .filter(|it| it.corrects == Some(entry));
        let mut last = (0, 0);
        let mut cost_then = -charge.amount;
        for correction in corrections {
            if correction.kind == EntryKind::Refund {
                last = (cost_then, last.1 + correction.amount);
            } else {
                cost_then -= correction.amount;
            }
        }
        let left = last.0 - last.1;
        let due = match last {
            (_, 0) => new_cost,
            _ if left == 0 => 0,
            (refunded_of, _) if new_cost > refunded_of => left + (new_cost - refunded_of),
            _ => new_cost.min(left),
        };
        cost - refunded - due
    }

    fn rerate(&mut self, versions: &[usize], from: i64, to: i64) -> Refused<Answer> {
        let models: BTreeSet<_> = versions
            .iter()
            .map(|version| self.versions[*version].model)
            .collect();
        if models.is_empty() || models.len() != versions.len() {
            return refuse("priceVersionIds", FieldFault::NotPriced);
        }
        if from >= to {
            let than = super::at(from).to_string();
            return refuse("to", FieldFault::NotLater { than });
        }
        let mut differences = BTreeMap::new();
        for (user, entry, _) in self.charges() {
            // What was replaced is given back, and is a charge no longer.
            let mut parts = self.messages.values().flat_map(|message| &message.parts);
            let stands = parts.any(|part| part.report.user == user && part.entry == entry);
            let charge = &mut self.accounts[user].entries[entry - 1];
            if !stands || !(from..to).contains(&charge.occurred) {
                continue;
            }
            let mut is_touched = false;
            for line in &mut charge.lines {
                let mut named = versions.iter().map(|version| &self.versions[*version]);
                if let Some(version) = named.find(|version| version.model == line.call.model) {
                    line.new_cost = version.prices.cost(&line.call);
                    is_touched = true;
                }
            }
            let gain = if is_touched {
                self.gain(user, entry)
            } else {
                0
            };
            if gain != 0 {
                let difference = differences.entry(user).or_insert((0, 0));
                difference.0 += 1;
                difference.1 += gain;
                let rerate = Entry {
                    corrects: Some(entry),
                    ..self.entry(EntryKind::Rerate, gain)
                };
                self.enter(user, rerate)?;
            }
        }
        let rerated = differences
            .into_iter()
            .map(|(user, (messages, gain))| (user, messages, gain));
        Ok(Answer::Rerated(rerated.collect()))
    }

    fn reject(&mut self, body: u8) -> Answer {
        let waiting = Waiting::Body(body);
        let is_known = |row: &Row| row.waiting == waiting && row.status == "waiting";
        if !self.rows.iter().any(is_known) {
            let reason = QuarantineReason::Unreadable;
            self.rows.push(Row {
                waiting,
                received: self.now,
                reason,
                status: "waiting",
            });
        }
        Answer::Done
    }

    fn dismiss(&mut self, row: usize) -> Refused<Answer> {
        if self.rows[row].status != "waiting" {
            return Err(Problem::NotFound);
        }
        self.rows[row].status = "dismissed";
        Ok(Answer::Done)
    }

    fn charge_waiting(&mut self, row: usize, corrected: Option<&Report>) -> Refused<Answer> {
        if self.rows[row].status != "waiting" {
            return Err(Problem::NotFound);
        }
        let reported = match self.rows[row].waiting.clone() {
            Waiting::Report(report) => Some(report),
            Waiting::Body(_) => None,
        };
        if let (Some(corrected), Some(reported)) = (corrected, &reported)
            && corrected.id != reported.id
        {
            let allowed = message_name(reported.id);
            return refuse("message_id", FieldFault::NotOneOf { allowed });
        }
        let entrance = reported
            .as_ref()
            .map_or(Entrance::Webhook, |report| report.entrance);
        let corrected = corrected.cloned().map(|corrected| match &reported {
            Some(reported) => corrected.completed(reported),
            None => corrected,
        });
        let Some(report) = corrected.or(reported) else {
            return refuse("usage", FieldFault::Missing);
        };
        let report = Report { entrance, ..report };
        Ok(self.judge(&report, self.rows[row].received, None, Some(row)))
    }
}

/// As much of `told` as there is.
fn take(told: u64, there: &mut u64) -> u64 {
    let taken = told.min(*there);
    *there -= taken;
    taken
}

/// What some calls used more than others: as many tokens as their totals differ by, looked for among
/// the input first.
fn beyond(calls: &[Call], others: &[Call]) -> Call {
    let sum = |calls: &[Call], count: fn(&Call) -> u64| calls.iter().map(count).sum::<u64>();
    let total = |calls| sum(calls, Call::tokens);
    let mut left = total(calls).saturating_sub(total(others));
    let mut more = |count: fn(&Call) -> u64| {
        let more = sum(calls, count).saturating_sub(sum(others, count));
        take(more, &mut left)
    };
    Call {
        model: 0,
        input: more(|call| call.input),
        cached: more(|call| call.cached),
        output: more(|call| call.output),
    }
}

pub fn message_name(id: u8) -> String {
    format!("m{id}")
}
