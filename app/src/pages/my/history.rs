//! An account's entries: filtered, page by page, each charge with its receipt.

use std::sync::Arc;

use leptos::html;
use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use shared::api::{EntryKind, HistoryFilter, HistoryItem};
use shared::ids::UserId;
use shared::money::Points;

use crate::ask::{Answer, Ask, Asked, ask, shown};
use crate::browser;
use crate::components::amount::{points_text, signed_points_text};
use crate::components::awaited::awaited;
use crate::components::badge::{Badge, kind_label, kind_tone};
use crate::components::moment::Moment;
use crate::components::pager::{Pager, Pages};
use crate::components::receipt::{VersionRates, receipt};
use crate::lean::{Item, Lean, flag, list, phrase, submit_with, words};
use crate::text::{fill, use_text};

/// A page of entries, with the prices its receipts need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryView {
    pub items: Vec<HistoryItem>,
    pub next_cursor: Option<String>,
    pub rates: Vec<VersionRates>,
    /// What the page's corrections and expiries are about.
    pub origins: Vec<Origin>,
    /// What is left to be given back of the page's charges; only for an administrator.
    pub refundable: Vec<(i64, Points)>,
}

/// The entry that another one puts right, or whose points it takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    pub entry: i64,
    /// The models of a charge, or the reason of any other entry.
    pub what: String,
    pub points: Points,
}

/// Entries of the signed-in user, or of the user an administrator names.
#[cfg(feature = "ssr")]
pub async fn history_page(
    user_id: Option<UserId>,
    filter: HistoryFilter,
    cursor: Option<String>,
) -> Result<HistoryView, crate::AppError> {
    use std::collections::BTreeSet;

    use shared::api::PAGE_ITEMS_DEFAULT;

    let is_administrator = user_id.is_some();
    let subject = crate::auth::subject(user_id).await?;
    let ledger = &subject.context.ledger;
    let page = ledger
        .history(
            &subject.user_id,
            &filter,
            cursor.as_deref(),
            PAGE_ITEMS_DEFAULT,
        )
        .await?;
    let book = ledger.price_book().await?;
    let lines = page
        .items
        .iter()
        .filter_map(|item| item.consumption.as_ref())
        .flat_map(|consumption| &consumption.lines);
    let mut known = BTreeSet::new();
    let mut rates = Vec::new();
    for line in lines {
        let version = book
            .history(&line.model_name)
            .find(|version| version.id == line.price_version_id);
        if let Some(version) = version
            && known.insert(version.id)
        {
            rates.push(VersionRates {
                price_version_id: version.id,
                rates: version.rates,
            });
        }
    }
    let corrected: Vec<i64> = page
        .items
        .iter()
        .filter_map(|item| item.corrects_entry)
        .collect();
    let origins = if corrected.is_empty() {
        Vec::new()
    } else {
        ledger.entries(&subject.user_id, &corrected).await?
    };
    let charges: Vec<i64> = page
        .items
        .iter()
        .filter(|item| item.kind == EntryKind::Charge)
        .map(|item| item.entry)
        .collect();
    let refundable = if is_administrator && !charges.is_empty() {
        ledger.refundable(&subject.user_id, &charges).await?
    } else {
        Vec::new()
    };
    Ok(HistoryView {
        origins: origins
            .iter()
            .map(|origin| Origin {
                entry: origin.entry,
                what: what_of(origin),
                points: origin.points,
            })
            .collect(),
        refundable,
        items: page.items,
        next_cursor: page.next_cursor,
        rates,
    })
}

/// What an entry is about, as its writer put it: models, or a reason. An expiry has neither.
fn what_of(item: &HistoryItem) -> String {
    match (&item.consumption, &item.reason) {
        (Some(consumption), _) => {
            let mut models: Vec<&str> = consumption
                .lines
                .iter()
                .map(|line| line.model_name.as_str())
                .collect();
            models.dedup();
            models.join(", ")
        }
        (None, Some(reason)) if item.kind != EntryKind::Expiry => reason.clone(),
        (None, _) => String::new(),
    }
}

/// Makes what stands below a charge's receipt, from its entry and what can still be given back.
pub type BelowReceipt = Arc<dyn Fn(&HistoryItem, Points) -> AnyView + Send + Sync>;

/// Whose history a page is about.
pub enum Whose {
    /// The visitor's.
    Own,
    /// Somebody's whom an administrator looks at.
    User(UserId),
}

