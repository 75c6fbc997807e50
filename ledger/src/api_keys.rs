//! Keys of machines: shown once, stored as a hash, cached until somebody changes one.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use sha2::{Digest, Sha256};
use shared::clock::Timestamp;
use shared::ids::checked_id;
use shared::problem::Problem;
use shared::source::{SourceEntrance, SourceSettings};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::{self, Actor};
use crate::chain::Hash;
use crate::error::{Error, Result};
use crate::sealing::{SealingKey, random_bytes};
use crate::{Ledger, journal, live};

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Report what messages used.
    Webhook,
    /// Ask for any user's points, and mint user tokens.
    Points,
    /// Everything an administrator may do over REST.
    Admin,
    /// Call Dify's Service API through the gateway.
    Gateway,
    /// Deliver traces.
    Langfuse,
    /// Ask whether a message may pass.
    Guard,
    /// Call models through the OpenAI-compatible gateway.
    Openai,
}

impl Scope {
    pub const ALL: [Self; 7] = [
        Self::Webhook,
        Self::Points,
        Self::Admin,
        Self::Gateway,
        Self::Langfuse,
        Self::Guard,
        Self::Openai,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Points => "points",
            Self::Admin => "admin",
            Self::Gateway => "gateway",
            Self::Langfuse => "langfuse",
            Self::Guard => "guard",
            Self::Openai => "openai",
        }
    }

    /// The entrance that keys of this scope open; `None` for those of people and back ends.
    #[must_use]
    pub const fn entrance(self) -> Option<SourceEntrance> {
        match self {
            Self::Points | Self::Admin => None,
            Self::Webhook => Some(SourceEntrance::Webhook),
            Self::Gateway => Some(SourceEntrance::Gateway),
            Self::Langfuse => Some(SourceEntrance::Langfuse),
            Self::Guard => Some(SourceEntrance::Guard),
            Self::Openai => Some(SourceEntrance::Openai),
        }
    }

    /// The part of a key that tells people what it is for.
    const fn mark(self) -> &'static str {
        match self {
            Self::Webhook => "tg_wh_",
            Self::Points => "tg_pt_",
            Self::Admin => "tg_ad_",
            Self::Gateway => "tg_gw_",
            Self::Langfuse => "tg_lf_",
            Self::Guard => "tg_gd_",
            Self::Openai => "tg_oa_",
        }
    }
}

impl From<SourceEntrance> for Scope {
    fn from(entrance: SourceEntrance) -> Self {
        match entrance {
            SourceEntrance::Webhook => Self::Webhook,
            SourceEntrance::Gateway => Self::Gateway,
            SourceEntrance::Langfuse => Self::Langfuse,
            SourceEntrance::Guard => Self::Guard,
            SourceEntrance::Openai => Self::Openai,
        }
    }
}

impl FromStr for Scope {
    type Err = String;
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| format!("there is no scope {text}"))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An authenticated key: the source of deliveries.
#[derive(Clone)]
pub struct ApiKey {
    pub id: Uuid,
    /// The Dify installation whose messages it reports.
    pub namespace_id: i64,
    pub name: String,
    pub scope: Scope,
    pub require_signature: bool,
    /// In clear; never logged.
    pub signing_secret: Vec<u8>,
    pub settings: SourceSettings,
    /// What the server behind the source is called with, such as Dify's app key; never logged.
    pub upstream_key: Option<String>,
}

/// Leaves the secret out.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl ApiKey {
    /// The source of a delivery that is already on record; it cannot verify signatures.
    pub(crate) fn recorded(id: Uuid, namespace_id: i64, name: String) -> Self {
        Self {
            id,
            namespace_id,
            name,
            scope: Scope::Webhook,
            require_signature: true,
            signing_secret: Vec::new(),
            settings: SourceSettings::default(),
            upstream_key: None,
        }
    }
}

/// A new key, in clear for the only time.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedKey {
    pub id: Uuid,
    pub key: String,
    /// `whsec_` and base64, as Standard Webhooks libraries expect it.
    pub signing_secret: String,
}

/// A key as an administrator sees it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeySummary {
    pub id: Uuid,
    pub name: String,
    pub scope: String,
    pub prefix: String,
    pub require_signature: bool,
    pub created_at: Timestamp,
    pub created_by: String,
    pub revoked_at: Option<Timestamp>,
}

/// Known keys by hash. Trusted only while this process hears of changes elsewhere.
#[derive(Clone, Default)]
pub(crate) struct Cache(Arc<Mutex<CacheState>>);

#[derive(Default)]
struct CacheState {
    is_trusted: bool,
    /// Counts clearings, so that a key read before one is not remembered after it.
    clearings: u64,
    keys: HashMap<Hash, Arc<ApiKey>>,
}

