//! Parts of a page that wait for data.

use std::pin::Pin;
use std::sync::Arc;

use leptos::prelude::*;

use super::refusal::Loading;
use crate::components::erased::Erase;

/// A view that is not there yet.
pub type Awaited = Pin<Box<dyn Future<Output = AnyView> + Send>>;

/// Shows a view once its data has arrived, and keeps showing the old one while new data is under
/// way. One function for all of them: with a `<Transition>` of its own for each, `/my` would load
/// 14 KB more of brotli, `/sign-in` 19.
pub fn awaited(view: impl Fn() -> Awaited + Send + Sync + 'static) -> AnyView {
    erased(Arc::new(view), true)
}

/// As [`awaited`], without saying that something is loading.
pub fn awaited_quietly(view: impl Fn() -> Awaited + Send + Sync + 'static) -> AnyView {
    erased(Arc::new(view), false)
}

fn erased(view: Arc<dyn Fn() -> Awaited + Send + Sync>, says_loading: bool) -> AnyView {
    let fallback = move || {
        if says_loading {
            view! { <Loading /> }.erased()
        } else {
            ().erased()
        }
    };
    view! {
        <Transition fallback=fallback>
            {
                let view = Arc::clone(&view);
                move || Suspend::new(view())
            }
        </Transition>
    }
    .erased()
}
