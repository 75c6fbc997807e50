//! The few things only a browser can do. On the server each of them does nothing, so that views
//! and event handlers can name them without caring where they are compiled.

use leptos::prelude::*;
use shared::clock::Timestamp;

#[derive(Clone, Copy)]
struct Hydrated(RwSignal<bool>);

/// Whether hydration is over. Until then the browser must show exactly what the server sent.
#[must_use]
pub fn use_hydrated() -> ReadSignal<bool> {
    use_context::<Hydrated>()
        .map_or_else(|| RwSignal::new(false), |hydrated| hydrated.0)
        .read_only()
}

/// Provides [`use_hydrated`], and marks `<html data-hydrated="true">` when it is over.
pub fn provide_hydrated() {
    let hydrated = RwSignal::new(false);
    provide_context(Hydrated(hydrated));
    Effect::new(move |_| {
        hydrated.set(true);
        set_root_attribute("data-hydrated", Some("true"));
    });
}

/// A moment in UTC as `2024-01-15 10:30:00`, the same on both sides.
#[must_use]
pub fn utc_time(at: Timestamp) -> String {
    let moment = at.moment();
    written(
        moment.year().unsigned_abs(),
        u32::from(u8::from(moment.month())),
        [
            moment.day(),
            moment.hour(),
            moment.minute(),
            moment.second(),
        ]
        .map(u32::from),
    )
}

/// `rest` is day, hour, minute, second. Written by hand: `format!` with widths costs more wasm.
fn written(year: u32, month: u32, rest: [u32; 4]) -> String {
    let mut text = year.to_string();
    let [day, hour, minute, second] = rest;
    for (separator, number) in [
        ('-', month),
        ('-', day),
        (' ', hour),
        (':', minute),
        (':', second),
    ] {
        text.push(separator);
        if number < 10 {
            text.push('0');
        }
        text.push_str(&number.to_string());
    }
    text
}

#[cfg(not(feature = "hydrate"))]
pub use absent::*;
#[cfg(feature = "hydrate")]
pub use real::*;

#[cfg(feature = "hydrate")]
mod real {
    use leptos::prelude::{document, window};
    use shared::clock::Timestamp;
    use wasm_bindgen::{JsCast, JsValue};
    use web_sys::js_sys::Date;
    use web_sys::{HtmlDocument, HtmlInputElement};

    /// An attribute of `<html>`.
    #[must_use]
    pub fn root_attribute(name: &str) -> Option<String> {
        document().document_element()?.get_attribute(name)
    }

    pub fn set_root_attribute(name: &str, value: Option<&str>) {
        if let Some(root) = document().document_element() {
            let done = match value {
                Some(value) => root.set_attribute(name, value),
                None => root.remove_attribute(name),
            };
            // Only an invalid attribute name fails, and ours are constants.
            drop(done);
        }
    }

    /// Remembers a preference for a year; without a value, forgets it.
    pub fn set_cookie(name: &str, value: Option<&str>) {
        let Ok(document) = document().dyn_into::<HtmlDocument>() else {
            return;
        };
        let (value, age_seconds) = value.map_or(("", "0"), |value| (value, "31536000"));
        // A browser that refuses cookies forgets the preference; the page still obeys it.
        drop(
            document.set_cookie(
                &[
                    name,
                    "=",
                    value,
                    "; path=/; samesite=lax; max-age=",
                    age_seconds,
                ]
                .concat(),
            ),
        );
    }

    fn date(at: Timestamp) -> Date {
        Date::new(&JsValue::from_str(&at.to_string()))
    }

    /// A moment in the browser's time zone as `2024-01-15 18:30:00`.
    #[must_use]
    pub fn local_time(at: Timestamp) -> String {
        let date = date(at);
        super::written(
            date.get_full_year(),
            date.get_month() + 1,
            [
                date.get_date(),
                date.get_hours(),
                date.get_minutes(),
                date.get_seconds(),
            ],
        )
    }

    /// What `<input type="datetime-local">` holds, read in the browser's time zone.
    #[must_use]
    pub fn parse_local_time(text: &str) -> Option<Timestamp> {
        let date = Date::new(&JsValue::from_str(text));
        if date.get_time().is_nan() {
            return None;
        }
        date.to_iso_string().as_string()?.parse().ok()
    }

    /// Local midnight at the start of a day `2024-01-15`, `days` later.
    #[must_use]
    pub fn local_midnight(day: &str, days: u32) -> Option<Timestamp> {
        let date = Date::new(&JsValue::from_str(&[day, "T00:00:00"].concat()));
        if date.get_time().is_nan() {
            return None;
        }
        date.set_date(date.get_date() + days);
        date.to_iso_string().as_string()?.parse().ok()
    }

    /// `https://tollgate.example`.
    #[must_use]
    pub fn origin() -> Option<String> {
        window().location().origin().ok()
    }

    /// Copies an input's text; `false` when the browser does not let us. The asynchronous
    /// clipboard exists only on TLS and localhost, this works everywhere.
    #[must_use]
    pub fn copy_text_of(input: &HtmlInputElement) -> bool {
        input.select();
        document()
            .dyn_into::<HtmlDocument>()
            .ok()
            .and_then(|document| document.exec_command("copy").ok())
            .unwrap_or(false)
    }
}

#[cfg(not(feature = "hydrate"))]
mod absent {
    use leptos::web_sys::HtmlInputElement;
    use shared::clock::Timestamp;

    pub fn set_root_attribute(_name: &str, _value: Option<&str>) {}

    pub fn set_cookie(_name: &str, _value: Option<&str>) {}

    #[must_use]
    pub fn local_time(at: Timestamp) -> String {
        super::utc_time(at)
    }

    #[must_use]
    pub fn parse_local_time(_text: &str) -> Option<Timestamp> {
        None
    }

    #[must_use]
    pub fn local_midnight(_day: &str, _days: u32) -> Option<Timestamp> {
        None
    }

    #[must_use]
    pub fn origin() -> Option<String> {
        None
    }

    #[must_use]
    pub fn copy_text_of(_input: &HtmlInputElement) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_with_leading_zeros() {
        let at: Timestamp = "2024-01-05T03:04:09.5Z".parse().unwrap();
        assert_eq!(utc_time(at), "2024-01-05 03:04:09");
    }
}
