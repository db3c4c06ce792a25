//! The store in one file: resources with a revision, and what the control plane itself remembers.
//!
//! Invariants  what `put` and `delete` have answered is on disk and survives a kill; memory and disk say the same
//! Errors      a disk that is full or read-only: `StoreError::Write`, nothing changed, reads go on, also at the start;
//!             tried anew each time
//! Cost        one fsync per write, one writer at a time; reads are of memory and never wait for the disk
//! Source      redb 4: copy-on-write B-trees, two-slot commit

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use leno_api::{Resource, ResourceKey};
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use tokio::sync::watch;

/// Key: `<kind>/<namespace>/<name>`; value: the object as JSON.
const RESOURCES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("resources");
/// What the control plane itself remembers.
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";

/// Resources and control state in one file, with an in-memory copy for readers.
pub struct EmbeddedStore {
    path: PathBuf,
    opener: Opener,
    /// `None` after a failure, until the next use opens the file again. Held while a write is under way: one writer.
    database: Mutex<Option<Database>>,
    resources: Mutex<BTreeMap<ResourceKey, Arc<Resource>>>,
    revision: watch::Sender<u64>,
}

type Opener = Box<dyn Fn(&Path) -> Result<Database, redb::Error> + Send + Sync>;

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedStore").field("path", &self.path).finish_non_exhaustive()
    }
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
        Self::open_with(
            path,
            Box::new(|path| {
                private(path)?;
                Ok(Database::create(path)?)
            }),
        )
    }

    /// A store on a read-only file system is read all the same; each write then tries to open the file anew.
    fn open_with(path: &Path, opener: Opener) -> Result<Self, StoreError> {
        let fail = |source: redb::Error| StoreError::Open { path: path.to_owned(), source };
        let opened = opener(path).and_then(|database| make_tables(&database).map(|()| database));
        let (database, (resources, revision)) = match opened {
            Ok(database) => {
                let loaded = load(&database, path)?;
                (Some(database), loaded)
            }
            Err(error) if is_read_only(&error) && path.exists() => {
                tracing::error!(path = %path.display(), %error, "the store is read-only: it is served as it is");
                (None, load(&copy(path).map_err(fail)?, path)?)
            }
            Err(error) => return Err(fail(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            opener,
            database: Mutex::new(database),
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

    /// Writes an object. A `metadata.resourceVersion` in it must be the one stored; an object that is not stored is made,
    /// whatever version it had, so that what was saved can be put back.
    ///
    /// # Errors
    /// `Conflict` when the version is another; otherwise when the disk does not take it. Nothing has changed then.
    pub fn put(&self, resource: Resource, now: SystemTime) -> Result<Written, StoreError> {
        let mut database = self.database();
        let (mut resource, outcome) = self.compare(resource, now)?;
        if outcome == Written::Unchanged {
            return Ok(outcome);
        }
        let key = resource.key();
        let revision = self.revision() + 1;
        resource.metadata_mut().resource_version = Some(revision.to_string());
        let text = serde_json::to_vec(&resource).map_err(|source| StoreError::Encode { key: key.clone(), source })?;
        self.write(&mut database, |transaction| {
            transaction.open_table(RESOURCES)?.insert(path_of(&key).as_str(), text.as_slice())?;
            transaction.open_table(META)?.insert(REVISION, revision)?;
            Ok(())
        })?;
        self.lock().insert(key, Arc::new(resource));
        self.revision.send_replace(revision);
        Ok(outcome)
    }

    /// What [`EmbeddedStore::put`] would do, as far as the disk does not matter.
    ///
    /// # Errors
    /// `Conflict`, as there.
    pub fn preview(&self, resource: &Resource, now: SystemTime) -> Result<Written, StoreError> {
        self.compare(resource.clone(), now).map(|(_, outcome)| outcome)
    }

    /// The object as it would be stored, but for its new version.
    fn compare(&self, mut resource: Resource, now: SystemTime) -> Result<(Resource, Written), StoreError> {
        let key = resource.key();
        let before = self.read(&key);
        let stored_version = before.as_ref().and_then(|before| before.metadata().resource_version.clone());
        let wanted = resource.metadata().resource_version.clone();
        if let (Some(wanted), Some(stored)) = (&wanted, &stored_version)
            && wanted != stored
        {
            return Err(StoreError::Conflict { key, stored: stored.clone() });
        }
        let created = before.as_ref().and_then(|before| before.metadata().creation_timestamp.clone());
        resource.set_status(None);
        let namespaced = resource.kind().is_namespaced();
        let metadata = resource.metadata_mut();
        metadata.namespace = metadata.namespace.take().filter(|_| namespaced);
        if namespaced {
            metadata.namespace.get_or_insert_with(|| leno_api::DEFAULT_NAMESPACE.to_owned());
        }
        metadata.creation_timestamp = Some(created.unwrap_or_else(|| timestamp(now)));
        metadata.resource_version = stored_version;
        let outcome = match before {
            None => Written::Created,
            Some(before) if *before == resource => Written::Unchanged,
            Some(_) => Written::Configured,
        };
        Ok((resource, outcome))
    }

    /// Removes an object; `false` when there was none.
    ///
    /// # Errors
    /// When the disk does not take it; the object is still there then.
    pub fn delete(&self, key: &ResourceKey) -> Result<bool, StoreError> {
        let mut database = self.database();
        if self.read(key).is_none() {
            return Ok(false);
        }
        let revision = self.revision() + 1;
        self.write(&mut database, |transaction| {
            transaction.open_table(RESOURCES)?.remove(path_of(key).as_str())?;
            transaction.open_table(META)?.insert(REVISION, revision)?;
            Ok(())
        })?;
        self.lock().remove(key);
        self.revision.send_replace(revision);
        Ok(true)
    }

    /// A value of the control plane's own; not a resource, no revision.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn put_state(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write(&mut self.database(), |transaction| {
            transaction.open_table(STATE)?.insert(key, value)?;
            Ok(())
        })
    }

    /// # Errors
    /// When the disk does not take it.
    pub fn delete_state(&self, key: &str) -> Result<(), StoreError> {
        self.write(&mut self.database(), |transaction| {
            transaction.open_table(STATE)?.remove(key)?;
            Ok(())
        })
    }

    /// State values whose keys start with `prefix`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn states(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let read = |database: &Database| -> Result<_, redb::Error> {
            let table = database.begin_read()?.open_table(STATE)?;
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
        let values = match self.attempt(&mut self.database(), read) {
            Err(error) if is_read_only(&error) => copy(&self.path).and_then(|database| read(&database)),
            result => result,
        };
        values.map_err(|source| StoreError::Read { path: self.path.clone(), source })
    }

    fn write(
        &self,
        database: &mut Option<Database>,
        work: impl Fn(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let write = |database: &Database| {
            let transaction = database.begin_write()?;
            work(&transaction)?;
            Ok(transaction.commit()?)
        };
        self.attempt(database, write).map_err(|source| StoreError::Write { path: self.path.clone(), source })
    }

    /// After a failed read or write of the file the library refuses everything until the file is opened again: when there
    /// is space on the disk once more, the next attempt succeeds.
    fn attempt<T>(
        &self,
        database: &mut Option<Database>,
        work: impl Fn(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        if let Some(open) = database.as_ref() {
            match work(open) {
                Err(redb::Error::PreviousIo) => {}
                result => return result,
            }
        }
        // The old handle holds the lock of the file.
        drop(database.take());
        let fresh = (self.opener)(&self.path)?;
        self.reload(&fresh)?;
        work(database.insert(fresh))
    }

    /// A write that was reported as failed may have reached the disk all the same.
    fn reload(&self, database: &Database) -> Result<(), redb::Error> {
        make_tables(database)?;
        match load(database, &self.path) {
            Ok((resources, revision)) if revision != self.revision() => {
                *self.lock() = resources;
                self.revision.send_replace(revision);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(StoreError::Read { source, .. }) => Err(source),
            Err(_) => Ok(()),
        }
    }

    fn database(&self) -> MutexGuard<'_, Option<Database>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ResourceKey, Arc<Resource>>> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_read_only(error: &redb::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error, redb::Error::Io(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem))
}

/// The file as it is, in memory: after a kill the library has to mend it, which a read-only file does not allow.
fn copy(path: &Path) -> Result<Database, redb::Error> {
    let content = std::fs::read(path)?;
    let memory = InMemoryBackend::new();
    memory.set_len(content.len() as u64)?;
    memory.write(0, &content)?;
    let database = Database::builder().create_with_backend(memory)?;
    make_tables(&database)?;
    Ok(database)
}

/// Opening a table in a write transaction makes it.
fn make_tables(database: &Database) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    for table in [RESOURCES, STATE] {
        write.open_table(table)?;
    }
    write.open_table(META)?;
    Ok(write.commit()?)
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
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        }
        Err(error) => Err(error),
    }
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
    #[error("the store {path} cannot be opened")]
    Open { path: PathBuf, source: redb::Error },
    #[error("the store {path} cannot be read")]
    Read { path: PathBuf, source: redb::Error },
    #[error("the store {path} cannot be written; nothing was changed")]
    Write { path: PathBuf, source: redb::Error },
}

#[cfg(test)]
mod tests;
