//! The pages as the router knows them. Their code is not in the first WebAssembly file: what only
//! the functions of one chunk reach, `cargo leptos build --split` puts into files of their own, and
//! the browser loads them when it comes to such a page.
//!
//! - `my`: the user's page,
//! - `monitor`: where an administrator lands,
//! - `desk`: the administrator's other pages.
//!
//! In one file, every page would load 464 KB of brotli; `/sign-in` loads 193, `/admin` 252, `/my` 297.
//!
//! Three and not one for each page, because code that several chunks need becomes a file for each
//! combination of them. Data, such as texts, stays in the first file.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use leptos::__reexports::send_wrapper::SendWrapper;
use leptos::prelude::*;

use crate::components::awaited::awaited;
use crate::components::erased::Erase;
use crate::components::refusal::Refusal;
use crate::error::AppError;

type Loading = Pin<Box<dyn Future<Output = Result<AnyView, AppError>> + Send>>;

/// Shows a page at once where its code is there: on the server always, and in the browser while
/// hydrating, because [`preload`] was waited for.
fn page(load: fn() -> Loading) -> AnyView {
    let mut loading = load();
    match loading
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(loaded) => shown(loaded),
        Poll::Pending => awaited(move || Box::pin(async move { shown(load().await) })),
    }
}

fn shown(loaded: Result<AnyView, AppError>) -> AnyView {
    match loaded {
        Ok(view) => view,
        Err(error) => view! { <Refusal error /> }.erased(),
    }
}

/// For each page: its path, its component here, the function that loads and renders it, its chunk,
/// the chunk's name for the server's hint to the browser, what only loads, and the page itself.
macro_rules! pages {
    ($($path:literal $name:ident: $load:ident in $chunk:ident $hint:literal by $preload:ident, $page:path;)+) => {
        $(
            #[component]
            pub fn $name() -> impl IntoView {
                page(|| Box::pin(SendWrapper::new($load())))
            }

            #[cfg(feature = "hydrate")]
            #[leptos::wasm_split::wasm_split(
                $chunk,
                wasm_split_path = ::leptos::wasm_split,
                preload($preload),
                fallible
            )]
            fn $load() -> Result<AnyView, AppError> {
                Ok($page().into_any())
            }

            #[cfg(not(feature = "hydrate"))]
            async fn $load() -> Result<AnyView, AppError> {
                leptos::prefetch_lazy_fn_on_server($hint);
                Ok($page().into_any())
            }
        )+

        /// Loads the code of the page at a path, to be there before hydration. Each page has to be
        /// loaded by its own function, even where another page's has loaded their chunk. A failure
        /// is no matter here: the page tries again, and says what went wrong.
        #[cfg(feature = "hydrate")]
        pub async fn preload(path: &str) {
            drop(match path.trim_end_matches('/') {
                $($path => $preload().await,)+
                _ => Ok(()),
            });
        }
    };
}

pages! {
    "/admin" Monitor: load_monitor in monitor "monitor" by preload_monitor, crate::pages::monitor::MonitorPage;
    "/admin/prices" Prices: load_prices in desk "desk" by preload_prices, crate::pages::prices::PricesPage;
    "/admin/prices/rerate" Rerate: load_rerate in desk "desk" by preload_rerate, crate::pages::rerate::ReratePage;
    "/admin/calculator" Calculator: load_calculator in desk "desk" by preload_calculator, crate::pages::calculator::CalculatorPage;
    "/admin/users" Users: load_users in desk "desk" by preload_users, crate::pages::users::UsersPage;
    "/admin/sources" Sources: load_sources in desk "desk" by preload_sources, crate::pages::sources::SourcesPage;
    "/admin/quarantine" Quarantine: load_quarantine in desk "desk" by preload_quarantine, crate::pages::quarantine::QuarantinePage;
    "/my" My: load_my in my "my" by preload_my, crate::pages::my::MyPage;
}

#[cfg(feature = "hydrate")]
impl From<leptos::wasm_split::SplitLoaderError> for AppError {
    fn from(_: leptos::wasm_split::SplitLoaderError) -> Self {
        Self::Unreachable
    }
}
