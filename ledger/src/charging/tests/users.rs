//! Reports that name another user than the message's.

use shared::api::QuarantineReason::AnotherUser;

use super::world::Answer::{Charged, Conflict, Duplicate, Waits};
use super::world::{account, gateway, traces, webhook, world};

#[test]
fn who_is_answered_hears_of_another_user_as_a_conflict() {
    let mut world = world();
    world.take(&webhook("msg").whole("m", 1000));
    let other = webhook("msg").whole("m", 1000).of_user(2);
    assert_eq!(world.take(&other), Conflict);
    assert_eq!(
        (world.spent(), world.spent_by(2), world.waiting()),
        (1000, 0, 0)
    );
}

#[test]
fn what_nobody_is_answered_for_waits_once_and_charges_nobody() {
    let mut world = world();
    world.take(&webhook("msg").whole("m", 1000));
    for other in [
        gateway("msg").whole("m", 7).of_user(2),
        gateway("msg").whole("m", 7).of_user(2),
        traces("msg").call("n", "m", 7).of_user(2),
    ] {
        assert_eq!(world.take(&other), Waits(AnotherUser));
    }
    assert_eq!(world.waiting(), 2);
    assert_eq!(world.release(), []);
    assert_eq!((world.spent(), world.spent_by(2)), (1000, 0));
    // The user's own report is charged although another user's waits.
    let own = traces("msg").call("n", "m", 1007);
    assert_eq!(world.take(&own), Charged(7));
}

#[test]
fn the_same_of_two_users_waits_for_each() {
    let mut world = world();
    world.take(&webhook("msg").whole("m", 1000));
    for user in [2, 3] {
        let other = gateway("msg").whole("m", 7).of_user(user);
        assert_eq!(world.take(&other), Waits(AnotherUser));
    }
    assert_eq!(world.waiting(), 2);
}

#[test]
fn a_report_with_an_id_of_its_own_is_a_message_of_its_own() {
    let mut world = world();
    world.take(&gateway("trace run1").whole("m", 1000));
    let other = |of| gateway(of).whole("m", 70).of_user(2);
    assert_eq!(world.take(&other("trace run2")), Charged(70));
    assert_eq!(world.take(&other("run2")), Duplicate);
    assert_eq!(world.take(&other("trace run2")), Duplicate);
    assert_eq!((world.spent(), world.spent_by(2)), (1000, 70));
    assert_eq!(world.message("trace").account_id, Some(account(1)));
    assert_eq!(world.message("run2").account_id, Some(account(2)));
}

#[test]
fn a_report_of_several_users_messages_counts_for_that_of_its_own_user() {
    let mut world = world();
    world.take(&gateway("a").call("n1", "m", 100));
    world.take(&gateway("b").call("n2", "m", 10).of_user(2));
    let both = traces("a b").call("n3", "m", 1).of_user(2);
    assert_eq!(world.take(&both), Charged(1));
    assert_eq!((world.spent(), world.spent_by(2)), (100, 11));
}

#[test]
fn what_waits_makes_no_message_anybodys() {
    let mut world = world();
    assert!(
        world
            .take(&webhook("msg").whole("new", 5).of_user(2))
            .waits()
    );
    assert_eq!(world.take(&webhook("msg").whole("m", 5)), Charged(5));
    world.publish("new", 1, None);
    assert_eq!(world.release_first(), Waits(AnotherUser));
    assert_eq!(
        (world.spent(), world.spent_by(2), world.waiting()),
        (5, 0, 1)
    );
}

#[test]
fn the_same_of_another_user_goes_on_waiting() {
    let mut world = world();
    let doubted = webhook("msg").whole("m", 5).of_user(2).doubted();
    assert!(world.take(&doubted).waits());
    assert_eq!(world.take(&webhook("msg").whole("m", 5)), Charged(5));
    assert_eq!(world.waiting(), 1);
}
