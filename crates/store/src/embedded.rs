//! The store in one file: resources with a revision, and what the control plane itself remembers.
//!
//! Invariants  what `put` and `delete` have answered is on disk and survives a kill; memory and disk say the same
//! Errors      a disk that is full or read-only: `StoreError::Write`, nothing changed, reads go on, also at the start;
//!             tried anew each time
//! Cost        one fsync per write, one writer at a time; reads are of memory and never wait for the disk
//! Source      redb 4: copy-on-write B-trees, two-slot commit

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use imbl::OrdMap;
use leno_api::{Kind, ParseProblem, Resource, ResourceKey};
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use serde_json::Value;
use tokio::sync::watch;

use crate::contents::Contents;
use crate::stored::{self as stamp, Stored};

/// Key: `<kind>/<namespace>/<name>`; value: the object as JSON.
const RESOURCES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("resources");
/// What the control plane itself remembers.
const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";
const CEILING: &str = "ceiling";
/// So many numbers are drawn between two writes of the ceiling. Chosen: few writes, and room for millions of restarts in the
/// 53 bits that readers of JSON may have.
const DRAW_AHEAD: u64 = 1 << 20;

/// Resources and control state in one file, with an in-memory copy for readers.
pub struct EmbeddedStore {
    path: PathBuf,
    opener: Opener,
    /// `None` after a failure, until the next use opens the file again. Held while a write is under way: one writer.
    database: Mutex<Option<Database>>,
    resources: Mutex<OrdMap<ResourceKey, Arc<Stored>>>,
    /// Of the last write.
    revision: watch::Sender<u64>,
    /// The last number that was drawn, at least the revision.
    drawn: AtomicU64,
    /// On disk: numbers up to this one may have been drawn.
    ceiling: AtomicU64,
}

type Opener = Box<dyn Fn(&Path) -> Result<Database, redb::Error> + Send + Sync>;

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What became of an object.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Written {
    Configured,
    Created,
    Deleted,
    Unchanged,
}

/// What shall become of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Keep,
    Put(Value),
    Remove,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Everything but the write.
    DryRun,
    Write,
}

