//! A place to see the gate at work: pick a model and a size, and ask for the call.

use leptos::prelude::*;
use shared::api::DEFAULT_TOKENS;
use shared::ids::ModelName;

use crate::api::fields::count;
use crate::browser;
use crate::components::BalanceProtection;
use crate::components::erased::{Erase, flag, part, submit_with, words};
use crate::components::field::{Field, Select, choice, fault_of};
use crate::error::AppError;
use crate::text::{Say, fill, use_text};

/// What is asked for.
type TriedCall = (String, u64, u64);

#[component]
pub fn TryCall(models: Vec<ModelName>) -> impl IntoView {
    let text = use_text();
    let asked = RwSignal::new(None::<TriedCall>);
    // The last call that was let through.
    let passed = RwSignal::new(None::<TriedCall>);
    let none = models
        .is_empty()
        .then(|| view! { <p class="quiet">{text.say(|t| t.my.no_models)}</p> }.erased());
    let on_proceed = Callback::new(move |()| {
        passed.set(asked.get_untracked());
        asked.set(None);
    });
    let on_cancel = Callback::new(move |()| asked.set(None));
    let gate = move || {
        let Some((model, input, output)) = asked.get() else {
            return ().erased();
        };
        view! {
            <BalanceProtection
                model_name=model
                estimated_input_tokens=input
                estimated_output_tokens=output
                on_proceed
                on_cancel
            />
        }
        .erased()
    };
    let passed_sentence = move || {
        passed
            .get()
            .map(|(model, _, _)| fill(text.get().my.let_through, &[&model]))
            .unwrap_or_default()
    };
    view! {
        <section class="card" aria-labelledby="try-title">
            <h2 id="try-title">{text.say(|t| t.my.try_title)}</h2>
            <p class="quiet">{text.say(|t| t.my.try_hint)}</p>
            <Form models asked passed />
            {none}
            {part(gate)}
            <p class="verdict good" role="status" hidden=flag(move || passed.with(Option::is_none))>
                {words(passed_sentence)}
            </p>
        </section>
    }
    .erased()
}

#[component]
fn Form(
    models: Vec<ModelName>,
    asked: RwSignal<Option<TriedCall>>,
    passed: RwSignal<Option<TriedCall>>,
) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let has_models = !models.is_empty();
    let model = RwSignal::new(models.first().map(ToString::to_string).unwrap_or_default());
    let input = RwSignal::new(DEFAULT_TOKENS.input.to_string());
    let output = RwSignal::new(DEFAULT_TOKENS.output.to_string());
    let error = RwSignal::new(None::<AppError>);
    let call = move || {
        let input = input.with_untracked(|typed| count("callInput", typed))?;
        let output = output.with_untracked(|typed| count("callOutput", typed))?;
        Ok((model.get_untracked(), input, output))
    };
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        match call() {
            Ok(call) => {
                error.set(None);
                passed.set(None);
                asked.set(Some(call));
            }
            Err(problem) => error.set(Some(AppError::Refused(problem))),
        }
    };
    let options = models.into_iter().map(|model| {
        let name = String::from(model);
        choice(name.clone(), move || name.clone(), false)
    });
    let options = options.collect_view().erased();
    let tokens = move |id: &'static str, label: Say, value: RwSignal<String>| {
        let fault = fault_of(move || error.get(), id);
        view! { <Field id label value fault takes_focus=true inputmode="numeric" /> }.erased()
    };
    view! {
        <form class="inline" novalidate on:submit=submit_with(submit)>
            <Select
                id="callModel"
                label=|t| t.common.model
                value=model
                options
                disabled=!has_models
            />
            {tokens("callInput", |t| t.calculator.input_tokens, input)}
            {tokens("callOutput", |t| t.calculator.output_tokens, output)}
            <button
                type="submit"
                class="button primary"
                disabled=flag(move || !has_models || !hydrated.get())
            >
                {text.say(|t| t.my.try_submit)}
            </button>
        </form>
    }
    .erased()
}
