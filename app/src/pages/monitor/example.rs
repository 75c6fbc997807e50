//! What to do while nothing has arrived yet.

use leptos::prelude::*;
use shared::locale::Locale;

use crate::browser;
use crate::components::erased::{Erase, words};
use crate::text::use_text;

#[component]
pub fn Nothing() -> impl IntoView {
    let text = use_text();
    let hydrated = browser::use_hydrated();
    let command = move || {
        // The server does not know under which address it is seen.
        let origin = hydrated
            .get()
            .then(browser::origin)
            .flatten()
            .unwrap_or_else(|| "http://127.0.0.1:3000".to_owned());
        let key = match text.locale() {
            Locale::En => "YOUR_API_KEY",
            Locale::Zh => "你的_API_密钥",
        };
        [
            "curl ",
            &origin,
            "/api/dify/webhook \\\n  -H 'Authorization: Bearer ",
            key,
            "' \\\n  -H 'Content-Type: application/json' \\\n  -d '",
            SAMPLE,
            "'",
        ]
        .concat()
    };
    view! {
        <section class="card empty">
            <h2>{text.say(|t| t.monitor.empty)}</h2>
            <p>{text.say(|t| t.monitor.empty_hint)}</p>
            <pre tabindex="0" aria-label=text.say(|t| t.monitor.example)>
                <code>{words(command)}</code>
            </pre>
            <p>
                {text.say(|t| t.monitor.empty_price)} " "
                <a href="/admin/prices">{text.say(|t| t.nav.prices)}</a>
            </p>
        </section>
    }
    .erased()
}

const SAMPLE: &str = r#"{"event":"message_end","data":{"conversation_id":"conv_123","message_id":"msg_456","user_id":"user_789","model_name":"gpt-4","input_tokens":1500,"output_tokens":800,"total_tokens":2300,"timestamp":"2024-01-15T10:30:00Z"},"request_id":"req_abc123"}"#;
