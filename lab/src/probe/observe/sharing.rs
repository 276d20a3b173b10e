//! What is one object for both tasks, and what is two: the child's change beside kcmp(2).
#![allow(
    unsafe_code,
    reason = "system calls that look at this process and at other tasks"
)]

use rawthread::flags::CloneFlags;

use super::recorder::Recorder;
use crate::probe::fixture::{
    CHILD_IO_PRIORITY, CHILD_OFFSET, CHILD_UMASK, ChildField, Fixture, MAKER_IO_PRIORITY,
    MAKER_UMASK,
};
use crate::probe::plan::SpawnMethod;
use crate::probe::proc;
use crate::probe::property::Property;
use crate::syscall;

/// Whether two tasks have the same object of this kind: `kcmp(2)`. `None` where it may not be
/// asked.
fn same_object(fixture: &Fixture, tid: i32, kind: usize) -> Option<bool> {
    // SAFETY: numbers.
    let answer = unsafe {
        syscall::syscall(
            libc::SYS_kcmp,
            [fixture.maker_tid as usize, tid as usize, kind, 0, 0, 0],
        )
    };
    answer.ok().map(|order| order == 0)
}

// The kinds of kcmp(2), from include/uapi/linux/kcmp.h.
const KCMP_VM: usize = 1;
const KCMP_FILES: usize = 2;
const KCMP_FS: usize = 3;
const KCMP_SIGHAND: usize = 4;
const KCMP_IO: usize = 5;
const KCMP_SYSVSEM: usize = 6;

impl Recorder {
    pub(super) fn memory_and_files(&mut self, fixture: &Fixture, tid: i32) {
        let text = fixture.buffer.read();
        let shared = text == "hello from child";
        let proof = format!("the maker's buffer reads \"{text}\"");
        let kcmp = same_object(fixture, tid, KCMP_VM);
        self.shared_or_copied(Property::Memory, shared, kcmp, proof);

        let fd = fixture.fields.get(ChildField::Descriptor);
        // SAFETY: asks about a number.
        let open = unsafe { libc::fcntl(fd as i32, libc::F_GETFD) } >= 0;
        let proof = if open {
            format!("descriptor {fd}, opened by the child, is open here")
        } else {
            format!("descriptor {fd}, opened by the child, is not open here")
        };
        let kcmp = same_object(fixture, tid, KCMP_FILES);
        self.shared_or_copied(Property::Descriptors, open, kcmp, proof);

        // SAFETY: moves by nothing.
        let offset = unsafe { libc::lseek(fixture.file, 0, libc::SEEK_CUR) };
        let word = if offset == CHILD_OFFSET as i64 {
            "shared"
        } else {
            "copied"
        };
        let proof = format!("the child moved it to {CHILD_OFFSET}, here it is {offset}");
        self.record(Property::Offset, word, proof);

        match fixture.fields.get(ChildField::Lock) {
            0 => self.record(
                Property::Locks,
                "shared",
                "the child may lock what is locked here",
            ),
            lock if lock == -i64::from(libc::EAGAIN) => {
                let proof = "the child is kept out of what is locked here";
                self.record(Property::Locks, "own", proof);
            }
            other => self.unavailable(Property::Locks, format!("errno {}", -other)),
        }
    }

    pub(super) fn directories(&mut self, fixture: &Fixture, tid: i32) {
        let kcmp = same_object(fixture, tid, KCMP_FS);
        let mut path = [0u8; 256];
        // SAFETY: the kernel writes at most 256 bytes.
        let got = unsafe { libc::getcwd(path.as_mut_ptr().cast(), path.len()) };
        let end = path.iter().position(|&byte| byte == 0).unwrap_or(0);
        let cwd = String::from_utf8_lossy(&path[..end]);
        if got.is_null() {
            self.unavailable(Property::Directory, "the maker's directory has no path");
        } else {
            let proof = format!("the child went to /, the maker is in {cwd}");
            self.shared_or_copied(Property::Directory, cwd == "/", kcmp, proof);
        }
        let umask = proc::status(fixture.proc, fixture.maker_tid, "Umask")
            .and_then(|text| u32::from_str_radix(&text, 8).ok());
        match umask {
            Some(umask @ (MAKER_UMASK | CHILD_UMASK)) => {
                let proof = format!("the child set {CHILD_UMASK:03o}, here it is {umask:03o}");
                self.shared_or_copied(Property::Umask, umask == CHILD_UMASK, kcmp, proof);
            }
            _ => self.unavailable(Property::Umask, "/proc does not show it"),
        }
    }

