//! Messages that turn out to be one.

use shared::usage::Evidence::ModelAssumed;

use super::world::Answer::{Charged, Conflict, Duplicate};
use super::world::{gateway, review, traces, webhook, world};

#[test]
fn two_messages_that_a_third_report_proves_to_be_one_are_charged_once() {
    let mut world = world();
    world.take(&webhook("run").whole("m", 1000));
    world.take(&review("msg").whole_by("m", 1000, ModelAssumed));
    assert_eq!(world.spent(), 2000);
    let proof = traces("msg run").call("n", "m", 1000);
    assert_eq!(world.take(&proof), Charged(-1000));
    assert_eq!((world.spent(), world.messages().count()), (1000, 1));
    assert_eq!(world.message("run").id, world.message("msg").id);
    assert_eq!(world.message("n").id, world.message("msg").id);
    assert_eq!(world.take(&proof), Duplicate);
    assert_eq!(world.amounts(), [-1000, -1000, 1000]);
    assert_eq!(world.entries[2].kind, "correction");
}

#[test]
fn what_was_said_of_either_is_a_duplicate_of_both() {
    let mut world = world();
    let (one, other) = (
        gateway("a").call("n1", "m", 5),
        gateway("b").call("n2", "m", 6),
    );
    world.take_all([&one, &other]);
    let proof = gateway("b a").call("n3", "m", 7);
    assert_eq!(world.take(&proof), Charged(7));
    let again = world.take_all([&one, &other, &proof, &gateway("a").call("n2", "m", 6)]);
    assert_eq!(again, [Duplicate; 4]);
    assert_eq!(world.spent(), 18);
}

#[test]
fn a_report_that_says_nothing_new_joins_too() {
    let mut world = world();
    world.take(&gateway("a").whole("m", 5));
    world.take(&gateway("b").whole("m", 5));
    assert_eq!(world.spent(), 10);
    assert_eq!(world.take(&gateway("a b").whole("m", 5)), Charged(-5));
    assert_eq!(world.messages().count(), 1);
}

#[test]
fn calls_do_not_join_the_messages_that_their_ids_belong_to() {
    let mut world = world();
    world.take(&gateway("a").call("n1", "m", 5));
    world.take(&gateway("b").call("n2", "m", 5));
    world.take(&gateway("b").call("n1", "m", 5));
    assert_eq!(world.messages().count(), 2);
    assert_eq!(world.spent(), 15);
    // Where its own ids are unknown, a call's id finds the message.
    assert_eq!(world.take(&traces("c").call("n2", "m", 5)), Duplicate);
    assert_eq!(world.message("c").id, world.message("b").id);
}

#[test]
fn joined_messages_keep_both_refunds() {
    for ids in ["a b", "b a"] {
        let mut world = world();
        for (id, refund) in [("a", 30), ("b", 100)] {
            world.take(&traces(id).call(id, "m", 100));
            world.refund(id, refund);
        }
        assert_eq!(world.spent(), 70);
        assert_eq!(world.take(&traces(ids).call("c", "m", 100)), Charged(100));
        assert_eq!(world.take(&traces("b").call("d", "m", 50)), Charged(50));
        let dues = world.message("a").dues;
        assert_eq!((dues.basis_nano, dues.cap_nano), (200, 70));
        world.refund_all("b");
        assert_eq!(world.spent(), 0);
    }
}

#[test]
fn a_refund_of_one_message_stays_when_the_same_was_charged_as_another() {
    let mut world = world();
    world.take(&webhook("a").whole("m", 100));
    world.take(&gateway("b").whole("m", 100));
    world.refund("a", 60);
    assert_eq!(world.spent(), 140);
    // Together they cost 100, of which 60 was given back.
    assert_eq!(world.take(&traces("a b").whole("m", 100)), Charged(-100));
    assert_eq!(world.spent(), 40);
}

#[test]
fn joined_lines_keep_their_prices() {
    let mut world = world();
    world.take(&gateway("a").call("n1", "m", 10).at(5));
    world.take(&gateway("b").call("n2", "m", 10).at(5));
    world.publish("m", 7, Some(1));
    assert_eq!(
        world.take(&gateway("a b").call("n3", "m", 10).at(5)),
        Charged(70)
    );
    assert_eq!(world.spent(), 90);
}

