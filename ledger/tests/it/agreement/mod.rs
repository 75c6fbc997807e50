//! The ledger against the obvious one: both are asked the same random things, and after each the
//! answers and everything that can be seen must be equal, to the digit.
//!
//! A failure prints the shortest sequence of steps that still fails. `PROPTEST_CASES` sets how many
//! sequences are tried.

mod model;
mod steps;

use std::collections::BTreeMap;

use ledger::{Entrance, Grant, Ledger, NewPrice, Rerating};
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use shared::api::{CheckBalance, EntryKind, HistoryFilter, HoldStatus, WebhookAnswer};
use shared::clock::Timestamp;
use shared::dify::{MessageUsage, ModelCall};
use shared::ids::{ModelName, UserId};
use shared::money::{Points, UnitPrice};
use shared::price::Rates;
use shared::problem::Problem;
use shared::tokens::Tokens;
use time::OffsetDateTime;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::clock::Clock;
use crate::{Books, actor, user};
use model::{Answer, Model, Sighting, Waiting, message_name};
use steps::{Report, Step, USERS};

/// Second 0: half an hour before the first hour ends, and the month soon after.
const START_UNIX_SECONDS: i64 = 1_927_665_000;
const CASES: u32 = 16;

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_seconds(START_UNIX_SECONDS + second).unwrap()
}

fn second_of(moment: Timestamp) -> i64 {
    let micros = moment.unix_micros() - START_UNIX_SECONDS * 1_000_000;
    assert_eq!(micros % 1_000_000, 0, "{moment} is none of the told times");
    micros / 1_000_000
}

fn second_of_row(moment: OffsetDateTime) -> i64 {
    second_of(moment.into())
}

fn user_of(number: usize) -> UserId {
    user(&format!("u{number}"))
}

fn model_of(number: usize) -> ModelName {
    format!("model{number}").parse().unwrap()
}

fn nano(points: i128) -> i64 {
    i64::try_from(points).unwrap()
}

fn usage(report: &Report) -> MessageUsage {
    let calls: Vec<_> = report
        .calls
        .iter()
        .enumerate()
        .map(|(index, call)| ModelCall {
            call_id: report.call_ids.get(index).copied().map(message_name),
            model_name: model_of(call.model),
            tokens: Tokens {
                cached_input: call.cached,
                ..Tokens::new(call.input, call.output)
            },
        })
        .collect();
    let total: u64 = calls.iter().map(|call| call.tokens.total()).sum();
    MessageUsage {
        message_id: message_name(report.id),
        also_known_as: report.also.iter().copied().map(message_name).collect(),
        user_id: user_of(report.user),
        conversation_id: None,
        request_id: None,
        occurred_at: report.happened.map(at),
        calls,
        reported_total: report.contradicts.then_some(total + 1).or(report.so_far),
        has_answer: report.has_answer,
        evidence: report.evidence,
    }
}

/// Everything that can be seen of a ledger.
#[derive(Debug, PartialEq)]
struct View {
    users: Vec<UserView>,
    holds: Vec<HoldStatus>,
    /// The quarantine: message, reason, status.
    rows: Vec<(String, String, String)>,
    /// Reports beside the first.
    sightings: Vec<Sighting>,
    /// Further ids of messages.
    names: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq)]
struct UserView {
    balance: i64,
    held: i64,
    available: i64,
    debt_limit: i64,
    /// By the account's own account: when, how much.
    expiring: Vec<(i64, i64)>,
    /// What is left of credits: entry, how much, whether bought, until when.
    credits: Vec<(i64, i64, bool, Option<i64>)>,
}

fn view_of(model: &Model) -> View {
    let users = (0..USERS).map(|user| {
        let account = &model.accounts[user];
        let mut lots = account.lots();
        let mut expiring: Vec<_> = lots
            .iter()
            .filter_map(|lot| Some((lot.expires?, nano(lot.left))))
            .collect();
        expiring.sort_unstable();
        lots.sort_by_key(|lot| lot.entry);
        UserView {
            balance: nano(account.balance()),
            held: nano(model.held(user)),
            available: nano(account.balance() - model.held(user)),
            debt_limit: nano(account.debt_limit),
            expiring,
            credits: lots
                .iter()
                .map(|lot| {
                    (
                        i64::try_from(lot.entry).unwrap(),
                        nano(lot.left),
                        lot.is_bought,
                        lot.expires,
                    )
                })
                .collect(),
        }
    });
    let rows = model.rows.iter().map(|row| {
        let message = match &row.waiting {
            Waiting::Report(report) => message_name(report.id),
            Waiting::Body(_) => "unreadable".to_owned(),
        };
        (
            message,
            row.reason.as_str().to_owned(),
            row.status.to_owned(),
        )
    });
    View {
        users: users.collect(),
        holds: model.holds.iter().map(|hold| hold.state.status()).collect(),
        rows: rows.collect(),
        sightings: model.sightings.clone(),
        names: model
            .names
            .iter()
            .filter(|(name, (message, ..))| *name != message)
            .map(|(name, (message, ..))| (message_name(*name), message_name(*message)))
            .collect(),
    }
}