    pub(super) fn root(&mut self, fixture: &Fixture) {
        if fixture.fields.get(ChildField::Root) != 0 {
            return self.unavailable(Property::Root, "the child may not change its root");
        }
        // SAFETY: the path ends in NUL. /proc/version is /version once the root is /proc.
        let moved = unsafe { libc::access(c"/version".as_ptr(), libc::F_OK) } == 0;
        let proof = if moved {
            "the child's chroot(\"/proc\") moved the maker's / too"
        } else {
            "the child's chroot(\"/proc\") left the maker's / where it was"
        };
        self.shared_or_copied(Property::Root, moved, None, proof.into());
    }

    pub(super) fn handlers(&mut self, fixture: &Fixture, tid: i32) {
        let kcmp = same_object(fixture, tid, KCMP_SIGHAND);
        let handler = fixture.fields.get(ChildField::Handler);
        // SAFETY: asks only.
        let here = unsafe { syscall::sigaction(fixture.ignored_signal, None) }.unwrap_or_default();
        let shared = here.handler == libc::SIG_IGN;
        if handler == 0 && !shared {
            let proof = "the maker's handler is not there for the child";
            self.record(Property::Handlers, "reset", proof);
        } else {
            let proof = if shared {
                "what the child ignores is ignored here"
            } else {
                "what the child ignores is not ignored here"
            };
            self.shared_or_copied(Property::Handlers, shared, kcmp, proof.into());
        }
    }

    pub(super) fn contexts(&mut self, fixture: &Fixture, tid: i32) {
        // SAFETY: numbers; who 1 is a process.
        let priority = unsafe {
            syscall::syscall(
                libc::SYS_ioprio_get,
                [1, fixture.maker_tid as usize, 0, 0, 0, 0],
            )
        };
        let level = |priority: usize| priority & 7;
        match priority {
            Ok(seen) if fixture.fields.get(ChildField::IoPriority) == 0 && seen >= 1 << 13 => {
                let (set, old) = (level(CHILD_IO_PRIORITY), level(MAKER_IO_PRIORITY));
                let proof = format!(
                    "the child went from I/O priority {old} to {set}, the maker is at {}",
                    level(seen)
                );
                let kcmp = same_object(fixture, tid, KCMP_IO);
                self.shared_or_copied(Property::IoContext, level(seen) == set, kcmp, proof);
            }
            _ => self.unavailable(Property::IoContext, "this kernel has no I/O priorities"),
        }

        self.same_undo_list = same_object(fixture, tid, KCMP_SYSVSEM);
        let runtime = matches!(
            fixture.plan.method,
            SpawnMethod::PosixThread | SpawnMethod::Library
        );
        let by_builder = fixture.plan.method == SpawnMethod::Process;
        let here = fixture.maker_errno as i64;
        let there = fixture.fields.get(ChildField::Errno);
        let word = if here == there { "maker's" } else { "given" };
        if by_builder && fixture.plan.flags.contains(CloneFlags::SETTLS) {
            let why = "process::Builder gives the maker's own pointer again";
            self.unavailable(Property::ThreadPointer, why);
        } else {
            let proof = format!("errno lies at {there:#x} in the child, at {here:#x} in the maker");
            self.record(Property::ThreadPointer, word, proof);
        }

        // SS_DISABLE is 2.
        match fixture.fields.get(ChildField::AlternateStack) {
            _ if runtime => {
                let why = "the thread's runtime has set one of its own";
                self.unavailable(Property::AlternateStack, why);
            }
            flags if flags & 2 != 0 => {
                self.record(Property::AlternateStack, "dropped", "sigaltstack: none");
            }
            0.. => self.record(Property::AlternateStack, "kept", "sigaltstack: one is set"),
            errno => self.unavailable(Property::AlternateStack, format!("errno {}", -errno)),
        }
    }

    /// After the child's end: was what it did to a semaphore undone?
    pub(super) fn undo(&mut self, fixture: &Fixture) {
        // SAFETY: asks for a number.
        let value = unsafe { libc::semctl(fixture.semaphores, 0, libc::GETVAL) };
        let answer = fixture.fields.get(ChildField::Semaphore);
        let proof = match (answer, value) {
            (0, 6) => "what the child added to a semaphore outlived it",
            (0, 1) => "what the child added to a semaphore was undone at its end",
            (0, _) => "the semaphore has a value that no task gave it",
            _ if fixture.semaphores < 0 => {
                return self
                    .unavailable(Property::Undo, "this kernel has no semaphores to look at");
            }
            _ => {
                let why = "the child's IPC namespace does not have the maker's semaphore";
                return self.unavailable(Property::Undo, why);
            }
        };
        match (value, self.same_undo_list) {
            (6, None | Some(true)) => self.record(Property::Undo, "shared", proof),
            (1, None | Some(false)) => self.record(Property::Undo, "own", proof),
            _ => self.record(
                Property::Undo,
                format!("value {value}, against kcmp"),
                proof,
            ),
        }
    }
}
