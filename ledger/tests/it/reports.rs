//! Invariant 1 through several entrances: one message is charged once, whoever reports it, and the
//! better report counts.

use futures::future::join_all;
use ledger::{CallEstimate, Delivery, DeliveryRefusal, Entrance, OperationError, UnknownMessage};
use shared::api::ReportDifference;
use shared::api::{EntryKind, HistoryFilter, Outcome, QuarantineReason, WebhookAnswer};
use shared::tokens::Tokens;
use shared::usage::{Evidence, MessageUsage, ModelCall};

use crate::corrections::everything_priced_by;
use crate::{Books, actor, message, points, refusal, user};

/// A model `m` at a point per thousand tokens, a model `dear` at ten, and a user with 1,000 points.
async fn books() -> Books {
    let books = Books::open().await;
    books.set_price("m", "1", "1").await;
    books.set_price("dear", "10", "10").await;
    books.grant("u", "1000").await;
    books
}

fn call(id: &str, model: &str, tokens: u64) -> ModelCall {
    ModelCall {
        call_id: Some(id.into()),
        model_name: model.parse().unwrap(),
        tokens: Tokens::new(tokens, 0),
        evidence: None,
    }
}

/// A run of a chatflow, whose calls are known apart.
fn run(id: &str, run_id: &str, calls: &[ModelCall]) -> MessageUsage {
    MessageUsage {
        also_known_as: vec![run_id.into()],
        calls: calls.to_vec(),
        ..message(id, "u", "m", Tokens::default())
    }
}

/// Tokens of model `m`, for the message as a whole.
fn whole(id: &str, tokens: u64) -> MessageUsage {
    message(id, "u", "m", Tokens::new(tokens, 0))
}

fn seen(books: &Books, entrance: Entrance, message: MessageUsage) -> Delivery {
    let mut delivery = books.delivery(message);
    delivery.entrance = entrance;
    delivery
}

async fn deliver(books: &Books, entrance: Entrance, message: MessageUsage) -> WebhookAnswer {
    let delivery = seen(books, entrance, message);
    books.ledger.deliver(delivery).await.unwrap()
}

/// What was entered on the user's account after the grant, oldest first, in points.
async fn entries(books: &Books) -> Vec<(EntryKind, String)> {
    let filter = HistoryFilter::default();
    let page = books.ledger.history(&user("u"), &filter, None, 50).await;
    let mut entries: Vec<_> = page
        .unwrap()
        .items
        .into_iter()
        .map(|item| (item.kind, item.points.to_string()))
        .collect();
    entries.pop();
    entries.reverse();
    entries
}

#[tokio::test]
async fn a_run_seen_through_two_entrances_is_charged_once_in_either_order() {
    for (first, second) in [
        (Entrance::Gateway, Entrance::Langfuse),
        (Entrance::Langfuse, Entrance::Gateway),
    ] {
        let books = books().await;
        let calls = [call("node-1", "m", 1000), call("node-2", "dear", 100)];
        let charged = deliver(&books, first, run("msg", "run", &calls)).await;
        assert_eq!(charged.status, Outcome::Charged);
        assert_eq!(charged.points_deducted, points("2"));
        // The other one lists the calls in another order.
        let calls = [call("node-2", "dear", 100), call("node-1", "m", 1000)];
        let again = deliver(&books, second, run("msg", "run", &calls)).await;
        assert_eq!(again.status, Outcome::Duplicate);
        assert_eq!(again.consumption_id, charged.consumption_id);
        assert_eq!(again.points_deducted, points("2"));
        assert_eq!(books.balance("u").await, points("998"));
        // Both are on record.
        let seen = books.ledger.reports("run").await.unwrap();
        let entrances: Vec<_> = seen.iter().map(|seen| seen.entrance.as_str()).collect();
        assert_eq!(entrances, [first.as_str(), second.as_str()]);
        // Who says the same again under another id only names it.
        for _ in 0..2 {
            deliver(&books, second, run("msg", "trace", &calls)).await;
        }
        assert_eq!(books.ledger.reports("trace").await.unwrap(), seen);
        books.assert_verified().await;
    }
}

#[tokio::test]
async fn a_message_is_recognised_by_any_of_its_ids() {
    let books = books().await;
    let calls = [call("node-1", "m", 1000)];
    deliver(&books, Entrance::Gateway, run("msg", "run", &calls)).await;
    for id in ["msg", "run", "node-1"] {
        let answer = deliver(&books, Entrance::Webhook, whole(id, 1000)).await;
        assert_eq!(answer.status, Outcome::Duplicate, "{id}");
    }
    // The other way round: what was reported by its run is known when its message comes.
    deliver(&books, Entrance::Webhook, whole("run-2", 500)).await;
    let late = run("msg-2", "run-2", &[call("node-2", "m", 500)]);
    let answer = deliver(&books, Entrance::Langfuse, late).await;
    assert_eq!(answer.status, Outcome::Duplicate);
    assert_eq!(books.balance("u").await, points("998.5"));
    let seen = books.ledger.reports("run").await.unwrap();
    let entrances: Vec<_> = seen.iter().map(|seen| seen.entrance.as_str()).collect();
    assert_eq!(entrances, ["gateway", "webhook"]);
    assert_eq!(seen[0].message_id, "msg");
    assert_eq!(seen[0].input_tokens, 1000);
    assert!(seen[0].consumption_id.is_some());
    assert_eq!(
        refusal(books.ledger.reports("nobody").await),
        UnknownMessage
    );
    books.assert_verified().await;
}

