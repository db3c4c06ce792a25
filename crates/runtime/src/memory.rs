//! How much memory this process has, and how much it may have.

use std::io;
use std::path::{Path, PathBuf};

/// Memory of this process that is in use, shared pages included.
///
/// # Errors
/// When the kernel does not say.
pub fn resident_bytes() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let pages =
        pages.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/statm has no second number"))?;
    Ok(pages.saturating_mul(crate::sys::page_size()))
}

/// The memory that this process's control group may take (cgroup v2), the least of all groups it is in. `None`: as much as
/// there is, or nobody says.
pub fn limit_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    limit_of(Path::new("/sys/fs/cgroup"), group)
}

fn limit_of(root: &Path, group: &str) -> Option<u64> {
    let group: PathBuf = root.join(group);
    let groups = group.ancestors().take_while(|group| group.starts_with(root));
    groups.filter_map(|group| std::fs::read_to_string(group.join("memory.max")).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_some_memory() {
        assert!(resident_bytes().unwrap() > 100_000);
    }

    #[test]
    fn the_least_limit_of_the_groups_counts() {
        let root = std::env::temp_dir().join(format!("leno-memory-{}", std::process::id()));
        let group = root.join("a/b");
        std::fs::create_dir_all(&group).unwrap();
        assert_eq!(limit_of(&root, "a/b"), None);
        std::fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(limit_of(&root, "a/b"), None);
        std::fs::write(group.join("memory.max"), "3000\n").unwrap();
        std::fs::write(root.join("a/memory.max"), "2000\n").unwrap();
        assert_eq!(limit_of(&root, "a/b"), Some(2000));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
