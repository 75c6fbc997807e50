//! What both ledgers are asked to do, and how it is chosen at random.

use ledger::Entrance;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use shared::dify::Evidence;

use super::model::{Charged, HoldState, Model, Row};

pub const USERS: usize = 3;
/// The last one is so dear that charges overflow.
pub const MODELS: usize = 4;
pub const DEAR: usize = MODELS - 1;
/// A point more than half of what an account can hold, roughly.
pub const HUGE_NANO: i64 = 9_000_000_000_000_000_000;
pub const TOKENS_MAX: u64 = 20_000_000;
const MESSAGES: u8 = 40;
/// Runs, each with a few ids and calls of its own. Their ids come after those of the other messages.
const RUNS: u8 = 6;
const RUN_IDS: u8 = 4;
const RUN_CALLS: u8 = 4;

/// One model call of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub model: usize,
    pub input: u64,
    pub cached: u64,
    pub output: u64,
}

/// A message as a sender reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub id: u8,
    pub user: usize,
    pub calls: Vec<Call>,
    /// When, if the sender says so; its clock may run fast.
    pub happened: Option<i64>,
    /// The sender's own total is not the sum of the parts.
    pub contradicts: bool,
    pub has_answer: bool,
    pub entrance: Entrance,
    /// What else the message is known as.
    pub also: Vec<u8>,
    /// Of each call, where they are known apart; otherwise none.
    pub call_ids: Vec<u8>,
    pub evidence: Evidence,
    /// The numbers are those of the whole message so far.
    pub continues: bool,
    /// All that it says the whole message used so far.
    pub so_far: Option<u64>,
}

impl Report {
    /// Whether it is about one message as a whole, under one id.
    fn is_plain(&self) -> bool {
        self.id < MESSAGES
            && self.also.is_empty()
            && self.call_ids.is_empty()
            && self.evidence == Evidence::Reported
            && !self.continues
    }
}

/// Nanopoints per token, and per request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    pub input: i64,
    pub cached: Option<i64>,
    pub output: i64,
    pub per_request: i64,
}

/// Holds, entries, quarantine rows and price versions are named by their order of appearance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Wait {
        seconds: i64,
    },
    Deliver(Report),
    /// At once, so that they share a group.
    DeliverTogether(Vec<Report>),
    Check {
        user: usize,
        model: usize,
        input: u64,
        output: u64,
        hold_seconds: Option<u32>,
    },
    Settle {
        hold: usize,
        report: Report,
    },
    Release {
        hold: usize,
        user: usize,
    },
    ExpireHolds,
    ExpireCredits,
    Grant {
        user: usize,
        nano: i64,
        is_bought: bool,
        seconds: Option<i64>,
    },
    LimitDebt {
        user: usize,
        nano: i64,
    },
    /// Without an amount: whatever is left of the charge.
    Refund {
        user: usize,
        entry: usize,
        nano: Option<i64>,
    },
    Publish {
        model: usize,
        prices: Prices,
        is_active: bool,
        starts_in: Option<i64>,
        is_outdated: bool,
    },
    Rerate {
        versions: Vec<usize>,
        from: i64,
        to: i64,
    },
    /// A body that cannot be read.
    Reject {
        body: u8,
    },
    Dismiss {
        row: usize,
    },
    ChargeWaiting {
        row: usize,
        corrected: Option<Report>,
    },
}

impl Step {
    /// Shrinking removes steps: what a later one names may be gone.
    pub fn fits(&self, model: &Model) -> bool {
        match self {
            Self::Release { hold, .. } => *hold < model.holds.len(),
            Self::Settle { hold, report } => {
                let hold = model.holds.get(*hold);
                hold.is_some_and(|hold| is_followed(model, report, hold.state))
            }
            Self::Deliver(report) => is_followed(model, report, HoldState::Open),
            Self::DeliverTogether(reports) => {
                let is_dear = |report: &Report| report.calls.iter().any(|it| it.model == DEAR);
                reports
                    .iter()
                    .all(|report| is_followed(model, report, HoldState::Open))
                    && (reports.iter().all(Report::is_plain) || !reports.iter().any(is_dear))
            }
            Self::Dismiss { row } | Self::ChargeWaiting { row, .. } => *row < model.rows.len(),
            Self::Rerate { versions, .. } => versions.iter().all(|version| {
                model
                    .versions
                    .get(*version)
                    .is_some_and(|it| it.model != DEAR)
            }),
            _ => true,
        }
    }
}

