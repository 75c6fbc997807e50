//! Reports of one message at the same moment, through two processes: whoever writes first, the books
//! are what the reports say together.

use futures::future::join_all;
use ledger::{Delivery, Entrance, Ledger};
use shared::api::{Outcome, WebhookAnswer};
use shared::money::Points;
use shared::tokens::Tokens;
use shared::usage::{MessageUsage, ModelCall, Report, lines, merge};

use crate::{Books, actor, message, points, price, user};

const ENTRANCES: [Entrance; 3] = [Entrance::Gateway, Entrance::Langfuse, Entrance::Webhook];
/// Which of a message's three ids a report names.
const IDS: [&[&str]; 6] = [
    &["a"],
    &["b"],
    &["c"],
    &["a", "b"],
    &["c", "b"],
    &["c", "a"],
];
const USERS: usize = 3;

/// A report of a round: whatever tells of a call, tells the same of it.
fn report(round: usize, seed: usize, ids: &[&str]) -> (Entrance, MessageUsage) {
    let number = seed % 4 + 1;
    let (tokens, name) = (1000 * u64::try_from(number).unwrap(), seed / 2 % 5);
    let mut ids = ids.iter().map(|id| format!("{id} {round}"));
    let user = format!("u{}", round % USERS);
    let mut used = message(&ids.next().unwrap(), &user, "m", Tokens::default());
    used.also_known_as = ids.collect();
    // A call that several reports tell of, and one that belongs to few of them.
    used.calls = [
        format!("call {number} {round}"),
        format!("other {number} {name} {round}"),
    ]
    .map(|call_id| ModelCall {
        call_id: Some(call_id),
        ..used.calls[0].clone()
    })
    .map(|call| ModelCall {
        tokens: Tokens::new(tokens, 0),
        ..call
    })
    .into();
    (ENTRANCES[seed % ENTRANCES.len()], used)
}

/// Reports whose ids cross, and one that names them all.
fn reports(round: usize) -> Vec<(Entrance, MessageUsage)> {
    let crossing = (0..5).map(|place| {
        let seed = 7 * round + 5 * place;
        report(
            round,
            seed,
            IDS[(round + place * (1 + round % 5)) % IDS.len()],
        )
    });
    let all = report(round, round, &["b", "a", "c"]);
    crossing.chain([all]).collect()
}

fn delivery(books: &Books, (entrance, used): &(Entrance, MessageUsage)) -> Delivery {
    let mut delivery = books.delivery(used.clone());
    delivery.entrance = *entrance;
    delivery
}

/// What reports cost together, at a point for a thousand tokens.
fn cost(reports: &[(Entrance, MessageUsage)]) -> Points {
    let numbered = (0..).zip(reports);
    let reports: Vec<Report> = numbered
        .map(|(number, (entrance, used))| Report {
            number,
            party: entrance.party(),
            at: crate::now(),
            usage: used.usage(false),
        })
        .collect();
    let lines = lines(&merge(&reports));
    let tokens: u64 = lines.iter().map(|line| line.tokens.total()).sum();
    Points::from_nano(i64::try_from(tokens).unwrap() * 1_000_000)
}

/// Everything at once, through both.
async fn deliver_all(
    books: &Books,
    ledgers: &[Ledger],
    reports: &[(Entrance, MessageUsage)],
) -> Vec<WebhookAnswer> {
    let deliveries = reports.iter().flat_map(|report| {
        let ledgers = ledgers.iter();
        ledgers.map(|ledger| ledger.deliver(delivery(books, report)))
    });
    let answers = join_all(deliveries).await.into_iter();
    answers.map(Result::unwrap).collect()
}

async fn books() -> (Books, [Ledger; 2]) {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    let ledgers = [books.ledger.clone(), books.replica().await];
    (books, ledgers)
}

/// All of a round's ids belong to one message, and all of it is known.
async fn assert_one_message(books: &Books, ledger: &Ledger, reports: &[(Entrance, MessageUsage)]) {
    let mut messages = Vec::new();
    for report in reports {
        let answer = ledger.deliver(delivery(books, report)).await.unwrap();
        assert_eq!(answer.status, Outcome::Duplicate);
        messages.push(answer.consumption_id);
    }
    messages.dedup();
    assert_eq!(messages.len(), 1);
}

async fn spent(books: &Books, round: usize) -> Points {
    let balance = books.balance(&format!("u{}", round % USERS)).await;
    Points::ZERO.minus(balance).unwrap()
}

