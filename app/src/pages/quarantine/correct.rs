//! Putting the numbers of a message right and charging it.

use leptos::prelude::*;
use shared::tokens::Category;
use shared::usage::MessageUsage;

use super::done::use_done;
use crate::api::correction::{CallDraft, Correction, call_field, tokens_field};
use crate::api::quarantine::charge_waiting;
use crate::components::command::Command;
use crate::components::erased::{Erase, submit_with, words};
use crate::components::field::{Field, FormError, fault_of};
use crate::components::receipt::category_label;
use crate::components::submit::submit_button;
use crate::error::AppError;
use crate::text::{Say, fill, use_text};

/// One model call in the form.
#[derive(Clone, Copy)]
struct CallFields {
    model_name: RwSignal<String>,
    tokens: [RwSignal<String>; 5],
}

impl CallFields {
    fn new(draft: CallDraft) -> Self {
        Self {
            model_name: RwSignal::new(draft.model_name),
            tokens: draft.tokens.map(RwSignal::new),
        }
    }

    fn draft(self) -> CallDraft {
        CallDraft {
            model_name: self.model_name.get_untracked(),
            tokens: self.tokens.map(|typed| typed.get_untracked()),
        }
    }
}

#[component]
pub fn Correct(id: String, usage: Option<MessageUsage>, is_open: bool) -> impl IntoView {
    let text = use_text();
    let done = use_done();
    let refusal = done.refusal();
    let draft = Correction::of(usage.as_ref());
    let is_read = usage.is_some();
    let message_id = RwSignal::new(draft.message_id);
    let user_id = RwSignal::new(draft.user_id);
    let calls: Vec<CallFields> = draft.calls.into_iter().map(CallFields::new).collect();
    let charge = Command::new();
    let error = move || charge.error().filter(is_nowhere);
    let fields = {
        let is_one = calls.len() == 1;
        let fields =
            move |(number, fields)| view! { <Call number fields is_one charge /> }.erased();
        calls.iter().copied().enumerate().map(fields).collect_view()
    };
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let correction = Correction {
            message_id: message_id.get_untracked(),
            user_id: user_id.get_untracked(),
            calls: calls.iter().map(|call| call.draft()).collect(),
        };
        if let Err(problem) = correction.parse(usage.as_ref()) {
            charge.refuse(problem);
            return;
        }
        let (id, done) = (id.clone(), done.clone());
        charge.run(async move {
            let user = correction.user_id.clone();
            let answer = charge_waiting(id, Some(correction)).await?;
            done.charged(&user, &answer);
            Ok(())
        });
    };
    let label = move || text.get().quarantine.correct;
    view! {
        <details class="card more" open=is_open>
            <summary>{text.say(|t| t.quarantine.correct)}</summary>
            <p class="quiet">{text.say(|t| t.quarantine.correct_hint)}</p>
            <form class="stack" novalidate on:submit=submit_with(submit)>
                <Identity message_id=(!is_read).then_some(message_id) user_id charge />
                {fields}
                <FormError error=Signal::derive(error) fields=&[] />
                {refusal}
                <div class="actions">
                    {submit_button("button primary", charge, |t| t.quarantine.charging, label)}
                </div>
            </form>
        </details>
    }
    .erased()
}

/// HistoryOwner message it is, and which; a message that could be read keeps its id.
#[component]
fn Identity(
    message_id: Option<RwSignal<String>>,
    user_id: RwSignal<String>,
    charge: Command,
) -> impl IntoView {
    let field = move |id: &'static str, label: Say, value: RwSignal<String>| {
        let fault = fault_of(move || charge.error(), id);
        view! { <Field id label value fault takes_focus=true required=true /> }.erased()
    };
    view! {
        <div class="columns">
            {message_id.map(|message_id| field("messageId", |t| t.receipt.message, message_id))}
            {field("userId", |t| t.common.user, user_id)}
        </div>
    }
    .erased()
}

/// Whether no field of the form shows this: the form checks its fields before it is sent, so that
/// whatever else the server names is none of them.
fn is_nowhere(error: &AppError) -> bool {
    let field = error
        .problem()
        .and_then(shared::problem::Problem::field_name);
    field.is_none_or(|field| !(matches!(field, "messageId" | "userId") || field.contains('-')))
}

#[component]
fn Call(number: usize, fields: CallFields, is_one: bool, charge: Command) -> impl IntoView {
    let text = use_text();
    let fault = move |field: &str| fault_of(move || charge.error(), call_field(number, field));
    let count = (number + 1).to_string();
    let legend = (!is_one).then(|| {
        view! {
            <legend>{words(move || fill(text.get().quarantine.call, &[&count]))}</legend>
        }
        .erased()
    });
    let counts = Category::ALL
        .into_iter()
        .zip(fields.tokens)
        .map(|(category, value)| {
            let field = tokens_field(category);
            view! {
                <Field
                    id=call_field(number, field)
                    label=category_label(category)
                    value
                    fault=fault(field)
                    takes_focus=true
                    inputmode="numeric"
                />
            }
            .erased()
        })
        .collect_view();
    view! {
        <fieldset class="plain">
            {legend}
            <div class="columns tight">
                <Field
                    id=call_field(number, "modelName")
                    label=|t| t.common.model
                    value=fields.model_name
                    fault=fault("modelName")
                    takes_focus=true
                    required=true
                />
                {counts}
            </div>
        </fieldset>
    }
    .erased()
}
