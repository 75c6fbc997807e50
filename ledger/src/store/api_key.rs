use std::collections::HashMap;

use shared::source::SourceSettings;
use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::records::api_key::{ApiKey, ApiKeySummary};
use crate::records::digest::Digest;
use crate::records::scope::Scope;
use crate::records::sealing::SealingKey;

/// Where processes hear that a key has changed.
pub(crate) const CHANGE_CHANNEL: &str = "tollgate_key";

/// A key that is not revoked, with its secrets sealed.
#[derive(sqlx::FromRow)]
pub(crate) struct KeyRow {
    api_key_id: Uuid,
    namespace_id: i64,
    name: String,
    scope: String,
    require_signature: bool,
    signing_secret_sealed: Vec<u8>,
    settings: Json<SourceSettings>,
    upstream_key_sealed: Option<Vec<u8>>,
}

impl KeyRow {
    pub(crate) fn unseal(self, sealing: &SealingKey) -> Result<ApiKey> {
        Ok(ApiKey {
            id: self.api_key_id,
            namespace_id: self.namespace_id,
            name: self.name,
            scope: self.scope.parse().map_err(Error::Corrupt)?,
            require_signature: self.require_signature,
            signing_secret: sealing.open(&self.signing_secret_sealed)?,
            settings: self.settings.0,
            upstream_key: self
                .upstream_key_sealed
                .map(|sealed| sealing.open_text(&sealed))
                .transpose()?,
        })
    }
}

struct SummaryRow {
    api_key_id: Uuid,
    name: String,
    scope: String,
    prefix: String,
    require_signature: bool,
    created_at: OffsetDateTime,
    created_by: String,
    revoked_at: Option<OffsetDateTime>,
}

impl From<SummaryRow> for ApiKeySummary {
    fn from(row: SummaryRow) -> Self {
        Self {
            id: row.api_key_id,
            name: row.name,
            scope: row.scope,
            prefix: row.prefix,
            require_signature: row.require_signature,
            created_at: row.created_at.into(),
            created_by: row.created_by,
            revoked_at: row.revoked_at.map(Into::into),
        }
    }
}

/// A key that is about to be replaced.
pub(crate) struct ReplacedRow {
    pub name: String,
    scope: String,
    pub prefix: String,
}

impl ReplacedRow {
    pub(crate) fn scope(&self) -> Result<Scope> {
        self.scope.parse().map_err(Error::Corrupt)
    }
}

/// A key to be stored.
pub(crate) struct SealedKey<'a> {
    pub id: Uuid,
    pub name: &'a str,
    pub scope: Scope,
    pub prefix: &'a str,
    pub key_hash: &'a Digest,
    pub signing_secret_sealed: &'a [u8],
    pub require_signature: bool,
    pub created_by: &'a str,
    pub settings: &'a SourceSettings,
    pub upstream_key_sealed: Option<&'a [u8]>,
    /// Which is there.
    pub namespace: &'a str,
}

pub(crate) async fn insert(executor: impl PgExecutor<'_>, key: &SealedKey<'_>) -> Result<()> {
    sqlx::query!(
        "insert into api_key (api_key_id, namespace_id, name, scope, prefix, key_hash,
             signing_secret_sealed, require_signature, created_by, settings, upstream_key_sealed)
         select $1, namespace_id, $2, $3, $4, $5, $6, $7, $8, $9, $10
         from namespace where name = $11",
        key.id,
        key.name,
        key.scope.as_str(),
        key.prefix,
        key.key_hash.as_slice(),
        key.signing_secret_sealed,
        key.require_signature,
        key.created_by,
        Json(key.settings) as _,
        key.upstream_key_sealed,
        key.namespace
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Whether an error says that another gateway source has the name.
pub(crate) fn is_name_taken(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.constraint() == Some("api_key_gateway"))
}

pub(crate) async fn by_hash(
    executor: impl PgExecutor<'_>,
    key_hash: &Digest,
) -> Result<Option<KeyRow>> {
    Ok(
        sqlx::query_as("select * from api_key where key_hash = $1 and revoked_at is null")
            .bind(key_hash)
            .fetch_optional(executor)
            .await?,
    )
}

/// Gateway sources of a name, or of any; two at most.
pub(crate) async fn gateways_named(
    executor: impl PgExecutor<'_>,
    name: Option<&str>,
) -> Result<Vec<KeyRow>> {
    Ok(sqlx::query_as(
        "select * from api_key where scope = 'gateway' and revoked_at is null
             and ($1::text is null or name = $1)
         limit 2",
    )
    .bind(name)
    .fetch_all(executor)
    .await?)
}

pub(crate) async fn gateways_of_namespace(
    executor: impl PgExecutor<'_>,
    namespace_id: i64,
) -> Result<Vec<KeyRow>> {
    Ok(sqlx::query_as(
        "select * from api_key
         where namespace_id = $1 and scope = 'gateway' and revoked_at is null
         order by api_key_id",
    )
    .bind(namespace_id)
    .fetch_all(executor)
    .await?)
}

/// All keys, newest first.
pub(crate) async fn summaries(executor: impl PgExecutor<'_>) -> Result<Vec<ApiKeySummary>> {
    let rows: Vec<SummaryRow> = sqlx::query_as!(
        SummaryRow,
        "select api_key_id, name, scope, prefix, require_signature, created_at, created_by,
                revoked_at
         from api_key order by api_key_id desc"
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The names of all keys, also of revoked ones.
pub(crate) async fn names(executor: impl PgExecutor<'_>) -> Result<HashMap<Uuid, String>> {
    let names: Vec<(Uuid, String)> = sqlx::query_as("select api_key_id, name from api_key")
        .fetch_all(executor)
        .await?;
    Ok(names.into_iter().collect())
}

/// Locks a key that is not revoked.
pub(crate) async fn lock(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Option<ReplacedRow>> {
    Ok(sqlx::query_as!(
        ReplacedRow,
        "select name, scope, prefix from api_key
         where api_key_id = $1 and revoked_at is null for update",
        id
    )
    .fetch_optional(executor)
    .await?)
}

pub(crate) async fn replace_secrets(
    executor: impl PgExecutor<'_>,
    id: Uuid,
    key_hash: &Digest,
    prefix: &str,
    signing_secret_sealed: &[u8],
) -> Result<()> {
    sqlx::query!(
        "update api_key set key_hash = $2, prefix = $3, signing_secret_sealed = $4
         where api_key_id = $1",
        id,
        key_hash.as_slice(),
        prefix,
        signing_secret_sealed
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Returns the name of the key; none when it is revoked already.
pub(crate) async fn revoke(executor: impl PgExecutor<'_>, id: Uuid) -> Result<Option<String>> {
    Ok(sqlx::query_scalar!(
        "update api_key set revoked_at = now()
         where api_key_id = $1 and revoked_at is null returning name",
        id
    )
    .fetch_optional(executor)
    .await?)
}

/// Tells every listening process to forget the keys it knows, when the transaction commits.
pub(crate) async fn notify_change(executor: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query!("select pg_notify($1, '')", CHANGE_CHANNEL)
        .execute(executor)
        .await?;
    Ok(())
}
