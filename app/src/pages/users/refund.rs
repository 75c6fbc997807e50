//! Giving points of a charge back.

use leptos::prelude::*;
use shared::money::Points;

use crate::api::query::QueryResource;
use crate::api::users::{parse_refund, refund_charge};
use crate::components::amount::points_text;
use crate::components::command::Command;
use crate::components::erased::{Erase, submit_with, words};
use crate::components::field::{Field, FormError, fault_of};
use crate::components::history::AccountHistory;
use crate::components::notice::use_notices;
use crate::components::submit::submit_button;
use crate::text::{fill, use_text};

/// The form below a charge's receipt. `left` is what can still be given back.
#[component]
pub fn Refund(
    user: String,
    entry: i64,
    left: Points,
    found: QueryResource,
    history: AccountHistory,
) -> impl IntoView {
    let text = use_text();
    let notices = use_notices();
    if left.is_zero() {
        return view! { <p class="quiet">{text.say(|t| t.users.refund_nothing)}</p> }.erased();
    }
    let points = RwSignal::new(left.to_string());
    let reason = RwSignal::new(String::new());
    let give = Command::new();
    let submit = move |event: leptos::ev::SubmitEvent| {
        event.prevent_default();
        let (typed, why) = (points.get_untracked(), reason.get_untracked());
        let sent = match parse_refund(&typed, &why, left) {
            Ok(points) => points_text(points),
            Err(problem) => {
                give.refuse(problem);
                return;
            }
        };
        let user = user.clone();
        give.run(async move {
            let now = refund_charge(user, entry, typed, why).await?;
            notices.tell(fill(
                text.now().users.notice_refunded,
                &[now.user_id.as_str(), &sent, &points_text(now.balance)],
            ));
            found.refetch();
            history.refetch();
            Ok(())
        });
    };
    let still = points_text(left);
    view! {
        <form class="refund" novalidate on:submit=submit_with(submit)>
            <h3>{text.say(|t| t.users.refund)}</h3>
            <p class="quiet small">
                {words(move || fill(text.get().users.refund_left, &[&still]))}
            </p>
            <div class="inline">
                <Fields entry points reason give />
                {submit_button("button", give, |t| t.users.changing, move || text.get().users.refund)}
            </div>
            <FormError error=Signal::derive(move || give.error()) fields=&["points", "reason"] />
        </form>
    }
    .erased()
}

#[component]
fn Fields(
    entry: i64,
    points: RwSignal<String>,
    reason: RwSignal<String>,
    give: Command,
) -> impl IntoView {
    let entry = entry.to_string();
    let error = move || give.error();
    view! {
        <Field
            id=["refundPoints", &entry].concat()
            label=|t| t.users.refund_points
            value=points
            fault=fault_of(error, "points")
            takes_focus=true
            inputmode="decimal"
            required=true
        />
        <Field
            id=["refundReason", &entry].concat()
            label=|t| t.users.reason
            hint=|t| t.users.reason_hint
            value=reason
            fault=fault_of(error, "reason")
            takes_focus=true
            required=true
        />
    }
    .erased()
}
