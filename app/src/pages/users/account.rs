//! One account, as the administrator sees and changes it.

use leptos::html;
use leptos::prelude::*;
use shared::api::Balance;

use super::{SignInLink, change_points, create_sign_in_link, parse_change};
use crate::ask::Asked;
use crate::browser;
use crate::components::amount::{points_text, signed_points_text};
use crate::components::field::{Field, FormError, fault_of};
use crate::components::moment::Moment;
use crate::components::notice::use_notices;
use crate::lean::{Lean, flag, part, phrase, press, submit_with};
use crate::pages::my::balance::Figures;
use crate::pages::my::history::{History, HistorySection};
use crate::task::Task;
use crate::text::{fill, use_text};

const FIELDS: [&str; 2] = ["points", "reason"];

#[component]
pub fn Account(account: Balance, found: Asked, history: History) -> impl IntoView {
    let text = use_text();
    let Balance {
        user_id,
        balance: total,
        held,
        available,
        ..
    } = account;
    let name = String::from(user_id);
    view! {
        <p class="crumb">
            <a href="/admin/users">{text.say(|t| t.users.back)}</a>
        </p>
        <div class="page-head">
            <h1 class="name">{name.clone()}</h1>
        </div>
        <Figures balance=total held available />
        <div class="columns top">
            <ChangePoints user=name.clone() found history />
            <Link user=name />
        </div>
        <HistorySection history />
    }
    .lean()
}

/// Adding is an entry, and so is taking: nothing is ever overwritten.
#[component]
fn ChangePoints(user: String, found: Asked, history: History) -> impl IntoView {
    let text = use_text();
    let notices = use_notices();
    let hydrated = browser::use_hydrated();
    let points = RwSignal::new(String::new());
    let reason = RwSignal::new(String::new());
    let is_taking = RwSignal::new(false);
    let change = Task::new();
    let error = move || change.error();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let typed = points.get_untracked();
        let signed = if is_taking.get_untracked() {
            ["-", typed.trim()].concat()
        } else {
            typed
        };
        let typed_reason = reason.get_untracked();
        let sent = match parse_change(&user, &signed, &typed_reason) {
            Ok(parsed) => signed_points_text(parsed.points),
            Err(problem) => {
                change.refuse(problem);
                return;
            }
        };
        let user = user.clone();
        change.run(async move {
            let now = change_points(user, signed, typed_reason).await?;
            notices.tell(fill(
                text.now().users.told_changed,
                &[now.user_id.as_str(), &sent, &points_text(now.balance)],
            ));
            points.set(String::new());
            reason.set(String::new());
            found.refetch();
            history.refetch();
            Ok(())
        });
    };
    let choice = move |is_this: bool| {
        view! {
            <input
                type="radio"
                name="direction"
                checked=!is_this
                prop:checked=flag(move || is_taking.get() == is_this)
                on:change=move |_| is_taking.set(is_this)
            />
        }
    };
    view! {
        <form class="card stack" novalidate on:submit=submit_with(submit)>
            <h2>{text.say(|t| t.users.change)}</h2>
            <fieldset class="choice">
                <legend class="visually-hidden">{text.say(|t| t.users.direction)}</legend>
                <label>{choice(false)} {text.say(|t| t.users.add)}</label>
                <label>{choice(true)} {text.say(|t| t.users.take)}</label>
            </fieldset>
            <Field
                id="points"
                label=|t| t.common.points
                value=points
                fault=fault_of(error, "points")
                    takes_focus=true
                inputmode="decimal"
                required=true
            />
            <Field
                id="reason"
                label=|t| t.users.reason
                hint=|t| t.users.reason_hint
                value=reason
                fault=fault_of(error, "reason")
                    takes_focus=true
                required=true
            />
            <FormError error=Signal::derive(error) fields=&FIELDS />
            <div class="actions">
                <button
                    type="submit"
                    class="button primary"
                    disabled=flag(move || change.is_pending() || !hydrated.get())
                >
                    {phrase(move || {
                        let words = &text.get().users;
                        if change.is_pending() {
                            words.changing
                        } else if is_taking.get() {
                            words.take
                        } else {
                            words.add
                        }
                    })}
                </button>
            </div>
            <p class="quiet small">{text.say(|t| t.users.change_hint)}</p>
        </form>
    }
    .lean()
}

/// A link with which the user signs in; whoever has it is the user, so it is made on demand.
#[component]
fn Link(user: String) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let make = Task::new();
    let link = RwSignal::new(None::<SignInLink>);
    let on_make = move |_| {
        let user = user.clone();
        make.run(async move {
            link.set(Some(create_sign_in_link(user).await?));
            Ok(())
        });
    };
    view! {
        <section class="card stack" aria-labelledby="link-title">
            <h2 id="link-title">{text.say(|t| t.users.link)}</h2>
            <p class="quiet">{text.say(|t| t.users.link_hint)}</p>
            <div class="actions">
                <button
                    type="button"
                    class="button"
                    disabled=flag(move || make.is_pending() || !hydrated.get())
                    on:click=press(on_make)
                >
                    {text.say(|t| t.users.make_link)}
                </button>
            </div>
            <FormError error=Signal::derive(move || make.error()) fields=&[] />
            {part(move || match link.get() {
                Some(link) => view! { <MadeLink link /> }.lean(),
                None => ().lean(),
            })}
        </section>
    }
    .lean()
}

#[component]
fn MadeLink(link: SignInLink) -> impl IntoView {
    let text = use_text();
    let input = NodeRef::<html::Input>::new();
    let is_copied = RwSignal::new(false);
    let address = [&browser::origin().unwrap_or_default(), link.path.as_str()].concat();
    let copy = move |_| {
        if let Some(input) = input.get_untracked() {
            is_copied.set(browser::copy_text_of(&input));
        }
    };
    view! {
        <div class="inline">
            <div class="field">
                <label for="link">{text.say(|t| t.users.link_label)}</label>
                <input
                    id="link"
                    type="text"
                    readonly
                    value=address
                    node_ref=input
                    on:focus=move |_| {
                        if let Some(input) = input.get_untracked() {
                            input.select();
                        }
                    }
                />
            </div>
            <button type="button" class="button" on:click=press(copy)>
                {text.say(|t| t.users.copy)}
            </button>
        </div>
        <p class="quiet small" role="status">
            {phrase(move || if is_copied.get() { text.get().users.copied } else { "" })}
        </p>
        <p class="quiet small">
            {text.say(|t| t.users.link_expires)} " " <Moment at=link.expires_at />
        </p>
    }
    .lean()
}
