//! `/admin/calculator`: what given tokens cost, to the last digit, computed in the browser with
//! the function the ledger charges with.

use leptos::prelude::*;
use leptos_meta::Title;
use shared::money::Points;
use shared::price::Rates;
use shared::problem::Problem;
use shared::quote::{Quote, quote};
use shared::tokens::Tokens;

use crate::api::fields::count_or_zero;
use crate::api::price_draft::parse_rates;
use crate::api::prices::ModelPrice;
use crate::api::query::{Answer, Query, use_query};
use crate::components::amount::{percent, points_text};
use crate::components::answer::{answered, nothing};
use crate::components::erased::{Erase, part, words};
use crate::components::field::{Field, fault_of};
use crate::components::receipt::QuoteTable;
use crate::error::AppError;
use crate::text::{Say, use_text};

/// How many models are compared to begin with.
const PICKED_AT_FIRST: usize = 5;

#[component]
pub fn CalculatorPage() -> impl IntoView {
    let text = use_text();
    let prices = use_query(|| Query::Prices);
    view! {
        <Title text=text.say(|t| t.calculator.title) />
        {answered(prices, |answer| match answer {
            Answer::Prices(json) => {
                let prices = json.read()?;
                Ok(view! { <Calculator prices /> }.erased())
            }
            _ => nothing(),
        })}
    }
    .erased()
}

/// A model to compare.
#[derive(Clone)]
struct Candidate {
    name: String,
    rates: Rates,
    is_active: bool,
    is_picked: RwSignal<bool>,
}

/// The token counts as they are typed.
#[derive(Clone, Copy)]
struct TypedTokens {
    input: RwSignal<String>,
    cached_input: RwSignal<String>,
    cache_write: RwSignal<String>,
    output: RwSignal<String>,
    reasoning: RwSignal<String>,
}

impl TypedTokens {
    fn read(self) -> Result<Tokens, Problem> {
        let read =
            |field: &str, typed: RwSignal<String>| typed.with(|typed| count_or_zero(field, typed));
        Ok(Tokens {
            input: read("inputTokens", self.input)?,
            cached_input: read("cachedInputTokens", self.cached_input)?,
            cache_write: read("cacheWriteTokens", self.cache_write)?,
            output: read("outputTokens", self.output)?,
            reasoning: read("reasoningTokens", self.reasoning)?,
        })
    }
}

#[component]
fn Calculator(prices: Vec<ModelPrice>) -> impl IntoView {
    let text = use_text();
    let mut picked = 0;
    let candidates: Vec<Candidate> = prices
        .into_iter()
        .map(|price| {
            let is_picked = price.current.is_active && picked < PICKED_AT_FIRST;
            picked += usize::from(is_picked);
            Candidate {
                name: String::from(price.current.model_name),
                rates: price.current.rates,
                is_active: price.current.is_active,
                is_picked: RwSignal::new(is_picked),
            }
        })
        .collect();
    let typed = TypedTokens {
        input: RwSignal::new("1500".to_owned()),
        cached_input: RwSignal::new(String::new()),
        cache_write: RwSignal::new(String::new()),
        output: RwSignal::new("800".to_owned()),
        reasoning: RwSignal::new(String::new()),
    };
    let tokens = Signal::derive(move || typed.read());
    let own_rates = RwSignal::new(None::<Rates>);

    let picks = candidates
        .iter()
        .map(|candidate| {
            let Candidate {
                name, is_picked, ..
            } = candidate.clone();
            let inactive = (!candidate.is_active).then(|| {
                view! {
                    <span class="quiet small">{text.say(|t| t.prices.inactive)}</span>
                }
                .erased()
            });
            view! {
                <label class="pick">
                    <input
                        type="checkbox"
                        checked=is_picked.get_untracked()
                        on:change=move |event| is_picked.set(event_target_checked(&event))
                    />
                    <span>{name} " " {inactive}</span>
                </label>
            }
            .erased()
        })
        .collect_view();
    let compared = Signal::derive(move || {
        let tokens = tokens.get().ok()?;
        let own = own_rates
            .get()
            .map(|rates| (None, quote(&rates, &tokens).ok()));
        let picked = candidates
            .iter()
            .filter(|candidate| candidate.is_picked.get())
            .map(|candidate| {
                (
                    Some(candidate.name.clone()),
                    quote(&candidate.rates, &tokens).ok(),
                )
            });
        Some(own.into_iter().chain(picked).collect::<Vec<_>>())
    });

    view! {
        <div class="page-head">
            <h1>{text.say(|t| t.calculator.title)}</h1>
        </div>
        <p class="quiet">{text.say(|t| t.calculator.hint)}</p>
        <div class="split">
            <div class="stack">
                <TokenFields typed tokens />
                <fieldset class="card">
                    <legend>{text.say(|t| t.calculator.models)}</legend>
                    <div class="picks">{picks}</div>
                    <p class="quiet small">
                        <a href="/admin/prices">{text.say(|t| t.nav.prices)}</a>
                    </p>
                </fieldset>
                <OwnRates own_rates />
            </div>
            <Comparison compared />
        </div>
    }
    .erased()
}

