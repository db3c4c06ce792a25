use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use leno_api::{Resource, ResourceKey};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::watch;

/// Key: `<kind>/<namespace>/<name>`; value: the object as JSON.
const RESOURCES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("resources");
/// What the control plane itself remembers.
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";

/// Resources and control state in one file, with an in-memory copy for readers.
#[derive(Debug)]
pub struct EmbeddedStore {
    path: PathBuf,
    database: Database,
    resources: Mutex<BTreeMap<ResourceKey, Arc<Resource>>>,
    revision: watch::Sender<u64>,
}

/// What became of an object that was put.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Written {
    Configured,
    Created,
    Unchanged,
}

impl EmbeddedStore {
    /// Opens the store at `path`, or makes one.
    ///
    /// # Errors
    /// When the file cannot be opened or made, is locked by another process, or is no store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let fail = |source: redb::Error| StoreError::Open { path: path.to_owned(), source };
        let database = Database::create(path).map_err(|error| fail(error.into()))?;
        private(path)?;
        let write = database.begin_write().map_err(|error| fail(error.into()))?;
        // Opening a table in a write transaction makes it.
        for table in [RESOURCES, STATE] {
            write.open_table(table).map_err(|error| fail(error.into()))?;
        }
        write.open_table(META).map_err(|error| fail(error.into()))?;
        write.commit().map_err(|error| fail(error.into()))?;
        let (resources, revision) = load(&database, path)?;
        Ok(Self {
            path: path.to_owned(),
            database,
            resources: Mutex::new(resources),
            revision: watch::Sender::new(revision),
        })
    }

    /// Grows with every change.
    pub fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// Tells of changes.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub fn list(&self) -> Vec<Arc<Resource>> {
        self.lock().values().cloned().collect()
    }

    pub fn read(&self, key: &ResourceKey) -> Option<Arc<Resource>> {
        self.lock().get(key).cloned()
    }

    /// Writes an object. A `metadata.resourceVersion` in it must be the one stored.
    ///
    /// # Errors
    /// `Conflict` when the version is another; otherwise when the disk does not take it. Nothing has changed then.
    pub fn put(&self, mut resource: Resource, now: SystemTime) -> Result<Written, StoreError> {
        let key = resource.key();
        let mut resources = self.lock();
        let before = resources.get(&key);
        let stored_version = before.and_then(|before| before.metadata().resource_version.clone());
        let wanted = resource.metadata().resource_version.clone();
        if wanted.is_some() && wanted != stored_version {
            return Err(StoreError::Conflict { key, stored: stored_version.unwrap_or_else(|| "none".to_owned()) });
        }
        let created = before.and_then(|before| before.metadata().creation_timestamp.clone());
        let metadata = resource.metadata_mut();
        metadata.namespace.get_or_insert_with(|| leno_api::DEFAULT_NAMESPACE.to_owned());
        metadata.creation_timestamp = Some(created.unwrap_or_else(|| timestamp(now)));
        metadata.resource_version = stored_version;
        if before.is_some_and(|before| **before == resource) {
            return Ok(Written::Unchanged);
        }
        let outcome = if before.is_some() { Written::Configured } else { Written::Created };
        let revision = self.revision() + 1;
        resource.metadata_mut().resource_version = Some(revision.to_string());
        let text = serde_json::to_vec(&resource).map_err(|source| StoreError::Encode { key: key.clone(), source })?;
        self.write(|transaction| {
            transaction.open_table(RESOURCES)?.insert(path_of(&key).as_str(), text.as_slice())?;
            transaction.open_table(META)?.insert(REVISION, revision)?;
            Ok(())
        })?;
        resources.insert(key, Arc::new(resource));
        self.revision.send_replace(revision);
        Ok(outcome)
    }

    /// Removes an object; `false` when there was none.
    ///
    /// # Errors
    /// When the disk does not take it; the object is still there then.
    pub fn delete(&self, key: &ResourceKey) -> Result<bool, StoreError> {
        let mut resources = self.lock();
        if !resources.contains_key(key) {
            return Ok(false);
        }
        let revision = self.revision() + 1;
        self.write(|transaction| {
            transaction.open_table(RESOURCES)?.remove(path_of(key).as_str())?;
            transaction.open_table(META)?.insert(REVISION, revision)?;
            Ok(())
        })?;
        resources.remove(key);
        self.revision.send_replace(revision);
        Ok(true)
    }

    /// A value of the control plane's own; not a resource, no revision.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn put_state(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.open_table(STATE)?.insert(key, value)?;
            Ok(())
        })
    }

    /// # Errors
    /// When the disk does not take it.
    pub fn delete_state(&self, key: &str) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.open_table(STATE)?.remove(key)?;
            Ok(())
        })
    }

    /// State values whose keys start with `prefix`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn states(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let read = || -> Result<_, redb::Error> {
            let table = self.database.begin_read()?.open_table(STATE)?;
            let mut values = Vec::new();
            for entry in table.range(prefix..)? {
                let (key, value) = entry?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                values.push((key.value().to_owned(), value.value().to_vec()));
            }
            Ok(values)
        };
        read().map_err(|source| StoreError::Read { path: self.path.clone(), source })
    }

    fn write(&self, work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            work(&transaction)?;
            Ok(transaction.commit()?)
        };
        write().map_err(|source| StoreError::Write { path: self.path.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ResourceKey, Arc<Resource>>> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Loaded = (BTreeMap<ResourceKey, Arc<Resource>>, u64);

fn load(database: &Database, path: &Path) -> Result<Loaded, StoreError> {
    let fail = |source: redb::Error| StoreError::Read { path: path.to_owned(), source };
    let read = database.begin_read().map_err(|error| fail(error.into()))?;
    let table = read.open_table(RESOURCES).map_err(|error| fail(error.into()))?;
    let mut resources = BTreeMap::new();
    for entry in table.iter().map_err(|error| fail(error.into()))? {
        let (key, value) = entry.map_err(|error| fail(error.into()))?;
        let parsed = serde_json::from_slice(value.value())
            .map_err(|error| error.to_string())
            .and_then(|value| Resource::from_json(&value).map_err(|problems| format!("{}", problems[0])));
        match parsed {
            Ok(resource) => {
                resources.insert(resource.key(), Arc::new(resource));
            }
            // Written by a version with other ideas: keep it on disk, go on without it.
            Err(reason) => tracing::error!(object = key.value(), reason, "a stored object is not understood"),
        }
    }
    let meta = read.open_table(META).map_err(|error| fail(error.into()))?;
    let revision = meta.get(REVISION).map_err(|error| fail(error.into()))?.map_or(0, |value| value.value());
    Ok((resources, revision))
}

fn path_of(key: &ResourceKey) -> String {
    format!("{}/{}/{}", key.kind, key.namespace, key.name)
}

/// Only the owner may read what people have written: it may hold addresses and policies.
fn private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|source| StoreError::Open { path: path.to_owned(), source: redb::Error::Io(source) })
}

/// RFC 3339 in UTC, to the second.
fn timestamp(now: SystemTime) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    time::OffsetDateTime::from(now).format(format).unwrap_or_default()
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{key} was changed by somebody else meanwhile: its resourceVersion is {stored}")]
    Conflict { key: ResourceKey, stored: String },
    #[error("{key} cannot be written as JSON")]
    Encode { key: ResourceKey, source: serde_json::Error },
    #[error("the store {path} cannot be opened; is another control plane using it?")]
    Open { path: PathBuf, source: redb::Error },
    #[error("the store {path} cannot be read")]
    Read { path: PathBuf, source: redb::Error },
    #[error("the store {path} cannot be written; nothing was changed")]
    Write { path: PathBuf, source: redb::Error },
}

#[cfg(test)]
mod tests;
