//! What a call costs.

use shared::money::{Overflow, Points, UnitPrice};
use shared::price::Rates;
use shared::quote::{affordable_output, quote};
use shared::tokens::{Category, Tokens};

use crate::test;
use crate::values::{SAMPLE_TOKENS, sample_rates, unit_price};

fn points(text: &str) -> Points {
    text.parse().unwrap()
}

#[test]
fn the_sample_costs_exactly_93_points() {
    let quote = quote(&sample_rates(), &SAMPLE_TOKENS).unwrap();
    assert_eq!(quote.points, points("93"));
    let lines: Vec<_> = quote
        .lines
        .iter()
        .map(|line| (line.category, line.tokens, line.points))
        .collect();
    assert_eq!(
        lines,
        [
            (Category::Input, 1500, points("45")),
            (Category::Output, 800, points("48")),
        ]
    );
}

#[test]
fn nothing_used_costs_the_per_request_price() {
    let free = quote(&sample_rates(), &Tokens::default()).unwrap();
    assert_eq!(free.points, Points::ZERO);
    assert!(free.lines.is_empty());

    let rates = Rates {
        per_request: points("0.5"),
        ..sample_rates()
    };
    assert_eq!(
        quote(&rates, &Tokens::default()).unwrap().points,
        points("0.5")
    );
    assert_eq!(
        quote(&rates, &SAMPLE_TOKENS).unwrap().points,
        points("93.5")
    );
}

#[test]
fn a_category_without_a_price_costs_what_its_parent_costs() {
    let thousand = 1000;
    let tokens = Tokens {
        input: thousand,
        cached_input: thousand,
        cache_write: thousand,
        output: thousand,
        reasoning: thousand,
    };
    assert_eq!(
        quote(&sample_rates(), &tokens).unwrap().points,
        points("210"), // 3 × 30 + 2 × 60
    );
    let own_prices = Rates {
        cached_input: Some(unit_price("3")),
        cache_write: Some(unit_price("37.5")),
        reasoning: Some(UnitPrice::ZERO),
        ..sample_rates()
    };
    assert_eq!(
        quote(&own_prices, &tokens).unwrap().points,
        points("130.5"), // 30 + 3 + 37.5 + 60 + 0
    );
    for category in Category::ALL {
        assert_eq!(category.parent().parent(), category.parent());
        assert_eq!(
            sample_rates().of(category),
            sample_rates().of(category.parent())
        );
    }
}

#[test]
fn a_charge_that_does_not_fit_is_refused() {
    let highest = UnitPrice::from_nano_per_token(i64::MAX).unwrap();
    let rates = Rates::new(highest, highest);
    assert_eq!(
        quote(&rates, &Tokens::new(1, 0)).unwrap().points,
        Points::MAX
    );
    assert_eq!(quote(&rates, &Tokens::new(2, 0)), Err(Overflow));
    // Each line fits; their sum does not.
    assert_eq!(quote(&rates, &Tokens::new(1, 1)), Err(Overflow));
    assert_eq!(
        quote(&rates, &Tokens::new(u64::MAX, u64::MAX)),
        Err(Overflow)
    );
    let rates = Rates {
        per_request: Points::from_nano(1),
        ..rates
    };
    assert_eq!(quote(&rates, &Tokens::new(1, 0)), Err(Overflow));
}

#[test]
fn affordable_output_is_the_most_that_fits() {
    let input = Tokens::new(1500, 0);
    let affordable =
        |available: &str| affordable_output(&sample_rates(), &input, points(available));
    assert_eq!(affordable("93"), Some(800));
    assert_eq!(affordable("92.999999999"), Some(799));
    assert_eq!(affordable("45"), Some(0));
    assert_eq!(affordable("44.9"), None);
    assert_eq!(affordable("-1"), None);
    let free_output = Rates::new(unit_price("30"), UnitPrice::ZERO);
    assert_eq!(
        affordable_output(&free_output, &input, points("45")),
        Some(u64::MAX)
    );
}

#[test]
fn quotes_survive_json() {
    let quote = quote(&sample_rates(), &SAMPLE_TOKENS).unwrap();
    let json = serde_json::to_string(&quote).unwrap();
    assert_eq!(
        json,
        r#"{"lines":[{"category":"input","tokens":1500,"unitPrice":30,"points":45},{"category":"output","tokens":800,"unitPrice":60,"points":48}],"perRequest":0,"points":93}"#
    );
    assert_eq!(
        serde_json::from_str::<shared::quote::Quote>(&json).unwrap(),
        quote
    );
}

