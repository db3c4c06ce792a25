//! A directory of YAML and JSON files, read again when something changes. A file that turned bad keeps what it last said.
//!
//! Shape       directory -> n files -> n resources | n problems
//! Order       of two files with one object the first by name wins; the other is a problem
//! Cost        a change reads only files whose size or time differs; a full look every 10 s catches what events missed

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_api::{Located, ParseProblem, Resource, ResourceKey, parse};
use leno_runtime::Tasks;
use notify::Watcher;
use tokio::sync::{mpsc, watch};

/// After the first event so long is waited for more: editors write in several steps.
const SETTLE: Duration = Duration::from_millis(20);
const RESCAN: Duration = Duration::from_secs(10);
/// Larger files are refused: nobody writes such by hand, and they would stop the control plane for long.
const FILE_LIMIT_BYTES: u64 = 64 << 20;

/// Everything the directory says now.
#[derive(Clone, Debug, Default)]
pub struct DirectoryContent {
    pub resources: BTreeMap<ResourceKey, Located<Arc<Resource>>>,
    pub problems: Vec<ParseProblem>,
}

#[derive(Debug)]
pub struct DirectorySource {
    directory: PathBuf,
    files: BTreeMap<PathBuf, File>,
}

#[derive(Debug)]
struct File {
    stamp: (u64, Option<SystemTime>),
    /// Of the last content without problems; of the first content, what was fine in it.
    resources: Vec<Located<Arc<Resource>>>,
    problems: Vec<ParseProblem>,
}

impl DirectorySource {
    /// Reads `directory` now and, from then on, whenever it changes. Without the means to watch it is read every 10 s.
    pub fn start(directory: &Path, tasks: &Tasks) -> watch::Receiver<Arc<DirectoryContent>> {
        let mut source = Self { directory: directory.to_owned(), files: BTreeMap::new() };
        source.scan();
        let (sender, receiver) = watch::channel(Arc::new(source.content()));
        // One event in the queue is as good as many: each makes us look at everything.
        let (events, changed) = mpsc::channel(1);
        let watcher = watch_directory(directory, events.clone());
        tasks.spawn("resource-directory", async move {
            source.run(changed, &sender).await;
            drop((watcher, events));
        });
        receiver
    }

    async fn run(mut self, mut changed: mpsc::Receiver<()>, sender: &watch::Sender<Arc<DirectoryContent>>) {
        loop {
            let event = tokio::time::timeout(RESCAN, changed.recv()).await;
            if let Ok(Some(())) = event {
                tokio::time::sleep(SETTLE).await;
                // Events of the meantime are covered by the scan that follows.
                while changed.try_recv().is_ok() {}
            }
            if self.scan() {
                let content = self.content();
                for problem in &content.problems {
                    tracing::warn!(%problem, "a resource file has a problem; what it last said stays");
                }
                sender.send_replace(Arc::new(content));
            }
        }
    }

    /// Reads what differs; `true` when something did.
    fn scan(&mut self) -> bool {
        let mut found = Vec::new();
        let mut problems = Vec::new();
        collect(&self.directory, &mut found, &mut problems);
        let before = self.files.len();
        self.files.retain(|path, _| found.iter().any(|(there, _)| there == path));
        let mut changed = self.files.len() != before;
        for (path, stamp) in found {
            if self.files.get(&path).is_some_and(|file| file.stamp == stamp) {
                continue;
            }
            let last = self.files.remove(&path);
            self.files.insert(path.clone(), self.read(&path, stamp, last));
            changed = true;
        }
        changed
    }

    fn read(&self, path: &Path, stamp: (u64, Option<SystemTime>), last: Option<File>) -> File {
        let name = path.strip_prefix(&self.directory).unwrap_or(path).display().to_string();
        let kept = last.map(|file| file.resources);
        let broken = |message: String| File {
            stamp,
            resources: kept.clone().unwrap_or_default(),
            problems: vec![problem(&name, message)],
        };
        if stamp.0 > FILE_LIMIT_BYTES {
            return broken(format!("the file is larger than {} MiB", FILE_LIMIT_BYTES >> 20));
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return broken(format!("the file cannot be read: {error}")),
        };
        let parsed = parse(&name, &text);
        let fresh = parsed.resources.into_iter().map(|located| Located {
            source: located.source,
            line: located.line,
            value: Arc::new(located.value),
        });
        let resources = match kept {
            Some(kept) if !parsed.problems.is_empty() => kept,
            _ => fresh.collect(),
        };
        File { stamp, resources, problems: parsed.problems }
    }

    fn content(&self) -> DirectoryContent {
        let mut content = DirectoryContent::default();
        for file in self.files.values() {
            content.problems.extend(file.problems.iter().cloned());
            for located in &file.resources {
                let key = located.value.key();
                if let Some(first) = content.resources.get(&key) {
                    let message = format!("{key} is already defined at {}:{}", first.source, first.line);
                    content.problems.push(ParseProblem {
                        line: located.line,
                        column: 1,
                        object: key.to_string(),
                        ..problem(&located.source, message)
                    });
                } else {
                    content.resources.insert(key, located.clone());
                }
            }
        }
        content
    }
}

fn problem(source: &str, message: String) -> ParseProblem {
    ParseProblem { source: source.to_owned(), line: 0, column: 0, object: String::new(), field: String::new(), message }
}

type Found = (PathBuf, (u64, Option<SystemTime>));

/// Files by name, hidden ones left out (editors keep their swap files there).
fn collect(directory: &Path, found: &mut Vec<Found>, problems: &mut Vec<String>) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(format!("{}: {error}", directory.display()));
            return;
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            collect(&path, found, problems);
        } else if matches!(path.extension().and_then(|e| e.to_str()), Some("yaml" | "yml" | "json")) {
            found.push((path, (metadata.len(), metadata.modified().ok())));
        }
    }
    found.sort();
}

fn watch_directory(directory: &Path, events: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let watcher = notify::recommended_watcher(move |_event| {
        // Full: a look at everything is due anyway.
        let _ = events.try_send(());
    })
    .and_then(|mut watcher| {
        watcher.watch(directory, notify::RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(directory = %directory.display(), %error, "the resource directory cannot be watched; it is read every 10 s");
            None
        }
    }
}

#[cfg(test)]
mod tests;
