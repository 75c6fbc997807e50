//! The tokens that a charge is computed for.

use leptos::prelude::*;
use shared::problem::Problem;
use shared::tokens::Tokens;

use crate::api::fields::count_or_zero;
use crate::components::erased::Erase;
use crate::components::field::{Field, fault_of};
use crate::error::AppError;
use crate::text::{Say, use_text};

/// The token counts as they are typed.
#[derive(Clone, Copy)]
pub struct TypedTokens {
    input: RwSignal<String>,
    cached_input: RwSignal<String>,
    cache_write: RwSignal<String>,
    output: RwSignal<String>,
    reasoning: RwSignal<String>,
}

impl TypedTokens {
    /// A call of some size.
    pub fn sample() -> Self {
        Self {
            input: RwSignal::new("1500".to_owned()),
            cached_input: RwSignal::new(String::new()),
            cache_write: RwSignal::new(String::new()),
            output: RwSignal::new("800".to_owned()),
            reasoning: RwSignal::new(String::new()),
        }
    }

    pub fn read(self) -> Result<Tokens, Problem> {
        let read =
            |field: &str, typed: RwSignal<String>| typed.with(|typed| count_or_zero(field, typed));
        Ok(Tokens {
            input: read("inputTokens", self.input)?,
            cached_input: read("cachedInputTokens", self.cached_input)?,
            cache_write: read("cacheWriteTokens", self.cache_write)?,
            output: read("outputTokens", self.output)?,
            reasoning: read("reasoningTokens", self.reasoning)?,
        })
    }
}

#[component]
pub fn TokenFields(typed: TypedTokens, tokens: Signal<Result<Tokens, Problem>>) -> impl IntoView {
    let text = use_text();
    let error = move || tokens.get().err().map(AppError::Refused);
    let field = move |id: &'static str, label: Say, value: RwSignal<String>| {
        view! { <Field id label value fault=fault_of(error, id) inputmode="numeric" /> }.erased()
    };
    view! {
        <fieldset class="card">
            <legend>{text.say(|t| t.common.tokens)}</legend>
            <div class="columns">
                {field("inputTokens", |t| t.calculator.input_tokens, typed.input)}
                {field("outputTokens", |t| t.calculator.output_tokens, typed.output)}
                {field("cachedInputTokens", |t| t.calculator.cached_input_tokens, typed.cached_input)}
                {field("cacheWriteTokens", |t| t.calculator.cache_write_tokens, typed.cache_write)}
                {field("reasoningTokens", |t| t.calculator.reasoning_tokens, typed.reasoning)}
            </div>
            <p class="quiet small">{text.say(|t| t.calculator.exclusive)}</p>
        </fieldset>
    }
    .erased()
}