/// An entry as its owner sees it: number, kind, amount, balance after it, when it was recorded, when
/// it happened, what it corrects, and the version and points of its lines.
type Entry = (
    i64,
    EntryKind,
    i64,
    i64,
    i64,
    i64,
    Option<i64>,
    Vec<(i64, i64)>,
);

type SightingRow = (
    String,
    String,
    String,
    String,
    i64,
    i64,
    Option<String>,
    bool,
);

/// Entries, input tokens, output tokens, amount; by user, hour, kind and model. What was charged and
/// given back within an hour may be more than an account can hold.
type Rollups = BTreeMap<(String, i64, String, String), [i128; 4]>;

/// The ledger in Postgres, by two processes that take turns.
struct Postgres {
    books: Books,
    replica: Ledger,
    clock: Clock,
    steps: usize,
    holds: Vec<String>,
    rows: Vec<Uuid>,
    versions: Vec<i64>,
}

impl Postgres {
    async fn open() -> Self {
        let (books, clock) = Clock::open_books(at(0)).await;
        Self {
            replica: books.replica().await,
            books,
            clock,
            steps: 0,
            holds: Vec::new(),
            rows: Vec::new(),
            versions: Vec::new(),
        }
    }

    async fn take(&mut self, step: &Step, model: &Model) {
        self.clock.set(at(model.now)).await;
        self.steps += 1;
        let ledger = if self.steps.is_multiple_of(2) {
            self.books.ledger.clone()
        } else {
            self.replica.clone()
        };
        let answer = match self.act(&ledger, step, model.now).await {
            Ok(answer) => answer,
            Err(error) => match error.problem() {
                Problem::Internal => panic!("{step:?}: {error}"),
                problem => Answer::Problem(problem),
            },
        };
        assert_eq!(
            answer, model.answer,
            "left: Postgres, right: the obvious ledger; {step:?}"
        );
        let view = self.view(&ledger).await;
        assert_eq!(
            view,
            view_of(model),
            "left: Postgres, right: the obvious ledger; {step:?}"
        );
    }

