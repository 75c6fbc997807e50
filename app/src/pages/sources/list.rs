//! The sources, one row each.

use leptos::prelude::*;
use shared::api::arrived_share;
use shared::source::SourceEntrance;

use crate::address::SOURCE;
use crate::api::sources::{LastView, Share, SourceView};
use crate::components::address_query::AddressQuery;
use crate::components::amount::count_text;
use crate::components::badge::{Badge, Tone, outcome_label, outcome_tone};
use crate::components::erased::{Erase, words};
use crate::components::list::{ListPage, listed};
use crate::components::moment::Moment;
use crate::components::reason::code_label;
use crate::components::table::Head::Words;
use crate::text::{Say, Texts, use_text};

#[component]
pub fn Sources(sources: Vec<SourceView>, address: AddressQuery) -> impl IntoView {
    let text = use_text();
    let hint = (!sources.is_empty())
        .then(|| view! { <p class="quiet prose">{text.say(|t| t.sources.hint)}</p> }.erased());
    let rows = sources.into_iter().map(|source| row(address, source));
    let list = listed(
        |t| t.sources.title,
        &[
            Words(|t| t.sources.name),
            Words(|t| t.sources.entrance),
            Words(|t| t.sources.key),
            Words(|t| t.sources.last),
        ],
        rows.collect(),
        none,
    );
    view! {
        <ListPage title=|t| t.sources.title filter=None list />
        {hint}
    }
    .erased()
}

fn none() -> AnyView {
    let text = use_text();
    view! {
        <div class="card empty">
            <p>{text.say(|t| t.sources.none)}</p>
            <p class="quiet">{text.say(|t| t.sources.none_hint)}</p>
            <code class="command">
                "tollgate source create --name 'My app' --entrance langfuse"
            </code>
        </div>
    }
    .erased()
}

fn entrance(entrance: SourceEntrance) -> Say {
    match entrance {
        SourceEntrance::Webhook => |t: &'static Texts| t.sources.webhook,
        SourceEntrance::Gateway => |t: &'static Texts| t.sources.gateway,
        SourceEntrance::Langfuse => |t: &'static Texts| t.sources.langfuse,
        SourceEntrance::Guard => |t: &'static Texts| t.sources.guard,
        SourceEntrance::Openai => |t: &'static Texts| t.sources.openai,
    }
}

fn row(address: AddressQuery, source: SourceView) -> AnyView {
    let text = use_text();
    let is_elsewhere = source.namespace != "default";
    let namespace =
        is_elsewhere.then(|| view! { " " <span class="quiet">{source.namespace}</span> }.erased());
    let upstream = source
        .upstream_url
        .map(|url| view! { <span class="quiet detail">{url}</span> }.erased());
    let completeness = source.share.map(|share| {
        let href = untrack(|| address.opening(SOURCE, source.name.clone()));
        completeness(href, share)
    });
    let open = source
        .is_fail_open
        .then(|| view! { " " <Badge tone=Tone::Waiting label=|t| t.sources.fail_open /> }.erased());
    let protecting = source.is_protecting_only.then(|| {
        view! { " " <Badge tone=Tone::Quiet label=|t| t.sources.protecting_only /> }.erased()
    });
    let last = match (source.revoked_at, source.last) {
        (Some(at), _) => view! {
            <Badge tone=Tone::Bad label=|t| t.sources.revoked />
            " "
            <Moment at />
        }
        .erased(),
        (None, Some(last)) => last_delivery(last),
        (None, None) => {
            view! { <span class="quiet">{text.say(|t| t.sources.nothing_yet)}</span> }.erased()
        }
    };
    view! {
        <tr>
            <th scope="row" class="name" data-label=text.say(|t| t.sources.name)>
                {source.name} {namespace}
            </th>
            <td data-label=text.say(|t| t.sources.entrance)>
                {text.say(entrance(source.entrance))} {open} {protecting} {upstream}
                {completeness}
            </td>
            <td data-label=text.say(|t| t.sources.key)>
                <code>{source.prefix} "…"</code>
            </td>
            <td data-label=text.say(|t| t.sources.last)>{last}</td>
        </tr>
    }
    .erased()
}

/// How much of what Dify served has arrived, and the way to the rest.
fn completeness(href: String, share: Share) -> AnyView {
    let text = use_text();
    let arrived = match share.served {
        0 => "–".to_owned(),
        served => arrived_share(served, share.arrived),
    };
    let missing = (share.missing != 0).then(|| {
        let count = count_text(share.missing);
        view! { " " <Badge tone=Tone::Waiting label=|t| t.completeness.missing /> " " {count} }
            .erased()
    });
    let failed = share
        .has_failed
        .then(|| view! { " " <Badge tone=Tone::Bad label=|t| t.rerate.failed /> }.erased());
    view! {
        <span class="detail">
            <a href=href>{text.say(|t| t.completeness.title)}</a>
            " "
            {arrived}
            {missing}
            {failed}
        </span>
    }
    .erased()
}

fn last_delivery(last: LastView) -> AnyView {
    let text = use_text();
    let reason = last.reason.map(|reason| {
        let label = code_label(&reason);
        let said = words(move || match label {
            Some(label) => label(text.get()).to_owned(),
            None => reason.clone(),
        });
        view! { " " {said} }.erased()
    });
    view! {
        <Badge tone=outcome_tone(last.outcome) label=outcome_label(last.outcome) />
        {reason}
        " "
        <Moment at=last.received_at />
    }
    .erased()
}
