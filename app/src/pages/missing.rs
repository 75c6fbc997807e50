//! What an address shows where there is no page.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::components::erased::Erase;
use crate::text::use_text;

#[component]
pub fn MissingPage() -> impl IntoView {
    let text = use_text();
    #[cfg(feature = "ssr")]
    if let Some(options) = use_context::<leptos_axum::ResponseOptions>() {
        options.set_status(axum::http::StatusCode::NOT_FOUND);
    }
    view! {
        <Title text=text.say(|t| t.missing.title) />
        <section class="card narrow">
            <h1>{text.say(|t| t.missing.title)}</h1>
            <p>{text.say(|t| t.missing.hint)}</p>
            <p>
                <a class="button primary" href="/">
                    {text.say(|t| t.common.to_start)}
                </a>
            </p>
        </section>
    }
    .erased()
}
