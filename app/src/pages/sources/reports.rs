//! Who reported a message, and where reports differ from what was charged.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;

use crate::address::reports_address;
use crate::api::sources::{ReportView, Says};
use crate::components::amount::count_text;
use crate::components::badge::{Badge, Tone};
use crate::components::erased::Erase;
use crate::components::field::Field;
use crate::components::list::{ListSection, listed, nothing_listed, search_form};
use crate::components::moment::Moment;
use crate::components::table::Head::{Numbers, Words};
use crate::text::{Say, use_text};

/// Looks a message up, and shows everybody who reported it.
#[component]
pub fn Message(message: Option<String>, reports: Vec<ReportView>) -> impl IntoView {
    let navigate = use_navigate();
    let list = message
        .is_some()
        .then(|| table(reports, |t| t.sources.reports, |t| t.sources.no_reports));
    let typed = RwSignal::new(message.unwrap_or_default());
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        navigate(
            &reports_address(&typed.get_untracked()),
            NavigateOptions::default(),
        );
    };
    let field =
        view! { <Field id="message" label=|t| t.receipt.message value=typed kind="search" /> };
    let search = search_form("/admin/sources", field.erased(), |t| t.users.find, submit);
    view! { <ListSection id="reports-title" title=|t| t.sources.reports filter=search list /> }
        .erased()
}

/// The latest reports that differ from what was charged.
#[component]
pub fn Differences(differences: Vec<ReportView>) -> impl IntoView {
    let text = use_text();
    let hint = view! { <p class="quiet prose">{text.say(|t| t.sources.differences_hint)}</p> };
    let list = table(
        differences,
        |t| t.sources.differences,
        |t| t.sources.no_differences,
    );
    view! {
        <ListSection
            id="differences-title"
            title=|t| t.sources.differences
            hint=hint.erased()
            list=Some(list)
        />
    }
    .erased()
}

fn table(reports: Vec<ReportView>, caption: Say, none: Say) -> AnyView {
    listed(
        caption,
        &[
            Words(|t| t.receipt.message),
            Words(|t| t.sources.reported_by),
            Words(|t| t.monitor.outcome),
            Numbers(|t| t.sources.reported),
        ],
        reports.into_iter().map(row).collect(),
        || nothing_listed(none),
    )
}

fn row(report: ReportView) -> AnyView {
    let text = use_text();
    let what = match report.says {
        Says::Charged => view! { <Badge tone=Tone::Good label=|t| t.outcome.charged /> }.erased(),
        Says::Same => view! { <Badge tone=Tone::Quiet label=|t| t.outcome.duplicate /> }.erased(),
        Says::OtherTokens => {
            view! { <Badge tone=Tone::Waiting label=|t| t.sources.other_tokens /> }.erased()
        }
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
                {report.source} " " <Moment at=report.reported_at />
            </td>
            <td data-label=text.say(|t| t.monitor.outcome)>{what}</td>
            <td class="num" data-label=text.say(|t| t.sources.reported)>
                {tokens}
            </td>
        </tr>
    }
    .erased()
}
