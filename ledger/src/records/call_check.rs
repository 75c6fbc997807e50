//! A call before it runs: what is known of it, and whether it may.

use serde::{Deserialize, Serialize};
use shared::api::Hold;
use shared::ids::ModelName;
use shared::money::Points;

/// What is known of a call before it runs. What is absent comes from the source's settings, then
/// from what recent messages of the source cost, then from a default.
#[derive(Debug, Clone, Default)]
pub struct CallEstimate {
    pub model_name: Option<ModelName>,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    /// What is asked has at least so many tokens, whatever calls used before.
    pub asked_tokens: u64,
    /// How long the points are promised; absent, they are only looked at.
    pub hold_seconds: Option<u32>,
}

/// Whether a call may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallCheck {
    pub can_proceed: bool,
    pub estimated_points: Points,
    pub balance: Points,
    pub available: Points,
    /// What is missing; at least a nanopoint when the call may not run.
    pub shortfall: Points,
    pub hold_id: Option<String>,
}

impl CallCheck {
    /// With the hold that was asked for; there was not enough left for it where there is none.
    pub(crate) fn completed(mut self, hold: Option<Hold>) -> Self {
        match hold {
            Some(hold) => self.hold_id = Some(hold.hold_id),
            None => {
                self.can_proceed = false;
                self.shortfall = self.shortfall.max(Points::from_nano(1));
            }
        }
        self
    }
}
