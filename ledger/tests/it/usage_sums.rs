//! Sums in every cut are those of the journal: wherever the mark is, whoever moved it, and after old
//! ones were folded into days.

use std::collections::HashMap;
use std::time::Duration;

use ledger::{
    Attempt, Entrance, Error, Ledger, OperationError, Rerating, UsageClock, UsageCut, UsageFilter,
    UsageSums,
};
use proptest::prelude::*;
use shared::clock::Timestamp;
use shared::tokens::Tokens;
use shared::usage::{Evidence, MessageUsage, ModelCall};
use uuid::Uuid;

use crate::clock::Clock;
use crate::{Books, actor, connect, message, price, user};

/// Ten minutes before the end of a month.
const START_UNIX_SECONDS: i64 = 1_927_669_800;
const ENTRANCES: [Entrance; 3] = [Entrance::Webhook, Entrance::Gateway, Entrance::Langfuse];
const EVIDENCES: [Evidence; 3] = [
    Evidence::Estimated,
    Evidence::ModelAssumed,
    Evidence::Measured,
];
/// The last has no price at first.
const MODELS: [&str; 3] = ["m", "dear", "unpriced"];

#[derive(Debug, Clone)]
struct Call {
    id: Option<u8>,
    model: usize,
    tokens: (u16, u16),
}

#[derive(Debug, Clone)]
enum Step {
    Deliver {
        id: u8,
        also: Option<u8>,
        user: u8,
        entrance: usize,
        evidence: usize,
        calls: Vec<Call>,
        minutes_ago: Option<u16>,
        contradicts: bool,
    },
    ChargeWaiting {
        with_tokens: Option<u16>,
    },
    Refund {
        user: u8,
        entry: u8,
        nano: Option<u32>,
    },
    Publish {
        model: usize,
        input: u8,
    },
    Rerate {
        versions: usize,
    },
    Grant {
        user: u8,
    },
    Pass {
        minutes: u32,
    },
    SumUp,
    SumUpTwice,
}

