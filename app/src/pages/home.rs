//! `/`: sends everybody to their own page.

use leptos::prelude::*;
use leptos_router::components::Redirect;

use crate::api::session::Session;
use crate::components::awaited::awaited;
use crate::components::erased::Erase;
use crate::components::refusal::Refusal;
use crate::components::session::use_session;

#[component]
pub fn HomePage() -> impl IntoView {
    let session = use_session();
    view! {
        {awaited(move || Box::pin(async move {
                let Some(session) = session else {
                    return ().erased();
                };
                match session.get().await {
                    Ok(Session::Administrator { .. }) => view! { <Redirect path="/admin" /> }.erased(),
                    Ok(Session::User { .. }) => view! { <Redirect path="/my" /> }.erased(),
                    Ok(Session::Nobody) => view! { <Redirect path="/sign-in" /> }.erased(),
                    Err(error) => view! { <Refusal error /> }.erased(),
                }
            }))}
    }
    .erased()
}