/// The obvious ledger follows only plain messages into quarantine: of what is told in pieces, any
/// piece could wait there.
fn is_followed(model: &Model, report: &Report, hold: HoldState) -> bool {
    (report.is_plain() && model.is_plain(report, hold)) || model.would_charge(report)
}

fn prices(model: usize) -> BoxedStrategy<Prices> {
    let input = if model == DEAR {
        Just(HUGE_NANO / 1000).boxed()
    } else {
        (0..1000_i64).boxed()
    };
    let per_request = prop_oneof![3 => Just(0), 1 => 1..500_000_i64];
    (input, option::of(0..500_i64), 0..1000_i64, per_request)
        .prop_map(|(input, cached, output, per_request)| Prices {
            input,
            cached,
            output,
            per_request,
        })
        .boxed()
}

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![30 => 0..1000_u64, 10 => Just(0), 5 => Just(1000), 1 => Just(TOKENS_MAX + 1)]
}

/// Mostly a model that has a price.
fn some_model(model: &Model) -> BoxedStrategy<usize> {
    let priced: Vec<_> = model
        .versions
        .iter()
        .map(|version| version.model)
        .filter(|number| *number != DEAR)
        .collect();
    if priced.is_empty() {
        return (0..MODELS).boxed();
    }
    prop_oneof![8 => prop::sample::select(priced), 1 => 0..MODELS].boxed()
}

fn call(model: &Model) -> impl Strategy<Value = Call> + use<> {
    (
        some_model(model),
        tokens(),
        prop_oneof![Just(0), 0..1000_u64],
        0..1000_u64,
    )
        .prop_map(|(model, input, cached, output)| Call {
            model,
            input,
            cached,
            output,
        })
}

fn report(model: &Model) -> BoxedStrategy<Report> {
    let now = model.now;
    let calls = prop_oneof![4 => vec(call(model), 1), 1 => vec(call(model), 2)];
    let free = some_model(model).prop_map(|model| {
        vec![Call {
            model,
            input: 0,
            cached: 0,
            output: 0,
        }]
    });
    (
        0..MESSAGES,
        0..USERS,
        prop_oneof![12 => calls, 1 => free],
        option::weighted(
            0.3,
            prop_oneof![4 => 0..400_i64, 1 => -100..0_i64, 1 => 0..10_000_i64],
        ),
        prop::bool::weighted(0.05),
        any::<bool>(),
        entrance(),
    )
        .prop_map(
            move |(id, user, calls, seconds_ago, contradicts, has_answer, entrance)| Report {
                id,
                user,
                calls,
                happened: seconds_ago.map(|seconds| now - seconds),
                contradicts,
                has_answer,
                entrance,
                also: Vec::new(),
                call_ids: Vec::new(),
                evidence: Evidence::Reported,
                continues: false,
                so_far: None,
            },
        )
        .boxed()
}

fn entrance() -> impl Strategy<Value = Entrance> {
    prop_oneof![
        3 => Just(Entrance::Webhook),
        2 => Just(Entrance::Gateway),
        2 => Just(Entrance::Langfuse),
    ]
}

fn evidence() -> impl Strategy<Value = Evidence> {
    prop_oneof![
        2 => Just(Evidence::Estimated),
        1 => Just(Evidence::AssumedModel),
        3 => Just(Evidence::Reported),
    ]
}