fn call() -> impl Strategy<Value = Call> {
    let model = prop_oneof![5 => Just(0_usize), 3 => Just(1), 1 => Just(2)];
    // Few numbers, so that reports agree in some of what they say.
    let tokens = prop_oneof![(0_u16..3, Just(0)), (1_u16..500, 1_u16..500)];
    (prop::option::of(0_u8..3), model, tokens).prop_map(|(id, model, tokens)| Call {
        id,
        model,
        tokens,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let deliver = (
        (0_u8..8, prop::option::weighted(0.3, 0_u8..8), 0_u8..2),
        (0_usize..3, 0_usize..3),
        prop::collection::vec(call(), 0..4),
        prop::option::of(0_u16..2000),
        prop::bool::weighted(0.1),
    )
        .prop_map(
            |((id, also, user), (entrance, evidence), calls, minutes_ago, contradicts)| {
                Step::Deliver {
                    id,
                    also,
                    user,
                    entrance,
                    evidence,
                    calls,
                    minutes_ago,
                    contradicts,
                }
            },
        );
    prop_oneof![
        12 => deliver,
        2 => prop::option::of(0_u16..500).prop_map(|with_tokens| Step::ChargeWaiting { with_tokens }),
        2 => (0_u8..2, 1_u8..12, prop::option::of(1_u32..300_000_000))
            .prop_map(|(user, entry, nano)| Step::Refund { user, entry, nano }),
        2 => (0_usize..3, 0_u8..20).prop_map(|(model, input)| Step::Publish { model, input }),
        2 => (1_usize..4).prop_map(|versions| Step::Rerate { versions }),
        1 => (0_u8..2).prop_map(|user| Step::Grant { user }),
        2 => prop_oneof![1_u32..40, 1_u32..200_000].prop_map(|minutes| Step::Pass { minutes }),
        2 => Just(Step::SumUp),
        1 => Just(Step::SumUpTwice),
    ]
}

/// Books of two processes, whose time goes on when it is told to.
struct Random {
    books: Books,
    clock: Clock,
    at: i64,
    replica: Ledger,
    steps: usize,
    versions: Vec<i64>,
}

impl Random {
    async fn open() -> Self {
        let at = START_UNIX_SECONDS;
        let (books, clock) = Clock::open_books(Timestamp::from_unix_seconds(at).unwrap()).await;
        let mut random = Self {
            replica: books.replica().await,
            books,
            clock,
            at,
            steps: 0,
            versions: Vec::new(),
        };
        for model in MODELS.into_iter().take(2) {
            let version = random.books.set_price(model, "1", "2").await;
            random.versions.push(version.id);
        }
        random
    }

    async fn pass(&mut self, minutes: u32) {
        self.at += i64::from(minutes) * 60;
        let now = Timestamp::from_unix_seconds(self.at).unwrap();
        self.clock.set(now).await;
        // Processes that begin now do not go by an earlier reading of the clock.
        self.books.ledger = connect(&self.books.options, 1).await;
        self.replica = self.books.replica().await;
    }

    async fn take(&mut self, step: &Step) {
        self.steps += 1;
        let ledger = if self.steps.is_multiple_of(2) {
            self.books.ledger.clone()
        } else {
            self.replica.clone()
        };
        let done = self.act(&ledger, step).await;
        if let Err(error) = done {
            let is_ours = !error.is_passing() && !matches!(error, Error::Overflow(_));
            assert!(!is_ours, "{step:?}: {error}");
        }
    }

    async fn act(&mut self, ledger: &Ledger, step: &Step) -> ledger::Result<()> {
        match step {
            Step::Deliver { entrance, .. } => {
                let mut delivery = self.books.delivery(self.usage(step));
                delivery.entrance = ENTRANCES[*entrance];
                delivery.received_at = Timestamp::from_unix_seconds(self.at).unwrap();
                unless_refused(ledger.deliver(delivery).await)?;
            }
            Step::ChargeWaiting { with_tokens } => {
                let waiting = ledger.quarantine(None, 1).await.unwrap();
                for item in waiting.items {
                    let corrected = with_tokens.map(|tokens| {
                        let user = item.user_id.as_ref().unwrap().as_str();
                        let id = item.message_id.as_ref().unwrap();
                        message(id, user, "m", Tokens::new(tokens.into(), 1))
                    });
                    let id = item.id.parse().unwrap();
                    let charged = ledger.charge_quarantined(id, corrected, &actor()).await;
                    unless_refused(charged)?;
                }
            }
            Step::Refund { user, entry, nano } => {
                let user = crate::user(&format!("u{user}"));
                let points = nano.map(|nano| shared::money::Points::from_nano(nano.into()));
                let entry = i64::from(*entry);
                let refunded = ledger.refund(&user, entry, points, "test", &actor()).await;
                unless_refused(refunded)?;
            }
            Step::Publish { model, input } => {
                // Nothing has happened at the moment from which a price is in force.
                self.pass(1).await;
                let price = price(MODELS[*model], &input.to_string(), "1");
                let version = unless_refused(ledger.publish_price(price, &actor()).await)?;
                self.versions.extend(version.map(|version| version.id));
            }
            Step::Rerate { versions } => {
                let rerating = Rerating {
                    from: Timestamp::from_unix_seconds(0).unwrap(),
                    to: Timestamp::from_unix_seconds(self.at + 1).unwrap(),
                    price_version_ids: self
                        .versions
                        .iter()
                        .rev()
                        .take(*versions)
                        .copied()
                        .collect(),
                    reason: "test".into(),
                };
                unless_refused(ledger.rerate(rerating, &actor()).await)?;
            }
            Step::Grant { user } => {
                let user = crate::user(&format!("u{user}"));
                let points = "1".parse().unwrap();
                let given = ledger.add_points(&user, points, "test", &actor()).await;
                unless_refused(given)?;
            }
            Step::Pass { minutes } => self.pass(*minutes).await,
            Step::SumUp => ledger.sum_up().await?,
            Step::SumUpTwice => {
                let (one, other) = (self.books.ledger.sum_up(), self.replica.sum_up());
                let (one, other) = tokio::join!(one, other);
                one.and(other)?;
            }
        }
        Ok(())
    }

    fn usage(&self, step: &Step) -> MessageUsage {
        let Step::Deliver {
            id,
            also,
            user,
            evidence,
            calls,
            minutes_ago,
            contradicts,
            ..
        } = step
        else {
            panic!("{step:?} is no report");
        };
        let calls: Vec<_> = calls
            .iter()
            .map(|call| ModelCall {
                call_id: call.id.map(|call| format!("node-{id}-{call}")),
                model_name: MODELS[call.model].parse().unwrap(),
                tokens: Tokens {
                    cached_input: 7,
                    reasoning: 3,
                    cache_write: 1,
                    ..Tokens::new(call.tokens.0.into(), call.tokens.1.into())
                },
                evidence: None,
            })
            .collect();
        let minutes_ago = minutes_ago.map(i64::from);
        MessageUsage {
            also_known_as: also.map(|id| format!("m{id}")).into_iter().collect(),
            occurred_at: minutes_ago
                .and_then(|minutes| Timestamp::from_unix_seconds(self.at - minutes * 60)),
            calls,
            evidence: EVIDENCES[*evidence],
            reported_total: contradicts.then_some(1),
            ..message(
                &format!("m{id}"),
                &format!("u{user}"),
                "m",
                Tokens::default(),
            )
        }
    }

    async fn sums(&self, clock: UsageClock, quarters: u16, by_account: bool) -> UsageSums {
        let filter = UsageFilter {
            clock,
            from: Timestamp::from_unix_seconds(0).unwrap(),
            to: Timestamp::from_unix_seconds(self.at + 86_400).unwrap(),
            user_id: None,
            kinds: None,
            model_name: None,
            api_key_ids: None,
        };
        let cut = UsageCut {
            quarters,
            by_account,
            by_kind: true,
            by_model: true,
            by_evidence: true,
            by_source: true,
        };
        self.books.ledger.usage_sums(&filter, cut).await.unwrap()
    }

    /// All cuts, by both clocks, of each account and of all together.
    async fn cuts(&self, quarters: u16) -> Vec<UsageSums> {
        let mut cuts = Vec::new();
        for clock in [UsageClock::Booked, UsageClock::Happened] {
            for by_account in [false, true] {
                cuts.push(self.sums(clock, quarters, by_account).await);
            }
        }
        cuts
    }

    /// What was entered, by account, time and kind, as the journal has it.
    async fn assert_entries(&self) {
        let rows: Vec<(Uuid, i64, String, i64, String)> = sqlx::query_as(
            "select account_id, (extract(epoch from recorded_at)::bigint / 900) * 900, kind, count(*),
                 sum(amount_nano)::text
             from journal_entry group by 1, 2, 3",
        )
        .fetch_all(&self.books.pool)
        .await
        .unwrap();
        let expected: HashMap<_, _> = rows
            .into_iter()
            .map(|(account, at, kind, entries, amount)| {
                let sums: (i128, i128) = (entries.into(), amount.parse().unwrap());
                ((account, at, kind), sums)
            })
            .collect();
        let mut sums: HashMap<_, (i128, i128)> = HashMap::new();
        let booked = self.sums(UsageClock::Booked, 1, true).await;
        for (key, measures) in booked.sums {
            let at = key.start.unwrap().moment().unix_timestamp();
            let kind = key.kind.unwrap().as_str().to_owned();
            let sum = sums.entry((key.account_id.unwrap(), at, kind)).or_default();
            sum.0 += measures.entries;
            sum.1 += measures.amount_nano;
        }
        sums.retain(|_, sum| *sum != (0, 0));
        assert_eq!(sums, expected);
    }

    /// What messages used in the end, by account, time, model and evidence, as their last states have
    /// it.
    async fn assert_usage(&self) {
        let rows: Vec<(Uuid, i64, String, String, Vec<String>)> = sqlx::query_as(
            "with first as (
                 select distinct on (message) message, account_id, occurred_at from journal_entry
                 where message is not null order by message, entry
             ), last as (
                 select distinct on (message) message, entry, lines from journal_entry
                 where message is not null order by message, entry desc
             ), final as (
                 select f.message, f.account_id, f.occurred_at, coalesce(e.lines, l.lines) as lines
                 from first f join last l using (message)
                 left join lateral (
                     select lines from message_event e
                     where e.message = f.message and e.lines is not null and e.number > coalesce(
                         (select max(number) from message_event n
                          where n.message = f.message and n.entry = l.entry), -1)
                     order by e.number desc limit 1
                 ) e on true
                 where not exists (select from message_event j
                     where j.message = f.message and j.kind = 'joined')
             )
             select account_id, (extract(epoch from occurred_at)::bigint / 900) * 900,
                 lower(coalesce(line->>'model', '')),
                 case when line is null then '' else coalesce(line->>'by', 'measured') end,
                 array[count(*) filter (where place is null or place = 1), count(line),
                     coalesce(sum((line->>'in')::bigint), 0), coalesce(sum((line->>'cached')::bigint), 0),
                     coalesce(sum((line->>'write')::bigint), 0), coalesce(sum((line->>'out')::bigint), 0),
                     coalesce(sum((line->>'reasoning')::bigint), 0), coalesce(sum((line->>'cost')::bigint), 0)
                 ]::text[]
             from final left join lateral jsonb_array_elements(lines) with ordinality as l (line, place) on true
             group by 1, 2, 3, 4",
        )
        .fetch_all(&self.books.pool)
        .await
        .unwrap();
        let expected: HashMap<_, Vec<i128>> = rows
            .into_iter()
            .map(|(account, at, model, evidence, sums)| {
                let sums = sums.iter().map(|sum| sum.parse().unwrap()).collect();
                ((account, at, model, evidence), sums)
            })
            .collect();
        let mut sums: HashMap<_, Vec<i128>> = HashMap::new();
        let happened = self.sums(UsageClock::Happened, 1, true).await;
        for (key, measures) in happened.sums {
            let at = key.start.unwrap().moment().unix_timestamp();
            let evidence = key
                .evidence
                .unwrap()
                .map_or("", |evidence| evidence.as_str());
            let key = (
                key.account_id.unwrap(),
                at,
                key.model_key.unwrap(),
                evidence.to_owned(),
            );
            let all = [
                measures.messages,
                measures.calls,
                measures.input,
                measures.cached_input,
                measures.cache_write,
                measures.output,
                measures.reasoning,
                measures.cost_nano,
            ];
            let sum = sums.entry(key).or_insert_with(|| vec![0; all.len()]);
            for (sum, measure) in sum.iter_mut().zip(all) {
                *sum += measure;
            }
        }
        sums.retain(|_, sum| sum.iter().any(|measure| *measure != 0));
        assert_eq!(sums, expected);
    }

    async fn assert_unchanged(&self, before: &[UsageSums], quarters: u16) {
        for (now, before) in self.cuts(quarters).await.iter().zip(before) {
            assert_eq!(now.sums, before.sums);
        }
    }

    async fn assert_sums(&mut self) {
        // With the mark wherever it is.
        self.assert_entries().await;
        self.assert_usage().await;
        let by_quarters = self.cuts(1).await;
        self.books.ledger.sum_up().await.unwrap();
        self.assert_unchanged(&by_quarters, 1).await;
        self.books.assert_verified().await;
        for name in ["u0", "u1"] {
            let report = self.books.ledger.verify(Some(&user(name))).await.unwrap();
            assert!(report.ok, "{:?}", report.findings());
        }
        // Of what is long past, days are left.
        let by_days = self.cuts(96).await;
        self.pass(60 * 24 * 40).await;
        self.books.ledger.maintain().await.unwrap();
        self.assert_unchanged(&by_days, 96).await;
        self.pass(60 * 24 * 60).await;
        self.replica.maintain().await.unwrap();
        self.assert_unchanged(&by_days, 96).await;
        self.books.assert_verified().await;
        let rows: i64 = sqlx::query_scalar(
            "select count(*) from usage_sum where booked % 96 <> 0 or happened % 96 <> 0",
        )
        .fetch_one(&self.books.pool)
        .await
        .unwrap();
        assert_eq!(rows, 0);
    }
}

/// Panics print the steps that led there.
fn check(steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut random = Random::open().await;
        for step in steps {
            random.take(step).await;
        }
        random.assert_sums().await;
    });
}

fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() {
            config.cases
        } else {
            12
        },
        // Each attempt at a shorter sequence takes a database of its own.
        max_shrink_time: 60_000,
        failure_persistence: None,
        ..config
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sums_in_every_cut_are_those_of_the_journal(steps in prop::collection::vec(step(), 10..60)) {
        check(&steps);
    }
}

/// A report of the model `m`, by the gateway.
fn report(id: u8, also: Option<u8>, tokens: u16, minutes_ago: u16) -> Step {
    Step::Deliver {
        id,
        also,
        user: 0,
        entrance: 1,
        evidence: 2,
        calls: vec![Call {
            id: Some(id),
            model: 0,
            tokens: (tokens, 0),
        }],
        minutes_ago: Some(minutes_ago),
        contradicts: false,
    }
}

/// What turned out to be another message is one message with it, at the time of that one.
#[tokio::test]
async fn messages_that_turn_out_to_be_one_are_summed_as_one() {
    for summed_up in 0..4 {
        let mut random = Random::open().await;
        let steps = [
            report(0, None, 100, 60),
            report(1, None, 200, 30),
            Step::Refund {
                user: 0,
                entry: 2,
                nano: Some(100_000_000),
            },
            report(2, Some(0), 300, 15),
            report(2, Some(1), 300, 0),
        ];
        for (number, step) in steps.iter().enumerate() {
            if number == summed_up {
                random.take(&Step::SumUp).await;
            }
            random.take(step).await;
        }
        let joined: i64 =
            sqlx::query_scalar("select count(*) from message_event where kind = 'joined'")
                .fetch_one(&random.books.pool)
                .await
                .unwrap();
        assert_eq!(joined, 1);
        let happened = random.sums(UsageClock::Happened, 1, true).await;
        // In quarters of an hour.
        let hour_ago = (random.at / 900 - 4) * 900;
        let mut of_time: HashMap<bool, [i128; 4]> = HashMap::new();
        for (key, sum) in happened.sums {
            let start = key.start.unwrap().moment().unix_timestamp();
            let sums = of_time.entry(start == hour_ago).or_default();
            let all = [sum.messages, sum.calls, sum.input, sum.amount_nano];
            for (total, measure) in sums.iter_mut().zip(all) {
                *total += measure;
            }
        }
        // Each call has 11 tokens more: 8 that went in and 3 that came out, at a point and two.
        let cost: i128 = (100 + 200 + 300) * 1_000_000 + 3 * (8 + 6) * 1_000_000;
        let expected = [1, 3, 600, 100_000_000 - cost];
        assert_eq!(of_time.remove(&true), Some(expected));
        assert_eq!(of_time.remove(&false).unwrap_or_default(), [0; 4]);
        random.assert_sums().await;
    }
}

