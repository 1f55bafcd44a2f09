//! The memory that the process may take, by the limits of the system. Knows nothing of the uses of memory.

use std::fs;
use std::path::Path;

/// Returns the memory that the process may take, in bytes. It is the smallest of three limits: the address space
/// (`RLIMIT_AS`), and `memory.max` of the cgroup and of the cgroups above. `None` without a limit that can be read.
pub(crate) fn memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let cgroup = cgroup_limit(Path::new("/sys/fs/cgroup"), &groups);
    [address_space(), cgroup].into_iter().flatten().min()
}

#[cfg(unix)]
fn address_space() -> Option<u64> {
    let (soft, _) = rlimit::getrlimit(rlimit::Resource::AS).ok()?;
    (soft != rlimit::INFINITY).then_some(soft)
}

#[cfg(not(unix))]
fn address_space() -> Option<u64> {
    None
}

/// The smallest limit on the way from a process's group to the root. `groups` is the process's `/proc/self/cgroup`, of
/// which a line is `0::/path` for the groups of version 2, and `4:memory:/path` for those of version 1.
fn cgroup_limit(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let (top, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        let group = top.join(path.trim_start_matches('/'));
        let above = group
            .ancestors()
            .take_while(|above| above.starts_with(&top));
        // In a container the path may be that of the host, and only the top be there.
        above.filter_map(|group| limit_in(&group.join(file))).min()
    });
    limits.min()
}

/// Parses a limit. `max` means no limit; version 1 writes a number instead that no machine has.
fn limit_in(file: &Path) -> Option<u64> {
    const UNLIMITED: u64 = 1 << 60;
    let bytes = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (bytes < UNLIMITED).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("sockeye-{}-{name}", std::process::id()));
        for (path, text) in files {
            let file = root.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }

    #[test]
    fn the_smallest_limit_on_the_way_to_the_root_holds() {
        let files = [
            ("a/memory.max", "2000\n"),
            ("a/b/memory.max", "max\n"),
            ("a/b/c/memory.max", "3000\n"),
            ("memory/x/memory.limit_in_bytes", "500\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        let root = folder("cgroup", &files);
        for (groups, limit) in [
            ("0::/a/b/c\n", Some(2000)),
            ("0::/a/b\n", Some(2000)),
            ("0::/host/path/that/is/not/here\n", None),
            ("0::/\n", None),
            ("12:cpu,memory:/x\n1:name=systemd:/x\n", Some(500)),
            ("12:memory:/y\n", None),
            ("12:memory:/x\n0::/a\n", Some(500)),
            ("nonsense", None),
            ("", None),
        ] {
            assert_eq!(cgroup_limit(&root, groups), limit, "{groups:?}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
