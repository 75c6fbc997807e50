//! The frame around every page: brand, navigation by role, preferences, notices.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::awaited::awaited_quietly;
use super::notice::{NoticeBar, use_notices};
use super::preferences::{LanguageSwitch, ThemeSwitch};
use crate::auth::session::use_session;
use crate::auth::{Session, SignOut};
use crate::lean::{Lean, phrase};
use crate::text::{Say, use_text};

#[component]
pub fn Layout(children: Children) -> impl IntoView {
    let text = use_text();
    let path = leptos_router::hooks::use_location().pathname;
    let notices = use_notices();
    // What was done on one page is no news on the next.
    Effect::new(move |seen: Option<String>| {
        let path = path.get();
        if seen.is_some_and(|seen| seen != path) {
            notices.clear();
        }
        path
    });
    view! {
        <a class="skip" href="#content" rel="external">
            {text.say(|t| t.nav.skip)}
        </a>
        <header class="bar">
            <a class="brand" href="/">
                <Mark />
                "Tollgate"
            </a>
            <Navigation />
            <div class="tools">
                <LanguageSwitch />
                <ThemeSwitch />
            </div>
        </header>
        <NoticeBar />
        <main id="content" tabindex="-1">
            {children()}
        </main>
    }
    .lean()
}

#[component]
fn Mark() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
            <path d="M4 21V9m16 12V9M4 11h16" />
            <circle cx="12" cy="11" r="5" />
        </svg>
    }
    .lean()
}

/// Links by role, and the way out.
#[component]
fn Navigation() -> impl IntoView {
    let session = use_session();
    view! {
        {awaited_quietly(move || Box::pin(async move {
                match session {
                    Some(session) => {
                        match session.get().await {
                            Ok(Session::Administrator { name }) => administrator_links(name),
                            Ok(Session::User { user_id }) => user_links(String::from(user_id)),
                            Ok(Session::Nobody) | Err(_) => nobody_links(),
                        }
                    }
                    None => nobody_links(),
                }
            }))}
    }
    .lean()
}

fn nobody_links() -> AnyView {
    view! { <span class="spacer"></span> }.lean()
}

fn link(href: &'static str, label: Say) -> AnyView {
    let text = use_text();
    let path = leptos_router::hooks::use_location().pathname;
    let current = phrase(move || {
        if path.with(|path| path == href) {
            "page"
        } else {
            "false"
        }
    });
    view! {
        <li>
            <a href=href aria-current=current>
                {text.say(label)}
            </a>
        </li>
    }
    .lean()
}

fn administrator_links(name: String) -> AnyView {
    let text = use_text();
    view! {
        <nav class="links" aria-label=text.say(|t| t.nav.main)>
            <ul>
                {link("/admin", |t| t.nav.monitor)} {link("/admin/prices", |t| t.nav.prices)}
                {link("/admin/calculator", |t| t.nav.calculator)}
                {link("/admin/users", |t| t.nav.users)}
            </ul>
        </nav>
        <Account name />
    }
    .lean()
}

fn user_links(name: String) -> AnyView {
    let text = use_text();
    view! {
        <nav class="links" aria-label=text.say(|t| t.nav.main)>
            <ul>{link("/my", |t| t.nav.my)}</ul>
        </nav>
        <Account name />
    }
    .lean()
}

/// Signing out is a plain form post: it works without scripts, and loads a fresh page.
#[component]
fn Account(name: String) -> impl IntoView {
    let text = use_text();
    view! {
        <form class="account" action=SignOut::url() method="post">
            <span class="who" title=name>
                {name.clone()}
            </span>
            <button type="submit" class="tool">
                {text.say(|t| t.nav.sign_out)}
            </button>
        </form>
    }
    .lean()
}