/// Sums everything up: other tests' transactions in the same cluster may hold some of it back for a while.
pub(crate) async fn sum_up_all(books: &Books) {
    loop {
        books.ledger.sum_up().await.unwrap();
        let is_left: bool = sqlx::query_scalar(
            "select exists (select from journal_entry where tx >= (select tx from sum_mark))",
        )
        .fetch_one(&books.pool)
        .await
        .unwrap();
        if !is_left {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each entry is added once, however many processes add while others charge.
#[tokio::test]
async fn two_processes_that_sum_up_while_others_charge_add_everything_once() {
    let books = Books::open().await;
    books.set_price("m", "1", "2").await;
    let replica = books.replica().await;
    let charge = async |ledger: &Ledger, from: u32| {
        for number in from..from + 100 {
            let user = format!("u{}", number % 7);
            let used = message(&format!("m{number}"), &user, "m", Tokens::new(10, 1));
            ledger.deliver(books.delivery(used)).await.unwrap();
        }
    };
    let sum_up = async |ledger: &Ledger| {
        for _ in 0..20 {
            ledger.sum_up().await.unwrap();
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    tokio::join!(
        charge(&books.ledger, 0),
        charge(&replica, 100),
        sum_up(&books.ledger),
        sum_up(&replica),
    );
    sum_up_all(&books).await;
    books.assert_verified().await;
    let (entries, messages, input): (i64, i64, String) = sqlx::query_as(
        "select sum(entries), sum(messages), sum(input)::text from usage_sum where account_id = $1",
    )
    .bind(Uuid::nil())
    .fetch_one(&books.pool)
    .await
    .unwrap();
    assert_eq!((entries, messages, input.as_str()), (200, 200, "2000"));
}

/// A long transaction that has written holds back the mark, not the answer.
#[tokio::test]
async fn what_a_running_transaction_holds_back_is_summed_by_the_reader() {
    let books = Books::open().await;
    books.set_price("m", "1", "2").await;
    let mut running = books.pool.begin().await.unwrap();
    sqlx::query("select pg_current_xact_id()")
        .execute(&mut *running)
        .await
        .unwrap();
    let used = message("a", "u", "m", Tokens::new(1000, 0));
    books.ledger.deliver(books.delivery(used)).await.unwrap();
    books.ledger.sum_up().await.unwrap();
    let kept = async || -> i64 {
        sqlx::query_scalar("select count(*) from usage_sum")
            .fetch_one(&books.pool)
            .await
            .unwrap()
    };
    assert_eq!(kept().await, 0);
    let filter = UsageFilter {
        clock: UsageClock::Booked,
        from: Timestamp::from_unix_seconds(0).unwrap(),
        to: "2999-01-01T00:00:00Z".parse().unwrap(),
        user_id: Some(user("u")),
        kinds: None,
        model_name: None,
        api_key_ids: None,
    };
    let input = async || {
        let cut = UsageCut::default();
        let sums = books.ledger.usage_sums(&filter, cut).await.unwrap();
        let sums: Vec<i128> = sums.sums.values().map(|sum| sum.input).collect();
        sums
    };
    assert_eq!(input().await, [1000]);
    running.rollback().await.unwrap();
    sum_up_all(&books).await;
    assert_eq!(kept().await, 2, "of the account, and of all");
    assert_eq!(input().await, [1000]);
}

#[tokio::test]
async fn a_sum_that_is_not_that_of_its_entries_is_named() {
    let books = Books::open().await;
    books.set_price("m", "1", "2").await;
    for name in ["u", "v"] {
        let used = message(name, name, "m", Tokens::new(1000, 0));
        books.ledger.deliver(books.delivery(used)).await.unwrap();
    }
    sum_up_all(&books).await;
    let whats = async |sql: &'static str| {
        let mut connection = books.pool.acquire().await.unwrap();
        sqlx::query(sql).execute(&mut *connection).await.unwrap();
        let report = books.ledger.verify(None).await.unwrap();
        let whats = report.findings().into_iter().map(|fault| {
            let what = fault.what.split(" in the ").next().unwrap().to_owned();
            (fault.account_id.is_some(), what)
        });
        whats.collect::<Vec<_>>()
    };
    let of_one = (true, "the sum of charge".to_owned());
    let of_all = (false, "the sums of all accounts".to_owned());
    for sql in [
        "update usage_sum set input = input + 1 where account_id = (select account_id from account limit 1)",
        "update usage_sum set input = input - 1 where account_id = (select account_id from account limit 1)",
    ] {
        let expected = if sql.contains('+') {
            vec![of_one.clone(), of_all.clone()]
        } else {
            vec![]
        };
        assert_eq!(whats(sql).await, expected);
    }
    let sql = "update usage_sum set amount_nano = 0 where account_id = '00000000-0000-0000-0000-000000000000'";
    assert_eq!(whats(sql).await, [of_all]);
}

/// What was refused is nothing; only what failed is an error.
fn unless_refused<T, R>(attempt: Attempt<T, R>) -> ledger::Result<Option<T>> {
    match attempt {
        Ok(done) => Ok(Some(done)),
        Err(OperationError::Refused(_)) => Ok(None),
        Err(OperationError::Failed(error)) => Err(error),
    }
}