#[test]
fn re_ratings_of_other_models_all_stay() {
    let mut world = world();
    world.take(&gateway("a").call("n1", "m", 10));
    world.reprice("m", 2);
    world.take(&gateway("b").call("n2", "dear", 10));
    world.reprice("dear", 20);
    world.take(&gateway("c").call("n3", "m", 10));
    world.take(&gateway("c").call("n4", "dear", 10));
    // Nothing of c was re-rated, and what c says from now on is priced as a and b are.
    let before = world.spent();
    world.take(&gateway("c b a"));
    let lines = world.lines("a").iter();
    assert_eq!(lines.map(|it| it.cost_nano).sum::<i64>(), world.spent());
    assert!(world.spent() >= before);
    world.take(&gateway("c").call("n5", "m", 1).call("n6", "dear", 1));
    let costs = |id: &str| {
        let line = world
            .lines("a")
            .iter()
            .find(|it| it.place.to_string() == id);
        line.unwrap().cost_nano
    };
    assert_eq!((costs("n5"), costs("n6")), (2, 20));
}

#[test]
fn a_message_that_only_waits_goes_on_in_the_one_that_was_charged() {
    for ids in ["a b", "b a"] {
        let mut world = world();
        assert!(world.take(&gateway("a").call("n1", "new", 100)).waits());
        world.take(&webhook("b").whole("m", 300));
        world.refund("b", 100);
        let better = traces(ids).whole("m", 300);
        assert_eq!(world.take(&better), Duplicate);
        assert_eq!(world.messages().count(), 1);
        world.publish("new", 5, None);
        assert_eq!(world.release(), [Charged(400)]);
        assert_eq!((world.spent(), world.waiting()), (600, 0));
    }
}

#[test]
fn two_messages_that_only_wait_are_charged_as_one() {
    let mut world = world();
    assert!(world.take(&gateway("a").call("n1", "new", 100)).waits());
    assert!(world.take(&gateway("b").call("n2", "new", 10)).waits());
    assert_eq!(world.take(&traces("a b").call("n3", "m", 1)), Charged(1));
    world.publish("new", 5, None);
    assert_eq!(world.release(), [Charged(500), Charged(50)]);
    assert_eq!(world.messages().count(), 1);
}

#[test]
fn what_waits_joins_when_it_takes_effect() {
    let mut world = world();
    world.take(&gateway("a").call("n1", "m", 5));
    world.take(&webhook("b").whole("m", 5));
    assert!(world.take(&traces("b a").call("n2", "new", 5)).waits());
    assert_eq!((world.spent(), world.messages().count()), (10, 2));
    world.publish("new", 3, None);
    // The whole of 5 is covered by the calls.
    assert_eq!(world.release(), [Charged(10)]);
    assert_eq!((world.spent(), world.messages().count()), (20, 1));
}

#[test]
fn of_two_reports_that_waited_apart_and_contradict_each_other_the_first_is_charged() {
    let mut world = world();
    assert!(world.take(&gateway("a").whole("new", 5)).waits());
    assert!(world.take(&gateway("b").whole("new", 6)).waits());
    assert_eq!(world.take(&traces("a b")), Charged(0));
    world.publish("new", 1, None);
    assert_eq!(world.release(), [Charged(5)]);
    assert_eq!(world.release_first(), Conflict);
}

#[test]
fn what_waits_of_either_message_leaves_when_a_report_of_both_says_it() {
    let mut world = world();
    world.take(&gateway("a").whole("m", 5));
    assert!(world.take(&webhook("b").whole("m", 6).doubted()).waits());
    assert_eq!(world.take(&traces("a b").whole("m", 6)), Duplicate);
    assert_eq!(world.waiting(), 0);
}

#[test]
fn a_report_that_joins_is_priced_as_either_message_was_re_rated() {
    let mut world = world();
    world.take(&gateway("a").call("n1", "m", 10));
    world.publish("m", 2, None);
    world.rerate(1);
    world.take(&gateway("b").call("n2", "dear", 1));
    assert_eq!(world.take(&gateway("b a").call("n3", "m", 10)), Charged(10));
}

#[test]
fn of_two_re_ratings_of_a_model_that_of_the_message_that_goes_on_stays() {
    for (ids, charged) in [("b a", 20), ("a b", 10)] {
        let mut world = world();
        world.take(&gateway("a").call("n1", "m", 10));
        let new = world.publish("m", 2, None);
        world.rerate(1);
        world.refund_all("a");
        world.take(&gateway("b").call("n2", "m", 10));
        // What was refunded in whole is left out.
        world.rerate(new);
        world.take(&gateway(ids));
        assert_eq!(
            world.take(&gateway(ids).call("n3", "m", 10)),
            Charged(charged)
        );
    }
}
