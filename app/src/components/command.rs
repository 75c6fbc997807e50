//! What a visitor has the server do, once per click.

use leptos::prelude::*;
use leptos::reactive::owner::WeakOwner;
use leptos::reactive::spawn_local_scoped_with_cancellation;
use shared::problem::Problem;

use crate::error::AppError;

/// Something that is done on demand: whether it is under way, and why it failed the last time.
#[derive(Clone, Copy)]
pub struct Command {
    /// Weak, because an owner that owned itself would never be cleaned up.
    owner: StoredValue<Option<WeakOwner>>,
    is_pending: RwSignal<bool>,
    error: RwSignal<Option<AppError>>,
}

impl Command {
    #[must_use]
    pub fn new() -> Self {
        Self {
            owner: StoredValue::new(Owner::current().map(|owner| owner.downgrade())),
            is_pending: RwSignal::new(false),
            error: RwSignal::new(None),
        }
    }

    /// Does it, unless it is already under way. What it ends with is not waited for once the
    /// visitor has left the part of the page that it belongs to.
    pub fn run(self, work: impl Future<Output = Result<(), AppError>> + 'static) {
        let owner = self.owner.get_value().and_then(|owner| owner.upgrade());
        let (Some(owner), false) = (owner, self.is_pending.get_untracked()) else {
            return;
        };
        self.is_pending.set(true);
        self.error.set(None);
        owner.with(|| {
            spawn_local_scoped_with_cancellation(async move {
                let result = work.await;
                // What the work changed may take this part of the page away; let that happen
                // first, or what is about to go would be told once more.
                leptos::task::tick().await;
                self.is_pending.try_set(false);
                self.error.try_set(result.err());
            });
        });
    }

    /// Says what is wrong without asking the server.
    pub fn refuse(self, problem: Problem) {
        self.error.set(Some(AppError::Refused(problem)));
    }

    #[must_use]
    pub fn is_pending(self) -> bool {
        self.is_pending.try_get().unwrap_or_default()
    }

    #[must_use]
    pub fn error(self) -> Option<AppError> {
        self.error.try_get().flatten()
    }
}
