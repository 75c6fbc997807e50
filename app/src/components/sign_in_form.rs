//! The form with which an administrator signs in.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_router::hooks::{use_location, use_query_map};

use super::erased::{Erase, part, words};
use crate::address::{SIGN_IN_PATH, refusal_from};
use crate::api::session::SignIn;
use crate::text::{InWords, use_text};

/// The form, on its own page and wherever a page asks to sign in; leads back to where it stands.
///
/// It is posted and answered like any form of the web: nothing here waits for a script, and what
/// was typed before hydration is never lost.
#[component]
pub fn SignInForm() -> impl IntoView {
    let text = use_text();
    let location = use_location();
    let query = use_query_map();
    let next = words(move || {
        let path = location.pathname.get();
        if path == SIGN_IN_PATH {
            return query.read().get("next").unwrap_or_else(|| "/".to_owned());
        }
        let search = location.search.get();
        let search = search.trim_start_matches('?');
        if search.is_empty() {
            path
        } else {
            [&path, "?", search].concat()
        }
    });
    let name = query.read_untracked().get("name");
    let error = move || {
        let query = query.read();
        let problem = refusal_from(&query.get("refused")?, query.get("wait").as_deref());
        Some(problem.message(text.locale()))
    };

    view! {
        <section class="card narrow">
            <h1>{text.say(|t| t.sign_in.title)}</h1>
            <p class="quiet">{text.say(|t| t.sign_in.hint)}</p>
            <form class="stack" action=SignIn::url() method="post">
                <div class="field">
                    <label for="name">{text.say(|t| t.sign_in.name)}</label>
                    <input
                        id="name"
                        name="name"
                        type="text"
                        autocomplete="username"
                        autocapitalize="none"
                        spellcheck="false"
                        required
                        value=name
                    />
                </div>
                <div class="field">
                    <label for="password">{text.say(|t| t.sign_in.password)}</label>
                    <input
                        id="password"
                        name="password"
                        type="password"
                        autocomplete="current-password"
                        required
                    />
                </div>
                <input type="hidden" name="next" value=next />
                <div role="alert" class="alert">
                    {part(move || match error() {
                        Some(error) => view! { <p class="form-error">{error}</p> }.erased(),
                        None => ().erased(),
                    })}
                </div>
                <button type="submit" class="button primary wide">
                    {text.say(|t| t.sign_in.submit)}
                </button>
            </form>
            <p class="quiet small">{text.say(|t| t.sign_in.user_hint)}</p>
        </section>
    }
    .erased()
}
