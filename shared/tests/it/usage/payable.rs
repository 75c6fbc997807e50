//! Cases of what is paid.

use shared::tokens::Tokens;
use shared::usage::Evidence::{Decided, Estimated, Measured, ModelAssumed, Summed};
use shared::usage::Party::{Gateway, Operator, Review, Traces};
use shared::usage::{Party, Usage, lines, merge};

use super::{calls, count, input, line, reports, so_far, told, whole};
use crate::test;

/// What is paid of reports, whichever is merged first: place, number of the report, model, input tokens.
#[track_caller]
fn pays<const N: usize, const M: usize>(
    usages: [(Party, Usage); N],
    expected: [(&str, u32, &str, u64); M],
) {
    let reports = reports(usages);
    let merged = merge(&reports);
    assert_eq!(merged, merge(reports.iter().rev()));
    let lines = lines(&merged);
    let lines: Vec<_> = lines.iter().map(told).collect();
    let expected = expected.map(|(place, report, model_name, tokens)| {
        (place.to_owned(), report, model_name, Tokens::new(tokens, 0))
    });
    assert_eq!(lines, expected);
}

#[test]
fn nothing_told_is_nothing_paid() {
    pays([], []);
    pays([(Gateway, Usage::default())], []);
    pays([(Gateway, count("m", 0))], []);
    pays([(Gateway, whole([input("m", 0, Measured)]))], []);
    pays([(Gateway, calls([("n", input("m", 0, Measured))]))], []);
}

#[test]
fn a_call_is_paid_as_its_surest_report_has_it() {
    let by = |model_name, tokens, evidence| calls([("n", input(model_name, tokens, evidence))]);
    pays(
        [
            (Gateway, by("a", 9, Estimated)),
            (Gateway, by("b", 8, Summed)),
            (Review, by("c", 7, ModelAssumed)),
            (Traces, by("d", 6, Measured)),
            (Gateway, by("e", 99, ModelAssumed)),
        ],
        [("n", 3, "d", 6)],
    );
}

#[test]
fn a_call_without_tokens_yields_to_the_least_sure_report_with_some() {
    pays(
        [
            (Traces, calls([("n", input("a", 0, Measured))])),
            (Gateway, calls([("n", input("b", 5, Estimated))])),
        ],
        [("n", 1, "b", 5)],
    );
}

#[test]
fn the_first_of_equally_sure_reports_stands() {
    pays(
        [
            (Gateway, calls([("n", input("a", 5, Measured))])),
            (Traces, calls([("n", input("b", 9, Measured))])),
        ],
        [("n", 0, "a", 5)],
    );
    pays(
        [
            (Traces, whole([input("a", 5, Measured)])),
            (Gateway, whole([input("b", 9, Measured)])),
        ],
        [("whole 0", 0, "a", 5)],
    );
}

#[test]
fn of_one_partys_wholes_the_largest_counts_and_is_priced_as_of_the_first() {
    pays(
        [
            (Gateway, so_far([input("a", 5, Measured)])),
            (Traces, whole([input("b", 99, Measured)])),
            (Gateway, so_far([input("c", 9, Measured)])),
            (Gateway, so_far([input("d", 9, Measured)])),
            (Gateway, so_far([input("e", 7, Measured)])),
        ],
        [("whole 0", 0, "c", 9)],
    );
}

#[test]
fn a_surer_whole_counts_even_when_it_is_smaller_and_comes_later() {
    pays(
        [
            (Operator, whole([input("a", 50, ModelAssumed)])),
            (Traces, whole([input("b", 9, Measured)])),
        ],
        [("whole 0", 1, "b", 9)],
    );
}

#[test]
fn the_largest_count_has_the_model_of_the_first() {
    pays(
        [
            (Gateway, count("a", 5)),
            (Gateway, count("b", 9)),
            (Gateway, count("c", 7)),
        ],
        [("count", 0, "a", 9)],
    );
}

#[test]
fn a_whole_and_a_count_pay_what_goes_beyond_the_surer_lines() {
    let parts = [
        (Gateway, calls([("n", input("a", 10, Measured))])),
        (Traces, whole([input("b", 25, ModelAssumed)])),
        (Gateway, count("c", 40)),
    ];
    pays(
        parts.clone(),
        [
            ("n", 0, "a", 10),
            ("whole 0", 1, "b", 15),
            ("count", 2, "c", 15),
        ],
    );
    let [part, ..] = parts;
    pays(
        [
            part,
            (Traces, whole([input("b", 9, ModelAssumed)])),
            (Gateway, count("c", 10)),
        ],
        [("n", 0, "a", 10)],
    );
}

