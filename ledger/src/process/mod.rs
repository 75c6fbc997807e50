//! What one process keeps in its memory, and the tasks that keep it.

pub(crate) mod account_reader;
pub(crate) mod feed_signal;
pub(crate) mod key_cache;
pub(crate) mod price_cache;
