//! What a server does in a browser's place: nothing.

use leptos::web_sys::HtmlInputElement;
use shared::clock::Timestamp;

use super::written::utc_time;

pub fn set_root_attribute(_name: &str, _value: Option<&str>) {}

pub fn set_cookie(_name: &str, _value: Option<&str>) {}

#[must_use]
pub fn local_time(at: Timestamp) -> String {
    utc_time(at)
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
pub fn local_day(_at: Timestamp, _days_back: u32) -> String {
    String::new()
}

#[must_use]
pub fn origin() -> Option<String> {
    None
}

#[must_use]
pub fn copy_text_of(_input: &HtmlInputElement) -> bool {
    false
}
