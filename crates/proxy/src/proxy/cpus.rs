use std::path::{Path, PathBuf};

/// Workers of a proxy that was not told how many to run: as many as it has CPUs, but at most 2.
///
/// At most 2, as in Istio's sidecar: every worker has pools of its own, so more of them mean more connections (and
/// handshakes) to every upstream and more memory beside every application, while one worker carries tens of thousands of
/// requests a second. A gateway says how many it wants.
pub fn default_threads() -> usize {
    available_cpus().min(2)
}

/// CPUs this process may use at once: by affinity and by the quotas of its cgroups (v1 and v2), rounded up.
pub fn available_cpus() -> usize {
    let by_affinity = std::thread::available_parallelism().map_or(1, usize::from);
    let membership = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let by_quota = quota_files(&membership)
        .into_iter()
        .filter_map(|quota| match quota {
            Quota::V1 { quota, period } => parse_v1(&read(&quota)?, &read(&period)?),
            Quota::V2 { max } => parse_v2(&read(&max)?),
        })
        .min();
    by_quota.unwrap_or(by_affinity).min(by_affinity).max(1)
}

#[derive(Debug, Eq, PartialEq)]
enum Quota {
    V1 { quota: PathBuf, period: PathBuf },
    V2 { max: PathBuf },
}

/// The files that may limit us: our cgroup's and all its parents'. In a container the group's own path may not be
/// visible; then the root of the mount is the container's group.
fn quota_files(membership: &str) -> Vec<Quota> {
    let mut files = Vec::new();
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_id), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        for directory in Path::new(path.trim_start_matches('/')).ancestors() {
            if controllers.is_empty() {
                for mount in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
                    files.push(Quota::V2 { max: Path::new(mount).join(directory).join("cpu.max") });
                }
            } else if controllers.split(',').any(|controller| controller == "cpu") {
                for mount in ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"] {
                    let group = Path::new(mount).join(directory);
                    files.push(Quota::V1 {
                        quota: group.join("cpu.cfs_quota_us"),
                        period: group.join("cpu.cfs_period_us"),
                    });
                }
            }
        }
    }
    files
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// `max 100000` or `<quota> <period>`, microseconds.
fn parse_v2(text: &str) -> Option<usize> {
    let (quota, period) = text.trim().split_once(' ')?;
    cpus(quota.parse().ok()?, period.parse().ok()?)
}

/// −1 means no quota.
fn parse_v1(quota: &str, period: &str) -> Option<usize> {
    cpus(u64::try_from(quota.trim().parse::<i64>().ok()?).ok()?, period.trim().parse().ok()?)
}

fn cpus(quota: u64, period: u64) -> Option<usize> {
    (period > 0).then(|| usize::try_from(quota.div_ceil(period)).unwrap_or(usize::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_rounded_up_to_whole_cpus() {
        assert_eq!(parse_v2("150000 100000\n"), Some(2));
        assert_eq!(parse_v2("max 100000\n"), None);
        assert_eq!(parse_v1("50000\n", "100000\n"), Some(1));
        assert_eq!(parse_v1("-1\n", "100000\n"), None);
        assert_eq!(parse_v1("1", "0"), None);
    }

    #[test]
    fn parents_limit_too() {
        let files = quota_files("4:cpu,cpuacct:/a/b\n0::/c\n");
        assert!(files.contains(&Quota::V2 { max: "/sys/fs/cgroup/cpu.max".into() }));
        assert!(files.contains(&Quota::V1 {
            quota: "/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us".into(),
            period: "/sys/fs/cgroup/cpu/a/cpu.cfs_period_us".into()
        }));
    }

    #[test]
    fn at_least_one_and_at_most_two_by_default() {
        assert!((1..=2).contains(&default_threads()));
    }
}
