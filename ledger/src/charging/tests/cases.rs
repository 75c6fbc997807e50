//! Messages as they are reported in practice, and what they cost. `m` costs 1 nanopoint for a token,
//! `dear` 10, and `new` has no price.

use shared::api::QuarantineReason::UnknownModel;
use shared::usage::Evidence::{Estimated, ModelAssumed, Summed};

use super::world::Answer::{Charged, Conflict, Duplicate, Waits};
use super::world::{Answer, Said, World, gateway, review, traces, webhook, world};

/// What becomes of reports, and what is spent after them.
#[track_caller]
fn ends<const N: usize>(said: [Said; N], answers: [Answer; N], spent: i64) -> World {
    let mut world = world();
    assert_eq!(said.map(|said| world.take(&said)), answers);
    assert_eq!(world.spent(), spent);
    world
}

const WAITS: Answer = Waits(UnknownModel);

#[test]
fn a_run_that_two_parties_report_is_charged_once_in_either_order() {
    let run = |by: Said| by.call("n1", "m", 1000).call("n2", "dear", 100);
    let said = [run(gateway("msg run")), run(traces("msg run"))];
    ends(said.clone(), [Charged(2000), Duplicate], 2000);
    let [one, other] = said;
    ends([other, one], [Charged(2000), Duplicate], 2000);
}

#[test]
fn a_message_is_recognised_by_every_id_it_was_reported_by() {
    ends(
        [
            gateway("msg run n1").call("n1", "m", 1000),
            webhook("msg").whole("m", 1000),
            webhook("run").whole("m", 1000),
            webhook("n1").whole("m", 1000),
        ],
        [Charged(1000), Duplicate, Duplicate, Duplicate],
        1000,
    );
    ends(
        [
            webhook("run").whole("m", 500),
            traces("msg run n2").call("n2", "m", 500),
            review("msg").whole("m", 500),
            review("n2").whole("m", 500),
        ],
        [Charged(500), Duplicate, Duplicate, Duplicate],
        500,
    );
}

#[test]
fn what_a_resumed_run_brings_is_charged_beside_the_rest() {
    let begun = || gateway("msg run").call("n1", "m", 1000);
    let resumed = || begun().call("n2", "dear", 300);
    ends(
        [
            begun(),
            resumed(),
            begun(),
            resumed(),
            traces("msg run").call("n2", "dear", 300),
            traces("msg run").call("n3", "m", 500),
        ],
        [
            Charged(1000),
            Charged(3000),
            Duplicate,
            Duplicate,
            Duplicate,
            Charged(500),
        ],
        4500,
    );
}

#[test]
fn of_a_growing_total_only_the_growth_is_charged() {
    let total = |tokens| gateway("msg").so_far("m", tokens);
    ends(
        [total(1000), total(1000), total(2500), total(2500)],
        [Charged(1000), Duplicate, Charged(1500), Duplicate],
        2500,
    );
}

#[test]
fn a_growing_total_goes_on_under_an_id_that_was_learned_in_between() {
    ends(
        [
            gateway("msg").so_far("m", 1000),
            traces("msg run").whole("m", 1000),
            gateway("run").so_far("m", 1500),
        ],
        [Charged(1000), Duplicate, Charged(500)],
        1500,
    );
}

#[test]
fn a_call_with_the_id_of_its_message_is_charged_once() {
    ends(
        [
            gateway("msg run").call("msg", "m", 1000),
            traces("msg run")
                .call("msg", "m", 1000)
                .call("n2", "m", 500),
        ],
        [Charged(1000), Charged(500)],
        1500,
    );
}

#[test]
fn calls_that_come_after_a_total_take_their_part_of_it() {
    ends(
        [
            gateway("msg run").call("n1", "m", 1000),
            gateway("run").so_far("m", 2500),
            gateway("msg run").call("n2", "dear", 1500).count(2500),
            gateway("msg run").call("n3", "m", 1000).count(3500),
            gateway("run").so_far("m", 3500),
        ],
        [
            Charged(1000),
            Charged(1500),
            Charged(13_500),
            Charged(1000),
            Duplicate,
        ],
        17_000,
    );
    ends(
        [
            gateway("msg run").call("n1", "m", 1000),
            gateway("run").count(2500),
            gateway("msg run").call("n2", "dear", 1500).count(2500),
        ],
        [Charged(1000), Charged(1500), Charged(13_500)],
        16_000,
    );
}

