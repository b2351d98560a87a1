//! What this machine has for the host: a container may have less than the machine around it.

use std::{fs, path::Path};

/// Bytes of memory: the least of what the machine has and what the groups allow that this process is in.
pub(super) fn memory() -> u64 {
    let machine = rustix::system::sysinfo();
    let whole = machine.totalram.saturating_mul(u64::from(machine.mem_unit));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    allowed(&groups, Path::new("/sys/fs/cgroup")).into_iter().chain([whole]).min().unwrap_or(whole)
}

/// The tightest limit on the way from this process's group up; `max` is none. Groups of version 1 have theirs under `memory`.
fn allowed(groups: &str, root: &Path) -> Option<u64> {
    let lines = groups.lines().filter_map(|line| {
        let (_, of) = line.split_once(':')?;
        let (controllers, path) = of.split_once(':')?;
        match controllers {
            "" => Some((root.to_owned(), path, "memory.max")),
            "memory" => Some((root.join("memory"), path, "memory.limit_in_bytes")),
            _ => None,
        }
    });
    let limits = lines.flat_map(|(root, path, file)| {
        let group = root.join(path.trim_start_matches('/'));
        let up: Vec<_> =
            group.ancestors().take_while(|folder| folder.starts_with(&root)).map(|folder| folder.join(file)).collect();
        up.into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
    });
    limits.min()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_group_counts_of_either_version_and_none_is_no_limit() {
        let root = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        put("memory.max", "max\n");
        put("pod/memory.max", "4096\n");
        put("pod/host/memory.max", "8192\n");
        put("memory/old/memory.limit_in_bytes", "2048\n");
        assert_eq!(allowed("0::/pod/host\n", root.path()), Some(4_096));
        assert_eq!(allowed("0::/\n", root.path()), None);
        assert_eq!(allowed("5:cpu:/old\n4:memory:/old\n", root.path()), Some(2_048));
        assert_eq!(allowed("", root.path()), None);
        assert!(memory() > 1 << 20);
    }
}