#[tokio::test]
async fn what_a_resumed_run_brings_is_charged_beside_what_was() {
    let books = books().await;
    let paused = run("msg", "run", &[call("node-1", "m", 1000)]);
    deliver(&books, Entrance::Gateway, paused.clone()).await;
    let resumed = run(
        "msg",
        "run",
        &[call("node-1", "m", 1000), call("node-2", "dear", 300)],
    );
    let answer = deliver(&books, Entrance::Gateway, resumed.clone()).await;
    assert_eq!(answer.status, Outcome::Charged);
    assert_eq!(answer.points_deducted, points("3"));
    for again in [paused, resumed] {
        let answer = deliver(&books, Entrance::Gateway, again).await;
        assert_eq!(answer.status, Outcome::Duplicate);
        assert_eq!(answer.points_deducted, points("4"), "of the whole message");
        assert_eq!(answer.tokens_used, 1300);
    }
    // Another entrance knows only a part, or a call that nobody has reported yet.
    let part = run("msg", "run", &[call("node-2", "dear", 300)]);
    let answer = deliver(&books, Entrance::Langfuse, part).await;
    assert_eq!(answer.status, Outcome::Duplicate);
    let more = run("msg", "run", &[call("node-3", "m", 500)]);
    let answer = deliver(&books, Entrance::Langfuse, more).await;
    assert_eq!(answer.status, Outcome::Charged);
    assert_eq!(books.balance("u").await, points("995.5"));
    // Who tells a part as it was told before contradicts nobody.
    let differences = books
        .ledger
        .report_differences(None, 50)
        .await
        .unwrap()
        .items;
    assert_eq!(differences.len(), 0);
    books.assert_verified().await;
}

#[tokio::test]
async fn cumulative_numbers_are_charged_for_their_difference() {
    let books = books().await;
    let continued = |tokens| {
        let mut delivery = seen(&books, Entrance::Gateway, whole("msg", tokens));
        delivery.continues = true;
        delivery
    };
    let mut paid = Vec::new();
    for tokens in [1000, 1000, 2500, 2500] {
        let answer = books.ledger.deliver(continued(tokens)).await.unwrap();
        paid.push((answer.status, answer.points_deducted));
    }
    assert_eq!(
        paid,
        [
            (Outcome::Charged, points("1")),
            (Outcome::Duplicate, points("1")),
            (Outcome::Charged, points("1.5")),
            (Outcome::Duplicate, points("2.5")),
        ]
    );
    assert_eq!(books.balance("u").await, points("997.5"));
    books.assert_verified().await;
}

#[tokio::test]
async fn cumulative_numbers_that_come_together_are_charged_for_their_difference() {
    let books = Books::open_with(1).await;
    books.set_price("m", "1", "1").await;
    let together = [1000, 1500, 4000].map(|tokens| going_on(&books, whole("msg", tokens)));
    let answers =
        futures::future::try_join_all(together.map(|delivery| books.ledger.deliver(delivery)));
    let paid = answers
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.points_deducted);
    assert_eq!(paid.collect::<Vec<_>>(), ["1", "0.5", "2.5"].map(points));
    books.assert_verified().await;
}

/// The second one is only recognised by what the first one of the same group tells.
#[tokio::test]
async fn cumulative_numbers_by_an_id_that_was_only_just_learned_are_charged_for_their_difference() {
    let books = Books::open_with(1).await;
    books.set_price("m", "1", "1").await;
    let cumulative = |id: &str, tokens| {
        let mut delivery = seen(&books, Entrance::Gateway, whole(id, tokens));
        delivery.continues = true;
        delivery
    };
    for round in 0..10 {
        let [id, run_id] = ["msg", "run"].map(|what| format!("{what}-{round}"));
        books.ledger.deliver(cumulative(&id, 1000)).await.unwrap();
        let traced = MessageUsage {
            also_known_as: vec![run_id.clone()],
            ..whole(&id, 1000)
        };
        let together = [
            seen(&books, Entrance::Langfuse, traced),
            cumulative(&run_id, 1500),
        ];
        let answers = join_all(together.map(|delivery| books.ledger.deliver(delivery))).await;
        let last = answers.into_iter().last().unwrap().unwrap();
        assert_eq!(last.points_deducted, points("0.5"));
    }
    assert_eq!(books.balance("u").await, points("-15"));
    books.assert_verified().await;
}

/// Also within one group, where nothing was written yet.
#[tokio::test]
async fn a_call_that_has_its_messages_own_id_is_charged_once() {
    let books = Books::open_with(1).await;
    books.set_price("m", "1", "1").await;
    let first = run("msg", "run", &[call("msg", "m", 1000)]);
    let both = [call("msg", "m", 1000), call("node-2", "m", 500)];
    let more = run("msg", "run", &both);
    let together = [
        seen(&books, Entrance::Gateway, first),
        seen(&books, Entrance::Langfuse, more),
    ];
    let answers = join_all(together.map(|delivery| books.ledger.deliver(delivery))).await;
    let paid = answers
        .into_iter()
        .map(|answer| answer.unwrap().points_deducted);
    assert_eq!(paid.collect::<Vec<_>>(), ["1", "0.5"].map(points));
    assert_eq!(books.balance("u").await, points("-1.5"));
    books.assert_verified().await;
}

