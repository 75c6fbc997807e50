//! What a walk along accounts goes by.

use std::sync::{Arc, Mutex};

use sqlx::PgPool;

use crate::records::sealing::SealingKey;
use crate::store::verification::Cut;
use crate::verify::pricing::Pricing;
use crate::verify::tally::Tally;

/// What all parts of the walk share.
pub(crate) struct AccountWalk {
    pub pool: PgPool,
    pub sealing: SealingKey,
    pub pricing: Arc<Pricing>,
    pub cut: Cut,
    /// Go on from checkpoints.
    pub from_checkpoints: bool,
    /// Counts the entries of messages, where all of them are walked along; otherwise each is looked up
    /// among the claims and events.
    pub tally: Option<Mutex<Tally>>,
}