    async fn act(&mut self, ledger: &Ledger, step: &Step, now: i64) -> ledger::Result<Answer> {
        match step {
            Step::Wait { .. } => {}
            Step::Deliver(report) => {
                let answer = ledger.deliver(self.delivery(report, now)).await?;
                return Ok(self.message(answer).await);
            }
            Step::DeliverTogether(reports) => {
                let together = reports
                    .iter()
                    .map(|report| ledger.deliver(self.delivery(report, now)));
                let mut answers = Vec::new();
                for answer in futures::future::join_all(together).await {
                    answers.push(match answer {
                        Ok(answer) => self.message(answer).await,
                        Err(error) => Answer::Problem(error.problem()),
                    });
                }
                return Ok(Answer::Messages(answers));
            }
            Step::Check {
                user,
                model,
                input,
                output,
                hold_seconds,
            } => {
                let check = CheckBalance {
                    model_name: model_of(*model),
                    estimated_input_tokens: Some(*input),
                    estimated_output_tokens: Some(*output),
                    user_id: None,
                    hold: hold_seconds.is_some(),
                    hold_seconds: *hold_seconds,
                };
                let checked = ledger.check_balance(&user_of(*user), &check).await?;
                let until = hold_seconds.map(|seconds| now + i64::from(seconds));
                let is_held = checked.hold_id.is_some();
                assert_eq!(checked.expires_at.map(second_of), until.filter(|_| is_held));
                self.holds.extend(checked.hold_id);
                return Ok(Answer::Checked {
                    can_proceed: checked.can_proceed,
                    is_held,
                    balance: checked.balance.nano().into(),
                    held: checked.held.nano().into(),
                    estimate: checked.estimate.estimated_points.nano().into(),
                    shortfall: checked.shortfall.nano().into(),
                });
            }
            Step::Settle { hold, report } => {
                let mut delivery = self.delivery(report, now);
                delivery.entrance = Entrance::Settlement;
                let answer = ledger.settle_hold(&self.holds[*hold], delivery).await?;
                return Ok(self.message(answer).await);
            }
            Step::Release { hold, user } => {
                let released = ledger
                    .release_hold(&user_of(*user), &self.holds[*hold])
                    .await?;
                return Ok(Answer::Hold(released.status));
            }
            Step::ExpireHolds => return Ok(Answer::Count(ledger.expire_holds().await?)),
            Step::ExpireCredits => return Ok(Answer::Count(ledger.expire_credits().await?)),
            Step::Grant {
                user,
                nano,
                is_bought,
                seconds,
            } => {
                let grant = Grant {
                    points: Points::from_nano(*nano),
                    reason: "test".into(),
                    is_bought: *is_bought,
                    expires_at: seconds.map(|seconds| at(now + seconds)),
                };
                ledger.grant(&user_of(*user), &grant, &actor()).await?;
            }
            Step::LimitDebt { user, nano } => {
                let limit = Points::from_nano(*nano);
                ledger
                    .set_debt_limit(&user_of(*user), limit, &actor())
                    .await?;
            }
            Step::Refund { user, entry, nano } => {
                let points = nano.map(Points::from_nano);
                let entry = i64::try_from(*entry).unwrap();
                ledger
                    .refund(&user_of(*user), entry, points, "test", &actor())
                    .await?;
            }
            Step::Publish {
                model,
                prices,
                is_active,
                starts_in,
                is_outdated,
            } => {
                let unit = |nano| UnitPrice::from_nano_per_token(nano).unwrap();
                let new = NewPrice {
                    model_name: model_of(*model),
                    rates: Rates {
                        cached_input: prices.cached.map(unit),
                        per_request: Points::from_nano(prices.per_request),
                        ..Rates::new(unit(prices.input), unit(prices.output))
                    },
                    is_active: *is_active,
                    effective_from: starts_in.map(|seconds| at(now + seconds)),
                    note: None,
                    expected_version: is_outdated.then_some(-1),
                };
                let published = ledger.publish_price(new, &actor()).await?;
                self.versions.push(published.id);
                return Ok(Answer::Published {
                    version: published.version,
                    from: published.effective_from.map(second_of),
                });
            }
            Step::Rerate { versions, from, to } => {
                return self.rerate(ledger, versions, *from, *to).await;
            }
            Step::Reject { body } => {
                let problem = Problem::InvalidJson {
                    detail: "test".into(),
                };
                ledger
                    .reject(
                        &self.books.key,
                        Entrance::Webhook,
                        &[*body],
                        &problem,
                        at(now),
                    )
                    .await?;
            }
            Step::Dismiss { row } => {
                ledger
                    .dismiss_quarantined(self.rows[*row], "test", &actor())
                    .await?;
            }
            Step::ChargeWaiting { row, corrected } => {
                let charged = ledger
                    .charge_quarantined(self.rows[*row], corrected.as_ref().map(usage), &actor())
                    .await?;
                return Ok(self.message(charged).await);
            }
        }
        Ok(Answer::Done)
    }

    /// Shows the differences, enters them, and enters them again, which must do nothing.
    async fn rerate(
        &self,
        ledger: &Ledger,
        versions: &[usize],
        from: i64,
        to: i64,
    ) -> ledger::Result<Answer> {
        let rerating = Rerating {
            from: at(from),
            to: at(to),
            price_version_ids: versions
                .iter()
                .map(|version| self.versions[*version])
                .collect(),
            reason: "test".into(),
        };
        let differences = ledger.preview_rerating(&rerating).await?;
        for _ in 0..2 {
            let job = ledger.rerate(rerating.clone(), &actor()).await?;
            let job = ledger.job(job).await?;
            assert_eq!((job.finished_at.is_some(), job.error), (true, None));
            assert_eq!(ledger.preview_rerating(&rerating).await?, []);
        }
        let user_number = |user: &UserId| user.as_str()[1..].parse().unwrap();
        let differences = differences.iter().map(|it| {
            (
                user_number(&it.user_id),
                it.messages,
                it.points.nano().into(),
            )
        });
        Ok(Answer::Rerated(differences.collect()))
    }

