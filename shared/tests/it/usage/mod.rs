//! What the reports of a message say together, and what of it is paid.

mod contradiction;
mod payable;
#[cfg(not(target_arch = "wasm32"))]
mod properties;

use shared::clock::Timestamp;
use shared::tokens::Tokens;
use shared::usage::{Count, Evidence, Line, LinePlace, Party, PayableLine, Report, Usage, Whole};

use crate::values::model;

pub fn line(model_name: &str, tokens: Tokens, evidence: Evidence) -> Line {
    Line {
        model_name: model(model_name),
        tokens,
        evidence,
    }
}

/// A line with nothing but input.
pub fn input(model_name: &str, tokens: u64, evidence: Evidence) -> Line {
    line(model_name, Tokens::new(tokens, 0), evidence)
}

pub fn calls<const N: usize>(calls: [(&str, Line); N]) -> Usage {
    let calls = calls.map(|(id, line)| (id.to_owned(), line));
    Usage {
        calls: calls.into(),
        ..Usage::default()
    }
}

pub fn whole(lines: impl Into<Vec<Line>>) -> Usage {
    Usage {
        whole: Some(Whole {
            lines: lines.into(),
            is_so_far: false,
        }),
        ..Usage::default()
    }
}

pub fn so_far(lines: impl Into<Vec<Line>>) -> Usage {
    let mut usage = whole(lines);
    if let Some(whole) = &mut usage.whole {
        whole.is_so_far = true;
    }
    usage
}

pub fn count(model_name: &str, tokens: u64) -> Usage {
    Usage {
        count: Some(Count {
            tokens,
            model_name: model(model_name),
        }),
        ..Usage::default()
    }
}

/// The moment at which the report of a number happened: all of them differ, and the order is not that
/// of the numbers.
pub fn moment(number: u32) -> Timestamp {
    Timestamp::from_unix_seconds(1_000_000 - i64::from(number)).unwrap()
}

/// Reports as they arrived.
pub fn reports<const N: usize>(usages: [(Party, Usage); N]) -> Vec<Report> {
    let numbered = (0..).zip(usages);
    let reports = numbered.map(|(number, (party, usage))| Report {
        number,
        party,
        at: moment(number),
        usage,
    });
    reports.collect()
}

/// Place, number of the report, model and tokens of a line to be paid.
pub fn told(line: &PayableLine) -> (String, u32, &str, Tokens) {
    assert_eq!(line.at, moment(line.report), "the time of its report");
    let place = match &line.place {
        LinePlace::Call(id) => id.clone(),
        LinePlace::Whole(place) => format!("whole {place}"),
        LinePlace::Count => "count".into(),
    };
    (place, line.report, line.model_name.as_str(), line.tokens)
}
