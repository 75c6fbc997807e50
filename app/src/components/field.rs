//! A labelled input with its hint and its error.

use leptos::prelude::*;
use leptos::{ev, html};
use shared::problem::{FieldFault, Problem};

use super::erased::{Erase, flag, part, words};
use crate::browser::use_hydrated;
use crate::error::AppError;
use crate::text::{Say, use_text};

/// What is wrong with a field.
type FieldNotice = Signal<Option<FieldFault>>;

/// A text input. What was typed before hydration is kept: the signal takes it over, not the
/// other way round.
#[component]
pub fn Field(
    /// Unique in the page; also the name in a form that is sent without scripts.
    #[prop(into)]
    id: String,
    label: Say,
    value: RwSignal<String>,
    #[prop(optional)] hint: Option<Say>,
    /// What is wrong with it.
    #[prop(optional, into)]
    fault: FieldNotice,
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
    let input = NodeRef::<html::Input>::new();
    let shown = move || input.get().map(|input| input.value());
    let show = move |wanted: &str| {
        if let Some(input) = input.get_untracked() {
            input.set_value(wanted);
        }
    };
    follow(value, shown, show);
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
    let described_by = described_by(&id, fault, hint.is_some());
    let control = view! {
        <input
            id=id.clone()
            name=id.clone()
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
    };
    frame(
        Frame {
            id,
            label,
            fault,
            hint,
            is_narrow: false,
        },
        control.erased(),
    )
}

/// A choice of several. What was chosen before hydration is kept.
#[component]
pub fn Select(
    /// Unique in the page; also the name in a form that is sent without scripts.
    id: &'static str,
    label: Say,
    value: RwSignal<String>,
    /// Made by [`choice`].
    options: AnyView,
    #[prop(optional)] hint: Option<Say>,
    #[prop(optional, into)] fault: FieldNotice,
    #[prop(optional)] disabled: bool,
    /// Whether it takes no more room than it needs.
    #[prop(optional)]
    is_narrow: bool,
) -> impl IntoView {
    let select = NodeRef::<html::Select>::new();
    let shown = move || select.get().map(|select| select.value());
    let show = move |wanted: &str| {
        if let Some(select) = select.get_untracked() {
            select.set_value(wanted);
        }
    };
    follow(value, shown, show);
    Effect::new(move |_| {
        if fault.with(Option::is_some)
            && let Some(select) = select.get_untracked()
        {
            drop(select.focus());
        }
    });
    let described_by = described_by(id, fault, hint.is_some());
    let change = move |event: ev::Event| value.set(event_target_value(&event));
    let control = view! {
        <select
            id=id
            name=id
            disabled=disabled
            aria-invalid=move || fault.with(Option::is_some).then_some("true")
            aria-describedby=described_by
            node_ref=select
            on:change=change
        >
            {options}
        </select>
    };
    frame(
        Frame {
            id: id.to_owned(),
            label,
            fault,
            hint,
            is_narrow,
        },
        control.erased(),
    )
}

/// One of the options of a [`Select`].
pub fn choice(
    value: String,
    label: impl FnMut() -> String + Send + 'static,
    is_chosen: bool,
) -> AnyView {
    view! {
        <option value=value selected=is_chosen>
            {words(label)}
        </option>
    }
    .erased()
}

/// What stands around an input.
struct Frame {
    id: String,
    label: Say,
    fault: FieldNotice,
    hint: Option<Say>,
    is_narrow: bool,
}

fn frame(frame: Frame, control: AnyView) -> AnyView {
    let Frame {
        id,
        label,
        fault,
        hint,
        is_narrow,
    } = frame;
    let text = use_text();
    let message = move || {
        fault.with(|fault| {
            let sentence = fault.as_ref().map(|fault| text.fault(fault));
            sentence.unwrap_or_default()
        })
    };
    let hint = hint.map(|hint| {
        view! {
            <p class="hint" id=[&id, "-hint"].concat()>
                {text.say(hint)}
            </p>
        }
        .erased()
    });
    view! {
        <div class="field" class:narrow=is_narrow class:invalid=flag(move || fault.with(Option::is_some))>
            <label for=id.clone()>{text.say(label)}</label>
            {control}
            <p
                class="error"
                id=[&id, "-error"].concat()
                hidden=flag(move || fault.with(Option::is_none))
            >
                {words(message)}
            </p>
            {hint}
        </div>
    }
    .erased()
}

/// What explains an input to a screen reader: its error and its hint, where there are any.
fn described_by(
    id: &str,
    fault: FieldNotice,
    has_hint: bool,
) -> impl Fn() -> Option<String> + use<> {
    let error_id = [id, "-error"].concat();
    let hint_id = [id, "-hint"].concat();
    move || match (fault.with(Option::is_some), has_hint) {
        (true, true) => Some([&error_id, " ", &hint_id].concat()),
        (true, false) => Some(error_id.clone()),
        (false, true) => Some(hint_id.clone()),
        (false, false) => None,
    }
}

/// Keeps an input and a signal together; while hydrating, what is in the input wins. `shown` is
/// what is in the input, once it is in the page.
fn follow(
    value: RwSignal<String>,
    shown: impl Fn() -> Option<String> + 'static,
    show: impl Fn(&str) + 'static,
) {
    let is_hydrating = !use_hydrated().get_untracked();
    Effect::new(move |was_in_page: Option<bool>| {
        let Some(shown) = shown() else {
            return false;
        };
        let wanted = value.get();
        if shown != wanted {
            if is_hydrating && was_in_page != Some(true) {
                value.set(shown);
            } else {
                show(&wanted);
            }
        }
        true
    });
}

/// The fault of one field, out of what the browser or the server found wrong with the form.
pub fn fault_of(
    error: impl Fn() -> Option<AppError> + Send + Sync + 'static,
    field: impl Into<String>,
) -> FieldNotice {
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
                Some(message) => view! { <p class="form-error">{message}</p> }.erased(),
                None => ().erased(),
            })}
        </div>
    }
    .erased()
}
