//! The difference that a re-rating would make, and the button that enters it.

use leptos::prelude::*;
use shared::money::Points;

use crate::address::user_address;
use crate::api::fields::refuse_no_reason;
use crate::api::query::QueryResource;
use crate::api::rerate::{RerateDraft, UserDifference, start_rerating};
use crate::components::amount::{count_text, signed_points_text};
use crate::components::command::Command;
use crate::components::confirm::ConfirmButton;
use crate::components::erased::{Erase, words};
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
pub struct RerateResult {
    pub draft: RerateDraft,
    pub model_name: String,
    pub version: String,
    pub differences: Vec<UserDifference>,
}

/// Who gains and who loses, and the way to make it so.
#[component]
pub fn Difference(
    found: RerateResult,
    preview: RwSignal<Option<RerateResult>>,
    jobs: QueryResource,
) -> impl IntoView {
    let text = use_text();
    let RerateResult {
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
    preview: RwSignal<Option<RerateResult>>,
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
