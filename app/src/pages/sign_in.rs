//! Signing in as administrator.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_meta::Title;
use leptos_router::components::Redirect;
use leptos_router::hooks::{use_location, use_query_map};
use shared::problem::Problem;

use crate::auth::session::use_session;
use crate::auth::{Session, SignIn};
use crate::components::awaited::awaited;
use crate::lean::{Lean, part, words};
use crate::text::use_text;

const SIGN_IN_PATH: &str = "/sign-in";

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
                        view! { <Redirect path="/" /> }.lean()
                    }
                    Some(Session::Nobody) | None => view! { <SignInForm /> }.lean(),
                }
            }))}
    }
    .lean()
}

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
                        Some(error) => view! { <p class="form-error">{error}</p> }.lean(),
                        None => ().lean(),
                    })}
                </div>
                <button type="submit" class="button primary wide">
                    {text.say(|t| t.sign_in.submit)}
                </button>
            </form>
            <p class="quiet small">{text.say(|t| t.sign_in.user_hint)}</p>
        </section>
    }
    .lean()
}

/// Why signing in was refused, as the address says it after the form was posted.
fn refusal_from(code: &str, wait_seconds: Option<&str>) -> Problem {
    let wrong = Problem::WrongPassword;
    let limited = Problem::RateLimited {
        retry_after_seconds: wait_seconds
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or(60),
    };
    [wrong, limited, Problem::LinkExpired, Problem::CrossSite]
        .into_iter()
        .find(|problem| problem.code() == code)
        .unwrap_or(Problem::Internal)
}

/// Where a refused form post comes back to, with the reason and the name that was typed.
#[cfg(feature = "ssr")]
#[must_use]
pub fn refused_address(problem: &Problem, name: &str, next: &str) -> String {
    use leptos_router::location::Url;

    let mut address = [
        SIGN_IN_PATH,
        "?refused=",
        problem.code(),
        "&name=",
        &Url::escape(name),
        "&next=",
        &Url::escape(next),
    ]
    .concat();
    if let Some(seconds) = problem.retry_after_seconds() {
        address += "&wait=";
        address += &seconds.to_string();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_way_through_the_address() {
        assert_eq!(refusal_from("wrong_password", None), Problem::WrongPassword);
        assert_eq!(
            refusal_from("rate_limited", Some("42")),
            Problem::RateLimited {
                retry_after_seconds: 42
            }
        );
        assert_eq!(refusal_from("<script>", None), Problem::Internal);
    }

    #[cfg(feature = "ssr")]
    #[test]
    fn names_cannot_add_to_the_address() {
        assert_eq!(
            refused_address(&Problem::WrongPassword, "a&b=c", "/admin?x=1"),
            "/sign-in?refused=wrong_password&name=a%26b%3Dc&next=%2Fadmin%3Fx%3D1"
        );
    }
}
