//! A labelled text input with its hint and its error.

use leptos::html;
use leptos::prelude::*;
use shared::problem::{FieldFault, Problem};

use crate::AppError;
use crate::browser::use_hydrated;
use crate::lean::{Lean, flag, part, words};
use crate::text::{Say, use_text};

/// A text input. What was typed before hydration is kept: the signal takes it over, not the
/// other way round.
#[component]
pub fn Field(
    /// Unique in the page.
    #[prop(into)]
    id: String,
    label: Say,
    value: RwSignal<String>,
    #[prop(optional)] hint: Option<Say>,
    /// What is wrong with it.
    #[prop(optional, into)]
    fault: Signal<Option<FieldFault>>,
    #[prop(default = "text")] kind: &'static str,
    #[prop(default = "text")] inputmode: &'static str,
    #[prop(default = "off")] autocomplete: &'static str,
    #[prop(optional)] required: bool,
    #[prop(optional, into)] readonly: Signal<bool>,
    /// Whether a fault moves the focus here, which is right for a form that was submitted and
    /// wrong for one that is checked while typing.
    #[prop(optional)]
    takes_focus: bool,
) -> impl IntoView {
    let text = use_text();
    let input = NodeRef::<html::Input>::new();
    let is_hydrating = !use_hydrated().get_untracked();
    follow(input, value, is_hydrating);
    if takes_focus {
        Effect::new(move |_| {
            if fault.with(Option::is_some)
                && let Some(input) = input.get_untracked()
            {
                // Focusing fails only for an element that is not in the page.
                drop(input.focus());
            }
        });
    }

    let error_id = [&id, "-error"].concat();
    let hint_id = [&id, "-hint"].concat();
    let described_by = {
        let (error_id, hint_id) = (error_id.clone(), hint_id.clone());
        move || match (fault.with(Option::is_some), hint.is_some()) {
            (true, true) => Some([&error_id, " ", &hint_id].concat()),
            (true, false) => Some(error_id.clone()),
            (false, true) => Some(hint_id.clone()),
            (false, false) => None,
        }
    };
    let message = move || {
        fault.with(|fault| {
            fault
                .as_ref()
                .map(|fault| text.fault(fault))
                .unwrap_or_default()
        })
    };
    view! {
        <div class="field" class:invalid=flag(move || fault.with(Option::is_some))>
            <label for=id.clone()>{text.say(label)}</label>
            <input
                id=id.clone()
                name=id
                type=kind
                inputmode=inputmode
                autocomplete=autocomplete
                spellcheck="false"
                value=value.get_untracked()
                required=required
                readonly=flag(move || readonly.get())
                aria-invalid=move || fault.with(Option::is_some).then_some("true")
                aria-describedby=described_by
                node_ref=input
                on:input=move |event| value.set(event_target_value(&event))
            />
            <p class="error" id=error_id hidden=flag(move || fault.with(Option::is_none))>
                {words(message)}
            </p>
            {hint
                .map(|hint| {
                    view! {
                        <p class="hint" id=hint_id>
                            {text.say(hint)}
                        </p>
                    }.lean()
                })}
        </div>
    }
    .lean()
}

/// Keeps an input and a signal together; while hydrating, what is in the input wins.
fn follow(input: NodeRef<html::Input>, value: RwSignal<String>, is_hydrating: bool) {
    Effect::new(move |was_seen: Option<bool>| {
        let Some(input) = input.get() else {
            return false;
        };
        let wanted = value.get();
        let shown = input.value();
        if shown != wanted {
            if is_hydrating && was_seen != Some(true) {
                value.set(shown);
            } else {
                input.set_value(&wanted);
            }
        }
        true
    });
}

/// The fault of one field, out of what the browser or the server found wrong with the form.
pub fn fault_of(
    error: impl Fn() -> Option<AppError> + Send + Sync + 'static,
    field: impl Into<String>,
) -> Signal<Option<FieldFault>> {
    let field = field.into();
    Signal::derive(move || match error()? {
        AppError::Refused(Problem::InvalidField { field: at, fault }) if at == field => Some(fault),
        _ => None,
    })
}

/// What is wrong with the form, where no field is to blame.
#[component]
pub fn FormError(
    #[prop(into)] error: Signal<Option<AppError>>,
    /// The fields that show their own fault.
    fields: &'static [&'static str],
) -> impl IntoView {
    let text = use_text();
    let message = move || {
        let error = error.get()?;
        let is_shown_at_field = error
            .problem()
            .and_then(Problem::field_name)
            .is_some_and(|field| fields.contains(&field));
        (!is_shown_at_field).then(|| error.message(text.locale()))
    };
    view! {
        <div role="alert" class="alert">
            {part(move || match message() {
                Some(message) => view! { <p class="form-error">{message}</p> }.lean(),
                None => ().lean(),
            })}
        </div>
    }
    .lean()
}
