//! A user's journal, page by page.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;

use shared::api::{
    ConsumptionDetail, ConsumptionLine, EntryKind, HistoryFilter, HistoryItem, Page,
};
use shared::clock::Timestamp;
use shared::ids::{ModelName, UserId};
use shared::money::Points;
use shared::price::PriceVersion;
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime, Time, UtcOffset};

use crate::error::{Attempt, Error, Result};
use crate::operations::ledger::Ledger;
use crate::records::entry::{EntryLine, total_tokens};
use crate::records::hash::{MessageId, account_id};
use crate::records::page::{self, UnknownCursor};
use crate::store::journal_entry::{self, BEGIN_READING, HistoryRow, Look};
use crate::store::usage_sum::{self, kind_of};
use crate::store::{account, price_version};
use crate::sums::quarter::Quarter;

/// How far back the first look goes; as a rule a page is found there. Each further look goes back
/// four times as far. A look reads the partitions of its months only.
const FIRST_LOOK: Duration = Duration::days(31);
/// So much is rather read than skipped.
const SKIP_MIN: Duration = Duration::DAY;
/// More than clocks are ever set back: entries whose times lie closer to a look's end than this may
/// stand in another order than their times.
const CLOCK_STEP_MAX: Duration = Duration::HOUR;
/// What is entered later than this after it happened is found by an index of its own.
const LATE: Duration = Duration::HOUR;

/// Goes back through an account's entries, look by look.
struct Search<'a> {
    look: Look<'a>,
    /// Nothing that is looked for was recorded before.
    from: OffsetDateTime,
    sums: Option<SumsOfRare>,
    rows_max: i64,
    rows: Vec<HistoryRow>,
}

/// Where what is looked for may be rare, the sums say when there was some.
struct SumsOfRare {
    /// Only charges with the model have sums of it for sure.
    charges_of: Option<String>,
    /// An entry that changed a message has sums of its kind, of whatever model: of each model is summed
    /// what changed.
    kinds: Vec<&'static str>,
    /// What was recorded before is in the sums.
    until: OffsetDateTime,
}

impl SumsOfRare {
    /// `None` where entries are never far: most are charges.
    async fn of(
        filter: &HistoryFilter,
        until: OffsetDateTime,
        tx: &mut PgConnection,
    ) -> Result<Option<Self>> {
        let model = filter.model_name.as_ref().map(ModelName::key);
        let (charges_of, kinds) = match (model, filter.kind) {
            (None, None | Some(EntryKind::Charge)) => return Ok(None),
            (Some(model), None) => (
                Some(model),
                vec![EntryKind::Correction, EntryKind::Refund, EntryKind::Rerate],
            ),
            (model @ Some(_), Some(EntryKind::Charge)) => (model, Vec::new()),
            (_, Some(kind)) => (None, vec![kind]),
        };
        // Whatever is not in the sums yet is of transactions that began later than that one.
        let rest = usage_sum::first_unsummed(tx).await?;
        Ok(Some(Self {
            charges_of,
            kinds: kinds.into_iter().map(EntryKind::as_str).collect(),
            until: rest.map_or(until, |first| until.min(first - CLOCK_STEP_MAX)),
        }))
    }
}

