use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// 256 bits: beyond guessing.
const TOKEN_BYTES: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    #[error("admin token file {} is empty; delete it to have a new one made", path.display())]
    Empty { path: PathBuf },
    #[error("no random bytes for an admin token")]
    Random,
    #[error("cannot read admin token file {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write admin token file {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The token in `path`; when there is none yet, a new one that only the owner of the file may read.
///
/// # Errors
/// The file can be neither read nor made, or is empty.
pub fn load_or_create_admin_token(path: &Path) -> Result<String, AdminTokenError> {
    match fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Err(AdminTokenError::Empty { path: path.to_owned() }),
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
        Err(source) => Err(AdminTokenError::Read { path: path.to_owned(), source }),
    }
}

fn create(path: &Path) -> Result<String, AdminTokenError> {
    let mut bytes = [0; TOKEN_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| AdminTokenError::Random)?;
    let token = BASE64_URL_SAFE_NO_PAD.encode(bytes);
    write(path, &token).map_err(|source| AdminTokenError::Write { path: path.to_owned(), source })?;
    Ok(token)
}

/// Under another name first, so that nobody reads half a token; linked, so that of two writers one fails.
fn write(path: &Path, token: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    let written = file.write_all(format!("{token}\n").as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    linked
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_token_is_made_once_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/admin-token");
        let token = load_or_create_admin_token(&path).unwrap();
        assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(&token).unwrap().len(), TOKEN_BYTES);
        assert_eq!(load_or_create_admin_token(&path).unwrap(), token);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_file_is_no_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(load_or_create_admin_token(file.path()), Err(AdminTokenError::Empty { .. })));
    }
}
