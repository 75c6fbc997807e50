//! One message that waits: what is wrong with it, and what can be done.

use std::sync::Arc;

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use shared::api::{Outcome, QuarantineDetail, QuarantineReason, QuarantineStatus, WebhookAnswer};
use shared::dify::{MessageUsage, ModelCall};
use shared::money::Points;
use shared::tokens::Category;

use crate::address::{price_address, user_address};
use crate::api::correction::{CallDraft, Correction, call_field, tokens_field};
use crate::api::fields::refuse_no_reason;
use crate::api::quarantine::{WaitingMessage, charge_waiting, dismiss_waiting};
use crate::browser;
use crate::components::amount::{count_text, points_text};
use crate::components::badge::{Badge, Tone};
use crate::components::command::Command;
use crate::components::confirm::ConfirmButton;
use crate::components::erased::{Erase, flag, part, phrase, press, submit_with, words};
use crate::components::field::{Field, FormError, fault_of};
use crate::components::moment::Moment;
use crate::components::notice::{Notices, use_notices};
use crate::components::reason::reason_label;
use crate::components::receipt::category_label;
use crate::components::waiting_count::{WaitingCount, use_waiting_count};
use crate::error::AppError;
use crate::text::{Say, Text, fill, use_text};

#[component]
pub fn Message(waiting: WaitingMessage) -> impl IntoView {
    let text = use_text();
    let WaitingMessage {
        detail,
        cost,
        unpriced,
    } = waiting;
    let is_waiting = detail.status == QuarantineStatus::Waiting;
    let is_unpriced = detail.item.reason == QuarantineReason::UnknownModel;
    let prices = (is_waiting && is_unpriced && !unpriced.is_empty()).then(|| {
        let link = |model: &shared::ids::ModelName| {
            let name = model.as_str().to_owned();
            let href = price_address(&name);
            view! {
                <a class="button primary" href=href>
                    {words(move || fill(text.get().quarantine.set_price, &[&name]))}
                </a>
            }
            .erased()
        };
        view! { <div class="actions">{unpriced.iter().map(link).collect_view()}</div> }.erased()
    });
    let wrong = {
        let detail = detail.clone();
        let model = unpriced
            .first()
            .or_else(|| detail.item.model_names.first())
            .map(|model| model.as_str().to_owned())
            .unwrap_or_default();
        words(move || explanation(text, &detail, &model))
    };
    let actions = is_waiting.then(|| {
        let id = detail.item.id.clone();
        let user = detail
            .item
            .user_id
            .clone()
            .map(String::from)
            .unwrap_or_default();
        let charge = cost.map(|cost| view! { <Charge id=id.clone() user cost /> }.erased());
        let usage = detail.usage.clone();
        // What only a person can put right is offered at once.
        let is_open = cost.is_none() && unpriced.is_empty()
            || detail.item.reason == QuarantineReason::ZeroUsage;
        let correct = view! { <Correct id=id.clone() usage is_open /> }.erased();
        let others = view! { <div class="columns top">{charge} <Dismiss id /></div> }.erased();
        if is_open {
            [correct, others]
        } else {
            [others, correct]
        }
    });
    let body = detail.item.body.clone();
    let not_text = detail
        .body_base64
        .is_some()
        .then(|| view! { <p class="quiet">{text.say(|t| t.quarantine.not_text)}</p> }.erased());
    view! {
        <p class="crumb">
            <a href="/admin/quarantine">{text.say(|t| t.quarantine.back)}</a>
        </p>
        <div class="page-head">
            <h1>
                {phrase(move || {
                    let words = &text.get().quarantine;
                    if is_waiting { words.one_title } else { words.one_done }
                })}
            </h1>
            <Status status=detail.status />
        </div>
        <section class="card" aria-labelledby="wrong-title">
            <h2 id="wrong-title">{text.say(reason_label(detail.item.reason))}</h2>
            <p class="prose">{wrong}</p>
            {prices}
            {resolution(&detail)}
        </section>
        {actions}
        <section class="card" aria-labelledby="facts-title">
            <h2 id="facts-title">{text.say(|t| t.quarantine.facts)}</h2>
            <Facts detail />
        </section>
        <section class="card" aria-labelledby="body-title">
            <h2 id="body-title">{text.say(|t| t.quarantine.body)}</h2>
            {not_text}
            <pre class="body" tabindex="0" aria-labelledby="body-title">
                <code>{body}</code>
            </pre>
        </section>
    }
    .erased()
}