#[component]
fn TokenFields(typed: TypedTokens, tokens: Signal<Result<Tokens, Problem>>) -> impl IntoView {
    let text = use_text();
    let error = move || tokens.get().err().map(AppError::Refused);
    let field = move |id: &'static str, label: Say, value: RwSignal<String>| {
        view! { <Field id label value fault=fault_of(error, id) inputmode="numeric" /> }.erased()
    };
    view! {
        <fieldset class="card">
            <legend>{text.say(|t| t.common.tokens)}</legend>
            <div class="columns">
                {field("inputTokens", |t| t.calculator.input_tokens, typed.input)}
                {field("outputTokens", |t| t.calculator.output_tokens, typed.output)}
                {field("cachedInputTokens", |t| t.calculator.cached_input_tokens, typed.cached_input)}
                {field("cacheWriteTokens", |t| t.calculator.cache_write_tokens, typed.cache_write)}
                {field("reasoningTokens", |t| t.calculator.reasoning_tokens, typed.reasoning)}
            </div>
            <p class="quiet small">{text.say(|t| t.calculator.exclusive)}</p>
        </fieldset>
    }
    .erased()
}

/// Prices that are not published, to try out before publishing them.
#[component]
fn OwnRates(own_rates: RwSignal<Option<Rates>>) -> impl IntoView {
    let text = use_text();
    let new = || RwSignal::new(String::new());
    let (input, output) = (new(), new());
    let (cached_input, cache_write, reasoning, per_request) = (new(), new(), new(), new());
    let all = [
        input,
        output,
        cached_input,
        cache_write,
        reasoning,
        per_request,
    ];
    let parsed = Signal::derive(move || {
        let typed = all.map(|field| field.get());
        if typed.iter().all(|typed| typed.trim().is_empty()) {
            return Ok(None);
        }
        let [
            input,
            output,
            cached_input,
            cache_write,
            reasoning,
            per_request,
        ] = &typed;
        // While only one of the two is typed, the other is free.
        let or_free = |typed: &str| {
            if typed.trim().is_empty() {
                "0".to_owned()
            } else {
                typed.to_owned()
            }
        };
        parse_rates([
            &or_free(input),
            &or_free(output),
            cached_input,
            cache_write,
            reasoning,
            per_request,
        ])
        .map(Some)
    });
    Effect::new(move |_| own_rates.set(parsed.get().ok().flatten()));
    let error = move || parsed.get().err().map(AppError::Refused);
    let field = move |id: &'static str, name: &'static str, label: Say, value: RwSignal<String>| {
        view! { <Field id label value fault=fault_of(error, name) inputmode="decimal" /> }.erased()
    };
    view! {
        <details class="card more">
            <summary>{text.say(|t| t.calculator.own)}</summary>
            <p class="quiet small">{text.say(|t| t.calculator.own_hint)}</p>
            <div class="columns">
                {field("ownInput", "input", |t| t.category.input, input)}
                {field("ownOutput", "output", |t| t.category.output, output)}
                {field("ownCachedInput", "cachedInput", |t| t.category.cached_input, cached_input)}
                {field("ownCacheWrite", "cacheWrite", |t| t.category.cache_write, cache_write)}
                {field("ownReasoning", "reasoning", |t| t.category.reasoning, reasoning)}
                {field("ownPerRequest", "perRequest", |t| t.category.per_request, per_request)}
            </div>
        </details>
    }
    .erased()
}

/// One row of the comparison: a model's name (`None` for typed rates) and its charge (`None` when
/// it does not fit the ledger).
type Compared = Option<Vec<(Option<String>, Option<Quote>)>>;

#[component]
fn Comparison(compared: Signal<Compared>) -> impl IntoView {
    let text = use_text();
    let body = move || match compared.get() {
        None => view! { <p class="quiet">{text.say(|t| t.calculator.fix_fields)}</p> }.erased(),
        Some(rows) if rows.is_empty() => {
            view! { <p class="quiet">{text.say(|t| t.calculator.pick_one)}</p> }.erased()
        }
        Some(rows) => {
            let dearest = rows
                .iter()
                .filter_map(|(_, quote)| quote.as_ref().map(|quote| quote.points))
                .max()
                .unwrap_or_default();
            rows.into_iter()
                .map(|(name, quote)| compared_row(name, quote, dearest))
                .collect_view()
                .erased()
        }
    };
    view! {
        <section class="card comparison" aria-labelledby="comparison-title">
            <h2 id="comparison-title">{text.say(|t| t.calculator.comparison)}</h2>
            {part(body)}
        </section>
    }
    .erased()
}

fn compared_row(name: Option<String>, quote: Option<Quote>, dearest: Points) -> AnyView {
    let text = use_text();
    let caption = name.clone().unwrap_or_default();
    let name = move || match &name {
        Some(name) => name.clone(),
        None => text.get().calculator.own.to_owned(),
    };
    let Some(quote) = quote else {
        return view! {
            <div class="compared">
                <p class="compared-head">
                    <span class="name">{words(name)}</span>
                    <span class="error">{text.say(|t| t.reason.overflow)}</span>
                </p>
            </div>
        }
        .erased();
    };
    let style = ["width:", &percent(quote.points, dearest).to_string(), "%"].concat();
    view! {
        <details class="compared">
            <summary>
                <span class="compared-head">
                    <span class="name">{words(name)}</span>
                    <span class="num">
                        <strong>{points_text(quote.points)}</strong>
                        " "
                        <span class="quiet small">{text.say(|t| t.common.points_unit)}</span>
                    </span>
                </span>
                <span class="bar-track" aria-hidden="true">
                    <span class="bar-fill" style=style></span>
                </span>
            </summary>
            <QuoteTable
                lines=quote.lines
                per_request=quote.per_request
                total=quote.points
                caption=caption
            />
        </details>
    }
    .erased()
}
