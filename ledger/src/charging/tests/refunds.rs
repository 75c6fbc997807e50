//! Refunds, with reports and prices that come after them.

use shared::usage::Evidence::Estimated;

use super::world::Answer::{Charged, Duplicate};
use super::world::{World, gateway, traces, webhook, world};

#[test]
fn a_surer_report_does_not_give_back_again_what_was_refunded() {
    let mut world = world();
    world.take(&gateway("msg").whole_by("m", 4000, Estimated));
    world.refund("msg", 1000);
    assert_eq!(world.take(&traces("msg").whole("m", 2000)), Charged(-1000));
    assert_eq!(world.spent(), 2000);
}

#[test]
fn after_a_refund_only_what_the_message_costs_more_is_owed() {
    let mut world = world();
    world.take(&gateway("msg").count(1000));
    world.refund_all("msg");
    let call = traces("msg run").call("n", "dear", 100);
    assert_eq!(world.take(&call), Charged(900));
    assert_eq!(world.take(&call.call("o", "m", 900)), Duplicate);
    assert_eq!(world.spent(), 900);
}

#[test]
fn a_run_that_goes_on_after_a_refund_owes_what_is_new() {
    let mut world = world();
    world.take(&gateway("run").count(1000));
    world.refund_all("run");
    assert_eq!(world.take(&gateway("run").count(2500)), Charged(1500));
}

#[test]
fn what_was_refunded_in_whole_costs_nothing_at_a_higher_price() {
    let mut world = world();
    world.take(&webhook("whole").whole("dear", 1));
    world.take(&webhook("part").whole("dear", 1));
    world.refund_all("whole");
    world.refund("part", 1);
    world.reprice("dear", 11);
    assert_eq!(world.spent(), 10);
}

#[test]
fn what_was_refunded_in_whole_and_grew_since_is_re_rated() {
    let mut world = world();
    world.take(&gateway("run").so_far("dear", 10));
    world.refund_all("run");
    world.take(&gateway("run").so_far("dear", 12));
    assert_eq!(world.spent(), 20);
    world.reprice("dear", 20);
    assert_eq!(world.spent(), 240 - 100);
}

#[test]
fn what_was_refunded_in_part_costs_the_same_whatever_it_cost_in_between() {
    let mut world = World::default();
    world.publish("m", 10, None);
    world.take(&webhook("msg").whole("m", 1));
    world.refund("msg", 3);
    let prices = [8, 0, 4, 10, 12, 0, 10];
    let spent = prices.map(|price| {
        world.reprice("m", price);
        world.spent()
    });
    assert_eq!(spent, [7, 0, 4, 7, 9, 0, 7]);
}

#[test]
fn re_rating_does_not_give_back_again_what_was_refunded() {
    let mut world = World::default();
    let first = world.publish("m", 10, None);
    for id in ["a", "b", "c"] {
        world.take(&webhook(id).whole("m", 1));
    }
    world.refund_all("a");
    world.refund("b", 3);
    world.refund("c", 7);
    world.reprice("m", 5);
    assert_eq!(world.spent(), 5 + 3);
    world.rerate(first);
    assert_eq!(world.spent(), 7 + 3);
}

#[test]
fn a_second_refund_adds_to_the_first() {
    let mut world = world();
    world.take(&webhook("msg").whole("m", 10));
    world.refund("msg", 3);
    world.refund("msg", 4);
    assert_eq!(world.spent(), 3);
    world.take(&gateway("msg").count(12));
    assert_eq!(world.spent(), 5);
}

#[test]
fn no_more_is_refunded_than_is_owed_and_never_nothing() {
    let mut world = world();
    world.take(&webhook("msg").whole("m", 10));
    world.refund("msg", 3);
    let dues = world.message("msg").dues;
    for (nano, is_possible) in [(-1, false), (0, false), (1, true), (7, true), (8, false)] {
        assert_eq!(dues.refunded(nano).is_some(), is_possible, "{nano}");
    }
}
