//! Load on a server, from this one thread: it shares the machine with what it measures, so it does
//! as little as possible for each request.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep_until, timeout};

use crate::answer::HttpAnswer;
use crate::connection::Connection;

/// How long a load may take beyond its plan before it counts as stuck.
const GRACE: Duration = Duration::from_secs(60);
/// Latencies are kept in microseconds up to a minute, to three digits.
const MICROS_MAX: u64 = 60_000_000;

/// What is sent, and what must come back.
pub trait Traffic {
    /// Writes the next request, and names the messages that it carries.
    fn write(&self, request: &mut Vec<u8>) -> Range<u64>;

    /// Checks the answer to a request that carried these messages, and says how many things it did.
    ///
    /// # Errors
    /// When it is not the right answer.
    fn check(&self, messages: Range<u64>, answer: &HttpAnswer, at: Instant) -> Result<u64>;
}

/// What a load came to.
pub struct Figures {
    done: u64,
    measured: Duration,
    micros: Histogram<u64>,
}

impl Figures {
    fn new(measured: Duration) -> Result<Self> {
        Ok(Self {
            done: 0,
            measured,
            micros: latencies()?,
        })
    }

    fn add(&mut self, done: u64, latency: Duration) {
        self.done += done;
        record(&mut self.micros, latency);
    }

    pub fn per_second(&self) -> f64 {
        real(self.done) / self.measured.as_secs_f64()
    }

    /// In milliseconds.
    pub fn latency(&self, quantile: f64) -> f64 {
        quantile_ms(&self.micros, quantile)
    }

    /// In milliseconds.
    pub fn mean_latency(&self) -> f64 {
        self.micros.mean() / 1000.0
    }
}

pub fn latencies() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, MICROS_MAX, 3).context("the histogram did not start")
}

pub fn record(micros: &mut Histogram<u64>, latency: Duration) {
    micros.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}

pub fn quantile_ms(micros: &Histogram<u64>, quantile: f64) -> f64 {
    real(micros.value_at_quantile(quantile)) / 1000.0
}

/// A count as a float: exact as far as anything is counted here.
pub fn real(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// Each connection sends its next request when it has the answer to the one before.
#[derive(Debug, Clone, Copy)]
pub struct Closed {
    pub connections: usize,
    /// Before anything counts.
    pub warm_up: Duration,
    pub measured: Duration,
}

impl Closed {
    /// # Errors
    /// At the first wrong answer.
    pub async fn run(self, addr: SocketAddr, traffic: &impl Traffic) -> Result<Figures> {
        let connections = connect(addr, self.connections).await?;
        let from = Instant::now() + self.warm_up;
        let until = from + self.measured;
        let figures = RefCell::new(Figures::new(self.measured)?);
        let clients = connections.into_iter().map(async |mut connection| {
            let mut request = Vec::new();
            let mut begun = Instant::now();
            while begun < until {
                let messages = traffic.write(&mut request);
                let answer = connection.exchange(&request).await?;
                let ended = Instant::now();
                let done = traffic.check(messages, answer, ended)?;
                if (from..until).contains(&ended) {
                    figures.borrow_mut().add(done, ended - begun);
                }
                begun = ended;
            }
            anyhow::Ok(())
        });
        timeout(self.warm_up + self.measured + GRACE, try_join_all(clients))
            .await
            .context("answers did not come in time")??;
        Ok(figures.into_inner())
    }
}

/// Requests at a fixed rate, whatever becomes of them. Latencies count from the moment at which a
/// request was due, so that a server that falls behind cannot hide it by slowing the sender.
#[derive(Debug, Clone, Copy)]
pub struct Open {
    /// Enough that one is always free; when none is, the requests that wait for one count as late.
    pub connections: usize,
    pub schedule: Schedule,
    pub warm_up: Duration,
}

impl Open {
    /// # Errors
    /// At the first wrong answer.
    pub async fn run(self, addr: SocketAddr, traffic: &impl Traffic) -> Result<Figures> {
        let Self {
            schedule, warm_up, ..
        } = self;
        let connections = connect(addr, self.connections).await?;
        let start = Instant::now();
        let next = Cell::new(0);
        let figures = RefCell::new(Figures::new(schedule.length - warm_up)?);
        let clients = connections.into_iter().map(async |mut connection| {
            let mut request = Vec::new();
            while let Some(due) = schedule.due(next.replace(next.get() + 1)) {
                sleep_until(start + due).await;
                let messages = traffic.write(&mut request);
                let answer = connection.exchange(&request).await?;
                let ended = Instant::now();
                let done = traffic.check(messages, answer, ended)?;
                if due >= warm_up {
                    figures.borrow_mut().add(done, ended - (start + due));
                }
            }
            anyhow::Ok(())
        });
        timeout(schedule.length + GRACE, try_join_all(clients))
            .await
            .context("answers did not come in time")??;
        Ok(figures.into_inner())
    }
}

/// When each request of a fixed rate is due.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub per_second: f64,
    pub length: Duration,
}

impl Schedule {
    /// From the start to when the request with this number, from 0, is due; `None` past the end.
    /// Computed anew for each, so that no error adds up.
    pub fn due(self, number: u64) -> Option<Duration> {
        let due = Duration::try_from_secs_f64(real(number) / self.per_second).ok()?;
        (due < self.length).then_some(due)
    }
}

async fn connect(addr: SocketAddr, connections: usize) -> Result<Vec<Connection>> {
    try_join_all((0..connections).map(|_| Connection::open(addr))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(per_second: f64, length: Duration) -> Vec<Duration> {
        let schedule = Schedule { per_second, length };
        (0..).map_while(|number| schedule.due(number)).collect()
    }

    #[test]
    fn requests_are_due_at_even_distances() {
        let millis = [0, 250, 500, 750, 1000, 1250].map(Duration::from_millis);
        assert_eq!(due(4.0, Duration::from_millis(1500)), millis);
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_never_drifts() {
        let due = due(7.0, Duration::from_secs(3600));
        assert_eq!(due.len(), 7 * 3600);
        for (second, requests) in (0..).zip(due.chunks(7)) {
            assert_eq!(requests[0], Duration::from_secs(second));
        }
        let distances = due.windows(2).map(|pair| pair[1] - pair[0]);
        let even = Duration::from_nanos(142_857_142)..=Duration::from_nanos(142_857_144);
        assert!(distances.into_iter().all(|it| even.contains(&it)));
    }

    #[test]
    fn a_schedule_of_any_rate_ends() {
        assert_eq!(due(0.5, Duration::from_secs(4)).len(), 2);
        assert_eq!(due(0.0, Duration::from_secs(4)).len(), 0);
        assert_eq!(due(10.0, Duration::ZERO).len(), 0);
        assert_eq!(due(1e6, Duration::from_millis(1)).len(), 1000);
    }

    #[test]
    fn latencies_are_told_in_milliseconds() {
        let mut figures = Figures::new(Duration::from_secs(2)).expect("figures");
        for millis in 1..=100 {
            figures.add(10, Duration::from_millis(millis));
        }
        assert!((figures.per_second() - 500.0).abs() < 1e-9);
        assert!((figures.latency(0.99) - 99.0).abs() < 0.1);
        assert!((figures.mean_latency() - 50.5).abs() < 0.1);
    }
}
