//! What stands between a user and an AI call: the balance, the estimate, and what would remain.

use leptos::prelude::*;
use shared::api::BalanceCheck;
use shared::money::Points;
use shared::problem::{FieldFault, Problem};

use super::amount::{count_text, percent, points_text};
use super::awaited::awaited;
use super::receipt::QuoteTable;
use crate::api::my::Protection;
use crate::api::query::{Query, QueryAnswer, answer_to, use_query};
use crate::components::command::Command;
use crate::components::erased::{Erase, flag, part, phrase, press, words};
use crate::error::AppError;
use crate::text::{fill, use_text};

/// Shows the signed-in user what a call will cost before it is made, and lets it through only if
/// it is affordable. The balance is checked again at the moment of proceeding; when that check
/// cannot be made, the call does not proceed.
#[component]
pub fn BalanceProtection(
    #[prop(into)] model_name: Signal<String>,
    #[prop(into)] estimated_input_tokens: Signal<u64>,
    #[prop(into)] estimated_output_tokens: Signal<u64>,
    /// The call was let through: make it.
    #[prop(into)]
    on_proceed: Callback<()>,
    #[prop(into)] on_cancel: Callback<()>,
) -> impl IntoView {
    let text = use_text();
    let question = move || Query::Protection {
        model_name: model_name.get(),
        input_tokens: estimated_input_tokens.get(),
        output_tokens: estimated_output_tokens.get(),
    };
    let checked = use_query(question);

    // True after "proceed" was refused, to say that it was looked at again.
    let was_refused = RwSignal::new(false);
    let proceed = Command::new();
    let on_retry = Callback::new(move |()| checked.refetch());
    let on_proceed = Callback::new(move |()| {
        was_refused.set(false);
        let question = untrack(question);
        proceed.run(async move {
            let again = answer_to(question).await;
            if protection(again.clone()).is_ok_and(|it| it.is_some_and(|it| it.check.can_proceed)) {
                on_proceed.run(());
            } else {
                was_refused.set(true);
                checked.set(Some(again));
            }
            Ok(())
        });
    });

    view! {
        <section
            class="protection card"
            aria-labelledby="protection-title"
            aria-busy=phrase(move || if proceed.is_pending() { "true" } else { "false" })
        >
            <h3 id="protection-title">{text.say(|t| t.protection.title)}</h3>
            {awaited(move || Box::pin(async move {
                    match protection(checked.await) {
                        Ok(None) => ().erased(),
                        Ok(Some(protection)) => {
                            view! {
                                <Checked
                                    protection
                                    was_refused
                                    proceed
                                    on_proceed
                                    on_cancel
                                />
                            }
                                .erased()
                        }
                        Err(error) => {
                            let model = model_name.get_untracked();
                            view! { <CannotCheck error model on_retry on_cancel /> }.erased()
                        }
                    }
                }))}
        </section>
    }
    .erased()
}

/// What the gate told, where it was asked.
fn protection(answer: Result<QueryAnswer, AppError>) -> Result<Option<Protection>, AppError> {
    match answer? {
        QueryAnswer::Protection(json) => json.read().map(Some),
        _ => Ok(None),
    }
}

/// Without an answer nothing goes through.
#[component]
fn CannotCheck(
    error: AppError,
    model: String,
    on_retry: Callback<()>,
    on_cancel: Callback<()>,
) -> impl IntoView {
    let text = use_text();
    let message = move || match &error {
        AppError::Refused(Problem::InvalidField {
            fault: FieldFault::NotPriced,
            ..
        }) => fill(text.get().protection.not_priced, &[&model]),
        AppError::Refused(Problem::InvalidField {
            fault: FieldFault::PriceInactive,
            ..
        }) => fill(text.get().protection.price_inactive, &[&model]),
        AppError::Unreachable => text.get().protection.unreachable.to_owned(),
        error @ AppError::Refused(_) => fill(
            text.get().protection.cannot_check,
            &[&error.message(text.locale())],
        ),
    };
    view! {
        <p class="verdict bad" role="alert">
            {words(message)}
        </p>
        <div class="actions">
            <button type="button" class="button primary" disabled>
                {text.say(|t| t.protection.proceed)}
            </button>
            <button type="button" class="button" on:click=press(move |_| on_retry.run(()))>
                {text.say(|t| t.common.try_again)}
            </button>
            <button type="button" class="button" on:click=press(move |_| on_cancel.run(()))>
                {text.say(|t| t.common.cancel)}
            </button>
        </div>
    }
    .erased()
}