#[tokio::test]
async fn what_a_sum_told_is_charged_by_its_calls_once_they_are_told() {
    let books = books().await;
    let first = run("msg", "run", &[call("node-1", "m", 1000)]);
    deliver(&books, Entrance::Gateway, first).await;
    let continued = |message: MessageUsage, total| {
        let mut delivery = seen(&books, Entrance::Gateway, message);
        delivery.message.reported_total = Some(total);
        delivery.continues = true;
        delivery
    };
    let mut became = Vec::new();
    for delivery in [
        continued(whole("run", 2500), 2500),
        continued(run("msg", "run", &[call("node-2", "dear", 1500)]), 2500),
        // What the sum did not contain is new, also when it used what another call did.
        continued(run("msg", "run", &[call("node-3", "m", 1000)]), 3500),
        continued(run("msg", "run", &[call("node-3", "m", 1000)]), 3500),
        continued(whole("run", 3500), 3500),
    ] {
        became.push(books.ledger.deliver(delivery).await.unwrap().status);
    }
    let (charged, duplicate) = (Outcome::Charged, Outcome::Duplicate);
    assert_eq!(became, [charged, charged, charged, duplicate, duplicate]);
    assert_eq!(books.balance("u").await, points("983"));
    let source = books.delivery(whole("run", 1)).source;
    for id in ["msg", "run", "node-2"] {
        let on_record = books.ledger.tokens_on_record(&source, id).await.unwrap();
        assert_eq!(on_record, 3500, "{id}");
    }
    // What waits for a price is on record too: calls beside each other, sums instead of each other.
    for (id, tokens) in [("node-4", 200), ("node-5", 300)] {
        let call = [call(id, "new", tokens)];
        deliver(&books, Entrance::Gateway, run("later", "run-2", &call)).await;
    }
    let on_record = books.ledger.tokens_on_record(&source, "later").await;
    assert_eq!(on_record.unwrap(), 500);
    let sum = message("later", "u", "new", Tokens::new(400, 0));
    books.ledger.deliver(continued(sum, 400)).await.unwrap();
    let on_record = books.ledger.tokens_on_record(&source, "later").await;
    assert_eq!(on_record.unwrap(), 500);
    // A call counts once, in however many reports it waits, and also when it was charged.
    let calls = [call("node-4", "new", 200), call("node-6", "new", 50)];
    deliver(&books, Entrance::Gateway, run("later", "run-2", &calls)).await;
    let on_record = books.ledger.tokens_on_record(&source, "later").await;
    assert_eq!(on_record.unwrap(), 550);
    let calls = [call("node-1", "m", 1000), call("node-7", "new", 600)];
    let waits = continued(run("msg", "run", &calls), 4100);
    let waits = books.ledger.deliver(waits).await.unwrap();
    assert_eq!(waits.status, Outcome::Quarantined);
    let on_record = books.ledger.tokens_on_record(&source, "msg").await;
    assert_eq!(
        on_record.unwrap(),
        4100,
        "beside all calls that were charged"
    );
    books.assert_verified().await;
}

/// What a gateway says of a paused run that goes on: its calls, or the total of all of it.
fn going_on(books: &Books, message: MessageUsage) -> Delivery {
    let mut delivery = seen(books, Entrance::Gateway, message);
    delivery.continues = true;
    delivery
}

/// One call of the run, whose tokens nobody told.
fn estimated(call_id: &str, tokens: u64) -> MessageUsage {
    MessageUsage {
        evidence: Evidence::Estimated,
        ..run("msg", "run", &[call(call_id, "m", tokens)])
    }
}

fn total(id: &str, tokens: u64) -> MessageUsage {
    MessageUsage {
        evidence: Evidence::Summed,
        ..whole(id, tokens)
    }
}

#[tokio::test]
async fn a_part_that_is_priced_after_the_total_was_charged_is_charged_beside_the_rest() {
    let books = books().await;
    let first = run("msg", "run", &[call("node-1", "new", 1000)]);
    let answer = deliver(&books, Entrance::Gateway, first).await;
    assert_eq!(answer.status, Outcome::Quarantined);
    let whole = going_on(&books, total("msg", 2500));
    books.ledger.deliver(whole.clone()).await.unwrap();
    assert_eq!(books.balance("u").await, points("997.5"));
    books.set_price("new", "5", "5").await;
    assert_eq!(
        entries(&books).await,
        [
            (EntryKind::Charge, "-2.5".to_owned()),
            (EntryKind::Correction, "-4".to_owned()),
        ]
    );
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 0);
    let answer = books.ledger.deliver(whole).await.unwrap();
    assert_eq!(answer.status, Outcome::Duplicate);
    assert_eq!(answer.tokens_used, 2500);
    assert_eq!(answer.points_deducted, points("6.5"));
    books.assert_verified().await;
}

