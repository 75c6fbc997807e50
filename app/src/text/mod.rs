//! The words of the pages, typed: every language is a value of [`Texts`], so a word that lacks a
//! translation does not compile.

mod en;
mod problem;
mod texts;
mod zh;

use leptos::prelude::*;
use shared::locale::Locale;
use shared::problem::FieldFault;

pub use problem::InWords;
pub use texts::*;

impl Texts {
    #[must_use]
    pub const fn of(locale: Locale) -> &'static Self {
        match locale {
            Locale::En => &en::TEXTS,
            Locale::Zh => &zh::TEXTS,
        }
    }
}

/// Picks one text out of all.
pub type Say = fn(&'static Texts) -> &'static str;

/// The current language's words; changes in place when the language does.
#[derive(Clone, Copy)]
pub struct Text {
    locale: RwSignal<Locale>,
}

/// Provides [`use_text`].
pub fn provide_text(locale: Locale) {
    provide_context(Text {
        locale: RwSignal::new(locale),
    });
}

/// The words of the language that is switched on.
#[must_use]
pub fn use_text() -> Text {
    use_context().unwrap_or_else(|| Text {
        locale: RwSignal::new(Locale::default()),
    })
}

impl Text {
    /// The language, tracked.
    #[must_use]
    pub fn locale(self) -> Locale {
        self.locale.get()
    }

    pub fn set_locale(self, locale: Locale) {
        self.locale.set(locale);
    }

    /// All words, tracked.
    #[must_use]
    pub fn get(self) -> &'static Texts {
        Texts::of(self.locale.get())
    }

    /// All words, for event handlers.
    #[must_use]
    pub fn now(self) -> &'static Texts {
        Texts::of(self.locale.get_untracked())
    }

    /// One text, as a view that follows the language.
    pub fn say(self, what: Say) -> impl Fn() -> &'static str + Copy + Send + Sync + 'static {
        move || what(self.get())
    }

    /// What is wrong with a field, as a sentence.
    #[must_use]
    pub fn fault(self, fault: &FieldFault) -> String {
        let locale = self.locale();
        let message = fault.message(locale);
        match locale {
            Locale::Zh => message + "。",
            Locale::En => {
                let mut letters = message.chars();
                letters
                    .next()
                    .into_iter()
                    .flat_map(char::to_uppercase)
                    .chain(letters)
                    .chain(['.'])
                    .collect()
            }
        }
    }
}

/// Puts values into a text's `{}`, in order. Much smaller in wasm than `format!`.
#[must_use]
pub fn fill(template: &str, values: &[&str]) -> String {
    let mut filled = String::with_capacity(template.len() + 16);
    let mut values = values.iter();
    let mut parts = template.split("{}");
    if let Some(first) = parts.next() {
        filled.push_str(first);
    }
    for part in parts {
        filled.push_str(values.next().copied().unwrap_or_default());
        filled.push_str(part);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fill_a_text_in_order() {
        assert_eq!(fill("{} of {}.", &["1", "2"]), "1 of 2.");
        assert_eq!(fill("{}", &[]), "");
        assert_eq!(fill("plain", &["unused"]), "plain");
    }

    #[test]
    fn a_fault_becomes_a_sentence() {
        let owner = Owner::new();
        owner.with(|| {
            provide_text(Locale::En);
            assert_eq!(use_text().fault(&FieldFault::Empty), "Must not be empty.");
            use_text().set_locale(Locale::Zh);
            assert_eq!(use_text().fault(&FieldFault::Empty), "不能为空。");
        });
    }
}
