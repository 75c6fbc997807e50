//! Charging what was chosen: the model, the cost, and what became of each message.

use leptos::html;
use leptos::prelude::*;
use shared::api::{Outcome, ReviewedMessage, WebhookAnswer};
use shared::money::Points;
use shared::problem::{FieldFault, Problem};

use super::choice::Choice;
use crate::address::user_address;
use crate::api::completeness::{ReviewCost, UserCost, charge_missing, cost_of_missing};
use crate::api::query::QueryResource;
use crate::browser;
use crate::components::amount::{count_text, points_text};
use crate::components::badge::{Badge, Tone, outcome_label, outcome_tone};
use crate::components::command::Command;
use crate::components::erased::{Erase, flag, part, phrase, press, submit_with, words};
use crate::components::field::{FormError, fault_of};
use crate::components::notice::use_notices;
use crate::components::reason::reason_label;
use crate::components::table::{
    Head::{Numbers, Words},
    listing, table,
};
use crate::text::{Texts, fill, use_text};

/// A cost that was computed, and what for.
#[derive(Clone)]
struct Preview {
    model_name: String,
    messages: Vec<String>,
    cost: ReviewCost,
}

/// What became of a review.
#[derive(Clone)]
pub struct Reviewed {
    source: String,
    /// With their users.
    messages: Vec<(ReviewedMessage, String)>,
    /// How many more were chosen, and were missing no longer.
    arrived: usize,
}

#[component]
pub fn Review(
    source: String,
    choices: Vec<Choice>,
    model_name: Option<String>,
    models: Vec<String>,
    found: QueryResource,
    reviewed: RwSignal<Option<Reviewed>>,
) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let notices = use_notices();
    let choices = StoredValue::new(choices);
    let picked = move || {
        choices.with_value(|choices| {
            let picked = choices.iter().filter(|choice| choice.is_picked.get());
            picked
                .map(|choice| choice.message.message_id.clone())
                .collect::<Vec<_>>()
        })
    };
    let model = RwSignal::new(model_name.clone().unwrap_or_default());
    let preview = RwSignal::new(None::<Preview>);
    // What is confirmed is what was shown.
    Effect::new(move |_| {
        picked();
        model.track();
        preview.set(None);
    });
    let compute = Command::new();
    let error = move || compute.error();
    let submit = {
        let source = source.clone();
        move |event: leptos::ev::SubmitEvent| {
            event.prevent_default();
            preview.set(None);
            let (source, messages) = (source.clone(), untrack(picked));
            let model_name = model.get_untracked();
            if model_name.is_empty() {
                compute.refuse(Problem::field("modelName", FieldFault::Missing));
                return;
            }
            compute.run(async move {
                let cost = cost_of_missing(source, model_name.clone(), messages.clone()).await?;
                // Another choice may have been made in the meantime.
                if model_name == model.get_untracked() && messages == untrack(picked) {
                    preview.set(Some(Preview {
                        model_name,
                        messages,
                        cost,
                    }));
                }
                Ok(())
            });
        }
    };
    let charge = Command::new();
    let on_charge = Callback::new(move |()| {
        let Some(Preview {
            model_name,
            messages,
            ..
        }) = preview.get_untracked()
        else {
            return;
        };
        let source = source.clone();
        charge.run(async move {
            let chosen = messages.len();
            let charged = charge_missing(source.clone(), model_name, messages).await?;
            let outcome =
                choices.with_value(|choices| Reviewed::new(source, charged, chosen, choices));
            notices.tell(outcome.told(text.now()));
            reviewed.set(Some(outcome));
            found.refetch();
            Ok(())
        });
    });
    let panel = part(move || match preview.get() {
        Some(preview) => view! { <Cost preview charge on_charge /> }.erased(),
        None => ().erased(),
    });
    let count = move || u64::try_from(picked().len()).unwrap_or(u64::MAX);
    view! {
        <form class="card stack" novalidate on:submit=submit_with(submit)>
            <div class="inline">
                <Model model own=model_name models compute />
                <button
                    type="submit"
                    class="button primary"
                    disabled=flag(move || compute.is_pending() || count() == 0 || !hydrated.get())
                >
                    {words(move || {
                        let texts = text.get();
                        if compute.is_pending() {
                            texts.rerate.previewing.to_owned()
                        } else {
                            fill(texts.completeness.cost, &[&count_text(count())])
                        }
                    })}
                </button>
            </div>
            <FormError error=Signal::derive(error) fields=&["modelName"] />
        </form>
        {panel}
        <FormError error=Signal::derive(move || charge.error()) fields=&[] />
    }
    .erased()
}