#[test]
fn a_call_that_gets_its_price_after_the_total_was_charged_takes_its_part_of_it() {
    let said = [
        gateway("msg run").call("n1", "new", 1000),
        gateway("msg").count(2500),
    ];
    let mut world = ends(said, [WAITS, Charged(2500)], 2500);
    world.publish("new", 5, None);
    assert_eq!(world.release(), [Charged(4000)]);
    assert_eq!((world.spent(), world.waiting()), (6500, 0));
}

#[test]
fn calls_and_their_total_cost_the_same_in_every_order() {
    let said = [
        gateway("msg run").call("n1", "m", 100),
        gateway("msg run").call("n2", "dear", 250),
        gateway("msg run").call("n3", "dear", 250),
        gateway("msg").count(1000),
    ];
    for place in 0..24 {
        let mut left = said.to_vec();
        let order = [place / 6, place / 2 % 3, place % 2, 0].map(|at| left.remove(at));
        let mut world = world();
        world.take_all(&order);
        world.take_all(&order);
        world.take_all(&order[2..]);
        assert_eq!(world.spent(), 5500);
    }
}

#[test]
fn an_estimate_yields_to_what_its_own_party_tells_later() {
    let node = |tokens| gateway("msg run").call_by("node", "m", tokens, Estimated);
    let told = || gateway("msg run").call("node", "dear", 100);
    ends(
        [
            gateway("msg run").call_by("tool", "m", 1000, Summed),
            node(80),
            told(),
            node(90),
            told(),
            gateway("msg").count(1100),
        ],
        [
            Charged(1000),
            Charged(80),
            Charged(920),
            Duplicate,
            Duplicate,
            Duplicate,
        ],
        2000,
    );
}

#[test]
fn estimated_calls_of_a_told_total_wait_for_a_larger_one() {
    let node = |id, tokens| gateway("msg run").call_by(id, "m", tokens, Estimated);
    ends(
        [
            gateway("run").whole("m", 300),
            node("n1", 100),
            node("n2", 50),
            gateway("run").count(350),
        ],
        [Charged(300), Duplicate, Duplicate, Charged(50)],
        350,
    );
}

#[test]
fn calls_of_a_run_that_was_reported_as_one_take_their_part_of_it() {
    for total in [300, 0] {
        let mut calls = gateway("msg run").call("n2", "dear", 100);
        if total > 0 {
            calls = calls.count(total);
        }
        ends(
            [webhook("run").whole("m", 300), calls],
            [Charged(300), Charged(900)],
            1200,
        );
    }
}

#[test]
fn the_surer_report_counts_whenever_it_comes() {
    let assumed = gateway("msg").whole_by("m", 1000, ModelAssumed);
    let told = traces("msg run").call("n1", "dear", 1000);
    let both = [assumed.clone(), told.clone()];
    let mut world = ends(both.clone(), [Charged(1000), Charged(9000)], 10_000);
    assert_eq!(world.take_all(&both), [Duplicate; 2]);
    let mut world = ends([told, assumed], [Charged(10_000), Duplicate], 10_000);
    assert_eq!(world.take_all(&both), [Duplicate; 2]);
}

#[test]
fn a_surer_report_of_one_call_does_not_charge_the_others_again() {
    let said = [
        gateway("msg run").call_by("n1", "m", 80, Estimated),
        gateway("msg run").call("n2", "dear", 100),
        traces("msg run")
            .call("n1", "m", 100)
            .call("n2", "dear", 100),
    ];
    let world = ends(said, [Charged(80), Charged(1000), Charged(20)], 1100);
    assert_eq!(world.amounts(), [-80, -1000, -20]);
}

#[test]
fn a_call_told_otherwise_by_its_own_party_is_a_conflict() {
    ends(
        [
            gateway("msg run")
                .call("n1", "m", 1000)
                .call("n2", "m", 500),
            gateway("msg run").call("n1", "m", 2000),
        ],
        [Charged(1500), Conflict],
        1500,
    );
}

#[test]
fn a_part_of_a_report_again_is_a_duplicate() {
    let assumed = |said: Said, id, tokens| said.call_by(id, "m", tokens, ModelAssumed);
    ends(
        [
            assumed(assumed(gateway("msg run"), "n1", 1000), "n2", 500),
            traces("msg run")
                .call("n1", "dear", 1500)
                .call("n2", "dear", 500),
            traces("msg run").call("n1", "dear", 1500),
            assumed(gateway("msg run"), "n1", 1000),
        ],
        [Charged(1500), Charged(18_500), Duplicate, Duplicate],
        20_000,
    );
}