impl Search<'_> {
    fn missing(&self) -> i64 {
        self.rows_max - i64::try_from(self.rows.len()).unwrap_or(self.rows_max)
    }

    /// Goes on until there are enough rows, or nothing is left.
    async fn run(mut self, tx: &mut PgConnection) -> Result<Vec<HistoryRow>> {
        // When `before` was recorded, or later.
        let mut reached = self.look.until;
        self.late_rows(tx).await?;
        let mut length = FIRST_LOOK;
        while self.missing() > 0 && self.look.until > self.from {
            if !self.skip_by_sums(tx).await? {
                break;
            }
            if reached - self.look.until > SKIP_MIN {
                self.skip_to_end(tx).await?;
                reached = self.look.until;
            }
            let since = self.look.until.checked_sub(length).unwrap_or(self.from);
            // Behind what is not in the sums they say where to look next.
            let sums = self.sums.as_ref();
            let sums_until = sums
                .map(|sums| sums.until)
                .filter(|end| *end < self.look.until);
            let until_sums = sums_until.map(|end| end - CLOCK_STEP_MAX * 2);
            self.look.since = until_sums.map_or(since, |end| since.max(end));
            let is_last = self.look.since <= self.from - CLOCK_STEP_MAX;
            for row in self.look.rows(tx, self.missing()).await? {
                let recorded_at = row.recorded_at;
                if !is_last && recorded_at < self.look.since + CLOCK_STEP_MAX {
                    break;
                }
                self.look.before = row.entry;
                reached = recorded_at;
                self.rows.push(row);
            }
            if is_last {
                break;
            }
            self.look.until = self.look.since + CLOCK_STEP_MAX * 2;
            length *= 4;
        }
        Ok(self.rows)
    }

    /// Where only what happened before a time is asked for: what was entered long after that time
    /// happened before it only if it was entered late.
    async fn late_rows(&mut self, tx: &mut PgConnection) -> Result<()> {
        let to = self.look.happened.1.map(|to| to.saturating_add(LATE));
        let Some(to) = to.filter(|to| *to < self.look.until) else {
            return Ok(());
        };
        self.look.since = to;
        let (month, _) = month_of(to)?;
        self.rows = self.look.late_rows(tx, month, self.rows_max).await?;
        if let Some(last) = self.rows.last() {
            self.look.before = last.entry;
        }
        self.look.until = to;
        Ok(())
    }

    /// Goes back to the end of the last quarter of an hour, or day, that the sums have something of;
    /// `false` when there is none.
    async fn skip_by_sums(&mut self, tx: &mut PgConnection) -> Result<bool> {
        let until = self.look.until;
        let Some(sums) = self.sums.as_ref().filter(|sums| until <= sums.until) else {
            return Ok(true);
        };
        let mut end = Quarter::of(until);
        if end.start() < until {
            end = end.plus(1);
        }
        let last = usage_sum::last_booked(
            tx,
            self.look.account_id,
            end.0,
            sums.charges_of.as_deref(),
            &sums.kinds,
        )
        .await?;
        let Some(booked) = last.booked.map(Quarter) else {
            return Ok(false);
        };
        let end = if booked.0 < last.folded_until {
            booked.plus(Quarter::IN_A_DAY)
        } else {
            booked.plus(1)
        };
        self.look.until = until.min(end.start());
        Ok(true)
    }

    /// Goes back to the first entry that was recorded at the look's end or later.
    async fn skip_to_end(&mut self, tx: &mut PgConnection) -> Result<()> {
        // No later entry can have been recorded before the end.
        let end = self.look.until + CLOCK_STEP_MAX;
        let month = month_of(end)?;
        let first = journal_entry::first_since(tx, self.look.account_id, end, month).await?;
        self.look.before = self.look.before.min(first.unwrap_or(self.look.before));
        Ok(())
    }
}

/// The month that a moment lies in, whose entries lie together.
fn month_of(moment: OffsetDateTime) -> Result<(OffsetDateTime, OffsetDateTime)> {
    let first = |day: OffsetDateTime| {
        day.replace_time(Time::MIDNIGHT)
            .replace_day(1)
            .map_err(|_| Error::corrupt("a month without a first day"))
    };
    let from = first(moment.to_offset(UtcOffset::UTC))?;
    Ok((from, first(from + Duration::days(31))?))
}

/// Where a page ends: the last entry, and when it was recorded (Unix seconds).
struct Cursor {
    entry: i64,
    recorded_at: OffsetDateTime,
}

impl FromStr for Cursor {
    type Err = ();
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (entry, seconds) = text.split_once('-').ok_or(())?;
        let seconds = seconds.parse().map_err(|_| ())?;
        Ok(Self {
            entry: entry.parse().map_err(|_| ())?,
            recorded_at: OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| ())?,
        })
    }
}

