//! Deliveries in the order of commit: what charged something from the journal, the rest from the log.

use std::fmt;
use std::str::FromStr;

use shared::api::LiveEvent;
use shared::money::Points;
use shared::tokens::Tokens;
use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::records::entry::EntryLine;
use crate::records::outcome::outcome;

/// A place in the feed: the transaction, then the entries of each account in order, then, under the
/// highest id, the other deliveries in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FeedPlace {
    pub tx: u64,
    pub account_id: Uuid,
    pub number: i64,
}

impl FeedPlace {
    /// Before everything.
    pub(crate) const START: Self = Self {
        tx: 0,
        account_id: Uuid::nil(),
        number: 0,
    };
}

impl fmt::Display for FeedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{}-{}",
            self.tx,
            self.account_id.simple(),
            self.number
        )
    }
}

impl FromStr for FeedPlace {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().ok_or(());
        Ok(Self {
            tx: part()?.parse().map_err(drop)?,
            account_id: Uuid::try_parse(part()?).map_err(drop)?,
            number: part()?.parse().map_err(drop)?,
        })
    }
}

/// One delivery.
#[derive(sqlx::FromRow)]
pub(crate) struct FeedRow {
    tx: String,
    place_account: Uuid,
    number: i64,
    pub is_held_back: bool,
    received_at: OffsetDateTime,
    outcome: String,
    reason: Option<String>,
    source: String,
    user_id: Option<String>,
    message_id: Option<String>,
    /// Of what was not charged.
    model_names: Option<Vec<String>>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    points_nano: Option<i64>,
    balance_after_nano: Option<i64>,
    /// Of a charge: the message's lines after it and before.
    lines: Option<Json<Vec<EntryLine>>>,
    lines_before: Option<Json<Vec<EntryLine>>>,
}

/// The columns of [`FeedRow`] from deliveries `f`, which are picked by their keys first: a page needs
/// the names of few.
macro_rules! feed_rows {
    ($charged:literal, $other:literal, $order:literal) => {
        concat!(
            "with charged as (
                 select tx, account_id, entry, recorded_at, message_id, amount_nano, balance_after_nano, lines,
                        follows_entry, api_key_id
                 from journal_entry where api_key_id is not null and ",
            $charged,
            "), other as (select * from delivery where ",
            $other,
            "), feed as (
                 select c.tx, c.account_id as place_account, c.entry as number, c.recorded_at as received_at,
                        'charged' as outcome, null::text as reason, c.api_key_id, a.user_id, c.message_id,
                        null::text[] as model_names, null::bigint as input_tokens, null::bigint as output_tokens,
                        -c.amount_nano as points_nano, c.balance_after_nano, c.lines, p.lines as lines_before
                 from charged c join account a on a.account_id = c.account_id
                 left join journal_entry p on p.account_id = c.account_id and p.entry = c.follows_entry
                 union all
                 select tx, 'ffffffff-ffff-ffff-ffff-ffffffffffff', id, received_at, outcome, reason,
                        api_key_id, user_id, message_id, model_names, input_tokens, output_tokens,
                        charge_nano, balance_after_nano, null, null
                 from other
             )
             select f.tx::text as tx, f.place_account, f.number, f.received_at, f.outcome, f.reason, f.user_id,
                    f.message_id, f.model_names, f.input_tokens, f.output_tokens, f.points_nano,
                    f.balance_after_nano, f.lines, f.lines_before, k.name as source,
                    f.tx >= pg_snapshot_xmin(pg_current_snapshot()) as is_held_back
             from feed f join api_key k using (api_key_id) order by ",
            $order
        )
    };
}

/// The newest deliveries, newest first.
pub(crate) async fn latest(executor: impl PgExecutor<'_>, rows_max: i64) -> Result<Vec<FeedRow>> {
    Ok(sqlx::query_as(feed_rows!(
        "tx < pg_snapshot_xmin(pg_current_snapshot())
         order by tx desc, account_id desc, entry desc limit $1",
        "tx < pg_snapshot_xmin(pg_current_snapshot()) order by tx desc, id desc limit $1",
        "f.tx desc, f.place_account desc, f.number desc limit $1"
    ))
    .bind(rows_max)
    .fetch_all(executor)
    .await?)
}

/// What comes after a place, oldest first.
pub(crate) async fn after(
    executor: impl PgExecutor<'_>,
    place: FeedPlace,
    rows_max: i64,
) -> Result<Vec<FeedRow>> {
    Ok(sqlx::query_as(feed_rows!(
        "tx >= $1::text::xid8 and (tx, account_id, entry) > ($1::text::xid8, $2, $3)
         order by tx, account_id, entry limit $4",
        "tx >= $1::text::xid8
         and (tx, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid, id) > ($1::text::xid8, $2, $3)
         order by tx, id limit $4",
        "f.tx, f.place_account, f.number limit $4"
    ))
    .bind(place.tx.to_string())
    .bind(place.account_id)
    .bind(place.number)
    .bind(rows_max)
    .fetch_all(executor)
    .await?)
}

impl FeedRow {
    pub(crate) fn place(&self) -> FeedPlace {
        FeedPlace {
            tx: self.tx.parse().unwrap_or(0),
            account_id: self.place_account,
            number: self.number,
        }
    }

    pub(crate) fn event(self) -> Result<LiveEvent> {
        let cursor = self.place().to_string();
        let logged = |tokens: Option<i64>| u64::try_from(tokens.unwrap_or(0)).unwrap_or(0);
        let charged = |count: fn(&Tokens) -> u64| {
            let sum = |lines: &Option<Json<Vec<EntryLine>>>| {
                let lines = lines.iter().flat_map(|lines| &lines.0);
                lines.fold(0_u64, |sum, line| sum.saturating_add(count(&line.tokens)))
            };
            sum(&self.lines).saturating_sub(sum(&self.lines_before))
        };
        Ok(LiveEvent {
            cursor,
            received_at: self.received_at.into(),
            outcome: outcome(&self.outcome)?,
            source: self.source,
            user_id: self.user_id,
            message_id: self.message_id,
            input_tokens: match self.lines {
                Some(_) => charged(Tokens::all_input),
                None => logged(self.input_tokens),
            },
            output_tokens: match self.lines {
                Some(_) => charged(Tokens::all_output),
                None => logged(self.output_tokens),
            },
            model_names: match &self.lines {
                Some(lines) => {
                    let lines = lines.0.iter();
                    let mut names: Vec<_> = lines.map(|line| line.model_name.to_string()).collect();
                    names.dedup();
                    names
                }
                None => self.model_names.unwrap_or_default(),
            },
            points: self.points_nano.map(Points::from_nano),
            balance: self.balance_after_nano.map(Points::from_nano),
            reason: self.reason,
        })
    }
}