#[tokio::test]
async fn ids_that_cross_at_the_same_moment_are_one_message_at_the_cost_of_all_reports() {
    let (books, ledgers) = books().await;
    for round in 0..24 {
        let before = spent(&books, round).await;
        let reports = reports(round);
        let answers = deliver_all(&books, &ledgers, &reports).await;
        assert!(answers.iter().all(|it| it.status != Outcome::Quarantined));
        let added = spent(&books, round).await.minus(before).unwrap();
        assert_eq!(added, cost(&reports), "round {round}");
        let deducted = Points::sum(
            answers
                .iter()
                .filter(|it| it.status == Outcome::Charged)
                .map(|it| it.points_deducted),
        );
        assert_eq!(
            deducted.unwrap(),
            added,
            "the answers tell what was charged"
        );
        assert_one_message(&books, &ledgers[round % 2], &reports).await;
    }
    books.assert_verified().await;
}

#[tokio::test]
async fn many_messages_at_once_cost_what_their_reports_say() {
    let (books, ledgers) = books().await;
    let rounds: Vec<_> = (0..24).map(reports).collect();
    deliver_all(&books, &ledgers, &rounds.concat()).await;
    for user in 0..USERS {
        let own = rounds.iter().skip(user).step_by(USERS);
        let expected = Points::sum(own.map(|reports| cost(reports))).unwrap();
        assert_eq!(spent(&books, user).await, expected);
    }
    for (round, reports) in rounds.iter().enumerate() {
        assert_one_message(&books, &ledgers[round % 2], reports).await;
    }
    books.assert_verified().await;
}

#[tokio::test]
async fn a_report_that_joins_messages_beside_reports_of_them_keeps_what_was_refunded() {
    let (books, ledgers) = books().await;
    for round in 0..12 {
        let before = spent(&books, round).await;
        let [one, other] = [&["a"], &["b"]].map(|ids| report(round, round, ids));
        // As wholes: their calls would make one message of them at once.
        let as_whole = |(entrance, mut used): (Entrance, MessageUsage)| {
            used.calls.truncate(1);
            used.calls[0].call_id = None;
            (entrance, used)
        };
        let wholes = [as_whole(one), as_whole(other)];
        let owner = user(&format!("u{}", round % USERS));
        for whole in &wholes {
            let delivered = ledgers[0].deliver(delivery(&books, whole)).await.unwrap();
            let id = delivered.consumption_id.unwrap();
            let entry = ledgers[0].charge_entry(&owner, &id).await.unwrap();
            let half = Some(points("0.5"));
            ledgers[1]
                .refund(&owner, entry, half, "test", &actor())
                .await
                .unwrap();
        }
        let joining = (Entrance::Langfuse, report(round, round + 1, &["a", "b"]).1);
        let beside = [&["a"], &["b"], &["a"]].into_iter().zip(2..);
        let beside = beside.map(|(ids, more)| report(round, round + more, ids));
        let mut all: Vec<_> = beside.chain([joining]).collect();
        deliver_all(&books, &ledgers, &all).await;
        all.extend(wholes);
        let added = spent(&books, round).await.minus(before).unwrap();
        let least = cost(&all).minus(points("1")).unwrap();
        assert_eq!(added, least, "round {round}: both refunds stay");
        assert_one_message(&books, &ledgers[round % 2], &all).await;
    }
    books.assert_verified().await;
}

#[tokio::test]
async fn what_waits_is_charged_once_though_two_processes_release_it_and_it_is_reported_again() {
    let (books, ledgers) = books().await;
    let rounds: Vec<_> = (0..8).map(reports).collect();
    let unpriced: Vec<_> = rounds
        .iter()
        .map(|reports| {
            let (entrance, mut used) = reports[5].clone();
            used.calls.truncate(1);
            used.calls[0].call_id = Some(format!("new {}", used.message_id));
            used.calls[0].model_name = "new".parse().unwrap();
            used.calls[0].tokens = Tokens::new(1000, 0);
            (entrance, used)
        })
        .collect();
    deliver_all(
        &books,
        &ledgers,
        &[rounds.concat(), unpriced.clone()].concat(),
    )
    .await;
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 8);
    let actor = actor();
    let publish = |ledger: &Ledger| {
        let ledger = ledger.clone();
        let actor = &actor;
        async move { ledger.publish_price(price("new", "1", "1"), actor).await }
    };
    let published = join_all(ledgers.iter().map(publish));
    let (published, _) = tokio::join!(published, deliver_all(&books, &ledgers, &unpriced));
    assert!(published.iter().all(Result::is_ok));
    for user in 0..USERS {
        let own = rounds.iter().zip(&unpriced).skip(user).step_by(USERS);
        let costs = own
            .map(|(reports, new)| cost(&[reports.as_slice(), std::slice::from_ref(new)].concat()));
        assert_eq!(spent(&books, user).await, Points::sum(costs).unwrap());
    }
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 0);
    books.assert_verified().await;
}
