use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file that holds the last accepted configuration.
#[derive(Clone, Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// `None` when there is no file yet.
    pub(crate) fn load(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(&self.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the file: readers, and a crash at any moment, see the old content or the new one. Blocks on the disk.
    pub(crate) fn store(&self, bytes: &[u8]) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".tmp");
        let written = write_new(Path::new(&temporary), bytes).and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            // What is left of it would only take up room that is short already.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        File::open(folder)?.sync_all()
    }
}

/// Configuration names services and addresses: for the owner only.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn content_is_replaced_and_private() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = StateFile::new(folder.path().join("deep/state"));
        assert!(file.load().expect("absent is fine").is_none());
        for content in [b"one".as_slice(), b"two"] {
            file.store(content).expect("written");
            assert_eq!(file.load().expect("read").as_deref(), Some(content));
        }
        let mode = fs::metadata(file.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_failed_write_keeps_the_old_content() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = StateFile::new(folder.path().join("state"));
        file.store(b"old").expect("written");
        fs::create_dir(folder.path().join("state.tmp")).expect("in the way");
        assert!(file.store(b"new").is_err());
        assert_eq!(file.load().expect("read").as_deref(), Some(b"old".as_slice()));
    }
}