impl Cache {
    fn state(&self) -> std::sync::MutexGuard<'_, CacheState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clear(&self) {
        let mut state = self.state();
        state.clearings = state.clearings.wrapping_add(1);
        state.keys.clear();
    }

    pub(crate) fn trust(&self) {
        self.clear();
        self.state().is_trusted = true;
    }

    pub(crate) fn distrust(&self) {
        self.state().is_trusted = false;
    }

    fn find(&self, hash: &Hash) -> (Option<Arc<ApiKey>>, u64) {
        let state = self.state();
        let known = state.is_trusted.then(|| state.keys.get(hash).cloned());
        (known.flatten(), state.clearings)
    }

    fn remember(&self, hash: Hash, key: &Arc<ApiKey>, clearings: u64) {
        let mut state = self.state();
        if state.clearings == clearings {
            state.keys.insert(hash, Arc::clone(key));
        }
    }
}

/// Keys carry 256 random bits, so a plain hash protects them as well as a slow one would.
fn hash_of(presented: &str) -> Hash {
    Sha256::digest(presented.as_bytes()).into()
}

async fn load(pool: &PgPool, sealing: &SealingKey, hash: &Hash) -> Result<Option<ApiKey>> {
    let row = sqlx::query("select * from api_key where key_hash = $1 and revoked_at is null")
        .bind(hash.as_slice())
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let stored = journal::hash_from(row.try_get("key_hash")?)?;
    if !bool::from(stored.ct_eq(hash)) {
        return Ok(None);
    }
    key(&row, sealing).map(Some)
}

pub(crate) fn key(row: &PgRow, sealing: &SealingKey) -> Result<ApiKey> {
    Ok(ApiKey {
        id: row.try_get("api_key_id")?,
        namespace_id: row.try_get("namespace_id")?,
        name: row.try_get("name")?,
        scope: scope(row)?,
        require_signature: row.try_get("require_signature")?,
        signing_secret: sealing.open(row.try_get("signing_secret_sealed")?)?,
        settings: row.try_get::<Json<SourceSettings>, _>("settings")?.0,
        upstream_key: row
            .try_get::<Option<&[u8]>, _>("upstream_key_sealed")?
            .map(|sealed| sealing.open_text(sealed))
            .transpose()?,
    })
}

pub(crate) fn scope(row: &PgRow) -> Result<Scope> {
    row.try_get::<&str, _>("scope")?
        .parse()
        .map_err(Error::Corrupt)
}

/// What the audit log keeps of a key.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described<'a> {
    id: Uuid,
    scope: &'a str,
    prefix: &'a str,
    require_signature: bool,
    namespace: &'a str,
    settings: &'a SourceSettings,
}

/// The namespace of everything that names no other.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// A key to be entered.
pub(crate) struct NewKey<'a> {
    pub name: &'a str,
    pub scope: Scope,
    pub require_signature: bool,
    pub namespace: &'a str,
    pub settings: &'a SourceSettings,
    pub upstream_key: Option<&'a str>,
}

/// A new key and the part of it that people recognise it by.
fn make_key(scope: Scope) -> Result<(String, String)> {
    let mark = scope.mark();
    let key = format!("{mark}{}", URL_SAFE_NO_PAD.encode(random_bytes::<32>()?));
    let prefix = key.chars().take(mark.len() + 6).collect();
    Ok((key, prefix))
}

impl Ledger {
    /// Creates a key; only its hash and its sealed signing secret are stored.
    ///
    /// # Errors
    /// A field problem for `name`.
    pub async fn create_api_key(
        &self,
        name: &str,
        scope: Scope,
        require_signature: bool,
        actor: &Actor,
    ) -> Result<CreatedKey> {
        let name = checked_id(name).map_err(|fault| Problem::field("name", fault))?;
        let mut tx = self.pool().begin().await?;
        let created = self
            .insert_key(
                &mut tx,
                &NewKey {
                    name,
                    scope,
                    require_signature,
                    namespace: DEFAULT_NAMESPACE,
                    settings: &SourceSettings::default(),
                    upstream_key: None,
                },
                actor,
            )
            .await?;
        tx.commit().await?;
        Ok(created)
    }