#[test]
fn calls_after_their_sum_are_no_conflict() {
    ends(
        [
            gateway("run").whole("m", 300),
            gateway("msg run").call("n1", "m", 100),
        ],
        [Charged(300), Duplicate],
        300,
    );
}

#[test]
fn a_surer_report_of_an_unknown_model_waits_and_counts_once_it_has_a_price() {
    let said = [
        gateway("msg").whole_by("m", 1000, ModelAssumed),
        traces("msg run").call("n1", "new", 1000),
    ];
    let mut world = ends(said, [Charged(1000), WAITS], 1000);
    world.publish("new", 5, None);
    assert_eq!(world.release(), [Charged(4000)]);
    assert_eq!(world.spent(), 5000);
}

#[test]
fn a_report_of_fewer_calls_replaces_only_those() {
    let estimated = gateway("msg run")
        .call_by("n1", "m", 1000, Estimated)
        .call_by("n2", "m", 500, Estimated);
    ends(
        [
            estimated,
            traces("msg run").call("n1", "dear", 0),
            traces("msg run").call("n1", "dear", 1000),
            webhook("msg").whole("m", 0),
        ],
        [Charged(1500), Duplicate, Charged(9000), Duplicate],
        10_500,
    );
}

#[test]
fn a_bare_total_of_calls_that_were_charged_brings_only_what_is_beyond_them() {
    ends(
        [
            gateway("msg run").call("n1", "m", 150),
            gateway("run").count(150),
            gateway("run").count(250),
        ],
        [Charged(150), Duplicate, Charged(100)],
        250,
    );
}

#[test]
fn everything_that_waits_of_a_message_is_charged_with_its_price() {
    let [n1, n2] = [("n1", 1000), ("n2", 500)];
    let calls = |calls: &[(&str, u64)]| {
        let calls = calls.iter();
        calls.fold(gateway("msg run"), |said, (id, tokens)| {
            said.call(id, "new", *tokens)
        })
    };
    let other = |tokens| gateway("other").so_far("new", tokens);
    let said = [
        calls(&[n1]),
        calls(&[n2]),
        calls(&[n1, n2]),
        calls(&[n1, n2]),
        gateway("msg run").call("n3", "m", 1000),
        other(1000),
        other(1500),
    ];
    let answers = [WAITS, WAITS, WAITS, WAITS, Charged(1000), WAITS, WAITS];
    let mut world = ends(said, answers, 1000);
    assert_eq!(world.waiting(), 5, "what waits already, waits once");
    world.publish("new", 1, None);
    world.release();
    assert_eq!((world.spent(), world.waiting()), (4000, 0));
}

#[test]
fn what_waits_is_recognised_once_its_message_was_charged_by_another_id() {
    let said = [
        gateway("msg run").call("n1", "new", 1000),
        webhook("run").whole("m", 1000),
    ];
    let mut world = ends(said, [WAITS, Charged(1000)], 1000);
    world.publish("new", 1, None);
    assert_eq!(world.release(), [Duplicate]);
    assert_eq!((world.spent(), world.waiting()), (1000, 0));
}

#[test]
fn another_partys_numbers_are_no_conflict_and_the_same_partys_are() {
    ends(
        [
            webhook("msg").whole("m", 1000),
            traces("msg").whole("m", 1100),
            traces("msg").whole("m", 1100),
            webhook("msg").whole("m", 900),
            webhook("msg").whole("dear", 1000),
            webhook("msg").whole("m", 1000),
        ],
        [
            Charged(1000),
            Duplicate,
            Duplicate,
            Conflict,
            Conflict,
            Duplicate,
        ],
        1000,
    );
}

#[test]
fn a_message_without_a_model_call_is_entered_once() {
    let said = [gateway("msg"), gateway("msg")];
    let world = ends(said, [Charged(0), Duplicate], 0);
    assert_eq!(world.amounts(), [0]);
}

#[test]
fn what_waits_is_contradicted_like_what_is_charged() {
    let said = [
        webhook("a").whole("new", 10),
        webhook("a").whole("new", 10),
        webhook("a").whole("new", 1),
    ];
    let mut world = ends(said, [WAITS, WAITS, Conflict], 0);
    assert_eq!(world.waiting(), 1);
    world.publish("new", 2, None);
    assert_eq!(world.release(), [Charged(20)]);
    assert_eq!(world.take(&webhook("a").whole("new", 10)), Duplicate);
    assert_eq!(world.spent(), 20);
}