/// Which model is charged: the source's own, or one that has a price.
#[component]
fn Model(
    model: RwSignal<String>,
    own: Option<String>,
    models: Vec<String>,
    compute: Command,
) -> impl IntoView {
    let text = use_text();
    let select = NodeRef::<html::Select>::new();
    let fault = fault_of(move || compute.error(), "modelName");
    let is_wrong = move || fault.with(Option::is_some);
    Effect::new(move |_| {
        if is_wrong()
            && let Some(select) = select.get_untracked()
        {
            // Focusing fails only for an element that is not in the page.
            drop(select.focus());
        }
    });
    let message = move || {
        fault.with(|fault| {
            let said = fault.as_ref().map(|fault| text.fault(fault));
            said.unwrap_or_default()
        })
    };
    let nothing = own
        .is_none()
        .then(|| view! { <option value="">"–"</option> }.erased());
    let key = own.as_ref().map(|own| own.to_lowercase());
    let others = models
        .into_iter()
        .filter(|model| key.as_ref() != Some(&model.to_lowercase()));
    let options: Vec<_> = own
        .into_iter()
        .chain(others)
        .map(|model| view! { <option value=model>{model.clone()}</option> }.erased())
        .collect();
    view! {
        <div class="field" class:invalid=flag(is_wrong)>
            <label for="modelName">{text.say(|t| t.common.model)}</label>
            <select
                id="modelName"
                aria-invalid=move || is_wrong().then_some("true")
                aria-describedby="modelName-error modelName-hint"
                node_ref=select
                on:change=move |event| model.set(event_target_value(&event))
            >
                {nothing}
                {options}
            </select>
            <p class="error" id="modelName-error" hidden=flag(move || !is_wrong())>
                {words(message)}
            </p>
            <p class="hint" id="modelName-hint">
                {text.say(|t| t.completeness.model_hint)}
            </p>
        </div>
    }
    .erased()
}

/// Who would pay what, and the button that makes it so.
#[component]
fn Cost(preview: Preview, charge: Command, on_charge: Callback<()>) -> impl IntoView {
    let text = use_text();
    let Preview {
        model_name, cost, ..
    } = preview;
    let ReviewCost { users, unpriced } = cost;
    let messages: u64 = users.iter().map(|user| user.messages).sum();
    let points = Points::sum(users.iter().map(|user| user.points));
    let waiting = (unpriced != 0).then(|| {
        let count = count_text(unpriced);
        let said = move || fill(text.get().completeness.unpriced, &[&count, &model_name]);
        view! { <p>{words(said)}</p> }.erased()
    });
    let row = |user: UserCost| {
        let name = String::from(user.user_id);
        view! {
            <tr>
                <th scope="row" class="name">
                    {name}
                </th>
                <td class="num">{count_text(user.messages)}</td>
                <td class="num">{points_text(user.points)}</td>
            </tr>
        }
        .erased()
    };
    let rows = users.into_iter().map(row).collect_view();
    let costs = (messages != 0).then(|| {
        let body = view! {
            <tbody>{rows}</tbody>
            <tfoot>
                <tr>
                    <th scope="row">{text.say(|t| t.common.total)}</th>
                    <td class="num">{count_text(messages)}</td>
                    <td class="num">
                        <strong>{points.map(points_text).unwrap_or_default()}</strong>
                    </td>
                </tr>
            </tfoot>
        }
        .erased();
        view! {
            <div class="scroll tall" tabindex="0">
                {table(
                    "quote",
                    |t| t.completeness.would_cost,
                    &[
                        Words(|t| t.common.user),
                        Numbers(|t| t.rerate.messages),
                        Numbers(|t| t.common.points),
                    ],
                    body,
                )}
            </div>
        }
        .erased()
    });
    view! {
        <section class="card stack" role="status" aria-labelledby="cost-title">
            <h2 id="cost-title">{text.say(|t| t.completeness.would_cost)}</h2>
            {costs}
            {waiting}
            <p class="quiet">{text.say(|t| t.completeness.charge_hint)}</p>
            <div class="actions">
                <button
                    type="button"
                    class="button danger"
                    disabled=flag(move || charge.is_pending())
                    on:click=press(move |_| on_charge.run(()))
                >
                    {phrase(move || {
                        let texts = text.get();
                        if charge.is_pending() {
                            texts.quarantine.charging
                        } else {
                            texts.quarantine.charge
                        }
                    })}
                </button>
            </div>
        </section>
    }
    .erased()
}

