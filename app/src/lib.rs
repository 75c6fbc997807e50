//! What people see, on floors; each imports only from those below it:
//!
//! - [`pages`]: the views, one folder for each group of them,
//! - [`components`]: what several pages share,
//! - `api`: what travels between a page and the server, and the server functions,
//! - `auth`: who is asking, on the server,
//! - `context`, [`address`], `browser`, [`text`], `error`.
//!
//! The same views are rendered by the server (feature `ssr`) and taken over in the browser
//! (feature `hydrate`), so nothing in a view may differ between the two: no clock, no time zone and
//! no browser state before hydration is over (see [`browser::use_hydrated`]).

pub mod address;
mod api;
#[cfg(feature = "ssr")]
pub mod auth;
mod browser;
pub mod components;
#[cfg(feature = "ssr")]
mod context;
mod error;
pub mod pages;
pub mod text;

use leptos::prelude::*;
use leptos_meta::{MetaTags, Title, provide_meta_context};
use leptos_router::components::{FlatRoutes, Route, Router};
use leptos_router::{SsrMode, path};

#[cfg(feature = "ssr")]
pub use context::{AppContext, CheckServed, Checking};
#[cfg(feature = "ssr")]
pub use error::explain::{Explain, reviewed};
#[cfg(feature = "hydrate")]
pub use pages::lazy::preload;

use components::layout::Layout;
use components::preferences::server_preferences;
use pages::home::HomePage;
use pages::lazy;
use pages::missing::MissingPage;
use pages::sign_in::SignInPage;

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
    components::waiting_count::provide_waiting_count();
    components::session::provide_session();

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
                    <Route path=path!("/admin") view=lazy::Monitor ssr=SsrMode::Async />
                    <Route path=path!("/admin/prices") view=lazy::Prices ssr=SsrMode::Async />
                    <Route path=path!("/admin/calculator") view=lazy::Calculator ssr=SsrMode::Async />
                    <Route path=path!("/admin/prices/rerate") view=lazy::Rerate ssr=SsrMode::Async />
                    <Route path=path!("/admin/users") view=lazy::Users ssr=SsrMode::Async />
                    <Route path=path!("/admin/quarantine") view=lazy::Quarantine ssr=SsrMode::Async />
                    <Route path=path!("/admin/sources") view=lazy::Sources ssr=SsrMode::Async />
                    <Route path=path!("/my") view=lazy::My ssr=SsrMode::Async />
                </FlatRoutes>
            </Layout>
        </Router>
    }
}
