//! What cargo knows of the packages: `cargo metadata`.

use std::path::PathBuf;

use anyhow::Context;
use serde::Deserialize;

use crate::command::{cargo, output};

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None`: an ordinary one.
    pub(crate) kind: Option<String>,
}

/// The packages of the workspace.
pub(crate) fn of_workspace() -> anyhow::Result<Vec<Package>> {
    read(&["metadata", "--format-version=1", "--locked", "--no-deps"])
}

/// Those and all that they depend on.
pub(crate) fn all() -> anyhow::Result<Vec<Package>> {
    read(&["metadata", "--format-version=1", "--locked"])
}

fn read(arguments: &[&str]) -> anyhow::Result<Vec<Package>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let text = output(&mut cargo(arguments))?;
    let metadata: Metadata = serde_json::from_str(&text).context("reading the output of cargo metadata")?;
    Ok(metadata.packages)
}
