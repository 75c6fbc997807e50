//! What could be read of a message that waits.

use leptos::prelude::*;
use shared::api::QuarantineDetail;
use shared::tokens::Category;
use shared::usage::{MessageUsage, ModelCall};

use crate::address::user_address;
use crate::components::amount::count_text;
use crate::components::erased::Erase;
use crate::components::moment::Moment;
use crate::components::receipt::category_label;
use crate::text::{Say, use_text};

#[component]
pub fn Facts(detail: QuarantineDetail) -> impl IntoView {
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
