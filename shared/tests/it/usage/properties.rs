//! Properties of any reports, against an account of them that is worked out report by report and token
//! by token, in the order of their arrival.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use shared::tokens::{Category, Tokens};
use shared::usage::{
    Count, Evidence, Line, LinePlace, Merged, Party, PayableLine, Report, Usage, Whole, lines,
    merge,
};

use super::moment;
use crate::values::model;

const PARTIES: [Party; 5] = [
    Party::Operator,
    Party::Gateway,
    Party::Traces,
    Party::Models,
    Party::Review,
];

fn tokens() -> impl Strategy<Value = Tokens> {
    // Few numbers, so that ties are frequent.
    let count = || select(vec![0_u64, 0, 0, 1, 5, 20]);
    [count(), count(), count(), count(), count()].prop_map(
        |[input, cached_input, cache_write, output, reasoning]| Tokens {
            input,
            cached_input,
            cache_write,
            output,
            reasoning,
        },
    )
}

fn line_by(evidence: impl Strategy<Value = Evidence>) -> impl Strategy<Value = Line> {
    let line = (select(vec!["m", "dear"]), tokens(), evidence);
    line.prop_map(|(name, tokens, evidence)| super::line(name, tokens, evidence))
}

/// What reports tell of calls, and of the message where nobody has decided about it.
fn undecided() -> impl Strategy<Value = Evidence> {
    select(vec![
        Evidence::Estimated,
        Evidence::Summed,
        Evidence::ModelAssumed,
        Evidence::Measured,
    ])
}

fn whole(evidence: impl Strategy<Value = Evidence>) -> impl Strategy<Value = Whole> {
    let whole = (vec(line_by(evidence), 1..=2), any::<bool>());
    whole.prop_map(|(lines, is_so_far)| Whole { lines, is_so_far })
}

fn usage() -> impl Strategy<Value = Usage> {
    let calls = btree_map(
        select(vec!["n1", "n2", "n3"]).prop_map(str::to_owned),
        line_by(undecided()),
        0..=3,
    );
    let whole = prop_oneof![
        8 => whole(undecided()),
        1 => whole(Just(Evidence::Decided)),
    ];
    let count = (select(vec![0_u64, 3, 30, 60]), select(vec!["m", "dear"]));
    let count = count.prop_map(|(tokens, name)| Count {
        tokens,
        model_name: model(name),
    });
    let usage = (
        calls,
        option::weighted(0.3, whole),
        option::weighted(0.3, count),
    );
    usage.prop_map(|(calls, whole, count)| Usage {
        calls,
        whole,
        count,
    })
}

fn reports() -> impl Strategy<Value = Vec<Report>> {
    let reports = vec((select(PARTIES.to_vec()), usage()), 0..7);
    reports.prop_map(|reports| {
        let numbered = (0..).zip(reports);
        let reports = numbered.map(|(number, (party, usage))| Report {
            number,
            party,
            at: moment(number),
            usage,
        });
        reports.collect()
    })
}

/// Reports, and the same ones in another order.
fn shuffled() -> impl Strategy<Value = (Vec<Report>, Vec<Report>)> {
    reports().prop_flat_map(|reports| (Just(reports.clone()), Just(reports).prop_shuffle()))
}

/// Of something that may be reported again and again: the later one only where it is better.
fn latest_better<T: Copy>(all: &[T], is_better: impl Fn(T, T) -> bool) -> Option<T> {
    let mut all = all.iter().copied();
    let first = all.next()?;
    Some(all.fold(
        first,
        |best, next| {
            if is_better(next, best) { next } else { best }
        },
    ))
}

/// By call, the report and line that tell it best.
fn best_calls(reports: &[Report]) -> BTreeMap<&str, (&Report, &Line)> {
    let mut said: BTreeMap<&str, Vec<(&Report, &Line)>> = BTreeMap::new();
    for report in reports {
        for (id, line) in &report.usage.calls {
            said.entry(id).or_default().push((report, line));
        }
    }
    let is_better = |(_, next): (_, &Line), (_, best): (_, &Line)| match (
        next.tokens == Tokens::default(),
        best.tokens == Tokens::default(),
    ) {
        (true, false) => false,
        (false, true) => true,
        _ => next.evidence > best.evidence,
    };
    said.into_iter()
        .filter_map(|(id, said)| Some((id, latest_better(&said, is_better)?)))
        .collect()
}

