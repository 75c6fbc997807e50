/// How complete the reports about a source's messages are, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletenessShare {
    /// In the days that are told of.
    pub served: u64,
    pub arrived: u64,
    /// Also of earlier days.
    pub missing: u64,
    /// Whether the last check did not come to its end.
    pub has_failed: bool,
}