impl Ledger {
    /// Entries of one account, newest first. `from` and `to` bound when they happened.
    ///
    /// # Errors
    /// [`UnknownCursor`].
    pub async fn history(
        &self,
        user: &UserId,
        filter: &HistoryFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Attempt<Page<HistoryItem>, UnknownCursor> {
        let cursor: Option<Cursor> = page::cursor(cursor)?;
        let lines = match &filter.model_name {
            Some(model) => Some(self.lines_of(model).await?),
            None => None,
        };
        let mut tx = self.pool().begin_with(BEGIN_READING).await?;
        let Some(opened) = account::opened(&mut *tx, account_id(user)).await? else {
            return Ok(Page {
                items: Vec::new(),
                next_cursor: None,
            });
        };
        // A cursor is somebody's text.
        let recorded_at = cursor.as_ref().map_or(opened.now, |cursor| {
            cursor.recorded_at.clamp(opened.created_at, opened.now)
        });
        let until = recorded_at + CLOCK_STEP_MAX;
        let (from, to) = (filter.from, filter.to);
        let (from, to) = (from.map(Timestamp::moment), to.map(Timestamp::moment));
        let search = Search {
            look: Look {
                account_id: account_id(user),
                kind: filter.kind.map(EntryKind::as_str),
                happened: (from, to),
                lines: lines.as_deref(),
                before: cursor.map_or(i64::MAX, |cursor| cursor.entry),
                since: opened.created_at,
                until,
            },
            // Nothing happens after it is recorded.
            from: from.map_or(opened.created_at, |from| opened.created_at.max(from)),
            sums: SumsOfRare::of(filter, until, &mut tx).await?,
            rows_max: i64::from(limit) + 1,
            rows: Vec::new(),
        };
        let rows = search.run(&mut tx).await?;
        tx.rollback().await?;
        let prices = self.prices_of(&rows).await?;
        Ok(page::build(rows, limit, |row| {
            let item = row.item(&prices)?;
            let seconds = item.recorded_at.moment().unix_timestamp();
            Ok((format!("{}-{seconds}", item.entry), item))
        })?)
    }

    /// Some entries of one account, such as those that others correct.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn entries(&self, user: &UserId, entries: &[i64]) -> Result<Vec<HistoryItem>> {
        let rows = journal_entry::of_numbers(self.pool(), account_id(user), entries).await?;
        let prices = self.prices_of(&rows).await?;
        rows.into_iter().map(|row| row.item(&prices)).collect()
    }

    /// What lines of a model are told by: each of its price versions.
    async fn lines_of(&self, model: &ModelName) -> Result<Vec<serde_json::Value>> {
        let versions = price_version::of_model(self.pool(), model).await?;
        let line = |version: PriceVersion| serde_json::json!([{ "version": version.id }]);
        Ok(versions.into_iter().map(line).collect())
    }

    /// The price versions that the rows' lines name.
    async fn prices_of(&self, rows: &[HistoryRow]) -> Result<HashMap<i64, PriceVersion>> {
        let lines = rows.iter().flat_map(HistoryRow::lines);
        let ids: BTreeSet<i64> = lines.map(|line| line.price_version_id).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<i64> = ids.into_iter().collect();
        let versions = price_version::of_ids(self.pool(), &ids).await?;
        let versions = versions.into_iter();
        Ok(versions.map(|version| (version.id, version)).collect())
    }
}

impl HistoryRow {
    fn lines(&self) -> &[EntryLine] {
        self.lines.as_ref().map_or(&[], |lines| &lines.0)
    }

    fn item(self, prices: &HashMap<i64, PriceVersion>) -> Result<HistoryItem> {
        let points = Points::from_nano(self.amount_nano);
        let balance_after = Points::from_nano(self.balance_after_nano);
        Ok(HistoryItem {
            entry: self.entry,
            kind: kind_of(&self.kind)?,
            points,
            points_nano: points.into(),
            balance_after,
            balance_after_nano: balance_after.into(),
            occurred_at: self.occurred_at.into(),
            recorded_at: self.recorded_at.into(),
            consumption: self.consumption(prices)?,
            reason: self.reason,
            corrects_entry: self.corrects_entry,
        })
    }

    /// How a report's entry came about: the message's lines after it. Refunds and re-ratings name the
    /// charge that they correct.
    fn consumption(
        &self,
        prices: &HashMap<i64, PriceVersion>,
    ) -> Result<Option<ConsumptionDetail>> {
        let (Some(message), Some(message_id)) = (self.message, &self.message_id) else {
            return Ok(None);
        };
        let lines = self
            .lines()
            .iter()
            .map(|line| consumption_line(line, prices));
        Ok(Some(ConsumptionDetail {
            consumption_id: MessageId(message).public(),
            message_id: message_id.clone(),
            conversation_id: self.conversation_id.clone(),
            tokens_used: total_tokens(self.lines()),
            lines: lines.collect::<Result<_>>()?,
        }))
    }
}

fn consumption_line(
    line: &EntryLine,
    prices: &HashMap<i64, PriceVersion>,
) -> Result<ConsumptionLine> {
    let version = prices
        .get(&line.price_version_id)
        .ok_or_else(|| Error::corrupt("a charge without its price version"))?;
    Ok(ConsumptionLine {
        model_name: line.model_name.clone(),
        tokens: line.tokens,
        price_version_id: version.id,
        price_version: version.version,
        rates: version.rates,
        points: Points::from_nano(line.cost_nano),
    })
}