/// The surest whole: the first report of it, and the lines of the largest one.
fn best_whole(reports: &[Report]) -> Option<(Evidence, &Report, &[Line])> {
    let mut evidences = Evidence::ALL;
    evidences.reverse();
    evidences.into_iter().find_map(|evidence| {
        let said: Vec<(&Report, &Whole)> = reports
            .iter()
            .filter_map(|report| Some((report, report.usage.whole.as_ref()?)))
            .filter(|(_, whole)| {
                let mut lines = whole.lines.iter();
                total(&whole.lines) > 0
                    && lines.all(|line| line.evidence >= evidence)
                    && whole.lines.iter().any(|line| line.evidence == evidence)
            })
            .collect();
        let (first, _) = said.first().copied()?;
        let same_party: Vec<_> = said
            .into_iter()
            .filter(|(report, _)| report.party == first.party)
            .collect();
        let is_larger = |(_, next): (_, &Whole), (_, best): (_, &Whole)| {
            total(&next.lines) > total(&best.lines)
        };
        let (_, largest) = latest_better(&same_party, is_larger)?;
        Some((evidence, first, largest.lines.as_slice()))
    })
}

/// The first report with a count, its model, and the most tokens that any counts.
fn best_count(reports: &[Report]) -> Option<(&Report, &Count, u64)> {
    let said: Vec<_> = reports
        .iter()
        .filter_map(|report| Some((report, report.usage.count.as_ref()?)))
        .collect();
    let most = said.iter().map(|(_, count)| count.tokens).max()?;
    let (report, count) = said.first()?;
    Some((report, count, most))
}

fn total(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.tokens.total()).sum()
}

fn size(tokens: u64) -> usize {
    tokens.try_into().unwrap()
}

/// Token by token.
fn each(tokens: &Tokens) -> Vec<Category> {
    let categories = Category::ALL.into_iter();
    let each = categories.flat_map(|it| std::iter::repeat_n(it, size(tokens.of(it))));
    each.collect()
}

fn paid(lines: &[PayableLine]) -> u64 {
    lines.iter().map(|line| line.tokens.total()).sum()
}

/// What is expected to be paid, in order: place, report, model, tokens one by one, evidence.
type Expected = (LinePlace, u32, String, Vec<Category>, Evidence);

fn expected(place: LinePlace, report: &Report, line: &Line, tokens: Vec<Category>) -> Expected {
    let name = line.model_name.as_str().to_owned();
    (place, report.number, name, tokens, line.evidence)
}

fn expected_whole(report: &Report, lines: &[Line], covered: &[Category]) -> Vec<Expected> {
    let mut covered = covered.to_vec();
    covered.sort_unstable();
    let mut all = Vec::new();
    for (line, place) in lines.iter().zip(0..) {
        // Tokens of the same category first, then whatever else is covered, from the end.
        let mut tokens = each(&line.tokens);
        tokens.retain(|category| {
            let known = covered.iter().position(|it| it == category);
            known.map(|place| covered.remove(place)).is_none()
        });
        while !tokens.is_empty() && !covered.is_empty() {
            tokens.pop();
            covered.pop();
        }
        all.push(expected(LinePlace::Whole(place), report, line, tokens));
    }
    all
}