#[test]
fn tokens_survive_json_without_the_categories_that_are_not_used() {
    let cached = Tokens {
        cached_input: 3,
        ..SAMPLE_TOKENS
    };
    for (tokens, json) in [
        (SAMPLE_TOKENS, r#"{"input":1500,"output":800}"#),
        (cached, r#"{"input":1500,"cachedInput":3,"output":800}"#),
    ] {
        assert_eq!(serde_json::to_string(&tokens).unwrap(), json);
        assert_eq!(serde_json::from_str::<Tokens>(json).unwrap(), tokens);
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use proptest::option;
    use proptest::prelude::*;
    use shared::money::{Overflow, Points, UnitPrice};
    use shared::price::Rates;
    use shared::quote::{affordable_output, quote};
    use shared::tokens::{Category, Tokens};

    fn unit_prices(max: i64) -> impl Strategy<Value = UnitPrice> {
        (0..=max).prop_map(|nano| UnitPrice::from_nano_per_token(nano).unwrap())
    }

    fn rates(max: i64) -> impl Strategy<Value = Rates> {
        (
            unit_prices(max),
            unit_prices(max),
            option::of(unit_prices(max)),
            option::of(unit_prices(max)),
            option::of(unit_prices(max)),
            (0..=max).prop_map(Points::from_nano),
        )
            .prop_map(
                |(input, output, cached_input, cache_write, reasoning, per_request)| Rates {
                    input,
                    output,
                    cached_input,
                    cache_write,
                    reasoning,
                    per_request,
                },
            )
    }

    fn tokens(max: u64) -> impl Strategy<Value = Tokens> {
        [0..=max, 0..=max, 0..=max, 0..=max, 0..=max].prop_map(
            |[input, cached_input, cache_write, output, reasoning]| Tokens {
                input,
                cached_input,
                cache_write,
                output,
                reasoning,
            },
        )
    }

    fn sum(a: &Tokens, b: &Tokens) -> Tokens {
        Tokens {
            input: a.input + b.input,
            cached_input: a.cached_input + b.cached_input,
            cache_write: a.cache_write + b.cache_write,
            output: a.output + b.output,
            reasoning: a.reasoning + b.reasoning,
        }
    }

    /// Up to 1,000 points a token and two million tokens a category: every charge fits.
    const NANO_MAX: i64 = 1_000_000_000_000;
    const TOKENS_MAX: u64 = 200_000;

    proptest! {
        #[test]
        fn a_charge_is_linear_in_tokens(rates in rates(NANO_MAX), a in tokens(TOKENS_MAX), b in tokens(TOKENS_MAX)) {
            let rates = Rates { per_request: Points::ZERO, ..rates };
            let together = quote(&rates, &sum(&a, &b)).unwrap().points;
            let apart = quote(&rates, &a).unwrap().points.plus(quote(&rates, &b).unwrap().points);
            prop_assert_eq!(Ok(together), apart);
        }

        #[test]
        fn more_tokens_never_cost_less(rates in rates(NANO_MAX), a in tokens(TOKENS_MAX), more in tokens(TOKENS_MAX)) {
            prop_assert!(quote(&rates, &sum(&a, &more)).unwrap().points >= quote(&rates, &a).unwrap().points);
        }

        #[test]
        fn a_quote_is_the_sum_of_its_lines(rates in rates(NANO_MAX), tokens in tokens(TOKENS_MAX)) {
            let quote = quote(&rates, &tokens).unwrap();
            let lines = Points::sum(quote.lines.iter().map(|line| line.points)).unwrap();
            prop_assert_eq!(lines.plus(quote.per_request), Ok(quote.points));
            prop_assert_eq!(quote.lines.iter().map(|line| line.tokens).sum::<u64>(), tokens.total());
            for line in &quote.lines {
                prop_assert_eq!(tokens.of(line.category), line.tokens);
                prop_assert_eq!(rates.of(line.category), line.unit_price);
            }
        }

        /// Against arithmetic that cannot overflow at these sizes: the charge is exact, or refused
        /// exactly when it does not fit.
        #[test]
        fn a_charge_is_exact_or_refused(rates in rates(i64::MAX), tokens in tokens(u64::MAX / 8)) {
            let expected = Category::ALL
                .iter()
                .map(|category| {
                    i128::from(rates.of(*category).nano_per_token()) * i128::from(tokens.of(*category))
                })
                .try_fold(i128::from(rates.per_request.nano()), i128::checked_add)
                .ok_or(Overflow)
                .and_then(Points::try_from);
            prop_assert_eq!(quote(&rates, &tokens).map(|quote| quote.points), expected);
        }

        #[test]
        fn affordable_output_fits_and_one_more_does_not(
            rates in rates(NANO_MAX),
            tokens in tokens(TOKENS_MAX),
            available in (0..=i64::MAX).prop_map(Points::from_nano),
        ) {
            let cost = |output| quote(&rates, &Tokens { output, ..tokens }).map(|quote| quote.points);
            match affordable_output(&rates, &tokens, available) {
                None => prop_assert!(cost(0).unwrap() > available),
                Some(u64::MAX) => prop_assert_eq!(rates.output, UnitPrice::ZERO),
                Some(output) => {
                    prop_assert!(cost(output).unwrap() <= available);
                    prop_assert!(cost(output + 1).is_ok_and(|cost| cost > available) || cost(output + 1) == Err(Overflow));
                }
            }
        }
    }
}
