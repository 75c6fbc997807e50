use std::time::Duration;

/// Bounds of one process's ledger.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Connections to Postgres, beside those that write messages, the one
    /// that reads accounts and the one that listens.
    pub pool_connections_max: u32,
    /// Who waits longer than this for a connection is told to come again. A fifth of it is also the
    /// longest pause between two attempts to connect: how late a Postgres that came back is noticed.
    pub connection_wait_max: Duration,
    /// Transactions that write messages at the same time.
    pub writers: usize,
    /// Messages that may wait for the next commit; one more is answered with "busy".
    pub queue_messages_max: usize,
    /// Tokens one message may report; one with more waits for an administrator.
    pub message_tokens_max: u64,
    /// For so many months the log of deliveries that charged nothing is kept at least; then it goes by
    /// whole months.
    pub delivery_retention_months: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pool_connections_max: 10,
            connection_wait_max: Duration::from_secs(5),
            // One for each core: while one waits for the disk, another computes.
            writers: std::thread::available_parallelism().map_or(2, usize::from),
            queue_messages_max: 10_000,
            message_tokens_max: 20_000_000,
            delivery_retention_months: 13,
        }
    }
}