#[tokio::test]
async fn calls_and_their_total_cost_the_same_in_every_order() {
    let books = books().await;
    let mut cost = points("0");
    for order in 0..24_usize {
        let id = |what: &str| format!("{what}-{order}");
        let message = |node: &str, model, tokens| {
            run(&id("msg"), &id("run"), &[call(&id(node), model, tokens)])
        };
        let mut reports = vec![
            message("node-1", "m", 100),
            message("node-2", "dear", 250),
            message("node-3", "dear", 250),
            total(&id("msg"), 1000),
        ];
        let (mut sequence, mut rest) = (Vec::new(), order);
        while !reports.is_empty() {
            let next = rest % reports.len();
            rest /= reports.len();
            sequence.push(reports.remove(next));
        }
        // Each of them twice, and those that came last once more. What came before the pause does not
        // go on.
        for report in sequence.iter().chain(&sequence[2..]) {
            for _ in 0..2 {
                let mut delivery = going_on(&books, report.clone());
                delivery.continues = report.calls[0].call_id != Some(id("node-1"));
                books.ledger.deliver(delivery).await.unwrap();
            }
        }
        // What the calls leave of the total is of the assumed model.
        cost = cost.plus(points("5.5")).unwrap();
        let balance = points("1000").minus(cost).unwrap();
        assert_eq!(books.balance("u").await, balance, "{sequence:?}");
        let source = &books.key;
        let on_record = books.ledger.tokens_on_record(source, &id("msg")).await;
        assert_eq!(on_record.unwrap(), 1000);
    }
    books.assert_verified().await;
}

#[tokio::test]
async fn an_estimate_yields_to_what_its_party_is_told_later_and_never_contradicts_it() {
    let books = books().await;
    // A tool tells only a sum; the other node was cut off.
    let tool = MessageUsage {
        evidence: Evidence::Summed,
        ..estimated("tool", 1000)
    };
    deliver(&books, Entrance::Gateway, tool).await;
    let mut became = Vec::new();
    for message in [
        estimated("node", 80),
        run("msg", "run", &[call("node", "dear", 100)]),
        // Another server was cut off, too, and says so late.
        estimated("node", 90),
        run("msg", "run", &[call("node", "dear", 100)]),
        total("msg", 1100),
    ] {
        let delivery = going_on(&books, message);
        became.push(books.ledger.deliver(delivery).await.unwrap().status);
    }
    let (charged, duplicate) = (Outcome::Charged, Outcome::Duplicate);
    assert_eq!(became, [charged, charged, duplicate, duplicate, duplicate]);
    assert_eq!(books.balance("u").await, points("998"));
    assert_eq!(
        entries(&books).await,
        [
            (EntryKind::Charge, "-1".to_owned()),
            (EntryKind::Correction, "-0.08".to_owned()),
            (EntryKind::Correction, "-0.92".to_owned()),
        ]
    );
    books.assert_verified().await;
}

#[tokio::test]
async fn an_estimate_of_calls_that_were_charged_by_their_sum_is_no_difference() {
    let books = books().await;
    deliver(&books, Entrance::Gateway, whole("run", 300)).await;
    let part = deliver(&books, Entrance::Gateway, estimated("node-1", 100)).await;
    assert_eq!(part.status, Outcome::Duplicate);
    let differences = books
        .ledger
        .report_differences(None, 50)
        .await
        .unwrap()
        .items;
    assert_eq!(differences.len(), 0);
    // What goes on after the sum is charged with the next count.
    let next = going_on(&books, estimated("node-2", 50));
    let next = books.ledger.deliver(next).await.unwrap();
    assert_eq!(next.status, Outcome::Duplicate);
    assert_eq!(books.balance("u").await, points("999.7"));
    let count = going_on(&books, total("run", 350));
    books.ledger.deliver(count).await.unwrap();
    assert_eq!(books.balance("u").await, points("999.65"));
    books.assert_verified().await;
}

/// As a workflow's own report does, which comes before the run is paused: each call is charged as its
/// best report says, and what the whole goes beyond that as the whole.
#[tokio::test]
async fn a_run_that_was_reported_as_a_whole_is_charged_call_by_call_once_calls_are_told() {
    let books = books().await;
    deliver(&books, Entrance::Webhook, whole("run", 300)).await;
    let mut rest = going_on(&books, run("msg", "run", &[call("node-2", "dear", 100)]));
    rest.message.reported_total = Some(300);
    let answer = books.ledger.deliver(rest).await.unwrap();
    assert_eq!(answer.status, Outcome::Charged);
    assert_eq!(books.balance("u").await, points("998.8"));
    // A total of nothing is none.
    deliver(&books, Entrance::Webhook, whole("run-2", 300)).await;
    let mut rest = going_on(
        &books,
        run("msg-2", "run-2", &[call("node-3", "dear", 100)]),
    );
    rest.message.reported_total = Some(0);
    let answer = books.ledger.deliver(rest).await.unwrap();
    assert_eq!(answer.status, Outcome::Charged);
    assert_eq!(books.balance("u").await, points("997.6"));
    books.assert_verified().await;
}

