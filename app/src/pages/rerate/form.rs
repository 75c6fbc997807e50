//! What to price again, the difference it would make, and the button that enters it.

use leptos::prelude::*;
use shared::money::Points;

use crate::address::user_address;
use crate::api::fields::refuse_no_reason;
use crate::api::query::QueryResource;
use crate::api::rerate::{
    ReratableModel, ReratableVersion, RerateDraft, UserDifference, preview_rerating, start_rerating,
};
use crate::browser;
use crate::components::amount::{count_text, grouped, signed_points_text};
use crate::components::command::Command;
use crate::components::confirm::ConfirmButton;
use crate::components::erased::{Erase, flag, part, phrase, submit_with, words};
use crate::components::field::{Field, FormError, fault_of};
use crate::components::moment::Moment;
use crate::components::notice::use_notices;
use crate::components::table::{
    Head::{Numbers, Words},
    table,
};
use crate::text::{fill, use_text};

/// A difference that was computed, and what for.
#[derive(Clone)]
struct Preview {
    draft: RerateDraft,
    model_name: String,
    version: String,
    differences: Vec<UserDifference>,
}

#[component]
pub fn Form(
    models: Vec<ReratableModel>,
    chosen: Option<String>,
    jobs: QueryResource,
) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    if models.is_empty() {
        return view! {
            <section class="card empty">
                <p>{text.say(|t| t.rerate.no_models)}</p>
                <p>
                    <a href="/admin/prices">{text.say(|t| t.nav.prices)}</a>
                </p>
            </section>
        }
        .erased();
    }
    let first = chosen
        .map(|name| name.to_lowercase())
        .and_then(|name| {
            let is_chosen = |model: &ReratableModel| model.model_name.to_lowercase() == name;
            models.iter().position(is_chosen)
        })
        .unwrap_or(0);
    let model = RwSignal::new(first);
    let version = RwSignal::new(
        models
            .get(first)
            .and_then(|model| model.versions.first())
            .map_or(0, |version| version.id),
    );
    let from = RwSignal::new(String::new());
    let to = RwSignal::new(String::new());
    let preview = RwSignal::new(None::<Preview>);
    let compute = Command::new();
    let error = move || compute.error();

    let model_options = models
        .iter()
        .enumerate()
        .map(|(number, model)| {
            let name = model.model_name.clone();
            view! {
                <option value=number.to_string() selected=number == first>
                    {name}
                </option>
            }
            .erased()
        })
        .collect_view();
    let models = StoredValue::new(models);
    let pick_model = move |event: leptos::ev::Event| {
        let number = event_target_value(&event).parse().unwrap_or(0);
        model.set(number);
        let newest = models.with_value(|models| {
            let versions = models.get(number).map(|model| &model.versions);
            versions
                .and_then(|versions| versions.first())
                .map_or(0, |version| version.id)
        });
        version.set(newest);
    };
    let versions = part(move || {
        let number = model.get();
        models.with_value(|models| {
            let versions = models.get(number).map(|model| model.versions.as_slice());
            let option = |version: &ReratableVersion| {
                let [id, number] = [version.id.to_string(), version.version.to_string()];
                let rates = [version.rates.input, version.rates.output];
                let [input, output] = rates.map(|rate| grouped(&rate.to_string()));
                let said = move || {
                    fill(
                        text.get().rerate.version_prices,
                        &[&number, &input, &output],
                    )
                };
                view! { <option value=id>{words(said)}</option> }.erased()
            };
            versions
                .unwrap_or_default()
                .iter()
                .map(option)
                .collect_view()
                .erased()
        })
    });
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let draft = RerateDraft {
            price_version_id: version.get_untracked(),
            from: browser::parse_local_time(&from.get_untracked()),
            to: browser::parse_local_time(&to.get_untracked()),
        };
        preview.set(None);
        if let Err(problem) = draft.range() {
            compute.refuse(problem);
            return;
        }
        let (model_name, version) = models.with_value(|models| {
            let model = models.get(model.get_untracked());
            let version = model.and_then(|model| {
                let mut versions = model.versions.iter();
                versions.find(|version| version.id == draft.price_version_id)
            });
            (
                model
                    .map(|model| model.model_name.clone())
                    .unwrap_or_default(),
                version
                    .map(|version| version.version.to_string())
                    .unwrap_or_default(),
            )
        });
        compute.run(async move {
            let differences = preview_rerating(draft.clone()).await?;
            preview.set(Some(Preview {
                draft,
                model_name,
                version,
                differences,
            }));
            Ok(())
        });
    };
    view! {
        <form class="card stack" novalidate on:submit=submit_with(submit)>
            <div class="columns">
                <div class="field">
                    <label for="rerateModel">{text.say(|t| t.common.model)}</label>
                    <select id="rerateModel" on:change=pick_model>
                        {model_options}
                    </select>
                </div>
                <div class="field">
                    <label for="rerateVersion">{text.say(|t| t.rerate.version)}</label>
                    <select
                        id="rerateVersion"
                        aria-describedby="rerateVersion-hint"
                        on:change=move |event| {
                            version.set(event_target_value(&event).parse().unwrap_or(0));
                        }
                    >
                        {versions}
                    </select>
                    <p class="hint" id="rerateVersion-hint">
                        {text.say(|t| t.prices.unit)}
                    </p>
                </div>
                <Field
                    id="from"
                    label=|t| t.rerate.from
                    hint=|t| t.rerate.time_hint
                    value=from
                    fault=fault_of(error, "from")
                    takes_focus=true
                    kind="datetime-local"
                    required=true
                />
                <Field
                    id="to"
                    label=|t| t.rerate.to
                    hint=|t| t.rerate.time_hint
                    value=to
                    fault=fault_of(error, "to")
                    takes_focus=true
                    kind="datetime-local"
                    required=true
                />
            </div>
            <FormError error=Signal::derive(error) fields=&["from", "to"] />
            <div class="actions">
                <button
                    type="submit"
                    class="button primary"
                    disabled=flag(move || compute.is_pending() || !hydrated.get())
                >
                    {phrase(move || {
                        let words = &text.get().rerate;
                        if compute.is_pending() { words.previewing } else { words.preview }
                    })}
                </button>
            </div>
        </form>
        {part(move || match preview.get() {
            Some(found) => view! { <Difference found preview jobs /> }.erased(),
            None => ().erased(),
        })}
    }
    .erased()
}

