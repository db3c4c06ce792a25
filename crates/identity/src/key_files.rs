//! An SVID on disk, so that a workload can start while the control plane is away. Only the owner may read it.
//!
//! Invariants  the three parts are one file: a crash leaves the old or the new one, never a mixture

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Svid;

const FILE: &str = "svid.json";

#[derive(Deserialize, Serialize)]
struct Stored {
    chain: String,
    key: String,
    roots: String,
}

/// Writes `svid` below `directory`, which is made if it is not there.
pub(crate) fn save(directory: &Path, svid: &Svid) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let stored = Stored { chain: svid.chain_pem(), key: svid.key_pem(), roots: svid.roots_pem() };
    let temporary = directory.join(format!("{FILE}.new"));
    let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    serde_json::to_writer(&mut file, &stored)?;
    file.flush()?;
    file.sync_all()?;
    std::fs::rename(&temporary, directory.join(FILE))?;
    // The new name is on disk only when the directory is.
    std::fs::File::open(directory)?.sync_all()
}

/// The SVID saved below `directory`; `None` when there is none.
pub(crate) fn load(directory: &Path) -> Result<Option<Svid>, LoadError> {
    let path = directory.join(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoadError::Read { path, source }),
    };
    let stored: Stored = match serde_json::from_slice(&text) {
        Ok(stored) => stored,
        Err(source) => return Err(LoadError::Parse { path, source }),
    };
    Svid::from_pem(&stored.chain, &stored.key, &stored.roots)
        .map(Some)
        .map_err(|source| LoadError::Svid { path, source })
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("{path} is damaged; remove it and join again")]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds no usable SVID; remove it and join again")]
    Svid { path: PathBuf, source: crate::SvidError },
}
