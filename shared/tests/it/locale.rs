//! Which language a visitor gets.

use shared::locale::Locale;

use crate::test;

#[test]
fn the_best_accepted_language_wins() {
    for (header, locale) in [
        ("", Locale::En),
        ("*", Locale::En),
        ("zh", Locale::Zh),
        ("zh-CN", Locale::Zh),
        ("zh_TW", Locale::Zh),
        ("ZH-hans-CN", Locale::Zh),
        ("en-GB", Locale::En),
        ("de", Locale::En),
        ("de, zh;q=0.1", Locale::Zh),
        ("zh-CN,zh;q=0.9,en;q=0.8", Locale::Zh),
        ("en-US,en;q=0.9,zh-CN;q=0.8", Locale::En),
        ("en;q=0.8, zh;q=0.9", Locale::Zh),
        ("en;q=0.8 , zh; q=0.85", Locale::Zh),
        ("en;q=0.1,zh;q=0.10", Locale::En),
        ("zh;q=0", Locale::En),
        ("zh;q=0.000, en;q=0.001", Locale::En),
        ("zh;q=1.000, en", Locale::Zh),
        ("zh;q=abc", Locale::En),
        ("zhuang", Locale::En),
        (",,;;q=,zh", Locale::Zh),
    ] {
        assert_eq!(Locale::from_accept_language(header), locale, "{header:?}");
    }
}

#[test]
fn tags_name_a_language_or_nothing() {
    for (tag, locale) in [
        ("zh-CN", Some(Locale::Zh)),
        (" en ", Some(Locale::En)),
        ("fr", None),
        ("", None),
    ] {
        assert_eq!(Locale::from_tag(tag), locale, "{tag:?}");
    }
    for locale in [Locale::En, Locale::Zh] {
        assert_eq!(Locale::from_tag(locale.tag()), Some(locale));
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use proptest::prelude::*;
    use shared::locale::Locale;

    proptest! {
        #[test]
        fn any_header_gets_a_language(header in ".*") {
            let locale = Locale::from_accept_language(&header);
            if !header.to_ascii_lowercase().contains("zh") {
                prop_assert_eq!(locale, Locale::En);
            }
        }
    }
}
