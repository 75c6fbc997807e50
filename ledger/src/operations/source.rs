//! Sources: keys that open one entrance each. A source keeps its id, its name and its settings when
//! its key is replaced.

use std::sync::Arc;

use shared::ids::{IdError, checked_id};

use crate::error::{Attempt, Error, OperationError, Result, refusal};
use crate::operations::api_key::NewKey;
use crate::operations::ledger::Ledger;
use crate::records::actor::Actor;
use crate::records::api_key::{ApiKey, CreatedKey};
use crate::records::scope::Scope;
use crate::records::source::{NewSource, SourceSummary};
use crate::store::api_key::{self, KeyRow};
use crate::store::namespace::{self, DEFAULT_NAMESPACE};
use crate::store::source;

/// Why there is no such new source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceRefusal {
    Name(IdError),
    /// It is that of another gateway source.
    NameTaken,
    Namespace(IdError),
    NoUpstreamAddress,
    NoUpstreamKey,
}

refusal!(SourceRefusal);

/// Why no gateway source is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayRefusal {
    Unknown,
    /// There are several, and none is named.
    NoneNamed,
}

refusal!(GatewayRefusal);

impl Ledger {
    /// Creates a source, and its namespace when it is new; its key is shown this once.
    ///
    /// # Errors
    /// The name or the namespace is none, the name is that of another gateway source, or it lacks
    /// what stands behind it.
    pub async fn create_source(
        &self,
        new: &NewSource,
        actor: &Actor,
    ) -> Attempt<CreatedKey, SourceRefusal> {
        let key = checked(new)?;
        let mut tx = self.pool().begin().await?;
        namespace::ensure(&mut tx, key.namespace).await?;
        let created = self.insert_key(&mut tx, &key, actor).await;
        let created = created.map_err(|error| match error {
            Error::Database(error) if api_key::is_name_taken(&error) => {
                OperationError::from(SourceRefusal::NameTaken)
            }
            error => error.into(),
        })?;
        tx.commit().await?;
        Ok(created)
    }

    /// All sources, newest first, with what each delivered last.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn sources(&self) -> Result<Vec<SourceSummary>> {
        source::all(self.pool()).await
    }

    /// The gateway source of a name, or the only one there is: for callers whose credential names no
    /// app.
    ///
    /// # Errors
    /// There is none of that name, or there are several and none is named.
    pub async fn gateway_source(&self, name: Option<&str>) -> Attempt<Arc<ApiKey>, GatewayRefusal> {
        let mut rows = api_key::gateways_named(self.pool(), name).await?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(self.unsealed(row)?),
            (None, _) => Err(GatewayRefusal::Unknown.into()),
            (Some(_), false) => Err(GatewayRefusal::NoneNamed.into()),
        }
    }

    /// The gateway sources of a namespace: the apps of one Dify installation that Tollgate has keys of.
    ///
    /// # Errors
    /// [`Error::Database`]; [`Error::Sealing`] when the sealing key has changed.
    pub async fn gateway_sources(&self, namespace_id: i64) -> Result<Vec<Arc<ApiKey>>> {
        let rows = api_key::gateways_of_namespace(self.pool(), namespace_id).await?;
        rows.into_iter().map(|row| self.unsealed(row)).collect()
    }

    fn unsealed(&self, row: KeyRow) -> Result<Arc<ApiKey>> {
        row.unseal(&self.inner.sealing).map(Arc::new)
    }
}

/// The key of a new source, if the source can be created.
fn checked(new: &NewSource) -> std::result::Result<NewKey<'_>, SourceRefusal> {
    let name = checked_id(&new.name).map_err(SourceRefusal::Name)?;
    let namespace = match &new.namespace {
        Some(name) => checked_id(name).map_err(SourceRefusal::Namespace)?,
        None => DEFAULT_NAMESPACE,
    };
    if new.entrance.has_upstream() {
        if new.settings.upstream_url.is_none() {
            return Err(SourceRefusal::NoUpstreamAddress);
        }
        if new.upstream_key.is_none() {
            return Err(SourceRefusal::NoUpstreamKey);
        }
    }
    Ok(NewKey {
        name,
        scope: Scope::Entrance(new.entrance),
        require_signature: new.require_signature,
        namespace,
        settings: &new.settings,
        upstream_key: new.upstream_key.as_deref(),
    })
}
