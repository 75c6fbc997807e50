//! Signing in as administrator.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::Redirect;

use crate::api::session::Session;
use crate::components::awaited::awaited;
use crate::components::erased::Erase;
use crate::components::session::use_session;
use crate::components::sign_in_form::SignInForm;
use crate::text::use_text;

#[component]
pub fn SignInPage() -> impl IntoView {
    let text = use_text();
    let session = use_session();
    view! {
        <Title text=text.say(|t| t.sign_in.title) />
        {awaited(move || Box::pin(async move {
                let session = match session {
                    Some(session) => session.get().await.ok(),
                    None => None,
                };
                match session {
                    Some(Session::Administrator { .. } | Session::User { .. }) => {
                        view! { <Redirect path="/" /> }.erased()
                    }
                    Some(Session::Nobody) | None => view! { <SignInForm /> }.erased(),
                }
            }))}
    }
    .erased()
}