/// What is wrong, in words, and what to do about it.
fn explanation(text: Text, detail: &QuarantineDetail, model: &str) -> String {
    let words = &text.get().quarantine;
    let counted = count_text(detail.item.tokens);
    match detail.item.reason {
        QuarantineReason::UnknownModel => fill(words.unknown_model, &[model]),
        QuarantineReason::InactivePrice => fill(words.inactive_price, &[model]),
        QuarantineReason::ContradictoryTokens => {
            let total = detail.usage.as_ref().and_then(|usage| usage.reported_total);
            let total = total.map(count_text).unwrap_or_default();
            fill(words.contradictory_tokens, &[&total, &counted])
        }
        QuarantineReason::ZeroUsage => words.zero_usage.to_owned(),
        QuarantineReason::TooManyTokens => fill(words.too_many_tokens, &[&counted]),
        QuarantineReason::Overflow => words.overflow.to_owned(),
        QuarantineReason::Unreadable => words.unreadable.to_owned(),
        QuarantineReason::IncompleteTrace => words.incomplete_trace.to_owned(),
    }
}

#[component]
fn Status(status: QuarantineStatus) -> impl IntoView {
    match status {
        QuarantineStatus::Waiting => {
            view! { <Badge tone=Tone::Waiting label=|t| t.quarantine.waiting /> }.erased()
        }
        QuarantineStatus::Charged => {
            view! { <Badge tone=Tone::Good label=|t| t.quarantine.charged /> }.erased()
        }
        QuarantineStatus::Dismissed => {
            view! { <Badge tone=Tone::Quiet label=|t| t.quarantine.dismissed /> }.erased()
        }
    }
}

/// What became of it, when it waits no longer.
fn resolution(detail: &QuarantineDetail) -> Option<AnyView> {
    let text = use_text();
    let at = detail.resolved_at?;
    let who = detail.resolved_by.clone().unwrap_or_default();
    let why = detail.resolution.clone().unwrap_or_default();
    let is_dismissed = detail.status == QuarantineStatus::Dismissed;
    let said = words(move || {
        let words = &text.get().quarantine;
        if is_dismissed {
            fill(words.done_dismissed, &[&who, &why])
        } else {
            words.done_charged.to_owned()
        }
    });
    Some(
        view! {
            <p class="verdict">
                {said} " " <Moment at />
            </p>
        }
        .erased(),
    )
}

#[component]
fn Facts(detail: QuarantineDetail) -> impl IntoView {
    let text = use_text();
    let fact = |label: Say, value: AnyView| {
        view! {
            <dt>{text.say(label)}</dt>
            <dd>{value}</dd>
        }
        .erased()
    };
    let mut facts = vec![
        fact(
            |t| t.quarantine.received,
            view! { <Moment at=detail.item.received_at /> }.erased(),
        ),
        fact(|t| t.monitor.source, detail.item.source.erased()),
    ];
    let mut calls = None;
    if let Some(usage) = detail.usage {
        let MessageUsage {
            message_id,
            user_id,
            conversation_id,
            reported_total,
            ..
        } = usage;
        let user = String::from(user_id);
        let href = user_address(&user);
        facts.push(fact(
            |t| t.common.user,
            view! { <a href=href>{user}</a> }.erased(),
        ));
        facts.push(fact(
            |t| t.receipt.message,
            view! { <code>{message_id}</code> }.erased(),
        ));
        if let Some(conversation) = conversation_id {
            let conversation = view! { <code>{conversation}</code> }.erased();
            facts.push(fact(|t| t.receipt.conversation, conversation));
        }
        if let Some(total) = reported_total {
            facts.push(fact(|t| t.common.total, count_text(total).erased()));
        }
        calls = Some(view! { <Calls calls=usage.calls /> }.erased());
    }
    view! {
        <dl class="facts">{facts}</dl>
        {calls}
    }
    .erased()
}

