//! Namespaces of a new process, and the id maps of a new user namespace.

use core::fmt::Write as _;

use crate::error::{Error, Operation};
use crate::flags::CloneFlags;
use crate::sys::Errno;
use crate::sys::file;

bitflags::bitflags! {
    /// The namespaces a new process gets of its own; see `namespaces(7)`.
    ///
    /// All but `USER` need `CAP_SYS_ADMIN`, which a process has in a `USER` namespace made by the
    /// same call: an unprivileged process may make `USER | PID`, where the machine permits it.
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    /// use rawthread::process::Namespaces;
    ///
    /// let apart = Namespaces::USER | Namespaces::PID;
    /// assert_eq!(apart.flags(), CloneFlags::NEWUSER | CloneFlags::NEWPID);
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Namespaces: u32 {
        /// Ids, capabilities, keys: `user_namespaces(7)`.
        const USER = 1 << 0;
        /// Process ids; the child is number 1: `pid_namespaces(7)`.
        const PID = 1 << 1;
        /// Mounts: `mount_namespaces(7)`.
        const MOUNT = 1 << 2;
        /// Host and domain name: `uts_namespaces(7)`.
        const UTS = 1 << 3;
        /// System V IPC and POSIX message queues: `ipc_namespaces(7)`.
        const IPC = 1 << 4;
        /// Network devices, addresses, ports: `network_namespaces(7)`.
        const NET = 1 << 5;
        /// The root of the cgroup tree: `cgroup_namespaces(7)`.
        const CGROUP = 1 << 6;
        /// Monotonic and boot clocks, `clone3` only: `time_namespaces(7)`.
        const TIME = 1 << 7;
    }
}

impl Namespaces {
    /// The clone flags that ask for them.
    ///
    /// ```
    /// use rawthread::flags::CloneFlags;
    /// use rawthread::process::Namespaces;
    /// assert_eq!(Namespaces::NET.flags(), CloneFlags::NEWNET);
    /// ```
    #[must_use]
    pub fn flags(self) -> CloneFlags {
        const TABLE: [(Namespaces, CloneFlags); 8] = [
            (Namespaces::USER, CloneFlags::NEWUSER),
            (Namespaces::PID, CloneFlags::NEWPID),
            (Namespaces::MOUNT, CloneFlags::NEWNS),
            (Namespaces::UTS, CloneFlags::NEWUTS),
            (Namespaces::IPC, CloneFlags::NEWIPC),
            (Namespaces::NET, CloneFlags::NEWNET),
            (Namespaces::CGROUP, CloneFlags::NEWCGROUP),
            (Namespaces::TIME, CloneFlags::NEWTIME),
        ];
        TABLE
            .iter()
            .filter(|(namespace, _)| self.contains(*namespace))
            .fold(CloneFlags::empty(), |flags, (_, flag)| flags | *flag)
    }
}

/// The lines of one id map that a builder holds; the kernel allows more (340 since Linux 4.15).
const MAX_MAP_LINES: usize = 32;

/// One of the two id maps of a user namespace, without a heap.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdMap {
    lines: [(u32, u32, u32); MAX_MAP_LINES],
    /// May count past the lines: then the map is refused at spawn.
    count: usize,
}

impl IdMap {
    pub(super) fn add(&mut self, inside: u32, outside: u32, length: u32) {
        if let Some(line) = self.lines.get_mut(self.count) {
            *line = (inside, outside, length);
        }
        self.count += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn check(&self) -> Result<(), Error> {
        if self.count > MAX_MAP_LINES {
            return Err(Error::invalid_input(
                "an id map of more than 32 lines",
                "Join neighbouring ranges, or write /proc/PID/uid_map in a hook of the parent.",
            ));
        }
        Ok(())
    }

    fn text(&self) -> StackString {
        let mut text = StackString::default();
        for (inside, outside, length) in &self.lines[..self.count.min(MAX_MAP_LINES)] {
            // Three numbers of ten digits a line: a StackString holds all lines.
            let _ = writeln!(text, "{inside} {outside} {length}");
        }
        text
    }
}

/// Both maps of a user namespace.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IdMaps {
    pub(super) users: IdMap,
    pub(super) groups: IdMap,
}

/// Its files in /proc are root's then, and the child shares the caller's memory.
const UNDUMPABLE: &str = "The caller's memory is not dumpable, as while other children change ids in it: spawn one after another.";

