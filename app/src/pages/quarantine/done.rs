//! What happens after a message was dealt with.

use std::sync::Arc;

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use shared::api::{Outcome, QuarantineReason, WebhookAnswer};

use crate::address::WAITING_ID;
use crate::components::address_query::{AddressQuery, use_address_query};
use crate::components::amount::points_text;
use crate::components::erased::{Erase, part, words};
use crate::components::notice::{Notices, use_notices};
use crate::components::reason::reason_label;
use crate::components::waiting_count::{WaitingCount, use_waiting_count};
use crate::text::{Text, fill, use_text};

type Navigate = Arc<dyn Fn(&str, NavigateOptions) + Send + Sync>;

/// A notice says what was done, and the list that the message was opened from is shown again.
#[derive(Clone)]
pub struct Done {
    pub text: Text,
    notices: Notices,
    waiting: WaitingCount,
    /// Why a charge did not come about although the ledger took it.
    still_waits: RwSignal<Option<QuarantineReason>>,
    address: AddressQuery,
    navigate: Navigate,
}

pub fn use_done() -> Done {
    Done {
        text: use_text(),
        notices: use_notices(),
        waiting: use_waiting_count(),
        still_waits: RwSignal::new(None),
        address: use_address_query(),
        navigate: Arc::new(use_navigate()),
    }
}

impl Done {
    pub fn leave(&self, notice: String) {
        self.notices.tell(notice);
        self.waiting.look_again();
        let list = untrack(|| self.address.closing(WAITING_ID));
        (self.navigate)(&list, NavigateOptions::default());
    }

    pub fn charged(&self, user: &str, answer: &WebhookAnswer) {
        let words = &self.text.now().quarantine;
        match answer.status {
            Outcome::Charged => self.leave(fill(
                words.notice_charged,
                &[
                    user,
                    &points_text(answer.points_deducted),
                    &points_text(answer.balance),
                ],
            )),
            Outcome::Duplicate => self.leave(words.notice_duplicate.to_owned()),
            Outcome::Quarantined | Outcome::Conflict | Outcome::Rejected => {
                self.still_waits.set(answer.reason);
            }
        }
    }

    pub fn refusal(&self) -> AnyView {
        let (text, still_waits) = (self.text, self.still_waits);
        view! {
            <div role="alert" class="alert">
                {part(move || match still_waits.get() {
                    Some(reason) => {
                        let said = words(move || {
                            let texts = text.get();
                            fill(texts.quarantine.still_waits, &[reason_label(reason)(texts)])
                        });
                        view! { <p class="form-error">{said}</p> }.erased()
                    }
                    None => ().erased(),
                })}
            </div>
        }
        .erased()
    }
}