/// The reported tokens, only in the categories that any call has.
#[component]
fn Calls(calls: Vec<ModelCall>) -> impl IntoView {
    let text = use_text();
    let used: Vec<Category> = Category::ALL
        .into_iter()
        .filter(|category| {
            matches!(category, Category::Input | Category::Output)
                || calls.iter().any(|call| call.tokens.of(*category) > 0)
        })
        .collect();
    let heads = used
        .iter()
        .map(|category| {
            view! {
                <th scope="col" class="num">
                    {text.say(category_label(*category))}
                </th>
            }
            .erased()
        })
        .collect_view();
    let rows = calls
        .into_iter()
        .map(|call| {
            let counts = used
                .iter()
                .map(|category| {
                    view! { <td class="num">{count_text(call.tokens.of(*category))}</td> }.erased()
                })
                .collect_view();
            view! {
                <tr>
                    <th scope="row" class="name">
                        {String::from(call.model_name)}
                    </th>
                    {counts}
                </tr>
            }
            .erased()
        })
        .collect_view();
    view! {
        <div class="scroll" tabindex="0">
            <table class="quote">
                <caption class="visually-hidden">{text.say(|t| t.quarantine.facts)}</caption>
                <thead>
                    <tr>
                        <th scope="col">{text.say(|t| t.common.model)}</th>
                        {heads}
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .erased()
}

type Navigate = Arc<dyn Fn(&str, NavigateOptions) + Send + Sync>;

/// What happens after a message was dealt with: it is told, and the list is shown again.
#[derive(Clone)]
struct Done {
    text: Text,
    notices: Notices,
    waiting: WaitingCount,
    /// Why a charge did not come about although the ledger took it.
    still_waits: RwSignal<Option<QuarantineReason>>,
    navigate: Navigate,
}

fn use_done() -> Done {
    Done {
        text: use_text(),
        notices: use_notices(),
        waiting: use_waiting_count(),
        still_waits: RwSignal::new(None),
        navigate: Arc::new(use_navigate()),
    }
}

impl Done {
    fn leave(&self, notice: String) {
        self.notices.tell(notice);
        self.waiting.look_again();
        (self.navigate)("/admin/quarantine", NavigateOptions::default());
    }

    fn charged(&self, user: &str, answer: &WebhookAnswer) {
        let words = &self.text.now().quarantine;
        match answer.status {
            Outcome::Charged => self.leave(fill(
                words.notice_charged,
                &[
                    user,
                    &points_text(answer.points_deducted),
                    &points_text(answer.balance),
                ],
            )),
            Outcome::Duplicate => self.leave(words.notice_duplicate.to_owned()),
            Outcome::Quarantined | Outcome::Conflict | Outcome::Rejected => {
                self.still_waits.set(answer.reason);
            }
        }
    }

    fn refusal(&self) -> AnyView {
        let (text, still_waits) = (self.text, self.still_waits);
        view! {
            <div role="alert" class="alert">
                {part(move || match still_waits.get() {
                    Some(reason) => {
                        let said = words(move || {
                            let texts = text.get();
                            fill(texts.quarantine.still_waits, &[reason_label(reason)(texts)])
                        });
                        view! { <p class="form-error">{said}</p> }.erased()
                    }
                    None => ().erased(),
                })}
            </div>
        }
        .erased()
    }
}

/// Charges the message as it was reported.
#[component]
fn Charge(id: String, user: String, cost: Points) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let done = use_done();
    let refusal = done.refusal();
    let charge = Command::new();
    let cost = points_text(cost);
    let on_charge = move |_| {
        let (id, user, done) = (id.clone(), user.clone(), done.clone());
        charge.run(async move {
            let answer = charge_waiting(id, None).await?;
            done.charged(&user, &answer);
            Ok(())
        });
    };
    view! {
        <section class="card stack" aria-labelledby="charge-title">
            <h2 id="charge-title">{text.say(|t| t.quarantine.charge)}</h2>
            <p>{words(move || fill(text.get().quarantine.charge_hint, &[&cost]))}</p>
            <FormError error=Signal::derive(move || charge.error()) fields=&[] />
            {refusal}
            <div class="actions">
                <button
                    type="button"
                    class="button primary"
                    disabled=flag(move || charge.is_pending() || !hydrated.get())
                    on:click=press(on_charge)
                >
                    {phrase(move || {
                        let words = &text.get().quarantine;
                        if charge.is_pending() { words.charging } else { words.charge_reported }
                    })}
                </button>
            </div>
        </section>
    }
    .erased()
}

