use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::misuse::Misuse;

/// A text to read objects from, and what to call it in messages.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) source: String,
    pub(crate) text: String,
}

/// Files, every YAML and JSON file below directories in the order of their names, and `-` for standard input.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("reading standard input")?;
            inputs.push(Input { source: "-".to_owned(), text });
            continue;
        }
        let mut files = Vec::new();
        collect(path, &mut files)?;
        if files.is_empty() {
            return Err(Misuse::error(format!("{} holds no .yaml, .yml or .json file", path.display())));
        }
        for file in files {
            let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            inputs.push(Input { source: file.display().to_string(), text });
        }
    }
    Ok(inputs)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let about = || format!("reading {}", path.display());
    if !std::fs::metadata(path).with_context(about)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).with_context(about)? {
        entries.push(entry.with_context(about)?);
    }
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let known = path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
        // Not through links: a link to a parent would never end.
        if entry.file_type().with_context(about)?.is_dir() || (known && path.is_file()) {
            collect(&path, files)?;
        }
    }
    Ok(())
}