#[tokio::test]
async fn the_better_report_counts_whenever_it_comes() {
    let assumed = MessageUsage {
        evidence: Evidence::ModelAssumed,
        ..whole("msg", 1000)
    };
    let told = run("msg", "run", &[call("node-1", "dear", 1000)]);
    // The poorer one first: the difference is charged.
    let books = books().await;
    deliver(&books, Entrance::Gateway, assumed.clone()).await;
    let answer = deliver(&books, Entrance::Langfuse, told.clone()).await;
    assert_eq!(answer.status, Outcome::Charged);
    assert_eq!(answer.points_deducted, points("9"));
    assert_eq!(
        entries(&books).await,
        [
            (EntryKind::Charge, "-1".to_owned()),
            (EntryKind::Correction, "-9".to_owned()),
        ]
    );
    for again in [
        (Entrance::Langfuse, told.clone()),
        (Entrance::Gateway, assumed.clone()),
    ] {
        let answer = deliver(&books, again.0, again.1).await;
        assert_eq!(answer.status, Outcome::Duplicate);
        assert_eq!(answer.points_deducted, points("10"));
    }
    assert_eq!(books.balance("u").await, points("990"));
    books.assert_verified().await;

    // The better one first: it stands.
    let books = self::books().await;
    deliver(&books, Entrance::Langfuse, told).await;
    let answer = deliver(&books, Entrance::Gateway, assumed).await;
    assert_eq!(answer.status, Outcome::Duplicate);
    assert_eq!(books.balance("u").await, points("990"));
    books.assert_verified().await;
}

#[tokio::test]
async fn a_better_report_of_one_call_does_not_charge_the_others_again() {
    let books = books().await;
    deliver(&books, Entrance::Gateway, estimated("node-1", 80)).await;
    let known = run("msg", "run", &[call("node-2", "dear", 100)]);
    deliver(&books, Entrance::Gateway, known).await;
    let calls = [call("node-1", "m", 100), call("node-2", "dear", 100)];
    let answer = deliver(&books, Entrance::Langfuse, run("msg", "run", &calls)).await;
    assert_eq!(answer.status, Outcome::Charged);
    assert_eq!(
        entries(&books).await,
        [
            (EntryKind::Charge, "-0.08".to_owned()),
            (EntryKind::Correction, "-1".to_owned()),
            (EntryKind::Correction, "-0.02".to_owned()),
        ]
    );
    books.assert_verified().await;
}

#[tokio::test]
async fn a_call_told_otherwise_by_its_own_party_is_a_conflict() {
    let books = books().await;
    let calls = [call("node-1", "m", 1000), call("node-2", "m", 500)];
    deliver(&books, Entrance::Gateway, run("msg", "run", &calls)).await;
    let otherwise = run("msg", "run", &[call("node-1", "m", 2000)]);
    let answer = books
        .ledger
        .deliver(seen(&books, Entrance::Gateway, otherwise));
    assert!(matches!(
        refusal(answer.await),
        DeliveryRefusal::Conflict { .. }
    ));
    assert_eq!(books.balance("u").await, points("998.5"));
    books.assert_verified().await;
}

/// What stands of a call is what the better report said of it.
#[tokio::test]
async fn a_part_of_a_better_report_told_again_is_no_difference_and_of_the_poorer_one_is() {
    let books = books().await;
    let poor = |calls: &[ModelCall]| MessageUsage {
        evidence: Evidence::ModelAssumed,
        ..run("msg", "run", calls)
    };
    let (first, second) = (call("node-1", "m", 1000), call("node-2", "m", 500));
    let calls = [first.clone(), second];
    deliver(&books, Entrance::Gateway, poor(&calls)).await;
    let better = [call("node-1", "dear", 1500), call("node-2", "dear", 500)];
    deliver(&books, Entrance::Langfuse, run("msg", "run", &better)).await;
    assert_eq!(books.balance("u").await, points("980"));
    let count = async || {
        books
            .ledger
            .report_differences(None, 50)
            .await
            .unwrap()
            .items
            .len()
    };
    let [one, _] = better;
    let answer = deliver(&books, Entrance::Langfuse, run("msg", "run", &[one])).await;
    assert_eq!((answer.status, count().await), (Outcome::Duplicate, 0));
    let answer = deliver(&books, Entrance::Gateway, poor(&[first])).await;
    assert_eq!((answer.status, count().await), (Outcome::Duplicate, 1));
    assert_eq!(books.balance("u").await, points("980"));
    books.assert_verified().await;
}

#[tokio::test]
async fn calls_after_their_sum_bring_nothing_new() {
    let books = books().await;
    deliver(&books, Entrance::Gateway, whole("run", 300)).await;
    let call_by_call = run("msg", "run", &[call("node-1", "m", 100)]);
    let call_by_call = seen(&books, Entrance::Gateway, call_by_call);
    let answer = books.ledger.deliver(call_by_call).await.unwrap();
    assert_eq!(answer.status, Outcome::Duplicate);
    assert_eq!(books.balance("u").await, points("999.7"));
    books.assert_verified().await;
}

#[tokio::test]
async fn what_was_refunded_already_is_not_given_back_again() {
    let books = books().await;
    let estimated = MessageUsage {
        evidence: Evidence::Estimated,
        ..message("msg", "u", "m", Tokens::new(3000, 1000))
    };
    let charged = deliver(&books, Entrance::Gateway, estimated).await;
    let entry = books
        .ledger
        .charge_entry(&user("u"), &charged.consumption_id.unwrap())
        .await
        .unwrap();
    books
        .ledger
        .refund(&user("u"), entry, Some(points("1")), "sorry", &actor())
        .await
        .unwrap();
    deliver(&books, Entrance::Langfuse, whole("msg", 2000)).await;
    assert_eq!(books.balance("u").await, points("998"));
    books.assert_verified().await;
}

