//! An account's entries: filtered, page by page, each charge with its receipt.

use std::sync::Arc;

use leptos::html;
use leptos::prelude::*;
use serde::{Deserialize, Serialize};
use shared::api::{EntryKind, HistoryFilter, HistoryItem};
use shared::ids::UserId;

use crate::AppError;
use crate::ask::{Answer, Ask, Asked, ask, shown};
use crate::browser;
use crate::components::amount::{points_text, signed_points_text};
use crate::components::awaited::awaited;
use crate::components::badge::{Badge, kind_label, kind_tone};
use crate::components::moment::Moment;
use crate::components::pager::{Pager, Pages};
use crate::components::receipt::{VersionRates, receipt};
use crate::lean::{Item, Lean, flag, list, phrase, submit_with, words};
use crate::text::use_text;
use crate::wire::{Json, Telling, Told};

/// A page of entries, with the prices its receipts need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryView {
    pub items: Vec<HistoryItem>,
    pub next_cursor: Option<String>,
    pub rates: Vec<VersionRates>,
}

/// Entries of the signed-in user, or of the user an administrator names.
#[server(prefix = "/api/fn", endpoint = "history", input = Json, output = Telling)]
pub async fn history_page(
    user_id: Option<UserId>,
    filter: HistoryFilter,
    cursor: Option<String>,
) -> Result<Told<HistoryView>, AppError> {
    use std::collections::BTreeSet;

    use shared::api::PAGE_ITEMS_DEFAULT;

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
    Told::new(&HistoryView {
        items: page.items,
        next_cursor: page.next_cursor,
        rates,
    })
}

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
pub fn HistorySection(history: History) -> impl IntoView {
    let text = use_text();
    view! {
        <section class="history" aria-labelledby="history-title">
            <h2 id="history-title">{text.say(|t| t.history.title)}</h2>
            <Filters history />
            {awaited(move || Box::pin(async move {
                    match history.answer.await {
                        Ok(Answer::History(told)) => {
                            shown(&told, |view| view! { <Entries view history /> }.lean())
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
                }))}
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
                <label for="historyModel">{text.say(|t| t.common.model)}</label>
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
fn Entries(view: HistoryView, history: History) -> impl IntoView {
    let text = use_text();
    let HistoryView {
        items,
        next_cursor,
        rates,
    } = view;
    let rates: Arc<[VersionRates]> = rates.into();
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
                        Item {
                            key: item.entry.to_string(),
                            view: Box::new(move || entry(&item, &rates)),
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

fn entry(item: &HistoryItem, rates: &[VersionRates]) -> AnyView {
    let text = use_text();
    let what = match (&item.consumption, &item.reason) {
        (Some(consumption), _) => {
            let mut models: Vec<&str> = consumption
                .lines
                .iter()
                .map(|line| line.model_name.as_str())
                .collect();
            models.dedup();
            models.join(", ")
        }
        (None, Some(reason)) => reason.clone(),
        (None, None) => String::new(),
    };
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
        <span class="entry-foot quiet small">
            <Moment at=occurred_at />
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
