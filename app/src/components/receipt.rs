//! How a charge comes about, computed on the spot with the same function the ledger uses.

use leptos::prelude::*;
use shared::api::{ConsumptionDetail, ConsumptionLine};
use shared::money::Points;
use shared::quote::{Quote, QuoteLine, quote};
use shared::tokens::Category;

use super::amount::{count_text, grouped, points_text};
use crate::api::history::VersionRates;
use crate::components::erased::{Erase, words};
use crate::text::{Say, Texts, fill, use_text};

#[must_use]
pub fn category_label(category: Category) -> Say {
    match category {
        Category::Input => |t: &'static Texts| t.category.input,
        Category::CachedInput => |t: &'static Texts| t.category.cached_input,
        Category::CacheWrite => |t: &'static Texts| t.category.cache_write,
        Category::Output => |t: &'static Texts| t.category.output,
        Category::Reasoning => |t: &'static Texts| t.category.reasoning,
    }
}

/// A charge line by line: tokens × price per 1,000, the per-request price, the sum.
#[component]
pub fn QuoteTable(
    lines: Vec<QuoteLine>,
    per_request: Points,
    total: Points,
    #[prop(into)] caption: String,
) -> impl IntoView {
    let text = use_text();
    let rows = lines
        .into_iter()
        .map(|line| {
            view! {
                <tr>
                    <th scope="row">{text.say(category_label(line.category))}</th>
                    <td class="num">{count_text(line.tokens)}</td>
                    <td class="num">{grouped(&line.unit_price.to_string())}</td>
                    <td class="num">{points_text(line.points)}</td>
                </tr>
            }
            .erased()
        })
        .collect_view();
    let per_request = (!per_request.is_zero()).then(|| {
        view! {
            <tr>
                <th scope="row" colspan="3">
                    {text.say(|t| t.category.per_request)}
                </th>
                <td class="num">{points_text(per_request)}</td>
            </tr>
        }
        .erased()
    });
    view! {
        <div class="scroll" tabindex="0">
            <table class="quote">
                <caption class="visually-hidden">{caption}</caption>
                <thead>
                    <tr>
                        <th scope="col">{text.say(|t| t.category.title)}</th>
                        <th scope="col" class="num">
                            {text.say(|t| t.common.tokens)}
                        </th>
                        <th scope="col" class="num">
                            {text.say(|t| t.common.per_thousand)}
                        </th>
                        <th scope="col" class="num">
                            {text.say(|t| t.common.points)}
                        </th>
                    </tr>
                </thead>
                <tbody>{rows} {per_request}</tbody>
                <tfoot>
                    <tr>
                        <th scope="row" colspan="3">
                            {text.say(|t| t.common.total)}
                        </th>
                        <td class="num">
                            <strong>{points_text(total)}</strong>
                        </td>
                    </tr>
                </tfoot>
            </table>
        </div>
    }
    .erased()
}

/// The receipt of one charged message. Each model call is priced again from its price version,
/// and the sum is compared with what the ledger took.
///
/// `charged` is what the ledger took, positive; `rates` holds the price versions of the page.
#[must_use]
pub fn receipt(detail: ConsumptionDetail, charged: Points, rates: &[VersionRates]) -> AnyView {
    let text = use_text();
    let mut parts = Vec::with_capacity(detail.lines.len());
    let mut sum = Some(Points::ZERO);
    for line in &detail.lines {
        let mut versions = rates.iter();
        let version = versions.find(|version| version.price_version_id == line.price_version_id);
        let quoted = version.and_then(|version| quote(&version.rates, &line.tokens).ok());
        sum = match (sum, &quoted) {
            (Some(sum), Some(quoted)) => sum.plus(quoted.points).ok(),
            _ => None,
        };
        parts.push(priced_line(line, quoted));
    }
    let conversation = detail.conversation_id.map(|conversation| {
        view! {
            <dt>{text.say(|t| t.receipt.conversation)}</dt>
            <dd>
                <code>{conversation}</code>
            </dd>
        }
        .erased()
    });
    view! {
        <div class="receipt">
            {parts} {verdict(sum, charged)}
            <dl class="facts small">
                <dt>{text.say(|t| t.receipt.consumption)}</dt>
                <dd>
                    <code>{detail.consumption_id}</code>
                </dd>
                <dt>{text.say(|t| t.receipt.message)}</dt>
                <dd>
                    <code>{detail.message_id}</code>
                </dd>
                {conversation}
            </dl>
        </div>
    }
    .erased()
}

/// One model call, and how its price comes about where that is known.
fn priced_line(line: &ConsumptionLine, quoted: Option<Quote>) -> AnyView {
    let text = use_text();
    let name = String::from(line.model_name.clone());
    let version = line.price_version.to_string();
    let table = quoted.map(|quoted| {
        view! {
            <QuoteTable
                lines=quoted.lines
                per_request=quoted.per_request
                total=quoted.points
                caption=name.clone()
            />
        }
        .erased()
    });
    view! {
        <section>
            <h3>
                {name} " "
                <span class="quiet">
                    {words(move || fill(text.get().common.version_number, &[&version]))}
                </span>
            </h3>
            {table}
        </section>
    }
    .erased()
}

/// Whether what the browser computed is what the ledger took.
fn verdict(sum: Option<Points>, charged: Points) -> AnyView {
    let text = use_text();
    match sum {
        Some(sum) if sum == charged => {
            let points = points_text(sum);
            view! {
                <p class="verdict good">
                    {words(move || fill(text.get().receipt.agrees, &[&points]))}
                </p>
            }
            .erased()
        }
        Some(sum) => {
            let (ours, ledger) = (points_text(sum), points_text(charged));
            view! {
                <p class="verdict bad">
                    {words(move || fill(text.get().receipt.disagrees, &[&ours, &ledger]))}
                </p>
            }
            .erased()
        }
        None => view! { <p class="verdict">{text.say(|t| t.receipt.price_missing)}</p> }.erased(),
    }
}