#[derive(Clone, Debug)]
pub struct Update {
    pub written: Written,
    /// The object as it is now; the last of it when it was deleted.
    pub stored: Option<Arc<Stored>>,
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
        let (database, loaded) = match opened {
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
            resources: Mutex::new(loaded.resources),
            revision: watch::Sender::new(loaded.revision),
            drawn: AtomicU64::new(loaded.revision.max(loaded.ceiling)),
            ceiling: AtomicU64::new(loaded.ceiling),
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

    /// All objects as they are now.
    pub fn contents(&self) -> Contents {
        Contents { objects: self.lock().clone() }
    }

    pub fn list(&self) -> Vec<Arc<Resource>> {
        self.lock().values().map(|stored| stored.resource.clone()).collect()
    }

    pub fn read(&self, key: &ResourceKey) -> Option<Arc<Resource>> {
        self.stored(key).map(|stored| stored.resource.clone())
    }

    pub fn stored(&self, key: &ResourceKey) -> Option<Arc<Stored>> {
        self.lock().get(key).cloned()
    }

    /// All of a kind, by key.
    pub fn stored_of(&self, kind: Kind) -> Vec<Arc<Stored>> {
        let from = ResourceKey::new(kind, "", "");
        let all = self.lock();
        all.range(from..).take_while(|(key, _)| key.kind == kind).map(|(_, stored)| stored.clone()).collect()
    }

    /// Writes an object as it is. A `metadata.resourceVersion` in it must be the one stored; an object that is not stored
    /// is made, whatever version it had, so that what was saved can be put back.
    ///
    /// # Errors
    /// `Conflict` when the version is another; otherwise when the disk does not take it. Nothing has changed then.
    pub fn put(&self, resource: Resource, now: SystemTime) -> Result<Written, StoreError> {
        let key = resource.key();
        let replace = |before: Option<&Value>| {
            let wanted = resource.metadata().resource_version.as_deref();
            let stored = before.and_then(|before| before["metadata"]["resourceVersion"].as_str());
            match (wanted, stored) {
                (Some(wanted), Some(stored)) if wanted != stored => {
                    Err(StoreError::Conflict { key: key.clone(), stored: stored.to_owned() })
                }
                _ => {
                    let mut object = resource.to_json();
                    object.as_object_mut().map(|fields| fields.remove("status"));
                    Ok(Change::Put(object))
                }
            }
        };
        self.update(&key, now, Mode::Write, replace).map(|update| update.written)
    }

    /// Removes an object; `false` when there was none.
    ///
    /// # Errors
    /// When the disk does not take it; the object is still there then.
    pub fn delete(&self, key: &ResourceKey) -> Result<bool, StoreError> {
        let remove = |before: Option<&Value>| Ok(if before.is_some() { Change::Remove } else { Change::Keep });
        let update = self.update(key, SystemTime::UNIX_EPOCH, Mode::Write, remove)?;
        Ok(update.written == Written::Deleted)
    }

    /// Changes one object: `change` is shown what is stored and says what shall be. Nobody else writes in between. The
    /// store sets `uid`, `creationTimestamp`, `generation` and `resourceVersion`.
    ///
    /// # Errors
    /// What `change` says; an object that is not understood; a disk that does not take it. Nothing has changed then.
    pub fn update<E: From<StoreError>>(
        &self,
        key: &ResourceKey,
        now: SystemTime,
        mode: Mode,
        change: impl FnOnce(Option<&Value>) -> Result<Change, E>,
    ) -> Result<Update, E> {
        let mut database = self.database();
        let before = self.stored(key);
        let shown = before.as_ref().map(|before| before.to_json());
        let unchanged = Update { written: Written::Unchanged, stored: before.clone() };
        match change(shown.as_ref())? {
            Change::Keep => Ok(unchanged),
            Change::Remove if before.is_none() => Ok(unchanged),
            Change::Remove => {
                if mode == Mode::Write {
                    self.remove(&mut database, key)?;
                }
                Ok(Update { written: Written::Deleted, stored: before })
            }
            Change::Put(mut object) => {
                stamp::keep(&mut object, key, shown.as_ref(), now);
                if shown.as_ref() == Some(&object) {
                    return Ok(unchanged);
                }
                let written = if before.is_some() { Written::Configured } else { Written::Created };
                let revision = self.next_revision();
                stamp::renew(&mut object, shown.as_ref(), revision);
                let stored = Arc::new(Stored::new(object, revision)?);
                if stored.resource.key() != *key {
                    let (wanted, found) = (key.clone(), stored.resource.key());
                    return Err(StoreError::OtherObject { wanted, found }.into());
                }
                if mode == Mode::Write {
                    self.insert(&mut database, key, &stored)?;
                }
                Ok(Update { written, stored: Some(stored) })
            }
        }
    }

    fn insert(
        &self,
        database: &mut Option<Database>,
        key: &ResourceKey,
        stored: &Arc<Stored>,
    ) -> Result<(), StoreError> {
        self.write(database, |transaction| {
            transaction.open_table(RESOURCES)?.insert(path_of(key).as_str(), &*stored.text)?;
            transaction.open_table(META)?.insert(REVISION, stored.revision)?;
            Ok(())
        })?;
        self.lock().insert(key.clone(), stored.clone());
        self.publish(stored.revision);
        Ok(())
    }

    fn remove(&self, database: &mut Option<Database>, key: &ResourceKey) -> Result<(), StoreError> {
        let revision = self.next_revision();
        self.write(database, |transaction| {
            transaction.open_table(RESOURCES)?.remove(path_of(key).as_str())?;
            transaction.open_table(META)?.insert(REVISION, revision)?;
            Ok(())
        })?;
        self.lock().remove(key);
        self.publish(revision);
        Ok(())
    }

    /// What the next write gets. Of those that are not written the number is given out again, unless somebody has drawn one
    /// meanwhile.
    fn next_revision(&self) -> u64 {
        self.drawn.load(Ordering::Relaxed) + 1
    }

    fn publish(&self, revision: u64) {
        self.drawn.fetch_max(revision, Ordering::Relaxed);
        self.revision.send_replace(revision);
    }

    /// The last number that was drawn.
    pub fn drawn(&self) -> u64 {
        self.drawn.load(Ordering::Relaxed)
    }

    /// Draws `count` numbers from those that revisions are taken from, for what changes without being written; the first of
    /// them. None is ever drawn again, also after a restart.
    pub fn draw(&self, count: u64) -> u64 {
        let mut database = self.database();
        let first = self.next_revision();
        let last = first + count.max(1) - 1;
        self.drawn.store(last, Ordering::Relaxed);
        if last > self.ceiling.load(Ordering::Relaxed) {
            let ceiling = last + DRAW_AHEAD;
            let raise = |transaction: &redb::WriteTransaction| {
                transaction.open_table(META)?.insert(CEILING, ceiling)?;
                Ok(())
            };
            match self.write(&mut database, raise) {
                Ok(()) => self.ceiling.store(ceiling, Ordering::Relaxed),
                Err(error) => tracing::warn!(%error, "after a restart, revisions may be given out again"),
            }
        }
        first
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
            Ok(loaded) if loaded.revision != self.revision() => {
                *self.lock() = loaded.resources;
                self.publish(loaded.revision);
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

    fn lock(&self) -> MutexGuard<'_, OrdMap<ResourceKey, Arc<Stored>>> {
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

struct Loaded {
    resources: OrdMap<ResourceKey, Arc<Stored>>,
    revision: u64,
    ceiling: u64,
}

fn load(database: &Database, path: &Path) -> Result<Loaded, StoreError> {
    let fail = |source: redb::Error| StoreError::Read { path: path.to_owned(), source };
    let read = database.begin_read().map_err(|error| fail(error.into()))?;
    let table = read.open_table(RESOURCES).map_err(|error| fail(error.into()))?;
    let mut resources = OrdMap::new();
    for entry in table.iter().map_err(|error| fail(error.into()))? {
        let (key, value) = entry.map_err(|error| fail(error.into()))?;
        match Stored::load(value.value()) {
            Ok(stored) => {
                resources.insert(stored.resource.key(), Arc::new(stored));
            }
            // Written by a version with other ideas: keep it on disk, go on without it.
            Err(reason) => tracing::error!(object = key.value(), %reason, "a stored object is not understood"),
        }
    }
    let meta = read.open_table(META).map_err(|error| fail(error.into()))?;
    let number =
        |name| meta.get(name).map_err(|error| fail(error.into())).map(|value| value.map_or(0, |value| value.value()));
    Ok(Loaded { resources, revision: number(REVISION)?, ceiling: number(CEILING)? })
}

fn path_of(key: &ResourceKey) -> String {
    // Not as it is shown: two groups may use one word.
    let kind = serde_json::to_value(key.kind).unwrap_or_default();
    format!("{}/{}/{}", kind.as_str().unwrap_or_default(), key.namespace, key.name)
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

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{key} was changed by somebody else meanwhile: its resourceVersion is {stored}")]
    Conflict { key: ResourceKey, stored: String },
    #[error("{key} cannot be written as JSON")]
    Encode { key: ResourceKey, source: serde_json::Error },
    #[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid { problems: Vec<ParseProblem> },
    #[error("{wanted} was to be written, and the object is {found}")]
    OtherObject { wanted: ResourceKey, found: ResourceKey },
    #[error("the store {path} cannot be opened")]
    Open { path: PathBuf, source: redb::Error },
    #[error("the store {path} cannot be read")]
    Read { path: PathBuf, source: redb::Error },
    #[error("the store {path} cannot be written; nothing was changed")]
    Write { path: PathBuf, source: redb::Error },
}

#[cfg(test)]
mod tests;
