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
    assert!(matches!(store.put(stale, SystemTime::UNIX_EPOCH), Err(StoreError::Conflict { .. })));
    assert_eq!(store.revision(), 2);
}

#[test]
fn a_file_that_is_no_store_is_an_error_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Open { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