    fn delivery(&self, report: &Report, now: i64) -> ledger::Delivery {
        let mut delivery = self.books.delivery(usage(report));
        delivery.received_at = at(now);
        delivery.entrance = report.entrance;
        delivery.continues = report.continues;
        delivery
    }

    async fn message(&self, answer: WebhookAnswer) -> Answer {
        let of = match &answer.consumption_id {
            Some(consumption) => Some(self.charged_message(consumption).await),
            None => None,
        };
        Answer::Message {
            outcome: answer.status,
            of,
            points: answer.points_deducted.nano().into(),
            tokens: answer.tokens_used,
            balance: answer.balance.nano().into(),
            reason: answer.reason,
        }
    }

    /// The message that a consumption is of.
    async fn charged_message(&self, consumption_id: &str) -> String {
        let id: Uuid = consumption_id
            .strip_prefix("cons_")
            .unwrap()
            .parse()
            .unwrap();
        sqlx::query_scalar("select message_id from consumption where consumption_id = $1")
            .bind(id)
            .fetch_one(&self.books.pool)
            .await
            .unwrap()
    }

    async fn view(&mut self, ledger: &Ledger) -> View {
        let credits: Vec<(String, i64, i64, bool, Option<OffsetDateTime>)> = sqlx::query_as(
            "select a.user_id, c.entry, c.remaining_nano, c.is_bought, c.expires_at
             from credit c join account a using (account_id)
             where c.remaining_nano > 0 order by a.user_id, c.entry",
        )
        .fetch_all(&self.books.pool)
        .await
        .unwrap();
        let holds: Vec<String> = sqlx::query_scalar("select status from hold order by hold_id")
            .fetch_all(&self.books.pool)
            .await
            .unwrap();
        let rows: Vec<(Uuid, String, String, String)> = sqlx::query_as(
            "select quarantine_id, message_id, reason, status from quarantine order by quarantine_id",
        )
        .fetch_all(&self.books.pool)
        .await
        .unwrap();
        self.rows = rows.iter().map(|(id, ..)| *id).collect();
        let names: Vec<(String, String)> =
            sqlx::query_as("select message_id, alias_of from message where alias_of is not null")
                .fetch_all(&self.books.pool)
                .await
                .unwrap();
        let mut users = Vec::new();
        for number in 0..USERS {
            let balance = ledger.balance(&user_of(number)).await.unwrap();
            let mut expiring: Vec<_> = balance
                .expiring
                .iter()
                .map(|it| (second_of(it.expires_at), it.points.nano()))
                .collect();
            expiring.sort_unstable();
            users.push(UserView {
                balance: balance.balance.nano(),
                held: balance.held.nano(),
                available: balance.available.nano(),
                debt_limit: balance.debt_limit.nano(),
                expiring,
                credits: credits
                    .iter()
                    .filter(|(owner, ..)| *owner == user_of(number).as_str())
                    .map(|(_, entry, left, is_bought, expires)| {
                        (*entry, *left, *is_bought, expires.map(second_of_row))
                    })
                    .collect(),
            });
        }
        let status = |text: &String| {
            let is_it = |status: &HoldStatus| status.as_str() == text;
            HoldStatus::ALL.into_iter().find(is_it).unwrap()
        };
        View {
            users,
            holds: holds.iter().map(status).collect(),
            rows: rows
                .into_iter()
                .map(|(_, message, reason, status)| {
                    let message = message.split(' ').next().unwrap_or_default().to_owned();
                    (message, reason, status)
                })
                .collect(),
            sightings: self.sightings().await,
            names: names.into_iter().collect(),
        }
    }

    async fn sightings(&self) -> Vec<Sighting> {
        let rows: Vec<SightingRow> = sqlx::query_as(
            "select message_id, entrance, evidence, user_id, input_tokens, output_tokens,
                     difference, consumption_id is not null from sighting order by sighting_id",
        )
        .fetch_all(&self.books.pool)
        .await
        .unwrap();
        rows.into_iter()
            .map(
                |(message, entrance, evidence, user, input, output, difference, is_charged)| {
                    Sighting {
                        message,
                        entrance,
                        evidence,
                        user: user[1..].parse().unwrap(),
                        input: input.try_into().unwrap(),
                        output: output.try_into().unwrap(),
                        difference,
                        is_charged,
                    }
                },
            )
            .collect()
    }

    /// Everything that was ever entered, and its sums.
    async fn assert_books(&self, model: &Model) {
        for (number, account) in model.accounts.iter().enumerate() {
            assert_eq!(self.history(number).await, self.expected_history(account));
        }
        assert_eq!(self.rollups().await, expected_rollups(model));
        self.books.assert_verified().await;
    }

