//! Who reported a message, and where reports differ from what was charged.

use leptos::html;
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use leptos_router::location::Url;

use super::{ReportView, Says};
use crate::components::amount::count_text;
use crate::components::badge::{Badge, Tone};
use crate::components::moment::Moment;
use crate::components::table::{
    Head::{Numbers, Words},
    listing,
};
use crate::lean::{Lean, submit_with};
use crate::text::{Say, use_text};

/// Where all reports of a message are shown.
#[must_use]
pub fn reports_address(message: &str) -> String {
    ["/admin/sources?message=", &Url::escape(message.trim())].concat()
}

/// Looks a message up, and shows everybody who reported it.
#[component]
pub fn Message(message: String, reports: Vec<ReportView>) -> impl IntoView {
    let text = use_text();
    let navigate = use_navigate();
    let input = NodeRef::<html::Input>::new();
    // A GET form: it works without scripts, and the address can be shared.
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        if let Some(input) = input.get_untracked() {
            navigate(&reports_address(&input.value()), NavigateOptions::default());
        }
    };
    let found = (!message.trim().is_empty())
        .then(|| reports_table(reports, |t| t.sources.reports, |t| t.sources.no_reports));
    view! {
        <section class="history" aria-labelledby="reports-title">
            <h2 id="reports-title">{text.say(|t| t.sources.reports)}</h2>
            <form
                class="inline"
                role="search"
                action="/admin/sources"
                method="get"
                on:submit=submit_with(submit)
            >
                <div class="field">
                    <label for="message">{text.say(|t| t.receipt.message)}</label>
                    <input id="message" name="message" type="search" value=message node_ref=input />
                </div>
                <button type="submit" class="button">
                    {text.say(|t| t.users.find)}
                </button>
            </form>
            {found}
        </section>
    }
    .lean()
}

/// The latest reports that differ from what was charged.
#[component]
pub fn Differences(differences: Vec<ReportView>) -> impl IntoView {
    let text = use_text();
    view! {
        <section class="history" aria-labelledby="differences-title">
            <h2 id="differences-title">{text.say(|t| t.sources.differences)}</h2>
            <p class="quiet prose">{text.say(|t| t.sources.differences_hint)}</p>
            {reports_table(differences, |t| t.sources.differences, |t| t.sources.no_differences)}
        </section>
    }
    .lean()
}

fn reports_table(reports: Vec<ReportView>, caption: Say, none: Say) -> AnyView {
    let text = use_text();
    if reports.is_empty() {
        return view! {
            <div class="card empty">
                <p>{text.say(none)}</p>
            </div>
        }
        .lean();
    }
    let rows = reports.into_iter().map(row).collect_view();
    view! {
        <div class="card flush">
            {listing(
                caption,
                &[
                    Words(|t| t.receipt.message),
                    Words(|t| t.sources.reported_by),
                    Words(|t| t.monitor.outcome),
                    Numbers(|t| t.sources.reported),
                ],
                rows,
            )}
        </div>
    }
    .lean()
}

fn row(report: ReportView) -> AnyView {
    let text = use_text();
    let what = match report.says {
        Says::Charged => view! { <Badge tone=Tone::Good label=|t| t.outcome.charged /> }.lean(),
        Says::Same => view! { <Badge tone=Tone::Quiet label=|t| t.outcome.duplicate /> }.lean(),
        Says::OtherTokens => {
            view! { <Badge tone=Tone::Waiting label=|t| t.sources.other_tokens /> }.lean()
        }
        Says::OtherUser => view! {
            <Badge tone=Tone::Bad label=|t| t.sources.other_user />
            " "
            {report.user_id}
        }
        .lean(),
    };
    let tokens = [report.input_tokens, report.output_tokens]
        .map(count_text)
        .join(" + ");
    let href = reports_address(&report.message_id);
    view! {
        <tr>
            <th scope="row" class="name" data-label=text.say(|t| t.receipt.message)>
                <a href=href>
                    <code>{report.message_id}</code>
                </a>
            </th>
            <td data-label=text.say(|t| t.sources.reported_by)>
                {report.source} " " <Moment at=report.seen_at />
            </td>
            <td data-label=text.say(|t| t.monitor.outcome)>{what}</td>
            <td class="num" data-label=text.say(|t| t.sources.reported)>
                {tokens}
            </td>
        </tr>
    }
    .lean()
}
