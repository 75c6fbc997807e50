//! A client of the live feed, as the monitor is one: what it sees, and how long after the answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use shared::formats::sse::EventReader;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::connection::Connection;
use crate::load::{latencies, record};
use crate::request::head;

/// How long the feed may stand still before what is missing counts as lost.
const STANDSTILL_MAX: Duration = Duration::from_secs(10);
/// Within this, whatever was under way when a load failed has been seen.
const FORGET_AFTER: Duration = Duration::from_secs(3);

/// What has been answered and what has been seen. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    /// Sets this run's messages apart from those of any other.
    prefix: Arc<str>,
    marks: Arc<Mutex<Marks>>,
}

struct Marks {
    /// Messages that have been answered or seen, but not both.
    waiting: HashMap<u64, Mark>,
    delays: Histogram<u64>,
    seen: u64,
    fault: Option<String>,
}

enum Mark {
    Answered(Instant),
    Seen,
}

impl Feed {
    pub fn new(run: u32) -> Result<Self> {
        Ok(Self {
            prefix: format!("bench-{run}-").into(),
            marks: Arc::new(Mutex::new(Marks {
                waiting: HashMap::new(),
                delays: latencies()?,
                seen: 0,
                fault: None,
            })),
        })
    }

    pub fn message_id(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    /// A message was answered.
    pub fn answered(&self, number: u64, at: Instant) {
        let mut marks = self.marks();
        match marks.waiting.remove(&number) {
            // Told to the monitor before the sender had its answer.
            Some(Mark::Seen) => record(&mut marks.delays, Duration::ZERO),
            _ => drop(marks.waiting.insert(number, Mark::Answered(at))),
        }
    }

    fn saw(&self, number: u64, at: Instant) {
        let mut marks = self.marks();
        marks.seen += 1;
        match marks.waiting.remove(&number) {
            Some(Mark::Answered(answered)) => record(&mut marks.delays, at - answered),
            _ => drop(marks.waiting.insert(number, Mark::Seen)),
        }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything answered has been seen, and everything seen answered.
    ///
    /// # Errors
    /// When the feed broke or stands still before that.
    pub async fn catch_up(&self) -> Result<()> {
        let (mut seen, mut moved_at) = (0, Instant::now());
        loop {
            {
                let marks = self.marks();
                if let Some(fault) = &marks.fault {
                    bail!("the live feed broke: {fault}");
                }
                if marks.waiting.is_empty() {
                    return Ok(());
                }
                if marks.seen != seen {
                    (seen, moved_at) = (marks.seen, Instant::now());
                }
                if moved_at.elapsed() > STANDSTILL_MAX {
                    bail!(
                        "{} messages were not both answered and seen in the live feed, once each",
                        marks.waiting.len()
                    );
                }
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets go of what a load that failed has left unanswered.
    pub async fn forget(&self) {
        sleep(FORGET_AFTER).await;
        self.marks().waiting.clear();
    }

    /// From the answer to the arrival, in microseconds, since this was last asked.
    pub fn take_delays(&self) -> Result<Histogram<u64>> {
        let empty = latencies()?;
        Ok(std::mem::replace(&mut self.marks().delays, empty))
    }

    /// Connects a client, which reads until its [`FeedHandle`] is dropped.
    pub async fn connect(&self, addr: SocketAddr, key: &str) -> Result<FeedHandle> {
        let mut connection = Connection::open(addr).await?;
        let head = head("GET", "/api/admin/live", key);
        connection.send(format!("{head}\r\n").as_bytes()).await?;
        let answer = loop {
            let answer = connection.receive().await?;
            if answer.has_head() {
                break answer;
            }
        };
        if answer.status() != 200 {
            bail!("the live feed answered {}", answer.status());
        }
        let feed = self.clone();
        let task = tokio::spawn(async move {
            if let Err(fault) = feed.read(connection).await {
                feed.marks().fault = Some(format!("{fault:#}"));
            }
        });
        Ok(FeedHandle(task.abort_handle()))
    }

    async fn read(&self, mut connection: Connection) -> Result<()> {
        let mut events = EventReader::default();
        loop {
            let answer = connection.receive().await?;
            let at = Instant::now();
            events.read(answer.drain().as_slice(), |data| {
                if let Some(number) = message_of(data, &self.prefix) {
                    self.saw(number, at);
                }
            });
            if answer.is_complete() {
                bail!("it ended");
            }
        }
    }
}

/// The number of this run's message that the data of an event tells of.
fn message_of(data: &[u8], prefix: &str) -> Option<u64> {
    let data = str::from_utf8(data).ok()?;
    let (_, id) = data.split_once(r#""messageId":""#)?;
    let (number, _) = id.strip_prefix(prefix)?.split_once('"')?;
    number.parse().ok()
}

/// Disconnects the client when dropped.
pub struct FeedHandle(AbortHandle);

impl Drop for FeedHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_this_run_are_recognised() {
        let of = |data: &str| message_of(data.as_bytes(), "bench-7-");
        let line = r#"data: {"outcome":"charged","messageId":"bench-7-12","points":1}"#;
        assert_eq!(of(line), Some(12));
        assert_eq!(of(&line.replace("bench-7-", "bench-70-")), None);
        assert_eq!(of("id: 12-12"), None);
        assert_eq!(of(r#"data: {"messageId":null}"#), None);
    }

    #[tokio::test(start_paused = true)]
    async fn everything_answered_must_be_seen_once() {
        let feed = Feed::new(7).expect("a feed");
        let now = Instant::now();
        feed.answered(1, now);
        feed.saw(1, now + Duration::from_millis(20));
        feed.saw(2, now);
        feed.answered(2, now + Duration::from_millis(5));
        feed.catch_up().await.expect("all seen");
        let delays = feed.take_delays().expect("delays");
        assert_eq!((delays.len(), delays.max() / 1000), (2, 20));

        feed.answered(3, now);
        assert!(feed.catch_up().await.is_err(), "never seen");
        feed.saw(3, now);
        feed.catch_up().await.expect("all seen");
        feed.saw(3, now);
        assert!(feed.catch_up().await.is_err(), "seen twice");
    }
}
