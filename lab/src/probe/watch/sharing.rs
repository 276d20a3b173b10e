//! What is one object for both tasks, and what is two: the child's change beside kcmp(2).
#![allow(
    unsafe_code,
    reason = "system calls that look at this process and at other tasks"
)]

use rawthread::flags::CloneFlags;

use super::Facts;
use crate::probe::scene::{
    CHILD_IO_PRIORITY, CHILD_OFFSET, CHILD_UMASK, MAKER_IO_PRIORITY, MAKER_UMASK, Note, Scene,
};
use crate::probe::{Aspect, Way, proc};
use crate::raw;

/// Whether two tasks have the same object of this kind: `kcmp(2)`. `None` where it may not be
/// asked.
fn same_object(scene: &Scene, tid: i32, kind: usize) -> Option<bool> {
    // SAFETY: numbers.
    let answer = unsafe {
        raw::call(
            libc::SYS_kcmp,
            [scene.maker_tid as usize, tid as usize, kind, 0, 0, 0],
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

impl Facts {
    pub(super) fn memory_and_files(&mut self, scene: &Scene, tid: i32) {
        let text = scene.buffer.read();
        let shared = text == "hello from child";
        let proof = format!("the maker's buffer reads \"{text}\"");
        let kcmp = same_object(scene, tid, KCMP_VM);
        self.shared_or_copied(Aspect::Memory, shared, kcmp, proof);

        let fd = scene.notes.get(Note::Descriptor);
        // SAFETY: asks about a number.
        let open = unsafe { libc::fcntl(fd as i32, libc::F_GETFD) } >= 0;
        let proof = if open {
            format!("descriptor {fd}, opened by the child, is open here")
        } else {
            format!("descriptor {fd}, opened by the child, is not open here")
        };
        let kcmp = same_object(scene, tid, KCMP_FILES);
        self.shared_or_copied(Aspect::Descriptors, open, kcmp, proof);

        // SAFETY: moves by nothing.
        let offset = unsafe { libc::lseek(scene.file, 0, libc::SEEK_CUR) };
        let word = if offset == CHILD_OFFSET as i64 {
            "shared"
        } else {
            "copied"
        };
        let proof = format!("the child moved it to {CHILD_OFFSET}, here it is {offset}");
        self.saw(Aspect::Offset, word, proof);

        match scene.notes.get(Note::Lock) {
            0 => self.saw(
                Aspect::Locks,
                "shared",
                "the child may lock what is locked here",
            ),
            lock if lock == -i64::from(libc::EAGAIN) => {
                let proof = "the child is kept out of what is locked here";
                self.saw(Aspect::Locks, "own", proof);
            }
            other => self.could_not_see(Aspect::Locks, format!("errno {}", -other)),
        }
    }

    pub(super) fn directories(&mut self, scene: &Scene, tid: i32) {
        let kcmp = same_object(scene, tid, KCMP_FS);
        let mut path = [0u8; 256];
        // SAFETY: the kernel writes at most 256 bytes.
        let got = unsafe { libc::getcwd(path.as_mut_ptr().cast(), path.len()) };
        let end = path.iter().position(|&byte| byte == 0).unwrap_or(0);
        let cwd = String::from_utf8_lossy(&path[..end]);
        if got.is_null() {
            self.could_not_see(Aspect::Directory, "the maker's directory has no path");
        } else {
            let proof = format!("the child went to /, the maker is in {cwd}");
            self.shared_or_copied(Aspect::Directory, cwd == "/", kcmp, proof);
        }
        let umask = proc::status(scene.proc, scene.maker_tid, "Umask")
            .and_then(|text| u32::from_str_radix(&text, 8).ok());
        match umask {
            Some(umask @ (MAKER_UMASK | CHILD_UMASK)) => {
                let proof = format!("the child set {CHILD_UMASK:03o}, here it is {umask:03o}");
                self.shared_or_copied(Aspect::Umask, umask == CHILD_UMASK, kcmp, proof);
            }
            _ => self.could_not_see(Aspect::Umask, "/proc does not tell it"),
        }
    }

    pub(super) fn root(&mut self, scene: &Scene) {
        if scene.notes.get(Note::Root) != 0 {
            return self.could_not_see(Aspect::Root, "the child may not change its root");
        }
        // SAFETY: the path ends in NUL. /proc/version is /version once the root is /proc.
        let moved = unsafe { libc::access(c"/version".as_ptr(), libc::F_OK) } == 0;
        let proof = if moved {
            "the child's chroot(\"/proc\") moved the maker's / too"
        } else {
            "the child's chroot(\"/proc\") left the maker's / where it was"
        };
        self.shared_or_copied(Aspect::Root, moved, None, proof.into());
    }

    pub(super) fn handlers(&mut self, scene: &Scene, tid: i32) {
        let kcmp = same_object(scene, tid, KCMP_SIGHAND);
        let handler = scene.notes.get(Note::Handler);
        // SAFETY: asks only.
        let here = unsafe { raw::sigaction(scene.ignored_signal, None) }.unwrap_or_default();
        let shared = here.handler == libc::SIG_IGN;
        if handler == 0 && !shared {
            let proof = "the maker's handler is not there for the child";
            self.saw(Aspect::Handlers, "reset", proof);
        } else {
            let proof = if shared {
                "what the child ignores is ignored here"
            } else {
                "what the child ignores is not ignored here"
            };
            self.shared_or_copied(Aspect::Handlers, shared, kcmp, proof.into());
        }
    }

    pub(super) fn contexts(&mut self, scene: &Scene, tid: i32) {
        // SAFETY: numbers; who 1 is a process.
        let priority = unsafe {
            raw::call(
                libc::SYS_ioprio_get,
                [1, scene.maker_tid as usize, 0, 0, 0, 0],
            )
        };
        let level = |priority: usize| priority & 7;
        match priority {
            Ok(seen) if scene.notes.get(Note::IoPriority) == 0 && seen >= 1 << 13 => {
                let (set, old) = (level(CHILD_IO_PRIORITY), level(MAKER_IO_PRIORITY));
                let proof = format!(
                    "the child went from I/O priority {old} to {set}, the maker is at {}",
                    level(seen)
                );
                let kcmp = same_object(scene, tid, KCMP_IO);
                self.shared_or_copied(Aspect::IoContext, level(seen) == set, kcmp, proof);
            }
            _ => self.could_not_see(Aspect::IoContext, "this kernel has no I/O priorities"),
        }

        self.same_undo_list = same_object(scene, tid, KCMP_SYSVSEM);
        let runtime = matches!(scene.plan.way, Way::PosixThread | Way::Library);
        let by_builder = scene.plan.way == Way::Process;
        let here = scene.maker_errno as i64;
        let there = scene.notes.get(Note::Errno);
        let word = if here == there { "maker's" } else { "given" };
        if by_builder && scene.plan.flags.contains(CloneFlags::SETTLS) {
            let why = "process::Builder gives the maker's own pointer again";
            self.could_not_see(Aspect::ThreadPointer, why);
        } else {
            let proof = format!("errno lies at {there:#x} in the child, at {here:#x} in the maker");
            self.saw(Aspect::ThreadPointer, word, proof);
        }

        // SS_DISABLE is 2.
        match scene.notes.get(Note::AlternateStack) {
            _ if runtime => {
                let why = "the thread's runtime has set one of its own";
                self.could_not_see(Aspect::AlternateStack, why);
            }
            flags if flags & 2 != 0 => {
                self.saw(Aspect::AlternateStack, "dropped", "sigaltstack: none");
            }
            0.. => self.saw(Aspect::AlternateStack, "kept", "sigaltstack: one is set"),
            errno => self.could_not_see(Aspect::AlternateStack, format!("errno {}", -errno)),
        }
    }

    /// After the child's end: was what it did to a semaphore undone?
    pub(super) fn undo(&mut self, scene: &Scene) {
        // SAFETY: asks for a number.
        let value = unsafe { libc::semctl(scene.semaphores, 0, libc::GETVAL) };
        let answer = scene.notes.get(Note::Semaphore);
        let proof = match (answer, value) {
            (0, 6) => "what the child added to a semaphore outlived it",
            (0, 1) => "what the child added to a semaphore was undone at its end",
            (0, _) => "the semaphore has a value that nobody gave it",
            _ if scene.semaphores < 0 => {
                return self
                    .could_not_see(Aspect::Undo, "this kernel has no semaphores to look at");
            }
            _ => {
                let why = "the child's IPC namespace does not have the maker's semaphore";
                return self.could_not_see(Aspect::Undo, why);
            }
        };
        match (value, self.same_undo_list) {
            (6, None | Some(true)) => self.saw(Aspect::Undo, "shared", proof),
            (1, None | Some(false)) => self.saw(Aspect::Undo, "own", proof),
            _ => self.saw(Aspect::Undo, format!("value {value}, against kcmp"), proof),
        }
    }
}
