//! Properties of any reports in any order.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use shared::money::{Points, UnitPrice};
use shared::price::Rates;
use shared::tokens::Tokens;
use shared::usage::{Count, Evidence, Line, Usage, Whole};

use super::world::Answer::Conflict;
use super::world::{Said, World, line, said, traces, webhook};
use crate::Entrance;

const ENTRANCES: [Entrance; 4] = [
    Entrance::Webhook,
    Entrance::Gateway,
    Entrance::Langfuse,
    Entrance::Review,
];
const EVIDENCE: [Evidence; 4] = [
    Evidence::Estimated,
    Evidence::Summed,
    Evidence::ModelAssumed,
    Evidence::Measured,
];
const MODELS: [&str; 3] = ["m", "dear", "new"];
const CALLS: [&str; 3] = ["n1", "n2", "n3"];

/// What everybody says who is equally sure: of each call, and of the message as one.
type Truth = BTreeMap<(Option<&'static str>, Evidence), Line>;

fn tokens() -> impl Strategy<Value = Tokens> {
    let tokens = (
        select(vec![0_u64, 100, 250, 1000]),
        select(vec![0_u64, 0, 50]),
    );
    tokens.prop_map(|(input, output)| Tokens::new(input, output))
}

fn truth() -> impl Strategy<Value = Truth> {
    let about = std::iter::once(None).chain(CALLS.map(Some));
    let keys: Vec<_> = about.flat_map(|of| EVIDENCE.map(|it| (of, it))).collect();
    let lines = vec((select(MODELS.to_vec()), tokens()), keys.len());
    lines.prop_map(move |lines| {
        let lines = lines.into_iter().zip(&keys);
        let lines = lines.map(|((model, tokens), key)| (*key, line(model, tokens, key.1)));
        lines.collect()
    })
}

/// What a report tells of: its calls, the whole, a count; and how sure it is.
#[derive(Debug, Clone)]
struct Shape {
    entrance: Entrance,
    evidence: Evidence,
    calls: Vec<&'static str>,
    has_whole: bool,
    count: Option<u64>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let shape = (
        select(ENTRANCES.to_vec()),
        select(EVIDENCE.to_vec()),
        vec(select(CALLS.to_vec()), 0..3),
        any::<bool>(),
        option::weighted(0.3, select(vec![500, 1000, 2500])),
    );
    shape.prop_map(|(entrance, evidence, calls, has_whole, count)| Shape {
        entrance,
        evidence,
        calls,
        has_whole,
        count,
    })
}

impl Shape {
    /// As the truth has it. How sure it is says when it happened.
    fn said(&self, ids: &str, truth: &Truth) -> Said {
        let mut told = said(self.entrance, ids).at(2 * second(self.evidence));
        for id in &self.calls {
            told = told.with_line(id, truth[&(Some(*id), self.evidence)].clone());
        }
        told.usage.whole = self.has_whole.then(|| Whole {
            lines: vec![truth[&(None, self.evidence)].clone()],
            is_so_far: false,
        });
        // A count says no evidence, so that all of them happen at once.
        if let Some(tokens) = self.count {
            told = Said {
                usage: Usage {
                    count: Some(Count {
                        tokens,
                        model_name: "m".parse().unwrap(),
                    }),
                    ..Usage::default()
                },
                ..told.at(2)
            };
        }
        told
    }
}

fn second(evidence: Evidence) -> i64 {
    let mut all = EVIDENCE.iter();
    i64::try_from(all.position(|it| *it == evidence).unwrap()).unwrap()
}

/// Prices with a price for each request, and new ones in between.
fn priced() -> World {
    let mut world = World::default();
    for (model, nano, fee) in [("m", 1, 3), ("dear", 10, 7), ("new", 5, 0)] {
        world.publish_rates(model, rates(nano, 2 * nano, fee), None);
        world.publish_rates(model, rates(30, 30, 1), Some(3));
        world.publish_rates(model, rates(4, 4, 0), Some(5));
    }
    world
}

fn rates(input: i64, output: i64, fee: i64) -> Rates {
    let [input, output] = [input, output].map(|it| UnitPrice::from_nano_per_token(it).unwrap());
    Rates {
        per_request: Points::from_nano(fee),
        ..Rates::new(input, output)
    }
}

/// Reports that do not contradict each other, and the same in another order.
fn agreeing() -> impl Strategy<Value = (Vec<Said>, Vec<Said>)> {
    let reports = (truth(), vec(shape(), 1..6));
    reports.prop_flat_map(|(truth, shapes)| {
        let said: Vec<Said> = shapes.iter().map(|it| it.said("a", &truth)).collect();
        (Just(said.clone()), Just(said).prop_shuffle())
    })
}

/// Reports in which each party agrees with itself only.
fn disagreeing() -> impl Strategy<Value = Vec<Said>> {
    let reports = (vec(truth(), ENTRANCES.len()), vec(shape(), 1..7));
    reports.prop_map(|(truths, shapes)| {
        let said = shapes.into_iter().map(|shape| {
            let mut entrances = ENTRANCES.iter();
            let party = entrances.position(|it| *it == shape.entrance).unwrap();
            shape.said("a", &truths[party])
        });
        said.collect()
    })
}

/// Anything that parties may say, also against themselves.
fn anything() -> impl Strategy<Value = Vec<Said>> {
    vec(disagreeing(), 2..3).prop_map(|said| said.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_order_of_what_agrees_ends_in_the_same_charge((one, other) in agreeing()) {
        let [mut first, mut second] = [priced(), priced()];
        let answers = [first.take_all(&one), second.take_all(&other)].concat();
        prop_assert!(!answers.contains(&Conflict));
        prop_assert_eq!(first.spent(), second.spent());
    }

    #[test]
    fn everything_again_and_prices_that_are_dated_back_change_nothing(
        (one, other) in agreeing(),
        late in tokens(),
    ) {
        let mut world = priced();
        world.take_all(&one);
        for model in MODELS {
            world.publish_rates(model, rates(77, 77, 7), Some(1));
        }
        let before = (world.spent(), world.entries.clone());
        world.take_all(&other);
        prop_assert_eq!((world.spent(), world.entries.clone()), before);
        let charged = world.lines("a").to_vec();
        world.take(&traces("a").with_line("late", line("m", late, Evidence::Measured)).at(20));
        for line in world.lines("a") {
            let same = charged.iter().find(|it| {
                (it.report, &it.place, &it.model_name) == (line.report, &line.place, &line.model_name)
            });
            if let Some(same) = same {
                prop_assert_eq!(same.price_version_id, line.price_version_id);
            }
        }
    }

    #[test]
    fn what_is_priced_later_costs_what_it_would_have_cost_from_the_start(said in disagreeing()) {
        let mut from_the_start = priced();
        from_the_start.take_all(&said);
        let mut later = World::default();
        for (model, nano, fee) in [("m", 1, 3), ("dear", 10, 7)] {
            later.publish_rates(model, rates(nano, 2 * nano, fee), None);
            later.publish_rates(model, rates(30, 30, 1), Some(3));
            later.publish_rates(model, rates(4, 4, 0), Some(5));
        }
        prop_assert!(!later.take_all(&said).contains(&Conflict));
        later.publish_rates("new", rates(5, 10, 0), None);
        later.publish_rates("new", rates(30, 30, 1), Some(3));
        later.publish_rates("new", rates(4, 4, 0), Some(5));
        later.release();
        prop_assert_eq!(later.waiting(), 0);
        prop_assert_eq!(later.spent(), from_the_start.spent());
    }

    /// A conflict is what one party says against itself, and leaves no trace.
    #[test]
    fn what_is_refused_might_never_have_been_said(said in anything()) {
        let (mut world, mut without) = (priced(), priced());
        let mut taken: Vec<&Said> = Vec::new();
        for said in &said {
            let is_refused = taken.iter().any(|it| {
                it.entrance == said.entrance && contradict(&it.usage, &said.usage)
            });
            let answer = world.take(said);
            prop_assert_eq!(answer == Conflict, is_refused);
            if !is_refused {
                prop_assert_eq!(without.take(said), answer);
                taken.push(said);
            }
        }
        prop_assert_eq!(world.entries, without.entries);
    }

    #[test]
    fn ids_that_are_linked_in_any_order_are_one_message_at_the_same_charge(
        (said, order) in agreeing(),
        links in vec(select(vec!["a", "b", "c", "a b", "b c", "c d"]), 6),
    ) {
        let linked = |said: &[Said]| {
            let mut said: Vec<Said> = said.to_vec();
            for (said, ids) in said.iter_mut().zip(&links) {
                said.ids = ids.split(' ').map(str::to_owned).collect();
            }
            said
        };
        let last = webhook("a b c d");
        let mut one = priced();
        one.take_all(&linked(&said));
        one.take(&last);
        let mut together = priced();
        together.take_all(&order);
        prop_assert_eq!(one.messages().count(), 1);
        prop_assert_eq!(one.spent(), together.spent());
        let mut backwards = priced();
        backwards.take(&last);
        let mut reversed = linked(&said);
        reversed.reverse();
        backwards.take_all(&reversed);
        prop_assert_eq!(backwards.messages().count(), 1);
        prop_assert_eq!(backwards.spent(), one.spent());
    }

    /// What is true of every message at any time is checked after each step.
    #[test]
    fn the_books_are_sound_whatever_is_done(steps in vec(step(), 1..20)) {
        let mut world = priced();
        for step in steps {
            step.take(&mut world);
        }
    }

    #[test]
    fn what_was_re_rated_stays_re_rated(steps in vec(step(), 1..12), late in tokens()) {
        let mut world = priced();
        let mut rerated = BTreeMap::new();
        for step in steps {
            let step = step.of_one_message();
            step.take(&mut world);
            let charged = world.messages().find(|it| it.entries.is_some());
            let (Some(message), Step::Reprice(model, _)) = (charged, &step) else {
                continue;
            };
            let has_model = message.lines.iter().any(|it| it.model_name.as_str() == *model);
            if has_model && !message.dues.is_refunded() {
                rerated.insert(*model, world.newest(model));
            }
        }
        world.take(&traces("a").with_line("late", line("m", late, Evidence::Measured)));
        for line in world.lines("a") {
            if let Some(version) = rerated.get(line.model_name.as_str()) {
                prop_assert_eq!(line.price_version_id, *version);
            }
        }
    }
}

/// Whether two reports tell of the same, as surely, something else.
fn contradict(one: &Usage, other: &Usage) -> bool {
    let said = |usage: &Usage| -> BTreeMap<(Option<String>, Evidence), Line> {
        let calls = usage.calls.iter().map(|(id, line)| (Some(id), line));
        let whole = usage.whole.iter().flat_map(|whole| &whole.lines);
        let all = calls.chain(whole.map(|line| (None, line)));
        let all = all.filter(|(_, line)| {
            line.tokens != Tokens::default() && line.evidence != Evidence::Estimated
        });
        all.map(|(id, line)| ((id.cloned(), line.evidence), line.clone()))
            .collect()
    };
    let other = said(other);
    let mut one = said(one).into_iter();
    one.any(|(key, line)| other.get(&key).is_some_and(|it| *it != line))
}

#[derive(Debug, Clone)]
enum Step {
    Take(Said),
    /// Of one of the messages, by its place; so many hundredths of what it owes.
    Refund(Index, i64),
    Reprice(&'static str, i64),
}

fn step() -> impl Strategy<Value = Step> {
    let ids = select(vec!["a", "a", "a", "b", "c", "a b", "b c", "a c"]);
    let take = (truth(), shape(), ids);
    let take = take.prop_map(|(truth, shape, ids)| shape.said(ids, &truth));
    prop_oneof![
        6 => take.prop_map(Step::Take),
        2 => (any::<Index>(), 1..=100_i64).prop_map(|(which, part)| Step::Refund(which, part)),
        1 => (select(MODELS.to_vec()), select(vec![0_i64, 3, 40]))
            .prop_map(|(model, nano)| Step::Reprice(model, nano)),
    ]
}

impl Step {
    fn of_one_message(self) -> Self {
        match self {
            Self::Take(said) => Self::Take(Said {
                ids: vec!["a".into()],
                ..said
            }),
            step => step,
        }
    }

    fn take(&self, world: &mut World) {
        match self {
            Self::Take(said) => {
                world.take(said);
            }
            Self::Refund(which, part) => {
                let charged: Vec<_> = ["a", "b", "c"]
                    .into_iter()
                    .filter(|id| world.knows(id) && world.message(id).dues.owed_nano > 0)
                    .collect();
                if !charged.is_empty() {
                    let id = which.get(&charged);
                    let owed = world.message(id).dues.owed_nano;
                    world.refund(id, (owed * part / 100).max(1));
                }
            }
            Self::Reprice(model, nano) => world.reprice(model, *nano),
        }
    }
}
