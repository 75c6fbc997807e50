//! Tests of the domain from outside. The tables run natively and, compiled to WebAssembly, under
//! Node.js (`make test` does both); the property tests run natively.

#![cfg(test)] // Tells clippy that helpers are test code too.

mod agreement;
mod clock;
mod completeness;
mod dify;
mod langfuse;
mod locale;
mod metering;
mod money;
mod openai;
mod price;
mod quote;
mod sse;
mod tokens;
mod usage;
mod values;

/// `#[test]` on either target.
#[cfg(not(target_arch = "wasm32"))]
use core::prelude::v1::test;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;
