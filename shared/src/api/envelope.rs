//! The frame of every answer, and pages of lists.

use serde::{Deserialize, Serialize};

use super::fields::{optional, within};
use crate::problem::Problem;

/// A successful answer: `{"success":true,"message":…,"data":{…}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Success<T> {
    pub success: bool,
    pub message: String,
    pub data: T,
}

impl<T> Success<T> {
    pub fn new(message: impl Into<String>, data: T) -> Self {
        Self {
            success: true,
            message: message.into(),
            data,
        }
    }
}

/// A refusal: `{"success":false,"message":…,"error":{"code":…,"field":…}}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    pub success: bool,
    pub message: String,
    pub error: FailureDetail,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailureDetail {
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

impl Failure {
    /// `message` says it in the caller's language.
    #[must_use]
    pub fn new(problem: &Problem, message: String) -> Self {
        Self {
            success: false,
            message,
            error: FailureDetail {
                code: problem.code().to_owned(),
                field: problem.field_name().map(str::to_owned),
            },
        }
    }
}

/// A page of a longer list, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Give it back as `cursor` for the next page; absent on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The same page of other items.
    #[must_use]
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(each).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

/// Items of a page.
pub const PAGE_ITEMS_DEFAULT: u32 = 20;
pub const PAGE_ITEMS_MAX: u32 = 100;

/// Query of a page.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PageQuery {
    /// Where the page begins: `nextCursor` of the page before.
    #[serde(default, deserialize_with = "optional")]
    pub cursor: Option<String>,
    /// Items of a page at most; 20 unless told.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    #[serde(default, deserialize_with = "within::<_, 1, PAGE_ITEMS_MAX>")]
    pub limit: Option<u32>,
}