/// The history of one account: what is asked for, and the answer.
#[derive(Clone, Copy)]
pub struct History {
    filter: RwSignal<HistoryFilter>,
    pages: Pages,
    answer: Asked,
}

impl History {
    pub fn refetch(self) {
        self.answer.refetch();
    }
}

/// Asks for an account's history, and again whenever the filter or the page changes. `user` says
/// whose: nobody's yet, the visitor's own, or that of a user an administrator looks at.
#[must_use]
pub fn use_history(user: impl Fn() -> Option<Whose> + Send + Sync + 'static) -> History {
    let filter = RwSignal::new(HistoryFilter::default());
    let pages = Pages::default();
    let answer = ask(move || match user() {
        None => Ask::Nothing,
        Some(whose) => Ask::History {
            user: match whose {
                Whose::Own => None,
                Whose::User(user) => Some(user),
            },
            filter: filter.get(),
            cursor: pages.cursor(),
        },
    });
    History {
        filter,
        pages,
        answer,
    }
}

#[component]
pub fn HistorySection(
    history: History,
    #[prop(optional)] below_receipt: Option<BelowReceipt>,
) -> impl IntoView {
    let text = use_text();
    view! {
        <section class="history" aria-labelledby="history-title">
            <h2 id="history-title">{text.say(|t| t.history.title)}</h2>
            <Filters history />
            {awaited(move || {
                let below_receipt = below_receipt.clone();
                Box::pin(async move {
                    match history.answer.await {
                        Ok(Answer::History(told)) => {
                            shown(&told, |view| view! { <Entries view history below_receipt /> }.lean())
                        }
                        Ok(_) => ().lean(),
                        Err(error) => {
                            view! {
                                <p class="form-error" role="alert">
                                    {words(move || error.message(text.locale()))}
                                </p>
                            }
                                .lean()
                        }
                    }
                })
            })}
        </section>
    }
    .lean()
}

#[component]
fn Filters(history: History) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let model = NodeRef::<html::Input>::new();
    let kind = NodeRef::<html::Select>::new();
    let from = NodeRef::<html::Input>::new();
    let to = NodeRef::<html::Input>::new();
    let value = |input: NodeRef<html::Input>| {
        input
            .get_untracked()
            .map(|input| input.value())
            .unwrap_or_default()
    };
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let chosen = kind
            .get_untracked()
            .map(|kind| kind.value())
            .unwrap_or_default();
        history.pages.restart();
        history.filter.set(HistoryFilter {
            model_name: value(model).parse().ok(),
            // Whole days of the visitor's own calendar; the last day is included.
            from: browser::local_midnight(&value(from), 0),
            to: browser::local_midnight(&value(to), 1),
            kind: EntryKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == chosen),
        });
    };
    let reset = move |_| {
        history.pages.restart();
        history.filter.set(HistoryFilter::default());
    };
    let kinds = EntryKind::ALL
        .into_iter()
        .map(|kind| {
            view! { <option value=kind.as_str()>{text.say(kind_label(kind))}</option> }.lean()
        })
        .collect_view();
    view! {
        <form class="inline filters" aria-label=text.say(|t| t.history.filters) on:submit=submit_with(submit) on:reset=reset>
            <div class="field">
                <label for="historyModel">{text.say(|t| t.history.model)}</label>
                <input id="historyModel" type="text" autocomplete="off" spellcheck="false" node_ref=model />
            </div>
            <div class="field">
                <label for="historyKind">{text.say(|t| t.history.kind)}</label>
                <select id="historyKind" node_ref=kind>
                    <option value="">{text.say(|t| t.history.all_kinds)}</option>
                    {kinds}
                </select>
            </div>
            <div class="field">
                <label for="historyFrom">{text.say(|t| t.history.from)}</label>
                <input id="historyFrom" type="date" node_ref=from />
            </div>
            <div class="field">
                <label for="historyTo">{text.say(|t| t.history.to)}</label>
                <input id="historyTo" type="date" node_ref=to />
            </div>
            <button type="submit" class="button" disabled=flag(move || !hydrated.get())>
                {text.say(|t| t.history.apply)}
            </button>
            <button type="reset" class="button" disabled=flag(move || !hydrated.get())>
                {text.say(|t| t.history.reset)}
            </button>
        </form>
    }
    .lean()
}

