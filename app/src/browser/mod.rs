//! The few things only a browser can do. On the server each of them does nothing, so that views
//! and event handlers can name them without caring where they are compiled.

#[cfg(not(feature = "hydrate"))]
mod absent;
#[cfg(feature = "hydrate")]
mod real;
mod written;

use leptos::prelude::*;

#[cfg(not(feature = "hydrate"))]
pub use absent::*;
#[cfg(feature = "hydrate")]
pub use real::*;
pub use written::utc_time;

#[derive(Clone, Copy)]
struct Hydrated(RwSignal<bool>);

/// Whether hydration is over. Until then the browser must show exactly what the server sent.
#[must_use]
pub fn use_hydrated() -> ReadSignal<bool> {
    use_context::<Hydrated>()
        .map_or_else(|| RwSignal::new(false), |hydrated| hydrated.0)
        .read_only()
}

/// Provides [`use_hydrated`], and marks `<html data-hydrated="true">` when it is over.
pub fn provide_hydrated() {
    let hydrated = RwSignal::new(false);
    provide_context(Hydrated(hydrated));
    Effect::new(move |_| {
        hydrated.set(true);
        set_root_attribute("data-hydrated", Some("true"));
    });
}
