//! WebAssembly entry points of Tollgate.

use leptos::prelude::window;
use wasm_bindgen::prelude::wasm_bindgen;

/// Takes over the page that the server rendered, as soon as the page's own code is there too.
#[wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    wasm_bindgen_futures::spawn_local(async {
        // Without a path the page itself loads its code, only later.
        app::preload(&window().location().pathname().unwrap_or_default()).await;
        leptos::mount::hydrate_body(app::App);
    });
}
