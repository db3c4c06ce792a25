//! A directory of YAML and JSON files, read again when something changes. A file that turned bad keeps what it last said.
//!
//! Shape       directory -> n files -> n resources | n problems
//! Order       of two files with one object the first by name wins; the other is a problem
//! Errors      a file or directory that cannot be read keeps what it last said, and is a problem
//! Cost        a change reads only files whose size, time or inode differs; a full look every 10 s catches what events
//!             missed

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leno_api::{Located, ParseProblem, Resource, ResourceKey, parse};
use leno_runtime::Tasks;
use notify::event::AccessKind;
use notify::{EventKind, Watcher};
use tokio::sync::{mpsc, watch};

/// After an event so long is waited for more: editors write in several steps.
const SETTLE: Duration = Duration::from_millis(20);
/// Files are looked at after this many rounds even when events go on: somebody writes all the time.
const SETTLE_ROUNDS: usize = 25;
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
    /// Directories, and links to files, that could not be read at the last look.
    unreadable: Vec<ParseProblem>,
}

#[derive(Debug)]
struct File {
    stamp: Stamp,
    /// Of the last content without problems; of the first content, what was fine in it.
    resources: Vec<Located<Arc<Resource>>>,
    problems: Vec<ParseProblem>,
}

/// By what a changed file is told from an unchanged one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    /// A rename over the file may keep size and time.
    inode: u64,
}

impl DirectorySource {
    /// Reads `directory` now and, from then on, whenever it changes. Without the means to watch it is read every 10 s.
    pub fn start(directory: &Path, tasks: &Tasks) -> watch::Receiver<Arc<DirectoryContent>> {
        let mut source = Self { directory: directory.to_owned(), files: BTreeMap::new(), unreadable: Vec::new() };
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
                settle(&mut changed).await;
            }
            if self.scan() {
                let content = Arc::new(self.content());
                let known = sender.send_replace(content.clone());
                for problem in content.problems.iter().filter(|problem| !known.problems.contains(problem)) {
                    tracing::warn!(%problem, "a resource file has a problem; what it last said stays");
                }
            }
        }
    }

    /// Reads what differs; `true` when something did.
    fn scan(&mut self) -> bool {
        let mut found = BTreeMap::new();
        let mut unreadable = Vec::new();
        collect(&self.directory, &self.directory, &mut found, &mut unreadable);
        let files = self.files.len();
        self.files.retain(|path, _| {
            let kept = |(at, _): &(PathBuf, ParseProblem)| path.starts_with(at);
            found.contains_key(path) || unreadable.iter().any(kept)
        });
        let unreadable: Vec<_> = unreadable.into_iter().map(|(_, problem)| problem).collect();
        let mut changed = self.files.len() != files || self.unreadable != unreadable;
        self.unreadable = unreadable;
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

    fn read(&self, path: &Path, stamp: Stamp, last: Option<File>) -> File {
        let name = path.strip_prefix(&self.directory).unwrap_or(path).display().to_string();
        let kept = last.map(|file| file.resources);
        let broken = |message: String| File {
            stamp,
            resources: kept.clone().unwrap_or_default(),
            problems: vec![problem(&name, message)],
        };
        if stamp.bytes > FILE_LIMIT_BYTES {
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
        let mut content = DirectoryContent { problems: self.unreadable.clone(), ..DirectoryContent::default() };
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
    ParseProblem {
        source: source.to_owned(),
        line: 0,
        column: 0,
        object: String::new(),
        field: String::new(),
        code: "file",
        message,
    }
}

/// Until nothing happens for a moment.
async fn settle(changed: &mut mpsc::Receiver<()>) {
    for _ in 0..SETTLE_ROUNDS {
        tokio::time::sleep(SETTLE).await;
        // What came meanwhile is covered by the look that follows.
        if changed.try_recv().is_err() {
            return;
        }
    }
}

/// Files by name, hidden ones left out (editors keep their swap files there), and the directories that cannot be read.
fn collect(
    directory: &Path,
    root: &Path,
    found: &mut BTreeMap<PathBuf, Stamp>,
    unreadable: &mut Vec<(PathBuf, ParseProblem)>,
) {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // Removed while we looked, with all its files. The root itself is missed, though: what it last said stays.
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory != root => return,
        Err(error) => {
            let message = format!("the directory {} cannot be read: {error}", directory.display());
            unreadable.push((directory.to_owned(), problem(&relative(directory, root), message)));
            return;
        }
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let name = relative(directory, root);
                let message = format!("the directory {} cannot be read to its end: {error}", directory.display());
                unreadable.push((directory.to_owned(), problem(&name, message)));
                return;
            }
        };
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            // A link to nowhere, or no right to look. What is gone altogether was removed while we looked.
            Err(error) if is_ours(&path) && fs::symlink_metadata(&path).is_ok() => {
                let message = format!("the file cannot be read: {error}");
                let problem = problem(&relative(&path, root), message);
                unreadable.push((path, problem));
                continue;
            }
            Err(_) => continue,
        };
        // Not through links: a link to a parent would never end. Links to files are how ConfigMaps are mounted.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, root, found, unreadable);
        } else if metadata.is_file() && is_ours(&path) {
            let stamp = Stamp { bytes: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino() };
            found.insert(path, stamp);
        }
    }
}

fn is_ours(path: &Path) -> bool {
    matches!(path.extension().and_then(|extension| extension.to_str()), Some("yaml" | "yml" | "json"))
}

fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

fn watch_directory(directory: &Path, events: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own looks open files and directories, and must not make us look again.
        if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(AccessKind::Open(_)))) {
            // Full: a look at everything is due anyway.
            let _ = events.try_send(());
        }
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