impl Reviewed {
    fn new(
        source: String,
        charged: Vec<ReviewedMessage>,
        chosen: usize,
        choices: &[Choice],
    ) -> Self {
        let arrived = chosen.saturating_sub(charged.len());
        let with_user = |message: ReviewedMessage| {
            let mut choices = choices.iter().map(|choice| &choice.message);
            let choice = choices.find(|choice| choice.message_id == message.message_id);
            let user = choice.map(|choice| String::from(choice.user_id.clone()));
            (message, user.unwrap_or_default())
        };
        Self {
            source,
            messages: charged.into_iter().map(with_user).collect(),
            arrived,
        }
    }

    /// How many were charged, and for how much.
    fn told(&self, texts: &Texts) -> String {
        let answers = self
            .messages
            .iter()
            .filter_map(|(it, _)| it.answer.as_ref());
        let charged: Vec<Points> = answers
            .filter(|answer| answer.status == Outcome::Charged)
            .map(|answer| answer.points_deducted)
            .collect();
        let count = |count: usize| count_text(u64::try_from(count).unwrap_or(u64::MAX));
        let all = self.messages.len().saturating_add(self.arrived);
        let points = Points::sum(charged.iter().copied());
        fill(
            texts.completeness.notice_charged,
            &[
                &count(charged.len()),
                &count(all),
                &points.map(points_text).unwrap_or_default(),
            ],
        )
    }
}

/// What became of each message, below what is missing still.
pub fn reviewed_part(source: String, reviewed: RwSignal<Option<Reviewed>>) -> AnyView {
    part(move || match reviewed.get() {
        Some(reviewed) if reviewed.source == source => view! { <Results reviewed /> }.erased(),
        _ => ().erased(),
    })
    .erased()
}

#[component]
fn Results(reviewed: Reviewed) -> impl IntoView {
    let text = use_text();
    let told = {
        let reviewed = reviewed.clone();
        words(move || reviewed.told(text.get()))
    };
    let rows = reviewed.messages.into_iter().map(result).collect_view();
    view! {
        <section class="history" aria-labelledby="results-title">
            <h2 id="results-title">{text.say(|t| t.monitor.outcome)}</h2>
            <p class="prose">
                {told} " " {text.say(|t| t.completeness.counted_later)}
            </p>
            <div class="card flush">
                {listing(
                    |t| t.monitor.outcome,
                    &[
                        Words(|t| t.receipt.message),
                        Words(|t| t.common.user),
                        Words(|t| t.monitor.outcome),
                        Numbers(|t| t.common.points),
                        Numbers(|t| t.history.balance_after),
                    ],
                    rows,
                )}
            </div>
        </section>
    }
    .erased()
}

fn result((reviewed, user): (ReviewedMessage, String)) -> AnyView {
    let text = use_text();
    let href = user_address(&user);
    let became = match (&reviewed.answer, reviewed.problem.as_deref()) {
        (Some(answer), _) => answered(answer),
        (None, Some("message_conflict")) => view! {
            <Badge tone=Tone::Bad label=|t| t.outcome.conflict />
            " "
            {text.say(|t| t.reason.message_conflict)}
        }
        .erased(),
        (None, problem) => {
            let problem = problem.unwrap_or_default().to_owned();
            view! {
                <Badge tone=Tone::Bad label=|t| t.rerate.failed />
                " "
                <code>{problem}</code>
            }
            .erased()
        }
    };
    let nothing = || "–".to_owned();
    let (taken, balance) = match &reviewed.answer {
        Some(answer) if answer.status == Outcome::Charged => (
            points_text(answer.points_deducted),
            points_text(answer.balance),
        ),
        Some(answer) => (nothing(), points_text(answer.balance)),
        None => (nothing(), nothing()),
    };
    view! {
        <tr>
            <th scope="row" class="name" data-label=text.say(|t| t.receipt.message)>
                <code>{reviewed.message_id}</code>
            </th>
            <td class="name" data-label=text.say(|t| t.common.user)>
                <a href=href>{user}</a>
            </td>
            <td data-label=text.say(|t| t.monitor.outcome)>{became}</td>
            <td class="num" data-label=text.say(|t| t.common.points)>
                {taken}
            </td>
            <td class="num" data-label=text.say(|t| t.history.balance_after)>
                {balance}
            </td>
        </tr>
    }
    .erased()
}

fn answered(answer: &WebhookAnswer) -> AnyView {
    let text = use_text();
    let badge = view! {
        <Badge tone=outcome_tone(answer.status) label=outcome_label(answer.status) />
    };
    match answer.reason {
        Some(reason) => view! {
            {badge}
            " "
            <a href="/admin/quarantine">{text.say(reason_label(reason))}</a>
        }
        .erased(),
        None => badge.erased(),
    }
}
