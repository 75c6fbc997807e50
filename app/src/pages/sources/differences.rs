//! Reports that differ from what was charged.

use leptos::prelude::*;

use super::DifferenceView;
use crate::components::amount::count_text;
use crate::components::badge::{Badge, Tone};
use crate::components::moment::Moment;
use crate::lean::Lean;
use crate::text::use_text;

#[component]
pub fn Differences(differences: Vec<DifferenceView>) -> impl IntoView {
    let text = use_text();
    let list = if differences.is_empty() {
        view! {
            <div class="card empty">
                <p>{text.say(|t| t.sources.no_differences)}</p>
            </div>
        }
        .lean()
    } else {
        let rows = differences.into_iter().map(row).collect_view();
        view! {
            <div class="card flush">
                <table class="listing">
                    <caption class="visually-hidden">{text.say(|t| t.sources.differences)}</caption>
                    <thead>
                        <tr>
                            <th scope="col">{text.say(|t| t.receipt.message)}</th>
                            <th scope="col">{text.say(|t| t.sources.reported_by)}</th>
                            <th scope="col">{text.say(|t| t.sources.what_differs)}</th>
                            <th scope="col" class="num">{text.say(|t| t.sources.reported)}</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        }
        .lean()
    };
    view! {
        <section class="history" aria-labelledby="differences-title">
            <h2 id="differences-title">{text.say(|t| t.sources.differences)}</h2>
            <p class="quiet prose">{text.say(|t| t.sources.differences_hint)}</p>
            {list}
        </section>
    }
    .lean()
}

fn row(seen: DifferenceView) -> AnyView {
    let text = use_text();
    let what = if seen.is_other_user {
        view! {
            <Badge tone=Tone::Bad label=|t| t.sources.other_user />
            " "
            {seen.user_id}
        }
        .lean()
    } else {
        view! { <Badge tone=Tone::Waiting label=|t| t.sources.other_tokens /> }.lean()
    };
    let tokens = [seen.input_tokens, seen.output_tokens]
        .map(count_text)
        .join(" + ");
    view! {
        <tr>
            <th scope="row" class="name" data-label=text.say(|t| t.receipt.message)>
                <code>{seen.message_id}</code>
            </th>
            <td data-label=text.say(|t| t.sources.reported_by)>
                {seen.source} " " <Moment at=seen.seen_at />
            </td>
            <td data-label=text.say(|t| t.sources.what_differs)>{what}</td>
            <td class="num" data-label=text.say(|t| t.sources.reported)>
                {tokens}
            </td>
        </tr>
    }
    .lean()
}
