//! The mark of the process's memory while children change ids in it, and after them.

use rawthread::flags::CloneFlags;
use rawthread::process::{BeforeExec, Builder, Child, Command, Fork, fork};

use crate::common::in_subprocess;
use crate::settings::is_root;

const NOBODY: u32 = 65_534;

fn dumpable() -> i32 {
    // SAFETY: asks.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }
}

/// Whether the test is to go on: in a process of its own, as root.
fn alone_as_root(test: &str) -> bool {
    if !is_root() {
        println!("SKIP: only root may change ids");
        return false;
    }
    in_subprocess(test)
}

/// A child of other ids in this memory, until it is killed.
fn other_ids() -> Paused {
    let builder = Builder::new()
        .flags(CloneFlags::VM)
        .own_tls(false)
        .before_start(BeforeExec::set_ids(NOBODY, NOBODY));
    // SAFETY: the child makes a system call.
    Paused(
        unsafe { builder.spawn(|| libc::syscall(libc::SYS_ppoll, 0, 0, 0, 0, 0) as i32) }.unwrap(),
    )
}

/// Ends with the test, also where that fails.
struct Paused(Child);

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A process that gave up root must not become traceable by its new user.
#[test]
fn what_the_process_itself_gave_up_stays_undumpable() {
    if !alone_as_root("dumpable::what_the_process_itself_gave_up_stays_undumpable") {
        return;
    }
    // Each in a process of its own, for ids do not come back.
    let check = |change: &dyn Fn()| {
        // SAFETY: this process has the test harness's threads, which the child does not need.
        match unsafe { fork() }.unwrap() {
            Fork::Child => {
                // SAFETY: allowed for any process.
                unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
                change();
                // SAFETY: ends the copy.
                unsafe { libc::_exit(dumpable()) }
            }
            Fork::Parent(mut child) => child.wait().unwrap().code(),
        }
    };
    let raw = |number: i64, [a, b, c]: [u32; 3]| {
        // SAFETY: the copy of the process has this thread alone.
        assert_eq!(unsafe { libc::syscall(number, a, b, c) }, 0);
    };
    let beside_closure = |number: i64, ids: [u32; 3]| {
        check(&|| {
            let child = other_ids();
            raw(number, ids);
            drop(child);
        })
    };
    assert_eq!(
        beside_closure(libc::SYS_setresuid, [u32::MAX, NOBODY, 0]),
        Some(0)
    );
    assert_eq!(
        beside_closure(libc::SYS_setresgid, [1000, 1000, 1000]),
        Some(0)
    );
    let of_command = check(&|| {
        let mut command = Command::new("true");
        command.uid(NOBODY).parent_hook(move |_| {
            raw(libc::SYS_setresuid, [1000, 1000, 1000]);
            Ok(())
        });
        assert!(command.status().unwrap().success());
    });
    assert_eq!(of_command, Some(0));
    // Where nothing of the process changed, it is back.
    assert_eq!(check(&|| drop(other_ids())), Some(1));
}

/// A closure's process counts beside its parent, not in its place.
#[test]
fn a_process_in_this_memory_counts_with_it() {
    if !alone_as_root("dumpable::a_process_in_this_memory_counts_with_it") {
        return;
    }
    let lives = other_ids();
    assert_eq!(dumpable(), 0);
    let builder = Builder::new().flags(CloneFlags::VM);
    let fails = || {
        let error = Command::new("/nonexistent").uid(65_533).exec();
        error.raw_os_error().unwrap_or(0)
    };
    // SAFETY: the child has a thread control block.
    let mut child = unsafe { builder.spawn(fails) }.unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(libc::ENOENT));
    assert_eq!(dumpable(), 0, "a child of other ids is left");
    drop(lives);
    assert_eq!(dumpable(), 1);
}

/// A closure that becomes a program of another user leaves nothing behind in this memory.
#[test]
fn a_closure_that_becomes_a_program_leaves_its_parent_dumpable() {
    if !alone_as_root("dumpable::a_closure_that_becomes_a_program_leaves_its_parent_dumpable") {
        return;
    }
    for flags in [CloneFlags::VM, CloneFlags::VM | CloneFlags::VFORK] {
        // More than are remembered at once.
        for _ in 0..40 {
            let becomes = || {
                let _ = Command::new("true").uid(NOBODY).exec();
                9
            };
            // SAFETY: the child has a thread control block.
            let mut child = unsafe { Builder::new().flags(flags).spawn(becomes) }.unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(0));
            assert_eq!(dumpable(), 1, "{flags:?}");
            // It has the ids after the failure, too, and is in this memory until it ends.
            let fails = || {
                let _ = Command::new("/nonexistent").uid(NOBODY).exec();
                dumpable()
            };
            // SAFETY: as above.
            let mut child = unsafe { Builder::new().flags(flags).spawn(fails) }.unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(0));
            assert_eq!(dumpable(), 1, "{flags:?}");
        }
    }
}

/// No child is in the copy that a fork makes.
#[test]
fn a_forked_process_is_as_dumpable_as_its_parent_was() {
    if !alone_as_root("dumpable::a_forked_process_is_as_dumpable_as_its_parent_was") {
        return;
    }
    let lives = other_ids();
    assert_eq!(dumpable(), 0);
    // SAFETY: the child asks.
    let mut copy = unsafe { Builder::new().spawn(dumpable) }.unwrap();
    assert_eq!(copy.wait().unwrap().code(), Some(1), "a copied closure");
    // SAFETY: the child asks, and makes children as a process of its own.
    let copy = match unsafe { fork() }.unwrap() {
        Fork::Parent(mut child) => child.wait().unwrap(),
        Fork::Child => {
            let mut as_it_should = dumpable() == 1;
            // What was copied counts nothing here.
            std::mem::forget(lives);
            let own = other_ids();
            as_it_should &= dumpable() == 0;
            drop(own);
            as_it_should &= dumpable() == 1;
            // SAFETY: ends the copy.
            unsafe { libc::_exit(i32::from(as_it_should)) }
        }
    };
    assert_eq!(copy.code(), Some(1));
    // A bare fork: of its mark nothing is known, so it stays as it is, also after children of its own.
    // SAFETY: as above.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } as i32;
    if pid == 0 {
        drop(other_ids());
        // SAFETY: ends the copy.
        unsafe { libc::_exit(dumpable()) }
    }
    let mut status = 0;
    // SAFETY: writes the status.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(libc::WEXITSTATUS(status), 0);
    assert_eq!(dumpable(), 0, "the parent's child lives");
    drop(lives);
    assert_eq!(dumpable(), 1);
}
