//! Charging what was chosen: the model, the cost, and the button that makes it so.

use leptos::prelude::*;
use shared::problem::{FieldFault, Problem};

use super::choice::MissingChoice;
use super::cost::{Cost, ReviewResult};
use super::results::Reviewed;
use crate::api::completeness::{charge_missing, cost_of_missing};
use crate::api::query::QueryResource;
use crate::browser;
use crate::components::amount::count_text;
use crate::components::command::Command;
use crate::components::erased::{Erase, flag, part, submit_with, words};
use crate::components::field::{FormError, Select, choice, fault_of};
use crate::components::notice::use_notices;
use crate::text::{fill, use_text};

#[component]
pub fn Review(
    source: String,
    choices: Vec<MissingChoice>,
    model_name: Option<String>,
    models: Vec<String>,
    found: QueryResource,
    reviewed: RwSignal<Option<Reviewed>>,
) -> impl IntoView {
    let text = use_text();
    let notices = use_notices();
    let choices = StoredValue::new(choices);
    let picked = Signal::derive(move || {
        choices.with_value(|choices| {
            let picked = choices.iter().filter(|choice| choice.is_picked.get());
            picked
                .map(|choice| choice.message.message_id.clone())
                .collect::<Vec<_>>()
        })
    });
    let model = RwSignal::new(model_name.clone().unwrap_or_default());
    let preview = RwSignal::new(None::<ReviewResult>);
    // What is confirmed is what was shown.
    Effect::new(move |_| {
        picked.track();
        model.track();
        preview.set(None);
    });
    let charge = Command::new();
    let form = view! { <Form source=source.clone() own=model_name models model picked preview /> };
    let on_charge = Callback::new(move |()| {
        let Some(ReviewResult {
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
            notices.tell(outcome.sentence(text.now()));
            reviewed.set(Some(outcome));
            found.refetch();
            Ok(())
        });
    });
    let panel = part(move || match preview.get() {
        Some(preview) => view! { <Cost preview charge on_charge /> }.erased(),
        None => ().erased(),
    });
    view! {
        {form}
        {panel}
        <FormError error=Signal::derive(move || charge.error()) fields=&[] />
    }
    .erased()
}

/// Which model is charged, and the button that computes the cost.
#[component]
fn Form(
    source: String,
    /// The source's own model.
    own: Option<String>,
    models: Vec<String>,
    model: RwSignal<String>,
    picked: Signal<Vec<String>>,
    preview: RwSignal<Option<ReviewResult>>,
) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let compute = Command::new();
    let error = move || compute.error();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        preview.set(None);
        let (source, messages) = (source.clone(), picked.get_untracked());
        let model_name = model.get_untracked();
        if model_name.is_empty() {
            compute.refuse(Problem::field("modelName", FieldFault::Missing));
            return;
        }
        compute.run(async move {
            let cost = cost_of_missing(source, model_name.clone(), messages.clone()).await?;
            // Another choice may have been made in the meantime.
            if model_name == model.get_untracked() && messages == picked.get_untracked() {
                preview.set(Some(ReviewResult {
                    model_name,
                    messages,
                    cost,
                }));
            }
            Ok(())
        });
    };
    let count = move || u64::try_from(picked.with(Vec::len)).unwrap_or(u64::MAX);
    view! {
        <form class="card stack" novalidate on:submit=submit_with(submit)>
            <div class="inline">
                <Select
                    id="modelName"
                    label=|t| t.common.model
                    hint=|t| t.completeness.model_hint
                    value=model
                    options=model_options(own, models)
                    fault=fault_of(error, "modelName")
                />
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
    }
    .erased()
}

/// The source's own model, and whatever else has a price.
fn model_options(own: Option<String>, models: Vec<String>) -> AnyView {
    let nothing = own
        .is_none()
        .then(|| choice(String::new(), || "–".to_owned(), true));
    let key = own.as_ref().map(|own| own.to_lowercase());
    let others = models
        .into_iter()
        .filter(|model| key.as_ref() != Some(&model.to_lowercase()));
    let named = own.into_iter().chain(others).map(|model| {
        let name = model.clone();
        choice(model, move || name.clone(), false)
    });
    nothing.into_iter().chain(named).collect_view().erased()
}