/// A run, as one of several parties may tell of it: call by call or as a whole, all of it or what is
/// known so far, by any of its ids. Numbers are few, so that two often say the same.
fn run(model: &Model) -> BoxedStrategy<Report> {
    let priced: Vec<_> = (0..DEAR)
        .filter(|number| model.has_price(*number))
        .collect();
    if priced.is_empty() {
        return report(model);
    }
    let count = || prop_oneof![1 => Just(0), 4 => (1..4_u64).prop_map(|hundreds| hundreds * 100)];
    let cached = || prop_oneof![4 => Just(0), 1 => count()];
    let call = (prop::sample::select(priced), count(), cached(), cached()).prop_map(
        |(model, input, cached, output)| Call {
            model,
            input,
            cached,
            output,
        },
    );
    let known_calls = Just((0..RUN_CALLS).collect::<Vec<_>>())
        .prop_shuffle()
        .prop_flat_map(|calls| (1..calls.len(), Just(calls)))
        .prop_map(|(count, calls)| calls[..count].to_vec());
    let itemized = known_calls.prop_flat_map({
        let call = call.clone();
        move |known| (vec(call.clone(), known.len()), Just(known))
    });
    let whole = vec(call, 1..3).prop_map(|calls| (calls, Vec::new()));
    let names = prop::sample::subsequence((0..RUN_IDS).collect::<Vec<_>>(), 0..3);
    (
        0..RUNS,
        prop_oneof![4 => Just(0), 1 => 0..RUN_IDS + RUN_CALLS],
        prop_oneof![3 => itemized, 2 => whole],
        names,
        // Now and then it names what belongs to another run.
        option::weighted(0.05, 0..RUNS * (RUN_IDS + RUN_CALLS)),
        prop_oneof![9 => Just(None), 1 => (0..USERS).prop_map(Some)],
        entrance(),
        evidence(),
        // Whether it goes on, and then perhaps the total.
        prop_oneof![
            6 => Just((false, None)),
            2 => Just((true, None)),
            2 => (1..15_u64).prop_map(|hundreds| (true, Some(hundreds * 100))),
        ],
    )
        .prop_map(
            |(
                run,
                own,
                (calls, known),
                names,
                stray,
                user,
                entrance,
                evidence,
                (continues, so_far),
            )| {
                let first = MESSAGES + run * (RUN_IDS + RUN_CALLS);
                Report {
                    id: first + own,
                    user: user.unwrap_or(usize::from(run) % USERS),
                    calls,
                    happened: None,
                    contradicts: false,
                    has_answer: false,
                    entrance,
                    also: names
                        .into_iter()
                        .map(|name| first + name)
                        .chain(stray.map(|stray| MESSAGES + stray))
                        .collect(),
                    call_ids: known
                        .into_iter()
                        .map(|call| first + RUN_IDS + call)
                        .collect(),
                    evidence,
                    continues,
                    so_far,
                }
            },
        )
        .boxed()
}

/// Mostly something new, often exactly what was reported before, sometimes nearly that.
fn redelivery_or_new(model: &Model) -> BoxedStrategy<Report> {
    if model.reports.is_empty() {
        return prop_oneof![report(model), run(model)].boxed();
    }
    let known = prop::sample::select(model.reports.clone()).boxed();
    let nearly = (known.clone(), 0..USERS).prop_map(|(report, user)| Report { user, ..report });
    let other_numbers =
        (known.clone(), vec(call(model), 1..3)).prop_map(|(report, calls)| Report {
            calls,
            call_ids: Vec::new(),
            ..report
        });
    let elsewhere =
        (known.clone(), entrance(), evidence()).prop_map(|(report, entrance, evidence)| Report {
            entrance,
            evidence: if report.is_plain() {
                report.evidence
            } else {
                evidence
            },
            ..report
        });
    let believable = known.clone().prop_map(|report| Report {
        contradicts: false,
        has_answer: false,
        ..report
    });
    prop_oneof![
        6 => report(model),
        12 => run(model),
        4 => known,
        3 => elsewhere,
        1 => nearly,
        1 => other_numbers,
        1 => believable,
    ]
    .boxed()
}

/// Some of them twice.
fn together(model: &Model) -> BoxedStrategy<Step> {
    let reports = vec(redelivery_or_new(model), 1..4);
    let again = vec(any::<prop::sample::Index>(), 1..4);
    (reports, again)
        .prop_map(|(mut reports, again)| {
            for index in again {
                reports.push(index.get(&reports).clone());
            }
            Step::DeliverTogether(reports)
        })
        .boxed()
}

