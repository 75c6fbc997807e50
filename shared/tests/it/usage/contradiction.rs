//! When two reports say the same, and when they contradict each other.

use shared::tokens::Tokens;
use shared::usage::Evidence::{Decided, Estimated, Measured, ModelAssumed, Summed};
use shared::usage::{Line, Usage};

use super::{calls, count, input, line, so_far, whole};
use crate::test;

#[track_caller]
fn contradicts(one: &Usage, other: &Usage) -> bool {
    let contradicts = one.contradicts(other);
    assert_eq!(contradicts, other.contradicts(one), "in either direction");
    contradicts
}

fn call(line: Line) -> Usage {
    calls([("n", line)])
}

#[test]
fn equally_sure_lines_with_other_tokens_or_another_model_contradict() {
    for evidence in [Summed, ModelAssumed, Measured, Decided] {
        for usage in [call, |line| whole([line])] {
            let one = usage(input("m", 5, evidence));
            assert!(!contradicts(&one, &one));
            assert!(!contradicts(&one, &usage(input("M", 5, evidence))));
            assert!(contradicts(&one, &usage(input("m", 6, evidence))));
            assert!(contradicts(&one, &usage(input("other", 5, evidence))));
            let elsewhere = line("m", Tokens::new(0, 5), evidence);
            assert!(contradicts(&one, &usage(elsewhere)));
        }
    }
}

#[test]
fn an_estimate_nothing_and_what_is_more_or_less_sure_contradict_nobody() {
    for usage in [call, |line| whole([line])] {
        let one = usage(input("m", 5, Measured));
        assert!(!contradicts(&one, &usage(input("m", 6, ModelAssumed))));
        assert!(!contradicts(&one, &usage(input("other", 0, Measured))));
        let estimate = usage(input("m", 5, Estimated));
        assert!(!contradicts(&estimate, &usage(input("m", 6, Estimated))));
    }
}

#[test]
fn reports_of_other_things_contradict_nobody() {
    let one = call(input("m", 5, Measured));
    assert!(!contradicts(
        &one,
        &calls([("n2", input("m", 6, Measured))])
    ));
    assert!(!contradicts(&one, &whole([input("m", 6, Measured)])));
    assert!(!contradicts(&one, &count("m", 6)));
    assert!(!contradicts(&count("m", 5), &count("m", 6)));
}

#[test]
fn a_whole_that_may_grow_contradicts_no_other_whole() {
    let (final_, growing) = (
        whole([input("m", 5, Measured)]),
        so_far([input("m", 6, Measured)]),
    );
    assert!(!contradicts(&final_, &growing));
    assert!(!contradicts(&growing, &so_far([input("m", 7, Measured)])));
}

#[test]
fn wholes_of_other_lines_contradict_though_their_sum_is_the_same() {
    let (m, n) = (input("m", 5, Measured), input("n", 6, Measured));
    let one = whole([m.clone(), n.clone()]);
    assert!(contradicts(&one, &whole([m.clone()])));
    assert!(contradicts(&one, &whole([n, m])));
    assert!(contradicts(&one, &whole([input("m", 11, Measured)])));
    assert!(!contradicts(&one, &one));
}

#[test]
fn one_contradiction_is_enough() {
    let said = |tokens| Usage {
        whole: whole([input("m", 5, Measured)]).whole,
        ..calls([
            ("n1", input("m", 1, Measured)),
            ("n2", input("m", tokens, Measured)),
        ])
    };
    assert!(!contradicts(&said(2), &said(2)));
    assert!(contradicts(&said(2), &said(3)));
}

#[test]
fn the_same_is_said_by_equal_lines_and_an_equal_count() {
    let said = |line: Line| Usage {
        whole: whole([input("m", 5, Measured)]).whole,
        count: count("m", 9).count,
        ..call(line)
    };
    let one = said(input("m", 5, Measured));
    assert!(one.is_same_as(&one));
    assert!(one.is_same_as(&said(input("M", 5, Measured))));
    for other in [
        said(input("m", 6, Measured)),
        said(input("other", 5, Measured)),
        said(input("m", 5, ModelAssumed)),
        Usage {
            count: None,
            ..one.clone()
        },
        Usage {
            count: count("m", 8).count,
            ..one.clone()
        },
        Usage {
            whole: None,
            ..one.clone()
        },
        Usage {
            calls: calls([("other", input("m", 5, Measured))]).calls,
            ..one.clone()
        },
    ] {
        assert!(!one.is_same_as(&other) && !other.is_same_as(&one));
    }
    let assumed_otherwise = Usage {
        count: count("other", 9).count,
        ..one.clone()
    };
    assert!(one.is_same_as(&assumed_otherwise));
}

#[test]
fn a_call_and_a_whole_of_the_same_tokens_are_not_the_same() {
    let line = || input("m", 5, Measured);
    assert!(!call(line()).is_same_as(&whole([line()])));
}

#[test]
fn what_is_decided_is_a_whole_of_all_lines() {
    let said = Usage {
        whole: so_far([input("b", 2, ModelAssumed)]).whole,
        count: count("c", 3).count,
        ..call(input("a", 1, Estimated))
    };
    let lines = [
        input("a", 1, Decided),
        input("b", 2, Decided),
        input("c", 3, Decided),
    ];
    assert_eq!(said.decided(), whole(lines));
}
