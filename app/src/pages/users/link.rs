//! A link with which a user signs in.

use leptos::html;
use leptos::prelude::*;

use crate::api::users::{SignInLink, create_sign_in_link};
use crate::browser;
use crate::components::command::Command;
use crate::components::erased::{Erase, flag, part, phrase, press};
use crate::components::field::{FormError, Select, choice};
use crate::components::moment::Moment;
use crate::text::{Say, Texts, use_text};

/// Lives to choose from, in words and in seconds; the ledger allows a day at most.
const LIVES: [(Say, u32); 3] = [
    (|t: &'static Texts| t.users.one_hour, 60 * 60),
    (|t: &'static Texts| t.users.eight_hours, 8 * 60 * 60),
    (|t: &'static Texts| t.users.one_day, 24 * 60 * 60),
];

const LIFE_AT_FIRST: u32 = 60 * 60;

/// A link with which the user signs in; whoever has it is the user, so it is made on demand.
#[component]
pub fn Link(user: String) -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let make = Command::new();
    let link = RwSignal::new(None::<SignInLink>);
    let life = RwSignal::new(LIFE_AT_FIRST.to_string());
    let on_make = move |_| {
        let user = user.clone();
        let seconds = life.with_untracked(|life| life.parse().ok());
        link.set(None);
        make.run(async move {
            let seconds = seconds.unwrap_or(LIFE_AT_FIRST);
            link.set(Some(create_sign_in_link(user, seconds).await?));
            Ok(())
        });
    };
    let lives = LIVES.map(|(label, seconds)| {
        choice(
            seconds.to_string(),
            move || label(text.get()).to_owned(),
            false,
        )
    });
    let lives = lives.into_iter().collect_view().erased();
    view! {
        <section class="card stack" aria-labelledby="link-title">
            <h2 id="link-title">{text.say(|t| t.users.link)}</h2>
            <p class="quiet">{text.say(|t| t.users.link_hint)}</p>
            <div class="inline">
                <Select id="linkLife" label=|t| t.users.link_life value=life options=lives />
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
                Some(link) => view! { <MadeLink link /> }.erased(),
                None => ().erased(),
            })}
        </section>
    }
    .erased()
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
    .erased()
}