fn settlement(model: &Model) -> BoxedStrategy<Step> {
    let holds: Vec<_> = model
        .holds
        .iter()
        .map(|hold| (hold.user, hold.state))
        .collect();
    let reports = model.reports.clone();
    let messages = model.messages.clone();
    (
        0..holds.len(),
        report(model),
        any::<prop::sample::Index>(),
        0..10,
    )
        .prop_map(move |(hold, new, index, choice)| {
            let (owner, state) = holds[hold];
            let own: Vec<_> = reports
                .iter()
                .filter(|report| report.user == owner)
                .collect();
            let first = match state {
                HoldState::Settled(by) => messages.get(&by).map(Charged::first),
                _ => None,
            };
            let report = match (choice, first) {
                // Again, under the same name or another.
                (0..=2, Some(first)) => first.clone(),
                (3..=4, Some(first)) => Report {
                    id: new.id,
                    ..first.clone()
                },
                // What another entrance reported before.
                (5..=6, _) if !own.is_empty() => own[index.index(own.len())].clone(),
                // What is somebody else's.
                (7, _) => new,
                _ => Report { user: owner, ..new },
            };
            Step::Settle { hold, report }
        })
        .boxed()
}

fn refund(model: &Model) -> BoxedStrategy<Step> {
    let charges = model.charges();
    let anything = (0..USERS, 0..20_usize, option::of(-1..2_000_000_i64))
        .prop_map(|(user, entry, nano)| Step::Refund { user, entry, nano })
        .boxed();
    if charges.is_empty() {
        return anything;
    }
    let charge = prop::sample::select(charges)
        .prop_flat_map(|(user, entry, left)| {
            let most = i64::try_from(left).unwrap().max(1);
            let part = prop_oneof![
                2 => 1..=most,
                1 => Just(most),
                1 => Just(most.saturating_add(1)),
            ];
            (Just((user, entry)), option::of(part))
        })
        .prop_map(|((user, entry), nano)| Step::Refund { user, entry, nano });
    prop_oneof![1 => anything, 6 => charge].boxed()
}

fn rerating(model: &Model) -> BoxedStrategy<Step> {
    let versions: Vec<_> = (0..model.versions.len())
        .filter(|version| model.versions[*version].model != DEAR)
        .collect();
    let now = model.now;
    let chosen = prop_oneof![
        4 => vec(prop::sample::select(versions.clone()), 1),
        1 => prop::sample::subsequence(versions.clone(), 0..=versions.len().min(3)),
    ];
    (
        chosen,
        prop_oneof![3 => Just(10_000), 1 => 0..100_i64],
        prop_oneof![3 => Just(-10), 1 => 0..50_i64],
    )
        .prop_map(move |(versions, from, to)| Step::Rerate {
            versions,
            from: now - from,
            to: now - to,
        })
        .boxed()
}

fn waiting_row(model: &Model) -> BoxedStrategy<Step> {
    let rows = model.rows.len();
    let reported: Vec<_> = model.rows.iter().map(Row::reported_id).collect();
    // Numbers are put right, but rarely the message's own id.
    let correction = (
        0..rows,
        option::of(report(model)),
        option::weighted(0.1, Just(())),
    );
    prop_oneof![
        1 => (0..rows).prop_map(|row| Step::Dismiss { row }),
        2 => correction.prop_map(move |(row, mut corrected, other)| {
            if let (Some(corrected), Some(id), None) = (&mut corrected, reported[row], other) {
                corrected.id = id;
            }
            Step::ChargeWaiting { row, corrected }
        }),
    ]
    .boxed()
}

fn grant() -> BoxedStrategy<Step> {
    let seconds = prop_oneof![2 => Just(None), 3 => (1..120_i64).prop_map(Some), 1 => (-5..1_i64).prop_map(Some)];
    let points = (0..USERS, 1..20_000_000_i64, any::<bool>(), seconds).prop_map(
        |(user, nano, is_bought, seconds)| Step::Grant {
            user,
            nano,
            is_bought,
            seconds,
        },
    );
    let taken = (0..USERS, -500_000..1_i64, option::weighted(0.1, 1..60_i64)).prop_map(
        |(user, nano, seconds)| Step::Grant {
            user,
            nano,
            is_bought: false,
            seconds,
        },
    );
    let huge = (0..USERS).prop_map(|user| Step::Grant {
        user,
        nano: HUGE_NANO,
        is_bought: false,
        seconds: None,
    });
    prop_oneof![12 => points, 3 => taken, 1 => huge].boxed()
}

