//! What people see: pages, components, and the server functions beside the pages that call them.
//!
//! The same views are rendered by the server (feature `ssr`) and taken over in the browser
//! (feature `hydrate`), so nothing in a view may differ between the two: no clock, no time zone and
//! no browser state before hydration is over (see [`browser::use_hydrated`]).

mod ask;
pub mod auth;
mod browser;
mod chunk;
pub mod components;
mod error;
mod lean;
pub mod pages;
mod task;
pub mod text;
mod wire;

use leptos::prelude::*;
use leptos_meta::{MetaTags, Title, provide_meta_context};
use leptos_router::components::{FlatRoutes, Route, Router};
use leptos_router::{SsrMode, path};

#[cfg(feature = "hydrate")]
pub use chunk::preload;
pub use error::AppError;

use components::layout::Layout;
use components::preferences::server_preferences;
use pages::home::HomePage;
use pages::missing::MissingPage;
use pages::sign_in::SignInPage;

/// Asks Dify what the app behind a gateway source has served since then, and compares it with what
/// arrived. What came of it stands in the ledger, also when Dify could not be asked.
#[cfg(feature = "ssr")]
pub type CheckServed = std::sync::Arc<
    dyn Fn(std::sync::Arc<ledger::ApiKey>, shared::clock::Timestamp) -> Checking + Send + Sync,
>;

/// A check under way.
#[cfg(feature = "ssr")]
pub type Checking = std::pin::Pin<Box<dyn Future<Output = ledger::Result<()>> + Send>>;

/// What server functions need; the server provides it as context for rendering and for calls.
#[cfg(feature = "ssr")]
#[derive(Clone)]
pub struct AppContext {
    pub ledger: ledger::Ledger,
    pub check_served: CheckServed,
    pub access: access::Access,
    /// Where an end user buys points; without it they are told to ask the operator.
    pub recharge_url: Option<String>,
}

/// The document around the app. The visitor's language and theme are attributes of `<html>`,
/// so that the page is right before any script has run.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    let preferences = server_preferences();
    view! {
        <!DOCTYPE html>
        <html lang=preferences.locale.tag() data-theme=preferences.theme.attribute()>
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                // By this id cargo-leptos finds it, to reload it while developing.
                <link id="leptos" rel="stylesheet" href="/pkg/tollgate.css" />
                <link rel="icon" type="image/svg+xml" href="/favicon.svg" />
                <AutoReload options=options.clone() />
                <HydrationScripts options />
                <MetaTags />
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}

/// The whole app: preferences, the visitor's session, and the routes.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    components::preferences::provide_preferences();
    browser::provide_hydrated();
    components::notice::provide_notices();
    components::layout::provide_waiting();
    auth::session::provide_session();

    view! {
        <Title formatter=|title: String| {
            if title.is_empty() { "Tollgate".to_owned() } else { title + " · Tollgate" }
        } />
        <Router>
            <Layout>
                // A page is sent complete, with its data: nothing jumps while it loads.
                <FlatRoutes fallback=MissingPage>
                    <Route path=path!("/") view=HomePage ssr=SsrMode::Async />
                    <Route path=path!("/sign-in") view=SignInPage ssr=SsrMode::Async />
                    <Route path=path!("/admin") view=chunk::Monitor ssr=SsrMode::Async />
                    <Route path=path!("/admin/prices") view=chunk::Prices ssr=SsrMode::Async />
                    <Route path=path!("/admin/calculator") view=chunk::Calculator ssr=SsrMode::Async />
                    <Route path=path!("/admin/prices/rerate") view=chunk::Rerate ssr=SsrMode::Async />
                    <Route path=path!("/admin/users") view=chunk::Users ssr=SsrMode::Async />
                    <Route path=path!("/admin/quarantine") view=chunk::Quarantine ssr=SsrMode::Async />
                    <Route path=path!("/admin/sources") view=chunk::Sources ssr=SsrMode::Async />
                    <Route path=path!("/my") view=chunk::My ssr=SsrMode::Async />
                </FlatRoutes>
            </Layout>
        </Router>
    }
}