/// What is to be paid of reports, as the rules have it.
fn account(reports: &[Report]) -> Vec<Expected> {
    let whole = best_whole(reports);
    if let Some((Evidence::Decided, report, lines)) = whole {
        let mut all = expected_whole(report, lines, &[]);
        all.retain(|line| !line.3.is_empty());
        return all;
    }
    let told = whole.filter(|(evidence, ..)| *evidence != Evidence::Estimated);
    let count = best_count(reports);
    let mut all: Vec<Expected> = Vec::new();
    let covered = |all: &[Expected]| -> Vec<Category> {
        all.iter().flat_map(|line| line.3.clone()).collect()
    };
    let (estimates, calls): (Vec<_>, Vec<_>) = best_calls(reports)
        .into_iter()
        .partition(|(_, (_, line))| line.evidence == Evidence::Estimated);
    for (id, (report, line)) in calls {
        let place = LinePlace::Call(id.into());
        all.push(expected(place, report, line, each(&line.tokens)));
    }
    let are_calls_told = !covered(&all).is_empty();
    let of_whole = told.map_or(0, |(_, _, lines)| total(lines));
    let of_count = count.map_or(0, |(_, _, most)| most);
    for (id, (report, line)) in estimates {
        let mut tokens = each(&line.tokens);
        if of_whole > 0 || of_count > 0 {
            let room = size(of_whole.max(of_count));
            tokens.truncate(room.saturating_sub(covered(&all).len()));
        }
        all.push(expected(LinePlace::Call(id.into()), report, line, tokens));
    }
    if let Some((_, report, lines)) = told {
        all.extend(expected_whole(report, lines, &covered(&all)));
    }
    if let Some((report, said, most)) = count {
        let left = size(most).saturating_sub(covered(&all).len());
        let line = super::input(said.model_name.as_str(), most, Evidence::Summed);
        let tokens = vec![Category::Input; left];
        all.push(expected(LinePlace::Count, report, &line, tokens));
    }
    if let Some((Evidence::Estimated, report, lines)) = whole
        && count.is_none()
        && !are_calls_told
    {
        all.extend(expected_whole(report, lines, &covered(&all)));
    }
    all.retain(|line| !line.3.is_empty());
    all
}

fn parts(reports: &[Report], which: &[bool]) -> Merged {
    let some = reports.iter().zip(which).filter(|(_, is_in)| **is_in);
    merge(some.map(|(report, _)| report))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn neither_order_nor_repetition_makes_a_difference((reports, others) in shuffled()) {
        let merged = merge(&reports);
        prop_assert_eq!(&merged, &merge(&others));
        prop_assert_eq!(&merged, &merge(reports.iter().chain(&others)));
        prop_assert_eq!(lines(&merged), lines(&merge(&others)));
    }

    #[test]
    fn joining_is_commutative_associative_and_idempotent(
        reports in reports(),
        which in any::<[[bool; 7]; 3]>(),
    ) {
        let [a, b, c] = which.map(|which| parts(&reports, &which));
        let join = |one: &Merged, other: &Merged| one.clone().join(other.clone());
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&a, &join(&b, &c)), join(&join(&a, &b), &c));
        prop_assert_eq!(&join(&a, &a), &a);
        prop_assert_eq!(join(&a, &Merged::default()), a);
    }

    #[test]
    fn what_is_paid_is_what_the_rules_say(reports in reports()) {
        let lines = lines(&merge(&reports));
        let paid: Vec<Expected> = lines
            .iter()
            .map(|line| {
                let name = line.model_name.as_str().to_owned();
                (line.place.clone(), line.report, name, each(&line.tokens), line.evidence)
            })
            .collect();
        prop_assert_eq!(paid, account(&reports));
        for line in &lines {
            prop_assert_eq!(line.at, moment(line.report));
        }
    }

    #[test]
    fn as_many_tokens_are_paid_as_the_largest_of_what_was_told(reports in reports()) {
        let paid = paid(&lines(&merge(&reports)));
        let calls = best_calls(&reports);
        let (estimated, told): (Vec<_>, Vec<_>) = calls
            .into_values()
            .map(|(_, line)| (line.evidence, line.tokens.total()))
            .partition(|(evidence, _)| *evidence == Evidence::Estimated);
        let sum = |lines: &[(Evidence, u64)]| lines.iter().map(|(_, tokens)| tokens).sum::<u64>();
        let (estimated, told) = (sum(&estimated), sum(&told));
        let count = best_count(&reports).map_or(0, |(_, _, most)| most);
        match best_whole(&reports) {
            Some((Evidence::Decided, _, lines)) => prop_assert_eq!(paid, total(lines)),
            Some((Evidence::Estimated, _, lines)) if count == 0 => {
                prop_assert!(paid >= told && paid <= told + estimated.max(total(lines)));
            }
            None if count == 0 => prop_assert_eq!(paid, told + estimated),
            Some((Evidence::Estimated, ..)) | None => prop_assert_eq!(paid, told.max(count)),
            Some((_, _, lines)) => prop_assert_eq!(paid, told.max(total(lines)).max(count)),
        }
    }
}
