//! HistoryOwner entries are listed, and which of them.

use std::sync::Arc;

use leptos::prelude::*;
use shared::api::{EntryKind, HistoryFilter, HistoryItem};
use shared::ids::UserId;
use shared::money::Points;

use crate::api::query::{Query, QueryResource, use_query};
use crate::components::address_query::{AddressQuery, use_address_query};
use crate::components::open_items::OPEN;
use crate::components::pager::{Pages, use_pages};

/// Makes what stands below a charge's receipt, from its entry and what can still be given back.
pub type BelowReceipt = Arc<dyn Fn(&HistoryItem, Points) -> AnyView + Send + Sync>;

/// HistoryOwner history a page is about.
pub enum HistoryOwner {
    /// The visitor's.
    Own,
    /// Somebody's whom an administrator looks at.
    User(UserId),
}

/// Names in the address of what is to be listed.
pub const MODEL: &str = "model";
pub const KIND: &str = "kind";
/// A moment: inclusive.
pub const FROM: &str = "from";
/// A moment: exclusive.
pub const TO: &str = "to";
/// The cursor of the page: what is listed happened before it.
pub const BEFORE: &str = "before";
/// All that the address says of a history.
const NAMES: [&str; 6] = [MODEL, KIND, FROM, TO, BEFORE, OPEN];

/// The history of one account: what is asked for in the address, and the answer.
#[derive(Clone, Copy)]
pub struct AccountHistory {
    pub address: AddressQuery,
    pub pages: Pages,
    pub answer: QueryResource,
}

impl AccountHistory {
    pub fn refetch(self) {
        self.answer.refetch();
    }

    /// The address without this account, whose name stands in it under `name`: that of the list
    /// it was opened from.
    pub fn address_of_list(self, name: &str) -> String {
        let names = NAMES.into_iter().chain([name]);
        let changes: Vec<_> = names.map(|name| (name, Vec::new())).collect();
        untrack(|| self.address.with(&changes))
    }

    /// What the address asks for; what it says of that and means nothing is left out. Tracked.
    pub fn filter(self) -> HistoryFilter {
        filter_of(self.address)
    }
}

fn filter_of(address: AddressQuery) -> HistoryFilter {
    let moment = |name: &str| address.get(name).and_then(|at| at.parse().ok());
    HistoryFilter {
        model_name: address.get(MODEL).and_then(|model| model.parse().ok()),
        from: moment(FROM),
        to: moment(TO),
        kind: address.get(KIND).and_then(|name| {
            EntryKind::ALL
                .into_iter()
                .find(|kind| kind.as_str() == name)
        }),
    }
}

/// Asks for an account's history, and again whenever the address asks for another part of it.
/// `user` says whose: nobody's yet, the visitor's own, or that of a user an administrator looks at.
#[must_use]
pub fn use_history(
    user: impl Fn() -> Option<HistoryOwner> + Send + Sync + 'static,
) -> AccountHistory {
    let address = use_address_query();
    let pages = use_pages(BEFORE);
    let answer = use_query(move || match user() {
        None => Query::Nothing,
        Some(whose) => Query::History {
            user: match whose {
                HistoryOwner::Own => None,
                HistoryOwner::User(user) => Some(user),
            },
            filter: filter_of(address),
            cursor: pages.cursor(),
        },
    });
    AccountHistory {
        address,
        pages,
        answer,
    }
}
