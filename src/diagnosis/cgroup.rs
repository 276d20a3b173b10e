//! The limits that control groups set on their tasks.

use super::procfs::{FixedPath, LineReader};
use crate::sys::limits::read_number;

/// Calls `visit` with `pids.max` and `pids.current` of the calling thread's control group and of
/// each of its ancestors that has a limit and is visible here, from the bottom up.
///
/// Both versions of cgroups give the files these names; see cgroups(7) and
/// Documentation/admin-guide/cgroup-v2.rst, PID.
pub(crate) fn for_each_pids(mut visit: impl FnMut(u64, u64)) {
    for_each_group(b"pids", |path| {
        if let (Some(max), Some(current)) = (
            read_number_at(path, b"/pids.max"),
            read_number_at(path, b"/pids.current"),
        ) {
            visit(max, current);
        }
    });
}

/// Calls `visit` with the directory of the calling thread's control group with this controller, and
/// of each of its ancestors that is visible here, from the bottom up.
pub(super) fn for_each_group(controller: &[u8], mut visit: impl FnMut(&mut FixedPath)) {
    let Some((mut path, top)) = directory(controller) else {
        return;
    };
    loop {
        let len = path.as_bytes().len();
        visit(&mut path);
        if len <= top {
            return;
        }
        let parent = path.as_bytes().iter().rposition(|byte| *byte == b'/');
        path.truncate(parent.unwrap_or(top).max(top));
    }
}

/// The number in a file of the group, if it begins with one.
pub(super) fn read_number_at(directory: &mut FixedPath, file: &[u8]) -> Option<u64> {
    let len = directory.as_bytes().len();
    directory.push(file)?;
    let number = directory.as_c_str().and_then(read_number);
    directory.truncate(len);
    number
}

/// The directory of the calling thread's control group with this controller, and the length of its
/// prefix that is the mount point of the hierarchy.
fn directory(controller: &[u8]) -> Option<(FixedPath, usize)> {
    let (cgroup, unified) = own_cgroup(controller)?;
    let mut mounts = LineReader::of(c"/proc/thread-self/mountinfo")?;
    while let Some(line) = mounts.next() {
        if let Some((root, mounted)) = hierarchy(controller, line, unified) {
            let mut path = FixedPath::new(&[mounted])?;
            let top = path.as_bytes().len();
            // The mount may show only a part of the hierarchy, from `root` down.
            let below = match root {
                b"/" => Some(cgroup.as_bytes()),
                root => cgroup.as_bytes().strip_prefix(root),
            };
            match below {
                Some(below) if below.len() > 1 && below[0] == b'/' => path.push(below)?,
                // The top itself, or a group outside of what is mounted: use the top.
                _ => {}
            }
            return Some((path, top));
        }
    }
    None
}

/// The path of the calling thread's control group in the hierarchy with this controller, and whether
/// that is the unified one (version 2).
fn own_cgroup(controller: &[u8]) -> Option<(FixedPath, bool)> {
    let mut unified = None;
    let mut lines = LineReader::of(c"/proc/thread-self/cgroup")?;
    while let Some(line) = lines.next() {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        if has_word(controllers, controller) {
            return Some((FixedPath::new(&[path])?, false));
        }
        if number == b"0" && controllers.is_empty() {
            unified = FixedPath::new(&[path]);
        }
    }
    Some((unified?, true))
}

/// Root and mount point of a line of mountinfo (proc_pid_mountinfo(5)), if the line mounts the
/// hierarchy with this controller.
fn hierarchy<'a>(controller: &[u8], line: &'a [u8], unified: bool) -> Option<(&'a [u8], &'a [u8])> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = fields.nth(3)?;
    let mounted = fields.next()?;
    let kind = fields.by_ref().skip_while(|field| *field != b"-").nth(1)?;
    let fits = if unified {
        kind == b"cgroup2"
    } else {
        kind == b"cgroup" && has_word(fields.nth(1)?, controller)
    };
    fits.then_some((root, mounted))
}

fn has_word(list: &[u8], word: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|item| item == word)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::primitive::cases::{cases, mutated};

    #[test]
    fn mounts_of_both_versions_are_known() {
        let v1 = b"35 28 0:31 / /sys/fs/cgroup/pids rw,relatime shared:15 - cgroup cgroup rw,pids";
        let v2 = b"42 32 0:39 /box /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        let cpu = b"36 28 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct";
        let pids = |line, unified| hierarchy(b"pids", line, unified);
        assert_eq!(
            pids(v1, false),
            Some((&b"/"[..], &b"/sys/fs/cgroup/pids"[..]))
        );
        assert_eq!(pids(v2, true), Some((&b"/box"[..], &b"/sys/fs/cgroup"[..])));
        assert_eq!(pids(v1, true), None);
        assert_eq!(pids(cpu, false), None);
        assert_eq!(
            hierarchy(b"cpu", cpu, false),
            Some((&b"/"[..], &b"/sys/fs/cgroup/cpu"[..]))
        );
        assert_eq!(pids(b"1 2 3", true), None);
    }
    /// Any line says nothing, or words that stand in it.
    #[test]
    fn any_mount_is_read_or_passed_over() {
        let lines = [
            "35 28 0:31 / /sys/fs/cgroup/pids rw,relatime shared:15 - cgroup cgroup rw,pids",
            "42 32 0:39 /box /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate",
            "36 28 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct",
            "1 2 3 4 5 6 -",
        ];
        cases(5_000, |random| {
            let text = mutated(random, &lines, &[" ", "-", "- -", ",", "cgroup2", "pids"]);
            for unified in [true, false] {
                let Some((root, mounted)) = hierarchy(b"pids", text.as_bytes(), unified) else {
                    continue;
                };
                let words: std::vec::Vec<&[u8]> =
                    text.as_bytes().split(|byte| *byte == b' ').collect();
                assert_eq!((root, mounted), (words[3], words[4]), "{text:?}");
                let kind: &[u8] = if unified { b"cgroup2" } else { b"cgroup" };
                assert!(words[5..].contains(&kind), "{text:?}");
            }
        });
    }
}
