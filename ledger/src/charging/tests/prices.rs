//! Which version prices a line.

use shared::api::QuarantineReason::{InactivePrice, UnknownModel};
use shared::money::Points;
use shared::price::Rates;
use shared::usage::Evidence::ModelAssumed;

use super::world::Answer::{Charged, Duplicate, Waits};
use super::world::{World, gateway, traces, webhook, world};

fn versions(world: &World, id: &str) -> Vec<(String, i64)> {
    let lines = world.lines(id).iter();
    let versions = lines.map(|line| (line.place.to_string(), line.price_version_id));
    versions.collect()
}

#[test]
fn a_line_is_priced_as_of_when_its_report_happened() {
    let mut world = world();
    let new = world.publish("m", 3, Some(10));
    world.take(&webhook("before").whole("m", 1).at(9));
    world.take(&webhook("after").whole("m", 1).at(10));
    assert_eq!(versions(&world, "before"), [("(whole)".into(), 1)]);
    assert_eq!(versions(&world, "after"), [("(whole)".into(), new)]);
    assert_eq!(world.spent(), 4);
}

#[test]
fn a_count_that_grows_after_a_new_price_is_priced_as_of_its_first() {
    let mut world = world();
    world.take(&gateway("run").count(1000).at(1));
    world.publish("m", 9, Some(5));
    assert_eq!(world.take(&gateway("run").count(2500).at(9)), Charged(1500));
}

#[test]
fn a_version_that_is_dated_back_changes_nothing_that_was_charged() {
    let mut world = world();
    world.take(&gateway("run").call("n1", "m", 10).at(5));
    let back = world.publish("m", 7, Some(1));
    assert_eq!(
        world.take(&gateway("run").call("n2", "m", 10).at(5)),
        Charged(70)
    );
    let expected = [("n1".to_owned(), 1), ("n2".to_owned(), back)];
    assert_eq!(versions(&world, "run"), expected);
}

#[test]
fn the_version_of_a_line_is_that_of_its_report_not_of_its_place() {
    let mut world = world();
    world.take(&gateway("run").call_by("n1", "m", 10, ModelAssumed).at(5));
    let back = world.publish("m", 7, Some(1));
    assert_eq!(
        world.take(&traces("run").call("n1", "m", 10).at(5)),
        Charged(60)
    );
    assert_eq!(versions(&world, "run"), [("n1".into(), back)]);
}

#[test]
fn the_version_of_a_line_is_its_models() {
    let mut world = world();
    world.take(&gateway("run").so_far("m", 10).at(5));
    let back = world.publish("dear", 7, Some(1));
    // The largest whole is a later one, of another model; it is priced as of the first.
    assert_eq!(
        world.take(&gateway("run").so_far("dear", 11).at(9)),
        Charged(67)
    );
    assert_eq!(versions(&world, "run"), [("(whole)".into(), back)]);
}

#[test]
fn a_line_that_a_report_did_not_have_before_has_no_version_yet() {
    let mut world = world();
    world.take(&gateway("run").call("n1", "m", 10).count(10).at(5));
    let back = world.publish("m", 7, Some(1));
    assert_eq!(world.take(&gateway("run").count(30).at(9)), Charged(140));
    let expected = [("n1".to_owned(), 1), ("(count)".to_owned(), back)];
    assert_eq!(versions(&world, "run"), expected);
}

#[test]
fn a_line_is_one_request() {
    let mut world = world();
    let rates = Rates {
        per_request: Points::from_nano(100),
        ..world.version(1).rates
    };
    world.publish_rates("fee", rates, None);
    world.take(&webhook("a").whole("fee", 3));
    assert_eq!(world.spent(), 103);
    world.take(&gateway("a").call("n", "fee", 2));
    assert_eq!(world.spent(), 203);
    world.take(&gateway("a").call("n2", "fee", 1));
    assert_eq!(world.spent(), 203);
}

#[test]
fn what_has_no_price_waits_and_says_why() {
    let mut world = world();
    assert_eq!(
        world.take(&webhook("a").whole("new", 1)),
        Waits(UnknownModel)
    );
    let id = world.publish("idle", 1, None);
    world.set_inactive(id);
    assert_eq!(
        world.take(&webhook("b").whole("idle", 1)),
        Waits(InactivePrice)
    );
}

#[test]
fn what_costs_more_than_there_are_points_waits() {
    let mut world = world();
    world.publish("huge", i64::MAX, None);
    let overflow = Waits(shared::api::QuarantineReason::Overflow);
    assert_eq!(world.take(&webhook("a").whole("huge", 2)), overflow);
    let two = gateway("b").call("n1", "huge", 1).call("n2", "huge", 1);
    assert_eq!(world.take(&two), overflow);
    assert_eq!(world.spent(), 0);
}

#[test]
fn what_a_model_was_re_rated_to_stays_when_another_one_is() {
    let mut world = World::default();
    let (a, b) = (world.publish("a", 10, None), world.publish("b", 20, None));
    world.take(&webhook("x").call("1", "a", 1).call("2", "b", 1));
    let (cheap_a, cheap_b) = (world.publish("a", 5, None), world.publish("b", 10, None));
    let spent = [cheap_a, cheap_b, cheap_a, b, a].map(|version| {
        world.rerate(version);
        world.spent()
    });
    assert_eq!(spent, [25, 15, 15, 25, 30]);
    world.refund("x", 20);
    let nearly_free = world.publish("b", 2, None);
    let spent = [cheap_a, nearly_free].map(|version| {
        world.rerate(version);
        world.spent()
    });
    assert_eq!(spent, [10, 7]);
}

#[test]
fn a_surer_report_keeps_the_re_rated_price() {
    let mut world = world();
    world.take(&gateway("msg").whole_by("m", 1000, ModelAssumed));
    world.reprice("m", 3);
    assert_eq!(world.take(&traces("msg").call("n1", "m", 1000)), Duplicate);
    assert_eq!(world.take(&traces("msg").call("n2", "m", 10)), Charged(30));
}

#[test]
fn what_was_replaced_is_not_re_rated() {
    let mut world = world();
    world.publish("free", 0, None);
    world.take(&gateway("msg").whole_by("free", 1000, ModelAssumed));
    world.take(&traces("msg").whole("m", 1000));
    world.reprice("free", 30);
    assert_eq!(world.spent(), 1000);
    assert!(world.message("msg").versions.is_empty());
}

#[test]
fn what_cost_nothing_is_re_rated() {
    let mut world = world();
    world.publish("free", 0, None);
    world.take(&webhook("msg").whole("free", 10));
    world.reprice("free", 3);
    assert_eq!(world.spent(), 30);
}

#[test]
fn re_rating_to_what_is_in_force_already_is_kept_once_and_entered_nowhere() {
    let mut world = world();
    world.take(&gateway("msg").call("n1", "m", 10));
    world.rerate(1);
    assert_eq!(world.entries.len(), 1);
    let after_once = world.message("msg").next_number;
    world.rerate(1);
    assert_eq!(world.message("msg").next_number, after_once);
    world.publish("m", 5, Some(1));
    assert_eq!(
        world.take(&gateway("msg").call("n2", "m", 10).at(9)),
        Charged(10)
    );
}
