//! The frame around every page: brand, navigation by role, preferences, notices.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::amount::count_text;
use super::awaited::awaited_quietly;
use super::erased::{Erase, part, phrase};
use super::notice::{NoticeBar, use_notices};
use super::preferences::{LanguageSwitch, ThemeSwitch};
use super::session::use_session;
use super::waiting_count::{WaitingCount, use_waiting_count};
use crate::api::session::{Session, SignOut};
use crate::text::{Say, fill, use_text};

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
    .erased()
}

#[component]
fn Mark() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
            <path d="M4 21V9m16 12V9M4 11h16" />
            <circle cx="12" cy="11" r="5" />
        </svg>
    }
    .erased()
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
                            Ok(Session::Administrator { name, waiting }) => {
                                administrator_links(name, waiting)
                            }
                            Ok(Session::User { user_id }) => user_links(String::from(user_id)),
                            Ok(Session::Nobody) | Err(_) => nobody_links(),
                        }
                    }
                    None => nobody_links(),
                }
            }))}
    }
    .erased()
}

fn nobody_links() -> AnyView {
    view! { <span class="spacer"></span> }.erased()
}

/// `waiting` is a number beside the words, for what somebody should look at.
fn link(href: &'static str, label: Say, waiting: Option<WaitingCount>) -> AnyView {
    let text = use_text();
    let path = leptos_router::hooks::use_location().pathname;
    let current = phrase(move || {
        let is_here = path.with(|path| {
            // The other pages' addresses begin with the monitor's.
            path == href || href != "/admin" && path.starts_with(href)
        });
        if is_here { "page" } else { "false" }
    });
    view! {
        <li>
            <a href=href aria-current=current>
                {text.say(label)} {waiting.map(count_badge)}
            </a>
        </li>
    }
    .erased()
}

fn count_badge(waiting: WaitingCount) -> AnyView {
    let text = use_text();
    part(move || {
        let count = waiting.get();
        if count == 0 {
            return ().erased();
        }
        let count = count_text(count);
        let said = fill(text.get().nav.waiting_count, &[&count]);
        let title = said.clone();
        view! {
            " "
            <span class="badge waiting" title=title>
                <span aria-hidden="true">{count}</span>
                <span class="visually-hidden">{said}</span>
            </span>
        }
        .erased()
    })
    .erased()
}

fn administrator_links(name: String, waiting: u64) -> AnyView {
    let text = use_text();
    let known = use_waiting_count();
    known.set(waiting);
    let path = leptos_router::hooks::use_location().pathname;
    Effect::new(move |seen: Option<String>| {
        let path = path.get();
        if seen.is_some_and(|seen| seen != path) {
            known.look_again();
        }
        path
    });
    view! {
        <nav class="links" aria-label=text.say(|t| t.nav.main)>
            <ul>
                {link("/admin", |t| t.nav.monitor, None)}
                {link("/admin/prices", |t| t.nav.prices, None)}
                {link("/admin/calculator", |t| t.nav.calculator, None)}
                {link("/admin/users", |t| t.nav.users, None)}
                {link("/admin/quarantine", |t| t.nav.quarantine, Some(known))}
                {link("/admin/sources", |t| t.nav.sources, None)}
            </ul>
        </nav>
        <Account name />
    }
    .erased()
}

fn user_links(name: String) -> AnyView {
    let text = use_text();
    view! {
        <nav class="links" aria-label=text.say(|t| t.nav.main)>
            <ul>{link("/my", |t| t.nav.my, None)}</ul>
        </nav>
        <Account name />
    }
    .erased()
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
    .erased()
}
