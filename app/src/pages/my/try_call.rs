//! A place to see the gate at work: pick a model and a size, and ask for the call.

use leptos::html;
use leptos::prelude::*;
use shared::api::DEFAULT_TOKENS;
use shared::ids::ModelName;

use crate::api::fields::count;
use crate::browser;
use crate::components::BalanceProtection;
use crate::components::erased::{Erase, flag, part, submit_with, words};
use crate::components::field::{Field, fault_of};
use crate::error::AppError;
use crate::text::{fill, use_text};

/// What is asked for.
type Call = (String, u64, u64);

#[component]
pub fn TryCall(models: Vec<ModelName>) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let input = RwSignal::new(DEFAULT_TOKENS.input.to_string());
    let output = RwSignal::new(DEFAULT_TOKENS.output.to_string());
    let model = NodeRef::<html::Select>::new();
    let error = RwSignal::new(None::<AppError>);
    let asked = RwSignal::new(None::<Call>);
    // The last call that was let through.
    let passed = RwSignal::new(None::<Call>);

    let has_models = !models.is_empty();
    let options = models
        .into_iter()
        .map(|model| {
            let name = String::from(model);
            view! { <option value=name>{name.clone()}</option> }.erased()
        })
        .collect_view();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let counts = input
            .with_untracked(|typed| count("callInput", typed))
            .and_then(|input| {
                let output = output.with_untracked(|typed| count("callOutput", typed))?;
                Ok((input, output))
            });
        match (counts, model.get_untracked()) {
            (Ok((input, output)), Some(model)) => {
                error.set(None);
                passed.set(None);
                asked.set(Some((model.value(), input, output)));
            }
            (Err(problem), _) => error.set(Some(AppError::Refused(problem))),
            (Ok(_), None) => {}
        }
    };
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
            <form class="inline" novalidate on:submit=submit_with(submit)>
                <div class="field">
                    <label for="callModel">{text.say(|t| t.common.model)}</label>
                    <select id="callModel" disabled=!has_models node_ref=model>
                        {options}
                    </select>
                </div>
                <Field
                    id="callInput"
                    label=|t| t.calculator.input_tokens
                    value=input
                    fault=fault_of(move || error.get(), "callInput")
                    takes_focus=true
                    inputmode="numeric"
                />
                <Field
                    id="callOutput"
                    label=|t| t.calculator.output_tokens
                    value=output
                    fault=fault_of(move || error.get(), "callOutput")
                    takes_focus=true
                    inputmode="numeric"
                />
                <button
                    type="submit"
                    class="button primary"
                    disabled=flag(move || !has_models || !hydrated.get())
                >
                    {text.say(|t| t.my.try_submit)}
                </button>
            </form>
            {(!has_models).then(|| view! { <p class="quiet">{text.say(|t| t.my.no_models)}</p> }.erased())}
            {part(gate)}
            <p class="verdict good" role="status" hidden=flag(move || passed.with(Option::is_none))>
                {words(passed_sentence)}
            </p>
        </section>
    }
    .erased()
}