    async fn history(&self, number: usize) -> Vec<Entry> {
        let (filter, mut entries, mut cursor) = (HistoryFilter::default(), Vec::new(), None);
        loop {
            let page = self
                .books
                .ledger
                .history(&user_of(number), &filter, cursor.as_deref(), 100)
                .await
                .unwrap();
            for item in page.items {
                let lines = item.consumption.into_iter().flat_map(|used| used.lines);
                entries.push((
                    item.entry,
                    item.kind,
                    item.points.nano(),
                    item.balance_after.nano(),
                    second_of(item.recorded_at),
                    second_of(item.occurred_at),
                    item.corrects_entry,
                    lines
                        .map(|line| (line.price_version_id, line.points.nano()))
                        .collect(),
                ));
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                entries.reverse();
                return entries;
            }
        }
    }

    fn expected_history(&self, account: &model::Account) -> Vec<Entry> {
        let number = |index: usize| i64::try_from(index).unwrap();
        let mut balance = 0;
        let entries = account.entries.iter().enumerate().map(|(index, entry)| {
            balance += entry.amount;
            (
                number(index + 1),
                entry.kind,
                nano(entry.amount),
                nano(balance),
                entry.recorded,
                entry.occurred,
                entry.corrects.map(number),
                entry
                    .lines
                    .iter()
                    .map(|line| (self.versions[line.version], nano(line.cost)))
                    .collect(),
            )
        });
        entries.collect()
    }

    async fn rollups(&self) -> Rollups {
        let rows: Vec<(String, OffsetDateTime, String, String, Vec<String>)> = sqlx::query_as(
            "select a.user_id, r.hour, r.kind, r.model_key,
                 array[r.entries, r.input_tokens, r.output_tokens, r.amount_nano]::text[]
             from rollup r join account a using (account_id)",
        )
        .fetch_all(&self.books.pool)
        .await
        .unwrap();
        rows.into_iter()
            .map(|(user, hour, kind, model, sums)| {
                let key = (user, second_of_row(hour), kind, model);
                let sums: Vec<_> = sums.iter().map(|sum| sum.parse().unwrap()).collect();
                (key, sums.try_into().unwrap())
            })
            .collect()
    }
}

fn expected_rollups(model: &Model) -> Rollups {
    let mut rollups = Rollups::new();
    for (number, account) in model.accounts.iter().enumerate() {
        for entry in &account.entries {
            let unix = START_UNIX_SECONDS + entry.recorded;
            let hour = unix - unix % 3600 - START_UNIX_SECONDS;
            let mut add = |model: String, input, output, amount| {
                let key = (
                    user_of(number).to_string(),
                    hour,
                    entry.kind.as_str().to_owned(),
                    model,
                );
                let sums = rollups.entry(key).or_default();
                for (sum, part) in sums.iter_mut().zip([1, input, output, amount]) {
                    *sum += part;
                }
            };
            if entry.kind != EntryKind::Charge {
                add(String::new(), 0, 0, entry.amount);
            }
            for line in &entry.lines {
                let call = &line.call;
                add(
                    model_of(call.model).key(),
                    i128::from(call.input + call.cached),
                    i128::from(call.output),
                    -line.cost,
                );
            }
        }
    }
    rollups
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::default()).boxed()
    }

    fn transitions(model: &Self) -> BoxedStrategy<Step> {
        steps::next(model)
    }

    fn preconditions(model: &Self, step: &Step) -> bool {
        step.fits(model)
    }

    fn apply(mut model: Self, step: &Step) -> Self {
        model.take(step);
        model
    }
}

struct Agreement {
    runtime: Runtime,
    postgres: Postgres,
}

impl StateMachineTest for Agreement {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let postgres = runtime.block_on(Postgres::open());
        Self { runtime, postgres }
    }

    fn apply(mut both: Self, model: &Model, step: Step) -> Self {
        both.runtime.block_on(both.postgres.take(&step, model));
        both
    }

    fn teardown(both: Self, model: Model) {
        both.runtime.block_on(both.postgres.assert_books(&model));
    }
}

fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() {
            config.cases
        } else {
            CASES
        },
        // Each attempt at a shorter sequence takes a database of its own.
        max_shrink_time: 60_000,
        failure_persistence: None,
        ..config
    }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_ledger_agrees_with_the_obvious_one(sequential 20..60 => Agreement);
}