    /// Enters a key and its audit; the namespace is there.
    pub(crate) async fn insert_key(
        &self,
        tx: &mut PgConnection,
        new: &NewKey<'_>,
        actor: &Actor,
    ) -> Result<CreatedKey> {
        let id = Uuid::now_v7();
        let (key, prefix) = make_key(new.scope)?;
        let secret = random_bytes::<32>()?;
        let sealing = &self.inner.sealing;
        let upstream_key = new.upstream_key.map(|key| sealing.seal(key.as_bytes()));
        sqlx::query(
            "insert into api_key (api_key_id, namespace_id, name, scope, prefix, key_hash,
                 signing_secret_sealed, require_signature, created_by, settings, upstream_key_sealed)
             select $1, namespace_id, $2, $3, $4, $5, $6, $7, $8, $9, $10
             from namespace where name = $11",
        )
        .bind(id)
        .bind(new.name)
        .bind(new.scope.as_str())
        .bind(&prefix)
        .bind(hash_of(&key).as_slice())
        .bind(sealing.seal(&secret)?)
        .bind(new.require_signature)
        .bind(&actor.name)
        .bind(Json(new.settings))
        .bind(upstream_key.transpose()?)
        .bind(new.namespace)
        .execute(&mut *tx)
        .await?;
        audit::record(
            tx,
            actor,
            "key.create",
            new.name,
            audit::NOTHING,
            Some(&Described {
                id,
                scope: new.scope.as_str(),
                prefix: &prefix,
                require_signature: new.require_signature,
                namespace: new.namespace,
                settings: new.settings,
            }),
        )
        .await?;
        Ok(CreatedKey {
            id,
            key,
            signing_secret: format!("whsec_{}", STANDARD.encode(secret)),
        })
    }

    /// Replaces a key at once, in this process and in every other that listens. What was reported
    /// with the old one belongs to the new one.
    ///
    /// # Errors
    /// `NotFound` when there is no such key, or it is revoked.
    pub async fn rotate_api_key(&self, id: Uuid, actor: &Actor) -> Result<CreatedKey> {
        let mut tx = self.pool().begin().await?;
        let row = sqlx::query(
            "select name, scope, prefix from api_key
             where api_key_id = $1 and revoked_at is null for update",
        )
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Problem::NotFound)?;
        let (key, prefix) = make_key(scope(&row)?)?;
        let secret = random_bytes::<32>()?;
        sqlx::query(
            "update api_key set key_hash = $2, prefix = $3, signing_secret_sealed = $4
             where api_key_id = $1",
        )
        .bind(id)
        .bind(hash_of(&key).as_slice())
        .bind(&prefix)
        .bind(self.inner.sealing.seal(&secret)?)
        .execute(&mut *tx)
        .await?;
        let before: &str = row.try_get("prefix")?;
        let name: &str = row.try_get("name")?;
        audit::record(
            &mut tx,
            actor,
            "key.rotate",
            name,
            Some(&before),
            Some(&prefix),
        )
        .await?;
        self.keys_changed(&mut tx).await?;
        tx.commit().await?;
        self.inner.keys.clear();
        Ok(CreatedKey {
            id,
            key,
            signing_secret: format!("whsec_{}", STANDARD.encode(secret)),
        })
    }

    /// Tells every listening process to forget the keys it knows, when the transaction commits.
    async fn keys_changed(&self, tx: &mut PgConnection) -> Result<()> {
        sqlx::query("select pg_notify($1, '')")
            .bind(live::KEY_CHANNEL)
            .execute(tx)
            .await?;
        Ok(())
    }

    /// The key that was presented; `None` when it is unknown or revoked.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Sealing`] when the sealing key has changed.
    pub async fn authenticate_key(&self, presented: &str) -> Result<Option<Arc<ApiKey>>> {
        let hash = hash_of(presented);
        let (known, clearings) = self.inner.keys.find(&hash);
        if known.is_some() {
            return Ok(known);
        }
        // Boxed, so that requests with a known key do not carry what this needs.
        let load = Box::pin(load(self.pool(), &self.inner.sealing, &hash));
        let Some(key) = load.await? else {
            return Ok(None);
        };
        let key = Arc::new(key);
        self.inner.keys.remember(hash, &key, clearings);
        Ok(Some(key))
    }

    /// The key that was presented, if this process has seen it before and knows of no change. While
    /// Postgres is away nobody knows whether it still stands: for sources that fail open only.
    #[must_use]
    pub fn remembered_key(&self, presented: &str) -> Option<Arc<ApiKey>> {
        let state = self.inner.keys.state();
        state.keys.get(&hash_of(presented)).cloned()
    }

    /// All keys, newest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn api_keys(&self) -> Result<Vec<ApiKeySummary>> {
        sqlx::query(
            "select api_key_id, name, scope, prefix, require_signature, created_at, created_by,
                    revoked_at
             from api_key order by api_key_id desc",
        )
        .fetch_all(self.pool())
        .await?
        .iter()
        .map(|row| {
            Ok(ApiKeySummary {
                id: row.try_get("api_key_id")?,
                name: row.try_get("name")?,
                scope: row.try_get("scope")?,
                prefix: row.try_get("prefix")?,
                require_signature: row.try_get("require_signature")?,
                created_at: row.try_get::<OffsetDateTime, _>("created_at")?.into(),
                created_by: row.try_get("created_by")?,
                revoked_at: row
                    .try_get::<Option<OffsetDateTime>, _>("revoked_at")?
                    .map(Timestamp::from),
            })
        })
        .collect()
    }

    /// Ends a key at once, in this process and in every other that listens.
    ///
    /// # Errors
    /// `NotFound` when there is no such key, or it is revoked already.
    pub async fn revoke_api_key(&self, id: Uuid, actor: &Actor) -> Result<()> {
        let mut tx = self.pool().begin().await?;
        let name: Option<String> = sqlx::query_scalar(
            "update api_key set revoked_at = now()
             where api_key_id = $1 and revoked_at is null returning name",
        )
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
        let name = name.ok_or(Problem::NotFound)?;
        audit::record(
            &mut tx,
            actor,
            "key.revoke",
            &name,
            Some(&id),
            audit::NOTHING,
        )
        .await?;
        self.keys_changed(&mut tx).await?;
        tx.commit().await?;
        self.inner.keys.clear();
        Ok(())
    }
}
