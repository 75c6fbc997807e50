//! Giving and taking points, and how far an account may go below zero. Nothing is ever overwritten.

use leptos::prelude::*;
use shared::money::Points;

use crate::api::query::QueryResource;
use crate::api::users::{PointsDraft, change_points, parse_limit, set_debt_limit};
use crate::browser;
use crate::components::amount::{points_text, signed_points_text};
use crate::components::command::Command;
use crate::components::erased::{Erase, flag, part, submit_with};
use crate::components::field::{Field, FormError, fault_of};
use crate::components::history::AccountHistory;
use crate::components::notice::use_notices;
use crate::components::submit::submit_button;
use crate::text::{Say, fill, use_text};

const FIELDS: [&str; 3] = ["points", "reason", "expiresAt"];

/// One of two radio buttons: the one for `when`, with its words.
fn radio(name: &'static str, label: Say, state: RwSignal<bool>, when: bool) -> AnyView {
    let text = use_text();
    view! {
        <label>
            <input
                type="radio"
                name=name
                checked=state.get_untracked() == when
                prop:checked=flag(move || state.get() == when)
                on:change=move |_| state.set(when)
            />
            {text.say(label)}
        </label>
    }
    .erased()
}

/// The form as it is typed.
#[derive(Clone, Copy)]
struct PointsFields {
    points: RwSignal<String>,
    reason: RwSignal<String>,
    expires_at: RwSignal<String>,
    is_taking: RwSignal<bool>,
    is_bought: RwSignal<bool>,
}

impl PointsFields {
    fn new() -> Self {
        Self {
            points: RwSignal::new(String::new()),
            reason: RwSignal::new(String::new()),
            expires_at: RwSignal::new(String::new()),
            is_taking: RwSignal::new(false),
            is_bought: RwSignal::new(false),
        }
    }

    /// Points that are taken come from what is there: they have no terms.
    fn draft(self, user_id: String) -> PointsDraft {
        let typed = self.points.get_untracked();
        let is_taking = self.is_taking.get_untracked();
        let expires_at = browser::parse_local_time(&self.expires_at.get_untracked());
        PointsDraft {
            user_id,
            points: if is_taking {
                ["-", typed.trim()].concat()
            } else {
                typed
            },
            reason: self.reason.get_untracked(),
            is_bought: !is_taking && self.is_bought.get_untracked(),
            expires_at: expires_at.filter(|_| !is_taking),
        }
    }

    fn clear(self) {
        for field in [self.points, self.reason, self.expires_at] {
            field.set(String::new());
        }
    }
}

/// Adding is an entry, and so is taking.
#[component]
pub fn ChangePoints(user: String, found: QueryResource, history: AccountHistory) -> impl IntoView {
    let text = use_text();
    let notices = use_notices();
    let typed = PointsFields::new();
    let change = Command::new();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let draft = typed.draft(user.clone());
        let sent = match draft.parse() {
            Ok(parsed) => signed_points_text(parsed.points),
            Err(problem) => {
                change.refuse(problem);
                return;
            }
        };
        change.run(async move {
            let now = change_points(draft).await?;
            notices.tell(fill(
                text.now().users.notice_changed,
                &[now.user_id.as_str(), &sent, &points_text(now.balance)],
            ));
            typed.clear();
            found.refetch();
            history.refetch();
            Ok(())
        });
    };
    let label = move || {
        let words = &text.get().users;
        if typed.is_taking.get() {
            words.take
        } else {
            words.add
        }
    };
    view! {
        <form class="card stack" novalidate on:submit=submit_with(submit)>
            <h2>{text.say(|t| t.users.change)}</h2>
            <Fields typed change />
            <FormError error=Signal::derive(move || change.error()) fields=&FIELDS />
            <div class="actions">
                {submit_button("button primary", change, |t| t.users.changing, label)}
            </div>
            <p class="quiet small">{text.say(|t| t.users.change_hint)}</p>
        </form>
    }
    .erased()
}

#[component]
fn Fields(typed: PointsFields, change: Command) -> impl IntoView {
    let text = use_text();
    let is_taking = typed.is_taking;
    let error = move || change.error();
    let terms = part(move || {
        if is_taking.get() {
            ().erased()
        } else {
            view! { <Terms typed change /> }.erased()
        }
    });
    view! {
        <fieldset class="choice">
            <legend class="visually-hidden">{text.say(|t| t.users.direction)}</legend>
            {radio("direction", |t| t.users.add, is_taking, false)}
            {radio("direction", |t| t.users.take, is_taking, true)}
        </fieldset>
        <Field
            id="points"
            label=|t| t.common.points
            value=typed.points
            fault=fault_of(error, "points")
            takes_focus=true
            inputmode="decimal"
            required=true
        />
        <Field
            id="reason"
            label=|t| t.users.reason
            hint=|t| t.users.reason_hint
            value=typed.reason
            fault=fault_of(error, "reason")
            takes_focus=true
            required=true
        />
        {terms}
    }
    .erased()
}

/// Where points that are added come from, and until when they are good.
#[component]
fn Terms(typed: PointsFields, change: Command) -> impl IntoView {
    let text = use_text();
    view! {
        <fieldset class="choice" aria-describedby="origin-hint">
            <legend>{text.say(|t| t.users.origin)}</legend>
            {radio("origin", |t| t.users.granted, typed.is_bought, false)}
            {radio("origin", |t| t.users.bought, typed.is_bought, true)}
            <p class="hint" id="origin-hint">
                {text.say(|t| t.users.origin_hint)}
            </p>
        </fieldset>
        <Field
            id="expiresAt"
            label=|t| t.users.expires_at
            hint=|t| t.users.expires_at_hint
            value=typed.expires_at
            fault=fault_of(move || change.error(), "expiresAt")
            takes_focus=true
            kind="datetime-local"
        />
    }
    .erased()
}

/// How far below zero new calls may take the balance.
#[component]
pub fn DebtLimit(user: String, limit: Points, found: QueryResource) -> impl IntoView {
    let text = use_text();
    let notices = use_notices();
    let typed = RwSignal::new(limit.to_string());
    let save = Command::new();
    let error = move || save.error();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let limit = typed.get_untracked();
        if let Err(problem) = parse_limit(&limit) {
            save.refuse(problem);
            return;
        }
        let user = user.clone();
        save.run(async move {
            let now = set_debt_limit(user, limit).await?;
            notices.tell(fill(
                text.now().users.notice_debt_limit,
                &[now.user_id.as_str(), &points_text(now.debt_limit)],
            ));
            found.refetch();
            Ok(())
        });
    };
    view! {
        <form class="card stack" novalidate on:submit=submit_with(submit)>
            <h2>{text.say(|t| t.users.debt_limit)}</h2>
            <div class="inline">
                <Field
                    id="debtLimit"
                    label=|t| t.users.debt_limit_label
                    value=typed
                    fault=fault_of(error, "debtLimit")
                    takes_focus=true
                    inputmode="decimal"
                    required=true
                />
                {submit_button("button", save, |t| t.users.save, move || text.get().users.save)}
            </div>
            <FormError error=Signal::derive(error) fields=&["debtLimit"] />
            <p class="quiet small">{text.say(|t| t.users.debt_limit_hint)}</p>
        </form>
    }
    .erased()
}