#[component]
fn Checked(
    protection: Protection,
    was_refused: RwSignal<bool>,
    proceed: Command,
    on_proceed: Callback<()>,
    on_cancel: Callback<()>,
) -> impl IntoView {
    let text = use_text();
    let Protection {
        check,
        recharge_url,
    } = protection;
    let can_proceed = check.can_proceed;
    let label = phrase(move || {
        let words = &text.get().protection;
        if proceed.is_pending() {
            words.checking
        } else {
            words.proceed
        }
    });
    let verdict = if can_proceed {
        view! {
            <p class="verdict good" role="status">
                {text.say(|t| t.protection.affordable)}
            </p>
        }
        .erased()
    } else {
        let check = check.clone();
        view! { <Shortfall check recharge_url was_refused /> }.erased()
    };
    view! {
        <Estimate check />
        {verdict}
        <div class="actions">
            <button
                type="button"
                class="button primary"
                disabled=flag(move || !can_proceed || proceed.is_pending())
                on:click=press(move |_| on_proceed.run(()))
            >
                {label}
            </button>
            <button type="button" class="button" on:click=press(move |_| on_cancel.run(()))>
                {text.say(|t| t.common.cancel)}
            </button>
        </div>
    }
    .erased()
}

/// What there is, what the call would take, and how that comes about.
#[component]
fn Estimate(check: BalanceCheck) -> impl IntoView {
    let text = use_text();
    let is_short = !check.can_proceed;
    let estimate = check.estimate;
    let remaining = check.available.minus(estimate.estimated_points);
    let model = String::from(estimate.model_name);
    let version = estimate.price_version.to_string();
    let caption = model.clone();
    let held = (!check.held.is_zero()).then(|| {
        view! {
            <div>
                <dt>{text.say(|t| t.balance.held)}</dt>
                <dd class="num">{points_text(check.held)}</dd>
            </div>
        }
        .erased()
    });
    view! {
        <p class="quiet">
            {model} " " {words(move || fill(text.get().common.version_number, &[&version]))}
        </p>
        <dl class="figures">
            <div>
                <dt>{text.say(|t| t.balance.available)}</dt>
                <dd class="num">{points_text(check.available)}</dd>
            </div>
            {held}
            <div>
                <dt>{text.say(|t| t.protection.estimate)}</dt>
                <dd class="num">{points_text(estimate.estimated_points)}</dd>
            </div>
            <div class:negative=is_short>
                <dt>{text.say(|t| t.protection.remaining)}</dt>
                <dd class="num">{remaining.map(points_text).unwrap_or_default()}</dd>
            </div>
        </dl>
        <ShareBar part=estimate.estimated_points whole=check.available is_short />
        <details class="breakdown">
            <summary>{text.say(|t| t.protection.breakdown)}</summary>
            <QuoteTable
                lines=estimate.lines
                per_request=estimate.per_request
                total=estimate.estimated_points
                caption
            />
        </details>
    }
    .erased()
}

/// The estimate as a part of what is available. The figures say the same in words.
#[component]
fn ShareBar(part: Points, whole: Points, is_short: bool) -> impl IntoView {
    let width = if is_short { 100 } else { percent(part, whole) };
    let style = ["width:", &width.to_string(), "%"].concat();
    view! {
        <div class="share" class:short=is_short aria-hidden="true">
            <span style=style></span>
        </div>
    }
    .erased()
}

/// How much is missing, what would be affordable instead, and how to get more points.
#[component]
fn Shortfall(
    check: BalanceCheck,
    recharge_url: Option<String>,
    was_refused: RwSignal<bool>,
) -> impl IntoView {
    let text = use_text();
    let shortfall = points_text(check.shortfall);
    let affordable = check
        .affordable_output_tokens
        .filter(|output| *output > 0)
        .map(count_text);
    let input = count_text(check.estimate.input_tokens);
    view! {
        <div class="verdict bad" role="alert">
            <p>
                <strong>{words(move || fill(text.get().protection.shortfall, &[&shortfall]))}</strong>
            </p>
            <p>
                {words(move || match &affordable {
                    Some(output) => fill(text.get().protection.affordable_output, &[output, &input]),
                    None => text.get().protection.affordable_nothing.to_owned(),
                })}
            </p>
            {part(move || {
                if was_refused.get() {
                    view! { <p>{text.say(|t| t.protection.changed_meanwhile)}</p> }.erased()
                } else {
                    ().erased()
                }
            })}
        </div>
        {match recharge_url {
            Some(url) => {
                view! {
                    <p>
                        <a class="button" href=url rel="external noopener">
                            {text.say(|t| t.protection.recharge)}
                        </a>
                    </p>
                }
                    .erased()
            }
            None => view! { <p>{text.say(|t| t.protection.ask_operator)}</p> }.erased(),
        }}
    }
    .erased()
}
