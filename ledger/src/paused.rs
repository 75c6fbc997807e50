//! Runs that Dify has paused for a person's input, until what they used afterwards is charged.
//!
//! Any number of processes may look for what is due: whoever takes a run has it for a while, renews
//! that while it reads, and gives it back. The run of a process that died is taken by another one.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use shared::dify::{MessageUsage, Pause};
use shared::ids::UserId;
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;

use crate::chain::Hash;
use crate::consumption::Line;
use crate::error::{Error, Result};
use crate::{ApiKey, Ledger, api_keys};

/// How long a run belongs to whoever took it last; it is renewed more often.
const LEASE_SECONDS: f64 = 60.0;
/// Runs of one user that are followed at once.
const FOLLOWED_PER_USER_MAX: i64 = 4;
/// When a paused run is looked at first, and how rarely it becomes; each time takes twice as long.
const FIRST_LOOK_SECONDS: f64 = 30.0;
const LOOK_SECONDS_MAX: f64 = 3600.0;
/// Dify lets a form wait for seven days at most.
const LIFETIME_DAYS: i32 = 8;

/// A run that is to go on.
#[derive(Debug, Clone)]
pub struct PausedRun {
    /// With the key of the server behind it.
    pub source: Arc<ApiKey>,
    pub run_id: String,
    /// What was charged of it so far was charged as this message.
    pub message_id: String,
    pub user_id: UserId,
    /// The user's name as Dify knows it.
    pub dify_user: String,
}

/// Whether this process has a run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Yes,
    /// Another one has it, or it has ended.
    Elsewhere,
    /// As many of its user's runs as may be are followed already.
    ShareUsedUp,
}

/// A run that was given up.
#[derive(Debug, Clone)]
pub struct ForgottenRun {
    pub source: String,
    pub run_id: String,
    pub user_id: String,
    /// Else its time was over.
    pub is_revoked: bool,
}

/// What is on record about a message: calls once each, however often they are told.
#[derive(Default)]
struct Record {
    calls: HashMap<String, u64>,
    /// All that was charged.
    charged: u64,
    /// What waits as the message's own, without its calls.
    own: u64,
    /// Of the sums of the whole that wait, the largest.
    whole: u64,
}

impl Record {
    fn charged(&mut self, call_id: Option<String>, tokens: u64) {
        self.charged = self.charged.saturating_add(tokens);
        if let Some(id) = call_id {
            self.calls.insert(id, tokens);
        }
    }

    fn waits(&mut self, usage: MessageUsage, continues: bool) {
        let total = usage.total_tokens();
        if usage.is_itemized() {
            for call in usage.calls {
                let calls = call.call_id.map(|id| self.calls.entry(id));
                calls.map(|call_of| call_of.or_insert(call.tokens.total()));
            }
        } else if continues {
            self.whole = self.whole.max(total);
        } else {
            self.own = self.own.saturating_add(total);
        }
    }

    /// A sum that was charged may contain calls that wait, so that these are not added to it.
    fn tokens(&self) -> u64 {
        let calls = self.calls.values().copied();
        let told = calls.fold(self.own, u64::saturating_add);
        told.max(self.charged).max(self.whole)
    }
}

fn digest(form_token: &str) -> Vec<u8> {
    let digest: Hash = Sha256::digest(form_token).into();
    digest.to_vec()
}

