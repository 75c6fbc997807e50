//! What a page shows when it may not, or cannot, show what it is for.

use leptos::prelude::*;
use shared::problem::Problem;

use super::sign_in_form::SignInForm;
use crate::components::erased::{Erase, words};
use crate::error::AppError;
use crate::text::use_text;

/// Offers the way out: the sign-in form, the visitor's own page, or another try.
#[component]
pub fn Refusal(error: AppError) -> impl IntoView {
    let text = use_text();
    match error {
        AppError::Refused(Problem::SignInRequired) => view! { <SignInForm /> }.erased(),
        AppError::Refused(Problem::WrongScope { .. }) => view! {
            <section class="card narrow">
                <h1>{text.say(|t| t.common.not_yours)}</h1>
                <p>{text.say(|t| t.common.not_yours_hint)}</p>
                <p>
                    <a class="button primary" href="/">
                        {text.say(|t| t.common.to_start)}
                    </a>
                </p>
            </section>
        }
        .erased(),
        error => view! {
            <section class="card narrow" role="alert">
                <h1>{text.say(|t| t.common.failed)}</h1>
                <p>{words(move || error.message(text.locale()))}</p>
                <p>
                    // A full load: whatever state led here is dropped.
                    <a class="button primary" href="" rel="external">
                        {text.say(|t| t.common.try_again)}
                    </a>
                </p>
            </section>
        }
        .erased(),
    }
}

/// Shown while something slow is under way.
#[component]
pub fn Loading() -> impl IntoView {
    let text = use_text();
    view! {
        <p class="loading" role="status">
            <span class="spinner" aria-hidden="true"></span>
            {text.say(|t| t.common.loading)}
        </p>
    }
    .erased()
}
