//! Sources: keys that open one entrance each. A source keeps its id, its name and its settings when
//! its key is replaced.

use std::sync::Arc;

use serde::Serialize;
use shared::api::Outcome;
use shared::clock::Timestamp;
use shared::ids::checked_id;
use shared::problem::{FieldFault, Problem};
use shared::source::{SourceEntrance, SourceSettings};
use sqlx::Row;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::api_keys::{self, DEFAULT_NAMESPACE, NewKey, Scope};
use crate::audit::Actor;
use crate::error::{Error, Result};
use crate::{ApiKey, CreatedKey, Ledger};

/// A source to be created.
#[derive(Debug, Clone)]
pub struct NewSource {
    pub name: String,
    pub entrance: SourceEntrance,
    /// Which Dify installation it belongs to; the default one when absent.
    pub namespace: Option<String>,
    /// Refuse what is not signed (webhook).
    pub require_signature: bool,
    pub settings: SourceSettings,
    /// What the server behind it is called with (gateway: Dify's app key; openai: the provider's).
    pub upstream_key: Option<String>,
}

/// A source as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceSummary {
    pub id: Uuid,
    pub name: String,
    pub entrance: SourceEntrance,
    pub namespace: String,
    /// The first characters of its key.
    pub prefix: String,
    pub settings: SourceSettings,
    pub created_at: Timestamp,
    pub created_by: String,
    pub revoked_at: Option<Timestamp>,
    pub last_delivery: Option<LastDelivery>,
}

/// What a source delivered last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastDelivery {
    pub received_at: Timestamp,
    pub outcome: Outcome,
    /// An error code or a quarantine reason.
    pub reason: Option<String>,
}

impl Ledger {
    /// Creates a source, and its namespace when it is new; its key is shown this once.
    ///
    /// # Errors
    /// Field problems for `name` (empty, or that of another gateway source), `namespace`,
    /// `upstreamUrl` and `upstreamKey`.
    pub async fn create_source(&self, new: &NewSource, actor: &Actor) -> Result<CreatedKey> {
        let name = checked_id(&new.name).map_err(|fault| Problem::field("name", fault))?;
        let namespace = match &new.namespace {
            Some(name) => checked_id(name).map_err(|fault| Problem::field("namespace", fault))?,
            None => DEFAULT_NAMESPACE,
        };
        if new.entrance.has_upstream() {
            if new.settings.upstream_url.is_none() {
                return Err(Problem::field("upstreamUrl", FieldFault::Missing).into());
            }
            if new.upstream_key.is_none() {
                return Err(Problem::field("upstreamKey", FieldFault::Missing).into());
            }
        }
        let mut tx = self.pool().begin().await?;
        sqlx::query("insert into namespace (name) values ($1) on conflict do nothing")
            .bind(namespace)
            .execute(&mut *tx)
            .await?;
        let created = self
            .insert_key(
                &mut tx,
                &NewKey {
                    name,
                    scope: new.entrance.into(),
                    require_signature: new.require_signature,
                    namespace,
                    settings: &new.settings,
                    upstream_key: new.upstream_key.as_deref(),
                },
                actor,
            )
            .await
            .map_err(|error| match error {
                Error::Database(error) if is_taken(&error) => {
                    Problem::field("name", FieldFault::Taken).into()
                }
                error => error,
            })?;
        tx.commit().await?;
        Ok(created)
    }

    /// All sources, newest first, with what each delivered last.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn sources(&self) -> Result<Vec<SourceSummary>> {
        sqlx::query(
            "select k.*, n.name as namespace, d.received_at, d.outcome, d.reason
             from api_key k
             join namespace n using (namespace_id)
             left join lateral (
                 select received_at, outcome, reason from delivery
                 where api_key_id = k.api_key_id order by tx desc, id desc limit 1
             ) d on true
             where k.scope not in ('points', 'admin') order by k.api_key_id desc",
        )
        .fetch_all(self.pool())
        .await?
        .iter()
        .map(summary)
        .collect()
    }

    /// The gateway source of a name, or the only one there is: for callers whose credential names no
    /// app.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name; a missing field `app` when there are several and
    /// none is named.
    pub async fn gateway_source(&self, name: Option<&str>) -> Result<Arc<ApiKey>> {
        let rows = sqlx::query(
            "select * from api_key where scope = 'gateway' and revoked_at is null
                 and ($1::text is null or name = $1)
             limit 2",
        )
        .bind(name)
        .fetch_all(self.pool())
        .await?;
        match rows.as_slice() {
            [row] => Ok(Arc::new(api_keys::key(row, &self.inner.sealing)?)),
            [] => Err(Problem::NotFound.into()),
            _ => Err(Problem::field("app", FieldFault::Missing).into()),
        }
    }

    /// The gateway sources of a namespace: the apps of one Dify installation that Tollgate has keys of.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Sealing`] when the sealing key has changed.
    pub async fn gateway_sources(&self, namespace_id: i64) -> Result<Vec<Arc<ApiKey>>> {
        sqlx::query(
            "select * from api_key
             where namespace_id = $1 and scope = 'gateway' and revoked_at is null
             order by api_key_id",
        )
        .bind(namespace_id)
        .fetch_all(self.pool())
        .await?
        .iter()
        .map(|row| Ok(Arc::new(api_keys::key(row, &self.inner.sealing)?)))
        .collect()
    }
}

fn is_taken(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.constraint() == Some("api_key_gateway"))
}

fn summary(row: &PgRow) -> Result<SourceSummary> {
    let time = |column| -> Result<Option<Timestamp>> {
        let time = row.try_get::<Option<OffsetDateTime>, _>(column)?;
        Ok(time.map(Timestamp::from))
    };
    let scope: Scope = api_keys::scope(row)?;
    Ok(SourceSummary {
        id: row.try_get("api_key_id")?,
        name: row.try_get("name")?,
        entrance: scope
            .entrance()
            .ok_or_else(|| Error::corrupt(format!("a source of scope {scope}")))?,
        namespace: row.try_get("namespace")?,
        prefix: row.try_get("prefix")?,
        settings: row.try_get::<Json<SourceSettings>, _>("settings")?.0,
        created_at: row.try_get::<OffsetDateTime, _>("created_at")?.into(),
        created_by: row.try_get("created_by")?,
        revoked_at: time("revoked_at")?,
        last_delivery: match time("received_at")? {
            Some(received_at) => Some(LastDelivery {
                received_at,
                outcome: crate::live::outcome(row.try_get("outcome")?)?,
                reason: row.try_get("reason")?,
            }),
            None => None,
        },
    })
}