impl Ledger {
    /// Keeps a run that was paused, again or for the first time. `dify_user` is the user's name as Dify
    /// knows it.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn remember_paused(
        &self,
        source: &ApiKey,
        user: &UserId,
        dify_user: &str,
        pause: &Pause,
    ) -> Result<()> {
        let forms: Vec<_> = pause.form_tokens.iter().map(|it| digest(it)).collect();
        sqlx::query(
            "insert into paused_run as known (api_key_id, run_id, message_id, user_id, dify_user, forms, due_at)
             values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
             on conflict (api_key_id, run_id) do update
                 set forms = case when excluded.forms = '{}' then known.forms else excluded.forms end,
                     paused_at = now(), looks = 0, due_at = least(known.due_at, excluded.due_at)",
        )
        .bind(source.id)
        .bind(&pause.run_id)
        .bind(&pause.message_id)
        .bind(user.as_str())
        .bind(dify_user)
        .bind(forms)
        .bind(FIRST_LOOK_SECONDS)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// The run has ended, and what it used is on record.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn forget_paused(&self, source: &ApiKey, run_id: &str) -> Result<()> {
        sqlx::query("delete from paused_run where api_key_id = $1 and run_id = $2")
            .bind(source.id)
            .bind(run_id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// The run that waits for a form.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn paused_run_of(
        &self,
        source: &ApiKey,
        form_token: &str,
    ) -> Result<Option<PausedRun>> {
        sqlx::query(
            "select p.run_id, p.message_id, p.user_id, p.dify_user, k.*
             from paused_run p join api_key k using (api_key_id)
             where p.api_key_id = $1 and $2 = any(p.forms) limit 1",
        )
        .bind(source.id)
        .bind(digest(form_token))
        .fetch_optional(self.pool())
        .await?
        .map(|row| self.paused(&row))
        .transpose()
    }

    /// Takes a run for this process, if it can be followed now.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn take_paused(&self, run: &PausedRun) -> Result<Taken> {
        let taken = sqlx::query(
            "update paused_run p
             set due_at = 'infinity', looks = 0, followed_until = now() + make_interval(secs => $3)
             where p.api_key_id = $1 and p.run_id = $2
                 and (p.followed_until is null or p.followed_until <= now())
                 and (select count(*) from paused_run f
                      where f.user_id = p.user_id and f.followed_until > now()) < $4",
        )
        .bind(run.source.id)
        .bind(&run.run_id)
        .bind(LEASE_SECONDS)
        .bind(FOLLOWED_PER_USER_MAX)
        .execute(self.pool())
        .await?;
        if taken.rows_affected() == 1 {
            return Ok(Taken::Yes);
        }
        let is_free: Option<bool> = sqlx::query_scalar(
            "select coalesce(followed_until <= now(), true) from paused_run
             where api_key_id = $1 and run_id = $2",
        )
        .bind(run.source.id)
        .bind(&run.run_id)
        .fetch_optional(self.pool())
        .await?;
        Ok(match is_free {
            Some(true) => Taken::ShareUsedUp,
            _ => Taken::Elsewhere,
        })
    }

    /// Takes runs whose time has come, `limit` at most, and none of revoked sources. One whose source
    /// cannot be read, as after a change of the sealing key, keeps no other waiting.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn take_due_paused(&self, limit: u32) -> Result<Vec<PausedRun>> {
        // Also those whose process has died.
        let taken = sqlx::query(
            "with due as (
                 select p.api_key_id, p.run_id, p.due_at,
                     row_number() over (partition by p.user_id order by p.due_at)
                         + (select count(*) from paused_run f
                            where f.user_id = p.user_id and f.followed_until > now()) as place
                 from paused_run p join api_key k using (api_key_id)
                 where k.revoked_at is null
                     and (p.followed_until is null and p.due_at <= now() or p.followed_until <= now())
             ), taken as (
                 update paused_run p
                 set due_at = 'infinity', followed_until = now() + make_interval(secs => $1)
                 from (select * from due where place <= $2 order by due_at limit $3) due
                 where p.api_key_id = due.api_key_id and p.run_id = due.run_id
                     and (p.followed_until is null or p.followed_until <= now())
                 returning p.*
             )
             select taken.run_id, taken.message_id, taken.user_id, taken.dify_user, k.*
             from taken join api_key k using (api_key_id)",
        )
        .bind(LEASE_SECONDS)
        .bind(FOLLOWED_PER_USER_MAX)
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await?;
        let readable = taken.iter().filter_map(|row| {
            let run = self.paused(row);
            run.inspect_err(
                |error| tracing::error!(%error, "a paused run cannot be followed: {error}"),
            )
            .ok()
        });
        Ok(readable.collect())
    }

    /// Goes on with a run that this process has; false when there is no use in that any longer.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn keep_paused(&self, run: &PausedRun) -> Result<bool> {
        let kept = sqlx::query(
            "update paused_run p set followed_until = now() + make_interval(secs => $3)
             from api_key k
             where p.api_key_id = $1 and p.run_id = $2
                 and k.api_key_id = p.api_key_id and k.revoked_at is null",
        )
        .bind(run.source.id)
        .bind(&run.run_id)
        .bind(LEASE_SECONDS)
        .execute(self.pool())
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Gives a run back that has not ended: it is looked at later, or as soon as somebody asked for
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn leave_paused(&self, run: &PausedRun) -> Result<()> {
        sqlx::query(
            "update paused_run
             set followed_until = null, looks = looks + 1,
                 due_at = least(due_at,
                     now() + make_interval(secs => least($3 * power(2, least(looks, 20)), $4)))
             where api_key_id = $1 and run_id = $2",
        )
        .bind(run.source.id)
        .bind(&run.run_id)
        .bind(FIRST_LOOK_SECONDS)
        .bind(LOOK_SECONDS_MAX)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Has a user's paused runs looked at now, or only one of them.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn wake_paused(
        &self,
        source: &ApiKey,
        user: &UserId,
        run_id: Option<&str>,
    ) -> Result<()> {
        sqlx::query(
            "update paused_run set due_at = now(), looks = 0
             where api_key_id = $1 and user_id = $2 and ($3::text is null or run_id = $3)",
        )
        .bind(source.id)
        .bind(user.as_str())
        .bind(run_id)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Gives up the runs that have waited for too long, and those whose source was revoked.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn forget_lost_paused(&self) -> Result<Vec<ForgottenRun>> {
        sqlx::query(
            "delete from paused_run p using api_key k
             where k.api_key_id = p.api_key_id
                 and (k.revoked_at is not null
                     or p.paused_at < now() - make_interval(days => $1))
             returning k.name, p.run_id, p.user_id, k.revoked_at is not null as is_revoked",
        )
        .bind(LIFETIME_DAYS)
        .fetch_all(self.pool())
        .await?
        .iter()
        .map(|row| {
            Ok(ForgottenRun {
                source: row.try_get("name")?,
                run_id: row.try_get("run_id")?,
                user_id: row.try_get("user_id")?,
                is_revoked: row.try_get("is_revoked")?,
            })
        })
        .collect()
    }

    /// The tokens of a message that are on record, charged or waiting: a sum of the whole that is not
    /// larger brings nothing new.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn tokens_on_record(&self, source: &ApiKey, message_id: &str) -> Result<u64> {
        let charged = sqlx::query(
            "with part as (
                 select p.part, p.replaces, p.account_id, p.entry
                 from message n
                 join message p on p.namespace_id = n.namespace_id
                     and p.message_id = coalesce(n.alias_of, n.message_id) and p.alias_of is null
                 where n.namespace_id = $1 and n.message_id = $2 and n.part = 0
             )
             select c.lines from part p
             join consumption c on c.account_id = p.account_id and c.entry = p.entry
             where not exists (select from part r where p.part = any(r.replaces))",
        )
        .bind(source.namespace_id)
        .bind(message_id)
        .fetch_all(self.pool())
        .await?;
        let waiting = sqlx::query(
            "select usage, continues from quarantine
             where namespace_id = $1 and status = 'waiting' and usage is not null
                 and (message_id = $2 or starts_with(message_id, $2 || ' '))",
        )
        .bind(source.namespace_id)
        .bind(message_id)
        .fetch_all(self.pool())
        .await?;
        let mut record = Record::default();
        for row in charged {
            let Json(lines): Json<Vec<Line>> = row.try_get("lines")?;
            for line in lines {
                record.charged(line.call_id, line.tokens.total());
            }
        }
        for row in waiting {
            let Json(usage): Json<MessageUsage> = row.try_get("usage")?;
            record.waits(usage, row.try_get("continues")?);
        }
        Ok(record.tokens())
    }

    fn paused(&self, row: &PgRow) -> Result<PausedRun> {
        let user: String = row.try_get("user_id")?;
        let dify_user: Option<String> = row.try_get("dify_user")?;
        Ok(PausedRun {
            source: Arc::new(api_keys::key(row, &self.inner.sealing)?),
            run_id: row.try_get("run_id")?,
            message_id: row.try_get("message_id")?,
            user_id: user.parse().map_err(|_| Error::corrupt("a user's name"))?,
            dify_user: dify_user.unwrap_or(user),
        })
    }
}