fn check(model: &Model) -> BoxedStrategy<Step> {
    // Never of the dear model: its price does not fit beside a debt of the same size.
    let seconds = option::weighted(0.8, prop_oneof![4 => 1..30_u32, 1 => Just(600)]);
    let known = some_model(model).prop_map(|model| model % DEAR);
    (known, 0..USERS, 0..1500_u64, 0..500_u64, seconds)
        .prop_map(|(model, user, input, output, hold_seconds)| Step::Check {
            user,
            model,
            input,
            output,
            hold_seconds,
        })
        .boxed()
}

fn publish() -> BoxedStrategy<Step> {
    let start = prop_oneof![
        5 => Just(None),
        2 => (0..60_i64).prop_map(Some),
        1 => (-302..0_i64).prop_map(Some),
    ];
    prop_oneof![10 => 0..DEAR, 1 => Just(DEAR)]
        .prop_flat_map(|model| (Just(model), prices(model)))
        .prop_flat_map(move |(model, prices)| {
            (
                Just(model),
                Just(prices),
                prop::bool::weighted(0.8),
                start.clone(),
                prop::bool::weighted(0.05),
            )
        })
        .prop_map(
            |(model, prices, is_active, starts_in, is_outdated)| Step::Publish {
                model,
                prices,
                is_active,
                starts_in,
                is_outdated,
            },
        )
        .boxed()
}

/// What may come next.
pub fn next(model: &Model) -> BoxedStrategy<Step> {
    let wait = prop_oneof![10 => 1..20_i64, 1 => 60..700_i64, 1 => 3000..4000_i64];
    // The next step is taken a second from now.
    let (next_second, later): (Vec<_>, Vec<_>) = model
        .dates()
        .into_iter()
        .partition(|date| *date == model.now + 1);
    let expiry = if next_second.is_empty() { 1 } else { 15 };
    let mut steps = vec![
        (4, wait.prop_map(|seconds| Step::Wait { seconds }).boxed()),
        (16, redelivery_or_new(model).prop_map(Step::Deliver).boxed()),
        (4, together(model)),
        (6, check(model)),
        (expiry, Just(Step::ExpireHolds).boxed()),
        (expiry, Just(Step::ExpireCredits).boxed()),
        (6, grant()),
        (
            1,
            (0..USERS, -1..1_000_000_i64)
                .prop_map(|(user, nano)| Step::LimitDebt { user, nano })
                .boxed(),
        ),
        (3, refund(model)),
        (if model.versions.len() < 3 { 30 } else { 4 }, publish()),
        (1, (0..2_u8).prop_map(|body| Step::Reject { body }).boxed()),
    ];
    if !later.is_empty() {
        // So that the step after that one is taken at that very second.
        let now = model.now;
        let until = prop::sample::select(later).prop_map(move |date| Step::Wait {
            seconds: date - now - 2,
        });
        steps.push((5, until.boxed()));
    }
    if !model.holds.is_empty() {
        let holds = model.holds.len();
        let owners: Vec<_> = model.holds.iter().map(|hold| hold.user).collect();
        let release = (0..holds, prop::bool::weighted(0.9)).prop_map(move |(hold, is_owner)| {
            let user = (owners[hold] + usize::from(!is_owner)) % USERS;
            Step::Release { hold, user }
        });
        steps.push((6, settlement(model)));
        steps.push((2, release.boxed()));
    }
    if !model.rows.is_empty() {
        steps.push((4, waiting_row(model)));
    }
    if model.versions.iter().any(|version| version.model != DEAR) {
        steps.push((3, rerating(model)));
    }
    proptest::strategy::Union::new_weighted(steps).boxed()
}
