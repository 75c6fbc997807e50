//! What a browser does.

use leptos::prelude::{document, window};
use shared::clock::Timestamp;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::js_sys::Date;
use web_sys::{HtmlDocument, HtmlInputElement};

use super::written::written;

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
    written(
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

/// The day `2024-01-15` of a moment in the browser's time zone, or with 1 the day before.
#[must_use]
pub fn local_day(at: Timestamp, days_back: u32) -> String {
    let date = date(at);
    // The day 0 of a month is the last of the month before.
    date.set_date(date.get_date().saturating_sub(days_back));
    let mut text = written(
        date.get_full_year(),
        date.get_month() + 1,
        [date.get_date(), 0, 0, 0],
    );
    text.truncate(10);
    text
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