#[tokio::test]
async fn what_was_refunded_stays_so_when_a_part_of_it_turns_out_dearer() {
    let books = books().await;
    let charged = deliver(&books, Entrance::Gateway, total("msg", 1000)).await;
    let id = charged.consumption_id.unwrap();
    let entry = books.ledger.charge_entry(&user("u"), &id).await.unwrap();
    let (user, actor) = (user("u"), actor());
    let refund = books.ledger.refund(&user, entry, None, "sorry", &actor);
    refund.await.unwrap();
    // Only what the message costs more than it did is charged.
    let part = run("msg", "run", &[call("node", "dear", 100)]);
    let answer = deliver(&books, Entrance::Langfuse, part).await;
    assert_eq!(answer.status, Outcome::Charged);
    assert_eq!(books.balance("u").await, points("999.1"));
    let calls = [call("node", "dear", 100), call("other", "m", 900)];
    deliver(&books, Entrance::Langfuse, run("msg", "run", &calls)).await;
    assert_eq!(books.balance("u").await, points("999.1"));
    books.assert_verified().await;
}

#[tokio::test]
async fn what_was_replaced_is_not_priced_again() {
    let books = books().await;
    books.set_price("free", "0", "0").await;
    let assumed = MessageUsage {
        evidence: Evidence::ModelAssumed,
        ..message("msg", "u", "free", Tokens::new(1000, 0))
    };
    deliver(&books, Entrance::Gateway, assumed).await;
    deliver(&books, Entrance::Langfuse, whole("msg", 1000)).await;
    assert_eq!(books.balance("u").await, points("999"));
    let dearer = books.set_price("free", "30", "0").await;
    let rerating = everything_priced_by(&[dearer.id]);
    books.ledger.rerate(rerating, &actor()).await.unwrap();
    assert_eq!(books.balance("u").await, points("999"));
    books.assert_verified().await;
}

#[tokio::test]
async fn a_better_report_of_an_unknown_model_waits_and_replaces_once_it_is_priced() {
    let books = books().await;
    let assumed = MessageUsage {
        evidence: Evidence::ModelAssumed,
        ..whole("msg", 1000)
    };
    deliver(&books, Entrance::Gateway, assumed).await;
    let told = run("msg", "run", &[call("node-1", "new", 1000)]);
    let answer = deliver(&books, Entrance::Langfuse, told).await;
    assert_eq!(answer.status, Outcome::Quarantined);
    assert_eq!(books.balance("u").await, points("999"));
    books.set_price("new", "5", "5").await;
    assert_eq!(books.balance("u").await, points("995"));
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 0);
    books.assert_verified().await;
}

#[tokio::test]
async fn a_report_that_tells_less_replaces_only_that() {
    let books = books().await;
    let estimated = MessageUsage {
        evidence: Evidence::Estimated,
        ..run(
            "msg",
            "run",
            &[call("node-1", "m", 1000), call("node-2", "m", 500)],
        )
    };
    deliver(&books, Entrance::Gateway, estimated).await;
    // Nothing is made of something; a call that is missing stays as it was.
    for (tokens, status) in [(0, Outcome::Duplicate), (1000, Outcome::Charged)] {
        let told = run("msg", "run", &[call("node-1", "dear", tokens)]);
        let answer = deliver(&books, Entrance::Langfuse, told).await;
        assert_eq!(answer.status, status, "{tokens}");
    }
    let silent = deliver(&books, Entrance::Webhook, whole("msg", 0)).await;
    assert_eq!(silent.status, Outcome::Duplicate);
    assert_eq!(books.balance("u").await, points("989.5"));
    let differences = books
        .ledger
        .report_differences(None, 50)
        .await
        .unwrap()
        .items;
    assert_eq!(differences.len(), 2);
    books.assert_verified().await;
}

#[tokio::test]
async fn a_bare_total_brings_nothing_new_to_calls_that_were_charged() {
    let books = books().await;
    let used = ModelCall {
        tokens: Tokens::new(100, 50),
        ..call("node-1", "m", 0)
    };
    deliver(&books, Entrance::Gateway, run("msg", "run", &[used])).await;
    for (total, status) in [(150, Outcome::Duplicate), (250, Outcome::Charged)] {
        let total = MessageUsage {
            evidence: Evidence::Summed,
            ..whole("run", total)
        };
        let mut looked_at_again = seen(&books, Entrance::Gateway, total);
        looked_at_again.continues = true;
        let answer = books.ledger.deliver(looked_at_again).await.unwrap();
        assert_eq!(answer.status, status);
    }
    assert_eq!(books.balance("u").await, points("999.75"));
    books.assert_verified().await;
}