#[test]
fn estimated_calls_fill_up_to_what_is_told_and_are_paid_whole_where_nothing_is() {
    let estimated = || {
        calls([
            ("n1", input("a", 30, Estimated)),
            ("n2", input("a", 30, Estimated)),
            ("n3", input("a", 30, Estimated)),
        ])
    };
    pays(
        [(Gateway, estimated())],
        [("n1", 0, "a", 30), ("n2", 0, "a", 30), ("n3", 0, "a", 30)],
    );
    let told = (Traces, calls([("n2", input("b", 10, Measured))]));
    pays(
        [(Gateway, estimated()), told.clone()],
        [("n2", 1, "b", 10), ("n1", 0, "a", 30), ("n3", 0, "a", 30)],
    );
    pays(
        [
            (Gateway, estimated()),
            told.clone(),
            (Gateway, count("c", 55)),
        ],
        [("n2", 1, "b", 10), ("n1", 0, "a", 30), ("n3", 0, "a", 15)],
    );
    pays(
        [
            (Gateway, estimated()),
            told.clone(),
            (Gateway, count("c", 20)),
            (Operator, whole([input("d", 35, Measured)])),
        ],
        [("n2", 1, "b", 10), ("n1", 0, "a", 25)],
    );
    pays(
        [(Gateway, estimated()), told, (Gateway, count("c", 5))],
        [("n2", 1, "b", 10)],
    );
}

#[test]
fn an_estimated_whole_counts_only_where_nothing_else_was_told() {
    let estimated = || (Gateway, whole([input("a", 50, Estimated)]));
    pays([estimated()], [("whole 0", 0, "a", 50)]);
    pays(
        [estimated(), (Gateway, count("b", 9))],
        [("count", 1, "b", 9)],
    );
    pays(
        [estimated(), (Traces, calls([("n", input("b", 9, Summed))]))],
        [("n", 1, "b", 9)],
    );
    pays(
        [
            estimated(),
            (Traces, calls([("n", input("b", 9, Estimated))])),
        ],
        [("n", 1, "b", 9), ("whole 0", 0, "a", 41)],
    );
    pays(
        [estimated(), (Traces, whole([input("b", 9, ModelAssumed)]))],
        [("whole 0", 1, "b", 9)],
    );
}

#[test]
fn what_an_administrator_decided_is_all_there_is_to_pay() {
    pays(
        [
            (Gateway, calls([("n", input("a", 10, Measured))])),
            (Gateway, count("b", 99)),
            (Operator, whole([input("c", 50, Measured)])),
            (
                Operator,
                whole([
                    input("d", 3, Decided),
                    input("e", 0, Decided),
                    input("f", 4, Decided),
                ]),
            ),
            (Operator, whole([input("g", 70, Measured)])),
        ],
        [("whole 0", 3, "d", 3), ("whole 2", 3, "f", 4)],
    );
}

#[test]
fn a_whole_of_several_lines_is_as_sure_as_its_least_sure_one() {
    pays(
        [
            (
                Operator,
                whole([input("a", 5, Decided), input("b", 5, Estimated)]),
            ),
            (Traces, whole([input("c", 7, Summed)])),
        ],
        [("whole 0", 1, "c", 7)],
    );
}

#[test]
fn tokens_keep_their_categories() {
    let all = Tokens {
        input: 10,
        cached_input: 20,
        cache_write: 30,
        output: 40,
        reasoning: 50,
    };
    let paid = |usages: &[(Party, Usage); 2]| -> Vec<Tokens> {
        let lines = lines(&merge(&reports(usages.clone())));
        lines.iter().map(|line| line.tokens).collect()
    };
    let estimate = || calls([("n", line("a", all, Estimated))]);
    let filled = paid(&[(Gateway, estimate()), (Gateway, count("b", 75))]);
    let first_75 = Tokens {
        output: 15,
        reasoning: 0,
        ..all
    };
    assert_eq!(filled, [first_75]);
    let of_call = Tokens {
        input: 12,
        output: 30,
        ..Tokens::default()
    };
    let beyond = paid(&[
        (Gateway, calls([("n", line("a", of_call, Measured))])),
        (Traces, whole([line("b", all, Measured)])),
    ]);
    // 108 tokens beyond: the two of input that the whole has fewer are taken off the last.
    let rest = Tokens {
        input: 0,
        output: 10,
        reasoning: 48,
        ..all
    };
    assert_eq!(beyond, [of_call, rest]);
}

#[test]
fn several_lines_of_a_whole_together_pay_what_is_beyond_the_calls() {
    let output = |tokens| Tokens::new(0, tokens);
    let usages = [
        (Gateway, calls([("n", line("a", output(120), Measured))])),
        (
            Operator,
            whole([input("b", 100, Measured), line("c", output(50), Measured)]),
        ),
    ];
    let lines = lines(&merge(&reports(usages)));
    let lines: Vec<_> = lines.iter().map(told).collect();
    assert_eq!(
        lines,
        [
            ("n".into(), 0, "a", output(120)),
            ("whole 1".into(), 1, "c", output(30)),
        ]
    );
}