#[test]
fn what_is_doubted_leaves_when_another_party_says_the_same_without_a_doubt() {
    let mut world = world();
    assert!(
        world
            .take(&webhook("msg").whole("m", 1000).doubted())
            .waits()
    );
    assert_eq!(world.take(&traces("msg").whole("m", 1000)), Charged(1000));
    assert_eq!((world.spent(), world.waiting()), (1000, 0));
}

#[test]
fn what_is_doubted_is_charged_when_it_is_released_and_as_it_was_put_right() {
    let doubted = || webhook("msg").whole("m", 1000).doubted();
    let mut world = world();
    assert!(world.take(&doubted()).waits());
    assert_eq!(world.release(), [Charged(1000)]);
    assert_eq!(world.take(&doubted()), Duplicate);
    let mut world = super::world::world();
    assert!(world.take(&doubted()).waits());
    let right = webhook("msg").whole("m", 300).usage;
    assert_eq!(world.correct(right), Charged(300));
    assert_eq!(world.waiting(), 0);
    // What somebody has decided stays, whatever is said of it.
    assert_eq!(world.take(&doubted()), Duplicate);
    assert_eq!(world.take(&traces("msg").whole("dear", 5000)), Duplicate);
    assert_eq!(world.spent(), 300);
}

#[test]
fn a_message_charged_as_it_was_put_right_keeps_that_in_any_order() {
    let mut world = world();
    assert_eq!(world.take(&traces("msg").whole("dear", 500)), Charged(5000));
    assert!(
        world
            .take(&webhook("msg").whole("m", 1000).doubted())
            .waits()
    );
    let right = webhook("msg").whole("m", 300).usage;
    assert_eq!(world.correct(right), Charged(-4700));
    assert_eq!(
        world.take(&gateway("msg").call("n", "dear", 900)),
        Duplicate
    );
    assert_eq!(world.spent(), 300);
}

#[test]
fn a_charge_that_does_not_fit_the_account_waits_and_gives_nothing_back() {
    let mut world = World::with_room(10_500);
    world.publish("m", 5, None);
    world.publish("x", 99, None);
    for id in ["one", "two"] {
        world.take(&gateway("msg").call_by(id, "m", 1000, ModelAssumed));
    }
    let both = traces("msg").call("one", "x", 1000).call("two", "x", 1000);
    let overflow = Waits(shared::api::QuarantineReason::Overflow);
    assert_eq!(world.take(&both), overflow);
    assert_eq!(world.release(), []);
    assert_eq!((world.spent(), world.waiting()), (10_000, 1));
}

#[test]
fn who_begins_to_listen_late_pays_by_the_total() {
    ends(
        [
            gateway("run").call("n1", "m", 150),
            gateway("run").call("n3", "m", 150).count(450),
        ],
        [Charged(150), Charged(300)],
        450,
    );
}

#[test]
fn a_form_that_was_submitted_elsewhere_shows_in_the_next_total() {
    ends(
        [
            gateway("run").call("n1", "m", 150),
            gateway("run").count(200),
            gateway("run").count(300),
        ],
        [Charged(150), Charged(50), Charged(100)],
        300,
    );
}

#[test]
fn a_call_that_comes_late_is_charged_alone() {
    ends(
        [
            traces("msg run").call("n1", "m", 110),
            traces("msg run").call("n1", "m", 110).call("n2", "m", 110),
        ],
        [Charged(110), Charged(110)],
        220,
    );
}

#[test]
fn what_another_party_said_first_is_on_record_for_each_that_says_it() {
    ends(
        [
            gateway("msg").whole("m", 5),
            traces("msg").whole("m", 5),
            traces("msg").whole("m", 6),
        ],
        [Charged(5), Duplicate, Conflict],
        5,
    );
}

#[test]
fn what_is_put_right_to_a_model_without_a_price_goes_on_waiting_as_it_was() {
    let mut world = world();
    assert!(world.take(&webhook("msg").whole("m", 5).doubted()).waits());
    let right = webhook("msg").whole("new", 3).usage;
    assert_eq!(world.correct(right), WAITS);
    assert_eq!(world.waiting(), 1);
    assert_eq!(world.release(), [Charged(5)]);
}

#[test]
fn what_was_decided_first_stands_whichever_report_it_was_decided_for() {
    let mut world = world();
    assert!(world.take(&webhook("msg").whole("m", 5).doubted()).waits());
    assert!(world.take(&traces("msg").whole("m", 6).doubted()).waits());
    let of_traces = world.correct(traces("msg").whole("m", 3).usage);
    assert_eq!(of_traces, Charged(3));
    assert_eq!(world.correct(webhook("msg").whole("m", 4).usage), Duplicate);
    assert_eq!(world.spent(), 3);
}