#[tokio::test]
async fn what_waits_beside_something_that_waits_is_charged_too() {
    let books = books().await;
    let calls = [call("node-1", "new", 1000), call("node-2", "new", 500)];
    for reported in [&calls[..1], &calls[1..], &calls, &calls] {
        let answer = deliver(&books, Entrance::Gateway, run("msg", "run", reported)).await;
        assert_eq!(answer.status, Outcome::Quarantined);
    }
    // What can be charged meanwhile leaves them waiting.
    let priced = run("msg", "run", &[call("node-3", "m", 1000)]);
    let answer = deliver(&books, Entrance::Gateway, priced).await;
    assert_eq!(answer.status, Outcome::Charged);
    let mut cumulative = Vec::new();
    for total in [1000, 1500] {
        let mut delivery = seen(
            &books,
            Entrance::Gateway,
            message("other", "u", "new", Tokens::new(total, 0)),
        );
        delivery.continues = true;
        cumulative.push(books.ledger.deliver(delivery).await.unwrap().status);
    }
    assert_eq!(cumulative, [Outcome::Quarantined; 2]);
    books.set_price("new", "1", "1").await;
    assert_eq!(books.balance("u").await, points("996"));
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 0);
    books.assert_verified().await;
}

#[tokio::test]
async fn a_charged_message_is_known_by_every_id_it_was_ever_reported_by() {
    let books = books().await;
    deliver(&books, Entrance::Webhook, whole("run", 1000)).await;
    let calls = [call("node-1", "m", 1000)];
    deliver(&books, Entrance::Gateway, run("msg", "run", &calls)).await;
    for id in ["msg", "node-1"] {
        let answer = deliver(&books, Entrance::Review, whole(id, 1000)).await;
        assert_eq!(answer.status, Outcome::Duplicate, "{id}");
    }
    // Also when it says nothing new: less than before, or calls that are known in another order.
    let calls = [call("a", "m", 100), call("b", "m", 200)];
    deliver(&books, Entrance::Gateway, run("msg-2", "run-2", &calls)).await;
    let [a, b] = calls;
    deliver(&books, Entrance::Gateway, run("msg-2", "late-2", &[b, a])).await;
    for (tokens, run_id) in [(500, "run-3"), (400, "late-3")] {
        let cumulative = MessageUsage {
            also_known_as: vec![run_id.into()],
            ..whole("msg-3", tokens)
        };
        let mut delivery = seen(&books, Entrance::Gateway, cumulative);
        delivery.continues = true;
        books.ledger.deliver(delivery).await.unwrap();
    }
    for (id, tokens) in [("late-2", 300), ("late-3", 500)] {
        let answer = deliver(&books, Entrance::Webhook, whole(id, tokens)).await;
        assert_eq!(answer.status, Outcome::Duplicate, "{id}");
    }
    assert_eq!(books.balance("u").await, points("998.2"));
    books.assert_verified().await;
}

#[tokio::test]
async fn a_message_that_waits_is_recognised_once_it_was_charged_by_another_id() {
    let books = books().await;
    let calls = [call("node-1", "new", 1000)];
    deliver(&books, Entrance::Gateway, run("msg", "run", &calls)).await;
    deliver(&books, Entrance::Webhook, whole("run", 1000)).await;
    books.set_price("new", "1", "1").await;
    assert_eq!(books.balance("u").await, points("999"));
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 0);
    books.assert_verified().await;
}

#[tokio::test]
async fn a_difference_is_recorded_and_charges_nothing() {
    let books = books().await;
    deliver(&books, Entrance::Webhook, whole("msg", 1000)).await;
    let assumed = |tokens| MessageUsage {
        evidence: Evidence::ModelAssumed,
        ..whole("msg", tokens)
    };
    for (entrance, tokens) in [(Entrance::Langfuse, 1100), (Entrance::Gateway, 900)] {
        // The same again is no new difference.
        for _ in 0..2 {
            let answer = deliver(&books, entrance, assumed(tokens)).await;
            assert_eq!(answer.status, Outcome::Duplicate);
        }
    }
    let differences = books
        .ledger
        .report_differences(None, 50)
        .await
        .unwrap()
        .items;
    let found: Vec<_> = differences
        .iter()
        .map(|seen| (seen.entrance.as_str(), seen.difference, seen.input_tokens))
        .collect();
    let differs = Some(ReportDifference::Tokens);
    assert_eq!(
        found,
        [("gateway", differs, 900), ("langfuse", differs, 1100)]
    );
    let newest = books.ledger.report_differences(None, 1).await.unwrap();
    let cursor = newest.next_cursor.as_deref();
    let older = books.ledger.report_differences(cursor, 1).await.unwrap();
    assert_eq!([newest.items, older.items].concat(), differences);
    assert!(cursor.is_some() && older.next_cursor.is_none());
    assert_eq!(books.balance("u").await, points("999"));
    // The same entrance must not change its mind.
    let changed = seen(&books, Entrance::Webhook, whole("msg", 900));
    let message_id = "msg".to_owned();
    assert_eq!(
        refusal(books.ledger.deliver(changed).await),
        DeliveryRefusal::Conflict { message_id }
    );
    books.assert_verified().await;
}

