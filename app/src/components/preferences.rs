//! The visitor's language and theme: remembered in cookies, switched in place.

use leptos::prelude::*;
use shared::locale::Locale;

use crate::browser;
use crate::components::erased::{Erase, phrase, press};
use crate::text::use_text;

/// The theme; `System` follows the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    /// The value of `data-theme` and of the cookie; none when the device decides.
    #[must_use]
    pub const fn attribute(self) -> Option<&'static str> {
        match self {
            Self::System => None,
            Self::Light => Some("light"),
            Self::Dark => Some("dark"),
        }
    }

    #[must_use]
    pub fn from_attribute(value: &str) -> Self {
        match value {
            "light" => Self::Light,
            "dark" => Self::Dark,
            _ => Self::System,
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::System => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::System,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Preferences {
    pub locale: Locale,
    pub theme: Theme,
}

/// The preferences that came with the request. The defaults while routes are listed at startup,
/// when there is no request, and in the browser.
#[must_use]
pub fn server_preferences() -> Preferences {
    #[cfg(feature = "ssr")]
    if let Some(parts) = use_context::<axum::http::request::Parts>() {
        return preferences_of(&parts.headers);
    }
    Preferences::default()
}

/// Reads the cookies `lang` and `theme`; without `lang`, the browser's `Accept-Language` decides.
#[cfg(feature = "ssr")]
#[must_use]
pub fn preferences_of(headers: &axum::http::HeaderMap) -> Preferences {
    use axum::http::header::ACCEPT_LANGUAGE;
    use axum_extra::extract::cookie::CookieJar;

    let cookies = CookieJar::from_headers(headers);
    let locale = cookies
        .get("lang")
        .and_then(|cookie| Locale::from_tag(cookie.value()))
        .or_else(|| {
            let accepted = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
            Some(Locale::from_accept_language(accepted))
        })
        .unwrap_or_default();
    let theme = cookies
        .get("theme")
        .map(|cookie| Theme::from_attribute(cookie.value()))
        .unwrap_or_default();
    Preferences { locale, theme }
}

/// In the browser the document itself says what the server decided.
#[cfg(feature = "hydrate")]
fn initial_preferences() -> Preferences {
    Preferences {
        locale: browser::root_attribute("lang")
            .and_then(|tag| Locale::from_tag(&tag))
            .unwrap_or_default(),
        theme: browser::root_attribute("data-theme")
            .map(|theme| Theme::from_attribute(&theme))
            .unwrap_or_default(),
    }
}

#[cfg(not(feature = "hydrate"))]
fn initial_preferences() -> Preferences {
    server_preferences()
}

#[derive(Clone, Copy)]
struct ThemeSignal(RwSignal<Theme>);

/// Provides the language (see [`crate::text::use_text`]) and the theme.
pub fn provide_preferences() {
    let Preferences { locale, theme } = initial_preferences();
    crate::text::provide_text(locale);
    provide_context(ThemeSignal(RwSignal::new(theme)));
}

/// The button that offers the other language, named in that language.
#[component]
pub fn LanguageSwitch() -> impl IntoView {
    let text = use_text();
    let other = move || match text.locale() {
        Locale::En => Locale::Zh,
        Locale::Zh => Locale::En,
    };
    let switch = move |_| {
        let locale = other();
        text.set_locale(locale);
        browser::set_root_attribute("lang", Some(locale.tag()));
        browser::set_cookie(
            "lang",
            Some(match locale {
                Locale::En => "en",
                Locale::Zh => "zh",
            }),
        );
    };
    view! {
        <button type="button" class="tool" lang=phrase(move || other().tag()) on:click=press(switch)>
            {phrase(move || match other() {
                Locale::En => "English",
                Locale::Zh => "中文",
            })}
        </button>
    }
    .erased()
}

/// The button that steps through system, light and dark.
#[component]
pub fn ThemeSwitch() -> impl IntoView {
    let text = use_text();
    let theme = use_context::<ThemeSignal>().map_or_else(RwSignal::default, |theme| theme.0);
    let switch = move |_| {
        let next = theme.get().next();
        theme.set(next);
        browser::set_root_attribute("data-theme", next.attribute());
        browser::set_cookie("theme", next.attribute());
    };
    let name = move || match theme.get() {
        Theme::System => text.get().nav.theme_system,
        Theme::Light => text.get().nav.theme_light,
        Theme::Dark => text.get().nav.theme_dark,
    };
    let icon = move || match theme.get() {
        Theme::System => {
            "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Zm0 1.6v9.8a4.9 4.9 0 0 1 0-9.8Z"
        }
        Theme::Light => {
            "M8 4.6a3.4 3.4 0 1 0 0 6.8 3.4 3.4 0 0 0 0-6.8ZM7.3.6h1.4v2.2H7.3ZM7.3 13.2h1.4v2.2H7.3ZM.6 7.3h2.2v1.4H.6ZM13.2 7.3h2.2v1.4h-2.2ZM2.3 3.3l1-1 1.5 1.6-1 1ZM11.2 12.1l1-1 1.5 1.6-1 1ZM12.7 2.3l1 1-1.5 1.6-1-1ZM3.8 11.1l1 1-1.5 1.6-1-1Z"
        }
        Theme::Dark => "M6.2 1.6a6.6 6.6 0 1 0 8.2 8.2A5.6 5.6 0 0 1 6.2 1.6Z",
    };
    view! {
        <button type="button" class="tool icon" aria-label=phrase(name) title=phrase(name) on:click=press(switch)>
            <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
                <path fill="currentColor" fill-rule="evenodd" d=phrase(icon) />
            </svg>
        </button>
    }
    .erased()
}

#[cfg(test)]
#[cfg(feature = "ssr")]
mod tests {
    use super::*;
    use axum::http::HeaderMap;

    fn headers(cookie: &str, language: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", cookie.parse().unwrap());
        headers.insert("accept-language", language.parse().unwrap());
        headers
    }

    #[test]
    fn the_cookie_beats_the_browser_language() {
        let preferences = preferences_of(&headers("lang=zh; theme=dark", "en-GB"));
        assert_eq!(preferences.locale, Locale::Zh);
        assert_eq!(preferences.theme, Theme::Dark);
    }

    #[test]
    fn without_a_cookie_the_browser_language_decides() {
        let preferences = preferences_of(&headers("theme=odd", "zh-CN,zh;q=0.9"));
        assert_eq!(preferences.locale, Locale::Zh);
        assert_eq!(preferences.theme, Theme::System);
    }
}
