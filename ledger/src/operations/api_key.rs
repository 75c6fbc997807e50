//! Keys of machines: shown once, stored as a hash, cached until somebody changes one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;
use shared::ids::{IdError, checked_id};
use shared::source::SourceSettings;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Attempt, Result, refusal};
use crate::operations::ledger::Ledger;
use crate::records::actor::Actor;
use crate::records::api_key::{ApiKey, ApiKeySummary, CreatedKey};
use crate::records::digest::digest;
use crate::records::scope::Scope;
use crate::records::sealing::random_bytes;
use crate::store::api_key::{self, SealedKey};
use crate::store::audit_log;
use crate::store::namespace::DEFAULT_NAMESPACE;

/// A key's name that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyNameFault(pub IdError);

refusal!(KeyNameFault);

/// There is no such key, or it is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownKey;

refusal!(UnknownKey);

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

/// A key to be entered.
pub(crate) struct NewKey<'a> {
    pub name: &'a str,
    pub scope: Scope,
    pub require_signature: bool,
    pub namespace: &'a str,
    pub settings: &'a SourceSettings,
    pub upstream_key: Option<&'a str>,
}

/// What a key and its signatures are recognised by, in clear.
struct Secrets {
    key: String,
    /// The part of the key that people recognise it by.
    prefix: String,
    signing: [u8; 32],
}

impl Secrets {
    fn generate(scope: Scope) -> Result<Self> {
        let mark = scope.mark();
        let key = format!("{mark}{}", URL_SAFE_NO_PAD.encode(random_bytes::<32>()?));
        Ok(Self {
            prefix: key.chars().take(mark.len() + 6).collect(),
            key,
            signing: random_bytes()?,
        })
    }

    fn shown_once(self, id: Uuid) -> CreatedKey {
        CreatedKey {
            id,
            key: self.key,
            signing_secret: format!("whsec_{}", STANDARD.encode(self.signing)),
        }
    }
}

impl Ledger {
    /// Creates a key; only its hash and its sealed signing secret are stored.
    ///
    /// # Errors
    /// [`KeyNameFault`].
    pub async fn create_api_key(
        &self,
        name: &str,
        scope: Scope,
        require_signature: bool,
        actor: &Actor,
    ) -> Attempt<CreatedKey, KeyNameFault> {
        let new = NewKey {
            name: checked_id(name).map_err(KeyNameFault)?,
            scope,
            require_signature,
            namespace: DEFAULT_NAMESPACE,
            settings: &SourceSettings::default(),
            upstream_key: None,
        };
        let mut tx = self.pool().begin().await?;
        let created = self.insert_key(&mut tx, &new, actor).await?;
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
        let secrets = Secrets::generate(new.scope)?;
        let sealing = &self.inner.sealing;
        let upstream_key = new.upstream_key.map(|key| sealing.seal(key.as_bytes()));
        let upstream_key = upstream_key.transpose()?;
        let sealed = SealedKey {
            id,
            name: new.name,
            scope: new.scope,
            prefix: &secrets.prefix,
            key_hash: &digest(&secrets.key),
            signing_secret_sealed: &sealing.seal(&secrets.signing)?,
            require_signature: new.require_signature,
            created_by: &actor.name,
            settings: new.settings,
            upstream_key_sealed: upstream_key.as_deref(),
            namespace: new.namespace,
        };
        api_key::insert(&mut *tx, &sealed).await?;
        let described = Described {
            id,
            scope: new.scope.as_str(),
            prefix: &secrets.prefix,
            require_signature: new.require_signature,
            namespace: new.namespace,
            settings: new.settings,
        };
        let (action, before) = ("key.create", audit_log::NOTHING);
        audit_log::record(tx, actor, action, new.name, before, Some(&described)).await?;
        Ok(secrets.shown_once(id))
    }

    /// Replaces a key at once, in this process and in every other that listens. What was reported
    /// with the old one belongs to the new one.
    ///
    /// # Errors
    /// [`UnknownKey`].
    pub async fn rotate_api_key(&self, id: Uuid, actor: &Actor) -> Attempt<CreatedKey, UnknownKey> {
        let mut tx = self.pool().begin().await?;
        let replaced = api_key::lock(&mut *tx, id).await?;
        let replaced = replaced.ok_or(UnknownKey)?;
        let secrets = Secrets::generate(replaced.scope()?)?;
        let sealed = self.inner.sealing.seal(&secrets.signing)?;
        let (key_hash, prefix) = (digest(&secrets.key), &secrets.prefix);
        api_key::replace_secrets(&mut *tx, id, &key_hash, prefix, &sealed).await?;
        let (before, after) = (Some(&replaced.prefix), Some(prefix));
        audit_log::record(&mut tx, actor, "key.rotate", &replaced.name, before, after).await?;
        api_key::notify_change(&mut *tx).await?;
        tx.commit().await?;
        self.inner.keys.clear();
        Ok(secrets.shown_once(id))
    }

    /// The key that was presented; `None` when it is unknown or revoked.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database); [`Error::Sealing`](crate::Error::Sealing) when
    /// the sealing key has changed.
    pub async fn authenticate_key(&self, presented: &str) -> Result<Option<Arc<ApiKey>>> {
        let hash = digest(presented);
        let (known, clearings) = self.inner.keys.find(&hash);
        if known.is_some() {
            return Ok(known);
        }
        // Boxed, so that requests with a known key do not carry what this needs.
        let Some(row) = Box::pin(api_key::by_hash(self.pool(), &hash)).await? else {
            return Ok(None);
        };
        let key = Arc::new(row.unseal(&self.inner.sealing)?);
        self.inner.keys.remember(hash, &key, clearings);
        Ok(Some(key))
    }

    /// The key that was presented, if this process has seen it before and knows of no change. While
    /// Postgres is away nobody knows whether it still stands: for sources that fail open only.
    #[must_use]
    pub fn remembered_key(&self, presented: &str) -> Option<Arc<ApiKey>> {
        self.inner.keys.find_untrusted(&digest(presented))
    }

    /// All keys, newest first.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub async fn api_keys(&self) -> Result<Vec<ApiKeySummary>> {
        api_key::summaries(self.pool()).await
    }

    /// Ends a key at once, in this process and in every other that listens.
    ///
    /// # Errors
    /// [`UnknownKey`].
    pub async fn revoke_api_key(&self, id: Uuid, actor: &Actor) -> Attempt<(), UnknownKey> {
        let mut tx = self.pool().begin().await?;
        let name = api_key::revoke(&mut *tx, id).await?;
        let name = name.ok_or(UnknownKey)?;
        let (before, after) = (Some(&id), audit_log::NOTHING);
        audit_log::record(&mut tx, actor, "key.revoke", &name, before, after).await?;
        api_key::notify_change(&mut *tx).await?;
        tx.commit().await?;
        self.inner.keys.clear();
        Ok(())
    }
}