/// All that are recorded in one transaction are so at the same moment.
#[tokio::test]
async fn every_difference_is_on_one_page_though_many_were_recorded_at_once() {
    let books = books().await;
    let ids: Vec<_> = (0..12).map(|number| format!("msg-{number}")).collect();
    for id in &ids {
        deliver(&books, Entrance::Webhook, whole(id, 1000)).await;
    }
    let reports = ids.iter().map(|id| MessageUsage {
        evidence: Evidence::ModelAssumed,
        ..whole(id, 900)
    });
    let deliveries = reports.map(|report| {
        books
            .ledger
            .deliver(seen(&books, Entrance::Gateway, report))
    });
    for answer in join_all(deliveries).await {
        assert_eq!(answer.unwrap().status, Outcome::Duplicate);
    }
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let page = books
            .ledger
            .report_differences(cursor.as_deref(), 5)
            .await
            .unwrap();
        assert!(page.items.len() <= 5);
        found.extend(page.items.into_iter().map(|report| report.message_id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    found.sort_unstable();
    let mut all = ids.clone();
    all.sort_unstable();
    assert_eq!(found, all);
}

/// Whoever may choose an id cannot have a call free by choosing another user's.
#[tokio::test]
async fn a_report_of_another_users_message_is_never_dropped() {
    let books = books().await;
    deliver(&books, Entrance::Gateway, whole("msg", 1000)).await;
    let by_other = |id: &str| message(id, "other", "m", Tokens::new(700, 0));
    // Nobody is answered: it waits, once.
    for _ in 0..2 {
        let answer = deliver(&books, Entrance::Langfuse, by_other("msg")).await;
        assert_eq!(answer.status, Outcome::Quarantined);
        assert_eq!(answer.reason, Some(QuarantineReason::AnotherUser));
    }
    assert_eq!(books.ledger.waiting_count().await.unwrap(), 1);
    // It has an id of its own: it is a message of its own.
    let own = MessageUsage {
        also_known_as: vec!["run-of-other".into()],
        ..by_other("msg")
    };
    let answer = deliver(&books, Entrance::Langfuse, own).await;
    assert_eq!(answer.status, Outcome::Charged);
    assert_eq!(books.balance("other").await, points("-0.7"));
    // Who is answered is told.
    let webhook = seen(&books, Entrance::Webhook, by_other("msg"));
    let message_id = "msg".to_owned();
    assert_eq!(
        refusal(books.ledger.deliver(webhook).await),
        DeliveryRefusal::Conflict { message_id }
    );
    assert_eq!(books.balance("u").await, points("999"));
    books.assert_verified().await;
}

#[tokio::test]
async fn ids_that_cross_at_the_same_moment_under_two_users_are_each_charged_at_most_once() {
    let books = books().await;
    let replica = books.replica().await;
    for round in 0..20 {
        let (id, run_id) = (format!("msg-{round}"), format!("run-{round}"));
        let gateway = run(&id, &run_id, &[call(&format!("node-{round}"), "m", 1000)]);
        let webhook = message(&run_id, "somebody", "m", Tokens::new(1000, 0));
        let (one, other) = tokio::join!(
            books
                .ledger
                .deliver(seen(&books, Entrance::Gateway, gateway)),
            replica.deliver(seen(&books, Entrance::Webhook, webhook)),
        );
        // The gateway's has an id of its own; the webhook's is refused where it has none left.
        assert_eq!(one.unwrap().status, Outcome::Charged);
        match other {
            Ok(answer) => assert_eq!(answer.status, Outcome::Charged),
            Err(error) => assert!(matches!(
                error,
                OperationError::Refused(DeliveryRefusal::Conflict { .. })
            )),
        }
    }
    let spent = points("1000").minus(books.balance("u").await).unwrap();
    assert_eq!(spent, points("20"));
    books.assert_verified().await;
}

#[tokio::test]
async fn a_message_without_a_model_call_costs_nothing_once() {
    let books = books().await;
    let moderated = MessageUsage {
        calls: Vec::new(),
        ..whole("msg", 0)
    };
    let answer = deliver(&books, Entrance::Gateway, moderated.clone()).await;
    assert_eq!(answer.status, Outcome::Charged);
    assert_eq!(answer.points_deducted, points("0"));
    let answer = deliver(&books, Entrance::Gateway, moderated).await;
    assert_eq!(answer.status, Outcome::Duplicate);
    assert_eq!(books.balance("u").await, points("1000"));
    let charges = HistoryFilter {
        kind: Some(EntryKind::Charge),
        ..HistoryFilter::default()
    };
    let page = books.ledger.history(&user("u"), &charges, None, 50).await;
    assert_eq!(page.unwrap().items.len(), 1);
    books.assert_verified().await;
}

#[tokio::test]
async fn a_hold_is_settled_also_when_another_entrance_was_faster() {
    let books = books().await;
    let estimate = CallEstimate {
        model_name: Some("m".parse().unwrap()),
        input_tokens: Some(5000),
        output_tokens: Some(0),
        asked_tokens: 0,
        hold_seconds: Some(60),
    };
    let check = books
        .ledger
        .check_call(&user("u"), &books.key, &estimate)
        .await;
    let hold_id = check.unwrap().hold_id.unwrap();
    let balance = books.ledger.balance(&user("u")).await.unwrap();
    assert_eq!(balance.held, points("5"));
    let calls = [call("node-1", "m", 1000)];
    deliver(&books, Entrance::Langfuse, run("msg", "run", &calls)).await;
    let delivery = seen(&books, Entrance::Gateway, run("msg", "run", &calls));
    let answer = books.ledger.settle_hold(&hold_id, delivery).await.unwrap();
    assert_eq!(answer.status, Outcome::Duplicate);
    let balance = books.ledger.balance(&user("u")).await.unwrap();
    assert_eq!(balance.held, points("0"));
    assert_eq!(balance.balance, points("999"));
    books.assert_verified().await;
}