#[component]
fn Entries(
    view: HistoryView,
    history: History,
    below_receipt: Option<BelowReceipt>,
) -> impl IntoView {
    let text = use_text();
    let HistoryView {
        items,
        next_cursor,
        rates,
        origins,
        refundable,
    } = view;
    let rates: Arc<[VersionRates]> = rates.into();
    let origins: Arc<[Origin]> = origins.into();
    let left_of = move |entry: i64| {
        let found = refundable.iter().find(|(charge, _)| *charge == entry);
        found.map(|(_, left)| *left)
    };
    let body = if items.is_empty() {
        let is_filtered = history
            .filter
            .with_untracked(|filter| *filter != HistoryFilter::default());
        let said = move || {
            let words = &text.get().history;
            if is_filtered {
                words.nothing_found
            } else {
                words.empty
            }
        };
        view! {
            <div class="card empty">
                <p>{phrase(said)}</p>
            </div>
        }
        .lean()
    } else {
        // Keyed, so that a receipt that is open does not stay open for the next page's entry.
        view! {
            <ul class="entries card flush">
                {list(move || {
                    let shown = |item: &HistoryItem| {
                        let (item, rates) = (item.clone(), Arc::clone(&rates));
                        let origins = Arc::clone(&origins);
                        // What cost nothing cannot be given back.
                        let left = left_of(item.entry).filter(|_| !item.points.is_zero());
                        let below = below_receipt.clone().zip(left);
                        Item {
                            // A refund changes what can be given back, and so the view.
                            key: [item.entry.to_string(), left.unwrap_or_default().to_string()]
                                .join(" "),
                            view: Box::new(move || entry(&item, &rates, &origins, below)),
                        }
                    };
                    items.iter().map(shown).collect()
                })}
            </ul>
        }
        .lean()
    };
    view! {
        {body}
        <Pager pages=history.pages next_cursor />
    }
    .lean()
}

/// The line that says which entry this one is about.
fn origin_line(item: &HistoryItem, origins: &[Origin]) -> Option<AnyView> {
    let text = use_text();
    let entry = item.corrects_entry?;
    let number = entry.to_string();
    let origin = origins.iter().find(|origin| origin.entry == entry);
    let what = origin.map(|origin| origin.what.clone()).unwrap_or_default();
    let points = origin
        .map(|origin| signed_points_text(origin.points))
        .unwrap_or_default();
    let gone = points_text(item.points.negated().unwrap_or_default());
    let kind = item.kind;
    let said = words(move || {
        let words = &text.get().history;
        match kind {
            EntryKind::Expiry => fill(words.of_points, &[&number, &what, &gone]),
            _ if what.is_empty() => fill(words.of_entry, &[&number]),
            _ => fill(words.of_charge, &[&number, &what, &points]),
        }
    });
    Some(view! { <span class="entry-origin quiet small">{said}</span> }.lean())
}

fn entry(
    item: &HistoryItem,
    rates: &[VersionRates],
    origins: &[Origin],
    below: Option<(BelowReceipt, Points)>,
) -> AnyView {
    let text = use_text();
    let what = what_of(item);
    let number = item.entry.to_string();
    let origin = origin_line(item, origins);
    let signed = signed_points_text(item.points);
    let balance = points_text(item.balance_after);
    let (kind, occurred_at) = (item.kind, item.occurred_at);
    let is_charge = item.consumption.is_some();
    let lines = view! {
        <span class="entry-head">
            <Badge tone=kind_tone(kind) label=kind_label(kind) />
            <span class="name">{what}</span>
            <span class="num amount">{signed}</span>
        </span>
        {origin}
        <span class="entry-foot quiet small">
            <Moment at=occurred_at />
            <span class="nowrap">
                {words(move || fill(text.get().history.entry_number, &[&number]))}
            </span>
            {is_charge
                .then(|| view! { <span class="opens">{text.say(|t| t.receipt.title)}</span> }.lean())}
            <span class="after">
                {text.say(|t| t.history.balance_after)} " " <span class="num">{balance}</span>
            </span>
        </span>
    };
    let body = match item.consumption.clone() {
        Some(detail) => {
            let charged = item.points.negated().unwrap_or_default();
            view! {
                <details>
                    <summary>{lines}</summary>
                    {receipt(detail, charged, rates)}
                    {below
                        .map(|(below, left)| {
                            view! { <div class="below-receipt">{below(item, left)}</div> }.lean()
                        })}
                </details>
            }
            .lean()
        }
        None => lines.lean(),
    };
    view! {
        <li class="entry" data-kind=kind.as_str()>
            {body}
        </li>
    }
    .lean()
}