/// Gives the message up.
#[component]
fn Dismiss(id: String) -> impl IntoView {
    let text = use_text();
    let done = use_done();
    let reason = RwSignal::new(String::new());
    let dismiss = Command::new();
    let error = move || dismiss.error();
    let on_confirm = Callback::new(move |()| {
        let typed = reason.get_untracked();
        if let Err(problem) = refuse_no_reason(&typed) {
            dismiss.refuse(problem);
            return;
        }
        let (id, done) = (id.clone(), done.clone());
        dismiss.run(async move {
            dismiss_waiting(id, typed).await?;
            done.leave(done.text.now().quarantine.notice_dismissed.to_owned());
            Ok(())
        });
    });
    view! {
        <section class="card stack" aria-labelledby="dismiss-title">
            <h2 id="dismiss-title">{text.say(|t| t.quarantine.dismiss)}</h2>
            <p class="quiet">{text.say(|t| t.quarantine.dismiss_hint)}</p>
            <Field
                id="dismissReason"
                label=|t| t.quarantine.dismiss_reason
                value=reason
                fault=fault_of(error, "reason")
                takes_focus=true
                required=true
            />
            <FormError error=Signal::derive(error) fields=&["reason"] />
            <ConfirmButton
                label=|t| t.quarantine.dismiss
                consequence=|t| t.quarantine.dismiss_consequence
                confirm=|t| t.quarantine.dismiss_confirm
                busy=Signal::derive(move || dismiss.is_pending())
                on_confirm
            />
        </section>
    }
    .erased()
}

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

/// Puts the numbers right and charges.
#[component]
fn Correct(id: String, usage: Option<MessageUsage>, is_open: bool) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let done = use_done();
    let refusal = done.refusal();
    let draft = Correction::of(usage.as_ref());
    let is_read = usage.is_some();
    let message_id = RwSignal::new(draft.message_id);
    let user_id = RwSignal::new(draft.user_id);
    let calls: Vec<CallFields> = draft.calls.into_iter().map(CallFields::new).collect();
    let charge = Command::new();
    let error = move || charge.error();
    let fields = {
        let calls = calls.clone();
        let is_one = calls.len() == 1;
        let fields =
            move |(number, fields)| view! { <Call number fields is_one charge /> }.erased();
        calls.into_iter().enumerate().map(fields).collect_view()
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
    let identity = (!is_read).then(|| {
        view! {
            <Field
                id="messageId"
                label=|t| t.receipt.message
                value=message_id
                fault=fault_of(error, "messageId")
                takes_focus=true
                required=true
            />
        }
        .erased()
    });
    view! {
        <details class="card more" open=is_open>
            <summary>{text.say(|t| t.quarantine.correct)}</summary>
            <p class="quiet">{text.say(|t| t.quarantine.correct_hint)}</p>
            <form class="stack" novalidate on:submit=submit_with(submit)>
                <div class="columns">
                    {identity}
                    <Field
                        id="userId"
                        label=|t| t.common.user
                        value=user_id
                        fault=fault_of(error, "userId")
                        takes_focus=true
                        required=true
                    />
                </div>
                {fields}
                <FormError error=Signal::derive(move || error().filter(is_nowhere)) fields=&[] />
                {refusal}
                <div class="actions">
                    <button
                        type="submit"
                        class="button primary"
                        disabled=flag(move || charge.is_pending() || !hydrated.get())
                    >
                        {phrase(move || {
                            let words = &text.get().quarantine;
                            if charge.is_pending() { words.charging } else { words.correct }
                        })}
                    </button>
                </div>
            </form>
        </details>
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
