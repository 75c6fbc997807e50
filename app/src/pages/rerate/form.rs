//! What to re-rate.

use leptos::prelude::*;

use super::difference::{Difference, RerateResult};
use crate::api::query::QueryResource;
use crate::api::rerate::{ReratableModel, ReratableVersion, RerateDraft, preview_rerating};
use crate::browser;
use crate::components::amount::grouped;
use crate::components::command::Command;
use crate::components::erased::{Erase, part, submit_with};
use crate::components::field::{Field, FormError, Select, choice, fault_of};
use crate::components::submit::submit_button;
use crate::text::{fill, use_text};

/// The form as it is typed.
#[derive(Clone, Copy)]
struct RerateFields {
    models: StoredValue<Vec<ReratableModel>>,
    /// Its place among the models.
    model: RwSignal<String>,
    /// The id of one of its versions.
    version: RwSignal<String>,
    from: RwSignal<String>,
    to: RwSignal<String>,
}

impl RerateFields {
    /// With the newest version of the chosen model, or of the first.
    fn new(models: Vec<ReratableModel>, chosen: Option<String>) -> Self {
        let chosen = chosen.map(|name| name.to_lowercase());
        let is_chosen = |model: &ReratableModel| Some(model.model_name.to_lowercase()) == chosen;
        let place = models.iter().position(is_chosen).unwrap_or(0);
        let new = || RwSignal::new(String::new());
        let typed = Self {
            models: StoredValue::new(models),
            model: RwSignal::new(place.to_string()),
            version: new(),
            from: new(),
            to: new(),
        };
        typed.version.set(untrack(|| typed.newest_version()));
        typed
    }

    /// Tracked.
    fn with_model<T>(self, read: impl FnOnce(Option<&ReratableModel>) -> T) -> T {
        let place = self.model.with(|place| place.parse().unwrap_or(0_usize));
        self.models.with_value(|models| read(models.get(place)))
    }

    fn newest_version(self) -> String {
        self.with_model(|model| {
            let newest = model.and_then(|model| model.versions.first());
            newest.map_or_else(String::new, |version| version.id.to_string())
        })
    }

    fn draft(self) -> RerateDraft {
        let version = self.version.with_untracked(|version| version.parse());
        RerateDraft {
            price_version_id: version.unwrap_or(0),
            from: browser::parse_local_time(&self.from.get_untracked()),
            to: browser::parse_local_time(&self.to.get_untracked()),
        }
    }

    /// The names of the model and of the version that a draft is about.
    fn names(self, draft: &RerateDraft) -> (String, String) {
        untrack(|| {
            self.with_model(|model| {
                let Some(model) = model else {
                    return (String::new(), String::new());
                };
                let mut versions = model.versions.iter();
                let version = versions.find(|version| version.id == draft.price_version_id);
                let number = version.map(|version| version.version.to_string());
                (model.model_name.clone(), number.unwrap_or_default())
            })
        })
    }
}

#[component]
pub fn Form(
    models: Vec<ReratableModel>,
    chosen: Option<String>,
    jobs: QueryResource,
) -> impl IntoView {
    let text = use_text();
    if models.is_empty() {
        return no_models();
    }
    let typed = RerateFields::new(models, chosen);
    let preview = RwSignal::new(None::<RerateResult>);
    let compute = Command::new();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let draft = typed.draft();
        preview.set(None);
        if let Err(problem) = draft.range() {
            compute.refuse(problem);
            return;
        }
        let (model_name, version) = typed.names(&draft);
        compute.run(async move {
            let differences = preview_rerating(draft.clone()).await?;
            preview.set(Some(RerateResult {
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
            <Fields typed compute />
            <FormError error=Signal::derive(move || compute.error()) fields=&["from", "to"] />
            <div class="actions">
                {submit_button("button primary", compute, |t| t.rerate.previewing, move || text.get().rerate.preview)}
            </div>
        </form>
        {part(move || match preview.get() {
            Some(found) => view! { <Difference found preview jobs /> }.erased(),
            None => ().erased(),
        })}
    }
    .erased()
}

fn no_models() -> AnyView {
    let text = use_text();
    view! {
        <section class="card empty">
            <p>{text.say(|t| t.rerate.no_models)}</p>
            <p>
                <a href="/admin/prices">{text.say(|t| t.nav.prices)}</a>
            </p>
        </section>
    }
    .erased()
}

#[component]
fn Fields(typed: RerateFields, compute: Command) -> impl IntoView {
    let error = move || compute.error();
    let first = typed.model.get_untracked();
    let models = typed.models.with_value(|models| {
        let option = |(place, model): (usize, &ReratableModel)| {
            let (place, name) = (place.to_string(), model.model_name.clone());
            let is_first = place == first;
            choice(place, move || name.clone(), is_first)
        };
        models
            .iter()
            .enumerate()
            .map(option)
            .collect_view()
            .erased()
    });
    let versions = part(move || {
        typed.with_model(|model| {
            let versions = model.map(|model| model.versions.as_slice());
            let options = versions.unwrap_or_default().iter().map(version_choice);
            options.collect_view().erased()
        })
    });
    // Another model has other versions.
    Effect::new(move |model: Option<String>| {
        let now = typed.model.get();
        if model.is_some_and(|model| model != now) {
            typed.version.set(untrack(|| typed.newest_version()));
        }
        now
    });
    view! {
        <div class="columns">
            <Select
                id="rerateModel"
                label=|t| t.common.model
                value=typed.model
                options=models
            />
            <Select
                id="rerateVersion"
                label=|t| t.rerate.version
                hint=|t| t.prices.unit
                value=typed.version
                options=versions.erased()
            />
            <Field
                id="from"
                label=|t| t.rerate.from
                hint=|t| t.rerate.time_hint
                value=typed.from
                fault=fault_of(error, "from")
                takes_focus=true
                kind="datetime-local"
                required=true
            />
            <Field
                id="to"
                label=|t| t.rerate.to
                hint=|t| t.rerate.time_hint
                value=typed.to
                fault=fault_of(error, "to")
                takes_focus=true
                kind="datetime-local"
                required=true
            />
        </div>
    }
    .erased()
}

fn version_choice(version: &ReratableVersion) -> AnyView {
    let text = use_text();
    let number = version.version.to_string();
    let rates = [version.rates.input, version.rates.output];
    let [input, output] = rates.map(|rate| grouped(&rate.to_string()));
    let label = move || {
        fill(
            text.get().rerate.version_prices,
            &[&number, &input, &output],
        )
    };
    choice(version.id.to_string(), label, false)
}