/// Who gains and who loses, and the way to make it so.
#[component]
fn Difference(
    found: Preview,
    preview: RwSignal<Option<Preview>>,
    jobs: QueryResource,
) -> impl IntoView {
    let text = use_text();
    let Preview {
        draft,
        model_name,
        version,
        differences,
    } = found;
    let is_nothing = differences.is_empty();
    let range = draft.range().ok().map(|(from, to)| {
        view! {
            <Moment at=from />
            " – "
            <Moment at=to />
        }
        .erased()
    });
    let about = move || fill(text.get().rerate.about, &[&model_name, &version]);
    let body = if is_nothing {
        view! { <p class="verdict">{text.say(|t| t.rerate.nothing)}</p> }.erased()
    } else {
        view! {
            <Differences differences />
            <Apply draft preview jobs />
        }
        .erased()
    };
    view! {
        <section class="card" role="status" aria-labelledby="difference-title">
            <h2 id="difference-title">{text.say(|t| t.rerate.difference)}</h2>
            <p class="quiet">
                {words(about)} " · " {range}
            </p>
            {body}
        </section>
    }
    .erased()
}

#[component]
fn Differences(differences: Vec<UserDifference>) -> impl IntoView {
    let text = use_text();
    let messages: u64 = differences
        .iter()
        .map(|difference| difference.messages)
        .sum();
    let points = Points::sum(differences.iter().map(|difference| difference.points));
    let rows = differences
        .into_iter()
        .map(|difference| {
            let name = String::from(difference.user_id);
            let href = user_address(&name);
            view! {
                <tr>
                    <th scope="row" class="name">
                        <a href=href>{name}</a>
                    </th>
                    <td class="num">{count_text(difference.messages)}</td>
                    <td class="num" class:negative=difference.points.is_negative()>
                        {signed_points_text(difference.points)}
                    </td>
                </tr>
            }
            .erased()
        })
        .collect_view();
    view! {
        <div class="scroll tall" tabindex="0">
            {table(
                "quote",
                |t| t.rerate.difference,
                &[
                    Words(|t| t.common.user),
                    Numbers(|t| t.rerate.messages),
                    Numbers(|t| t.rerate.gain),
                ],
                view! {
                    <tbody>{rows}</tbody>
                    <tfoot>
                        <tr>
                            <th scope="row">{text.say(|t| t.common.total)}</th>
                            <td class="num">{count_text(messages)}</td>
                            <td class="num">
                                <strong>{points.map(signed_points_text).unwrap_or_default()}</strong>
                            </td>
                        </tr>
                    </tfoot>
                }.erased(),
            )}
        </div>
    }
    .erased()
}

#[component]
fn Apply(
    draft: RerateDraft,
    preview: RwSignal<Option<Preview>>,
    jobs: QueryResource,
) -> impl IntoView {
    let text = use_text();
    let notices = use_notices();
    let reason = RwSignal::new(String::new());
    let apply = Command::new();
    let error = move || apply.error();
    let on_confirm = Callback::new(move |()| {
        let typed = reason.get_untracked();
        if let Err(problem) = refuse_no_reason(&typed) {
            apply.refuse(problem);
            return;
        }
        let draft = draft.clone();
        apply.run(async move {
            start_rerating(draft, typed).await?;
            notices.tell(text.now().rerate.notice_started.to_owned());
            preview.set(None);
            jobs.refetch();
            Ok(())
        });
    });
    view! {
        <div class="stack">
            <Field
                id="rerateReason"
                label=|t| t.rerate.reason
                hint=|t| t.rerate.reason_hint
                value=reason
                fault=fault_of(error, "reason")
                takes_focus=true
                required=true
            />
            <FormError error=Signal::derive(error) fields=&["reason"] />
            <ConfirmButton
                label=|t| t.rerate.apply
                consequence=|t| t.rerate.apply_consequence
                confirm=|t| t.rerate.apply_confirm
                busy=Signal::derive(move || apply.is_pending())
                on_confirm
            />
        </div>
    }
    .erased()
}
