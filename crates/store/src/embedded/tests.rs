use super::*;

fn service(port: u16) -> Resource {
    let text =
        format!("apiVersion: v1\nkind: Service\nmetadata: {{ name: a }}\nspec: {{ ports: [{{ port: {port} }}] }}\n");
    leno_api::parse("test", &text).resources.remove(0).value
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.put(service(80), SystemTime::UNIX_EPOCH).unwrap(), Written::Created);
    assert_eq!(store.put(service(80), SystemTime::UNIX_EPOCH).unwrap(), Written::Unchanged);
    assert_eq!(store.put(service(81), SystemTime::UNIX_EPOCH).unwrap(), Written::Configured);
    store.put_state("a/1", b"x").unwrap();
    store.put_state("b/1", b"y").unwrap();
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!((store.list().len(), store.revision()), (1, 2));
    let stored = store.read(&service(80).key()).unwrap();
    assert_eq!(stored.metadata().resource_version.as_deref(), Some("2"));
    assert_eq!(stored.metadata().creation_timestamp.as_deref(), Some("1970-01-01T00:00:00Z"));
    assert_eq!(store.states("a/").unwrap(), [("a/1".to_owned(), b"x".to_vec())]);
    assert!(store.delete(&service(80).key()).unwrap());
    assert!(!store.delete(&service(80).key()).unwrap());
    assert!(store.list().is_empty());
}

#[test]
fn an_old_version_is_a_conflict_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&directory.path().join("store.redb")).unwrap();
    store.put(service(80), SystemTime::UNIX_EPOCH).unwrap();
    store.put(service(81), SystemTime::UNIX_EPOCH).unwrap();
    let mut stale = service(82);
    stale.metadata_mut().resource_version = Some("1".to_owned());
    assert!(matches!(store.put(stale.clone(), SystemTime::UNIX_EPOCH), Err(StoreError::Conflict { .. })));
    assert_eq!(store.revision(), 2);
    store.delete(&stale.key()).unwrap();
    assert_eq!(store.put(stale, SystemTime::UNIX_EPOCH).unwrap(), Written::Created);
}

#[test]
fn a_file_that_is_no_store_is_an_error_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Open { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn what_was_shown_can_be_applied_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&directory.path().join("store.redb")).unwrap();
    store.put(service(80), SystemTime::UNIX_EPOCH).unwrap();
    let mut shown = store.read(&service(80).key()).unwrap().to_json();
    shown["status"] = serde_json::json!({ "conditions": [{ "type": "Accepted", "status": "True" }] });
    let shown = Resource::from_json(&shown).unwrap();
    assert_eq!(store.put(shown, SystemTime::now()).unwrap(), Written::Unchanged);
}

#[test]
fn only_the_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let _store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Open { .. })));
}

/// The bytes of the file at each moment of a run: whichever of them a kill leaves, the store opens with what was
/// answered before it.
#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let store = EmbeddedStore::open(&path).unwrap();
    for port in 1..=5 {
        store.put(service(port), SystemTime::UNIX_EPOCH).unwrap();
        // The process is gone without closing anything: what the file holds now is all there is.
        let copy = directory.path().join(format!("copy-{port}"));
        std::fs::copy(&path, &copy).unwrap();
        let reopened = EmbeddedStore::open(&copy).unwrap();
        assert_eq!(
            (reopened.revision(), reopened.read(&service(port).key())),
            (port.into(), store.read(&service(port).key()))
        );
    }
}

#[derive(Debug)]
struct FullDisk {
    file: redb::backends::FileBackend,
    full: Arc<std::sync::atomic::AtomicBool>,
}

impl FullDisk {
    fn check(&self) -> std::io::Result<()> {
        if self.full.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl redb::StorageBackend for FullDisk {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.check()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.check()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> std::io::Result<()> {
        self.file.close()
    }
}

#[test]
fn a_full_disk_refuses_writes_until_there_is_space_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let full = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let disk = full.clone();
    let opener: Opener = Box::new(move |path| {
        let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let file = redb::backends::FileBackend::new(file)?;
        Ok(Database::builder().create_with_backend(FullDisk { file, full: disk.clone() })?)
    });
    let store = EmbeddedStore::open_with(&path, opener).unwrap();
    store.put(service(80), SystemTime::UNIX_EPOCH).unwrap();
    full.store(true, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..3 {
        assert!(matches!(store.put(service(81), SystemTime::UNIX_EPOCH), Err(StoreError::Write { .. })));
        assert!(matches!(store.put_state("a", b"b"), Err(StoreError::Write { .. })));
    }
    assert_eq!((store.list().len(), store.revision()), (1, 1));
    full.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(store.put(service(82), SystemTime::UNIX_EPOCH).unwrap(), Written::Configured);
    drop(store);
    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.read(&service(82).key()).unwrap().to_json()["spec"]["ports"][0]["port"], 82);
}
