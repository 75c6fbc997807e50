//! `/`: sends everybody to their own page.

use leptos::prelude::*;
use leptos_router::components::Redirect;

use crate::auth::Session;
use crate::auth::session::use_session;
use crate::components::awaited::awaited;
use crate::components::refusal::Refusal;
use crate::lean::Lean;

#[component]
pub fn HomePage() -> impl IntoView {
    let session = use_session();
    view! {
        {awaited(move || Box::pin(async move {
                let Some(session) = session else {
                    return ().lean();
                };
                match session.get().await {
                    Ok(Session::Administrator { .. }) => view! { <Redirect path="/admin" /> }.lean(),
                    Ok(Session::User { .. }) => view! { <Redirect path="/my" /> }.lean(),
                    Ok(Session::Nobody) => view! { <Redirect path="/sign-in" /> }.lean(),
                    Err(error) => view! { <Refusal error /> }.lean(),
                }
            }))}
    }
    .lean()
}