static UID_MAP: Operation = Operation {
    name: "uid_map",
    purpose: "write the user id map of the child",
    hint: |errno| match errno {
        Errno::EPERM => "Without CAP_SETUID one line may map the caller's own user id.",
        Errno::EACCES => UNDUMPABLE,
        Errno::EINVAL => "Lines may not overlap.",
        _ => "/proc must be mounted.",
    },
};
static SETGROUPS: Operation = Operation {
    name: "setgroups",
    purpose: "deny setgroups in the child's user namespace",
    hint: |_| "/proc must be mounted.",
};
static GID_MAP: Operation = Operation {
    name: "gid_map",
    purpose: "write the group id map of the child",
    hint: |errno| match errno {
        Errno::EPERM => "Without CAP_SETGID one line may map the caller's own group id.",
        Errno::EACCES => UNDUMPABLE,
        Errno::EINVAL => "Lines may not overlap.",
        _ => "/proc must be mounted.",
    },
};

impl IdMaps {
    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// Checks the maps against the flags: without a new user namespace there is nothing to map.
    pub(super) fn check(&self, flags: CloneFlags) -> Result<(), Error> {
        self.users.check()?;
        self.groups.check()?;
        if !self.is_empty() && !flags.contains(CloneFlags::NEWUSER) {
            return Err(Error::invalid_input(
                "an id map without a new user namespace",
                "Add Namespaces::USER.",
            ));
        }
        Ok(())
    }

    /// Writes the maps of the process `pid`, if any, as its parent.
    ///
    /// A writer of a group map without `CAP_SETGID` must give up `setgroups` in the namespace first
    /// (`user_namespaces(7)`): done only if the kernel, which knows best, insists.
    pub(super) fn write(&self, pid: i32) -> Result<(), Error> {
        if !self.users.is_empty() {
            write_file(pid, "uid_map", &self.users.text())
                .map_err(|errno| Error::from_operation(&UID_MAP, errno))?;
        }
        if self.groups.is_empty() {
            return Ok(());
        }
        let text = self.groups.text();
        // A map that is refused is not written in part: it may be tried again.
        let mut written = write_file(pid, "gid_map", &text);
        if written == Err(Errno::EPERM) {
            write_file(pid, "setgroups", &StackString::of("deny"))
                .map_err(|errno| Error::from_operation(&SETGROUPS, errno))?;
            written = write_file(pid, "gid_map", &text);
        }
        written.map_err(|errno| Error::from_operation(&GID_MAP, errno))
    }
}

fn write_file(pid: i32, name: &str, text: &StackString) -> Result<(), Errno> {
    let mut path = StackString::default();
    let _ = write!(path, "/proc/{pid}/{name}\0");
    let path = core::ffi::CStr::from_bytes_until_nul(path.bytes()).map_err(|_| Errno::EINVAL)?;
    let file = file::open(path, libc::O_WRONLY)?;
    file::write(file.as_raw(), text.bytes()).map(drop)
}

/// A short text on the stack. What does not fit is cut; callers know that it fits.
struct StackString {
    bytes: [u8; Self::SIZE],
    len: usize,
}

impl StackString {
    const SIZE: usize = 40 * MAX_MAP_LINES;

    fn of(text: &str) -> Self {
        let mut new = Self::default();
        let _ = new.write_str(text);
        new
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Default for StackString {
    fn default() -> Self {
        Self {
            bytes: [0; Self::SIZE],
            len: 0,
        }
    }
}

impl core::fmt::Write for StackString {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let rest = &mut self.bytes[self.len..];
        let fits = text.len().min(rest.len());
        rest[..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        if fits == text.len() {
            Ok(())
        } else {
            Err(core::fmt::Error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_map_fits_its_text() {
        let mut map = IdMap::default();
        for _ in 0..MAX_MAP_LINES {
            map.add(u32::MAX, u32::MAX, u32::MAX);
        }
        assert!(map.check().is_ok());
        assert_eq!(map.text().len, MAX_MAP_LINES * 33);
        map.add(0, 0, 1);
        assert!(map.check().is_err());
    }

    #[test]
    fn a_map_needs_a_user_namespace() {
        let mut maps = IdMaps::default();
        assert!(maps.check(CloneFlags::empty()).is_ok());
        maps.users.add(0, 1000, 1);
        assert!(maps.check(CloneFlags::NEWPID).is_err());
        assert!(maps.check(CloneFlags::NEWUSER).is_ok());
    }

    #[test]
    fn each_namespace_has_its_own_flag() {
        for namespace in Namespaces::all().iter() {
            assert_eq!(namespace.flags().bits().count_ones(), 1, "{namespace:?}");
        }
        assert_eq!(Namespaces::all().flags().bits().count_ones(), 8);
    }
}
