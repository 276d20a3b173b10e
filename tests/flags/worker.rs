//! Processes in which trials may be made: single-threaded, bounded in time, in a given state, and
//! below a process that reaps what `CLONE_PARENT` leaves behind.
#![allow(unsafe_code, reason = "fork and the calls that set a process's state")]

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;

use rawthread::flags::{Caller, CloneFlags, Fact, Rule};

use crate::fs_fixtures::Places;
use crate::trial_call::{Props, Trial};

/// When a worker is given up, in seconds: a hundred times what it needs on an idle machine.
const TOO_LONG: u32 = 300;

/// The state that a worker is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// As the test runs.
    AsIs,
    /// Another user without rights.
    Unprivileged,
    /// Root in a plain directory as root directory.
    Chrooted,
    /// The same without rights.
    ChrootedUnprivileged,
    /// Pid 1 of a pid namespace.
    Init,
    /// After `unshare(CLONE_NEWPID)`, the new namespace's init alive.
    PendingPid,
    /// The same, its init dead.
    PendingPidDead,
    /// After `unshare(CLONE_NEWTIME)`.
    PendingTime,
    /// In a user namespace without maps.
    Unmapped,
    /// In a user namespace whose limits allow no user, UTS or pid namespaces.
    OutOfNamespaces,
    /// A user with `RLIMIT_NPROC` 0.
    NoProcesses,
    /// `SCHED_DEADLINE` without reset-on-fork.
    Deadline,
    /// No descriptor number left.
    NoDescriptors,
    /// In a cgroup with as many tasks as it may have.
    CgroupFull,
    /// Behind a seccomp filter as container runtimes set it, without rights.
    Sandboxed,
    /// The same, with EPERM for clone3.
    Clone3Forbidden,
}

impl State {
    /// Whether the worker gives up the rights of the test.
    pub(crate) fn is_rightless(self) -> bool {
        matches!(
            self,
            Self::Unprivileged
                | Self::ChrootedUnprivileged
                | Self::NoProcesses
                | Self::Sandboxed
                | Self::Clone3Forbidden
        )
    }

    /// The rules that can be tried in no other state.
    pub(crate) fn alone_tries(self) -> &'static [&'static str] {
        match self {
            Self::AsIs | Self::PendingTime | Self::ChrootedUnprivileged => &[],
            Self::Unprivileged => &["F1", "H2", "I1c"],
            Self::Chrooted => &["E2"],
            Self::Init => &["D5"],
            Self::PendingPid => &["D6b", "F3b"],
            Self::PendingPidDead => &["H3c"],
            Self::Unmapped => &["E2b"],
            Self::OutOfNamespaces => &["E1", "F3", "F3c"],
            Self::NoProcesses => &["E3"],
            Self::Deadline => &["E4"],
            Self::NoDescriptors => &["H4"],
            Self::CgroupFull => &["I2"],
            Self::Sandboxed => &["S1", "S2"],
            Self::Clone3Forbidden => &["S1b", "S2"],
        }
    }
}

/// What a worker found; lives in memory that is shared with the test.
pub(crate) struct Tally {
    /// The errno and the step (a line number) that kept the state from being reached.
    pub(crate) obstacle: Option<(i32, u32)>,
    pub(crate) finished: bool,
    /// Whether there were cgroups to put children into.
    pub(crate) has_cgroups: bool,
    pub(crate) caller: Caller,
    pub(crate) calls: u32,
    pub(crate) accepted: u32,
    pub(crate) mismatches: u32,
    pub(crate) first_mismatches: [Option<Mismatch>; 12],
    /// By rule: how often it decided rightly, and how often one would have been wrong without it.
    pub(crate) decided: [u32; 128],
    pub(crate) needed: [u32; 128],
}

#[derive(Clone, Copy)]
pub(crate) struct Mismatch {
    pub(crate) trial: Trial,
    pub(crate) foretold: Option<&'static Rule>,
    pub(crate) errno: i32,
}

impl Tally {
    /// Makes one trial and notes what came of it.
    pub(crate) fn note(&mut self, trial: &Trial, props: &mut Props) {
        let foretold = trial.foretold();
        let errno = trial.ask(props);
        self.calls += 1;
        self.accepted += u32::from(errno == 0);
        if errno != foretold.map_or(0, |rule| rule.errno) {
            if let Some(slot) = self.first_mismatches.iter_mut().find(|slot| slot.is_none()) {
                *slot = Some(Mismatch {
                    trial: *trial,
                    foretold,
                    errno,
                });
            }
            self.mismatches += 1;
        } else if let Some(rule) = foretold {
            let index = Rule::ALL
                .iter()
                .position(|other| other.id == rule.id)
                .unwrap_or(0);
            self.decided[index] += 1;
            self.needed[index] += u32::from(trial.foretold_without(rule) != errno);
        }
    }
}

/// Runs `work` in a worker process in that state and returns what it found.
///
/// The worker is a grandchild; the process between is a subreaper. Both die by SIGALRM after
/// [`TOO_LONG`], whatever happens.
pub(crate) fn run(state: State, work: impl Fn(&mut Tally, Caller, Props)) -> Box<Tally> {
    let places = Places::make();

    let len = size_of::<Tally>();
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let sharing = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh mapping; all-zero bytes are made a Tally before anyone reads it as one.
    let tally = unsafe { libc::mmap(ptr::null_mut(), len, protection, sharing, -1, 0) };
    assert!(tally != libc::MAP_FAILED, "no memory for the tally");
    let tally = tally.cast::<Tally>();
    // SAFETY: the mapping is large enough and aligned to a page.
    unsafe {
        tally.write(Tally {
            obstacle: None,
            finished: false,
            has_cgroups: false,
            caller: Caller::unprivileged(),
            calls: 0,
            accepted: 0,
            mismatches: 0,
            first_mismatches: [None; 12],
            decided: [0; 128],
            needed: [0; 128],
        });
    }
    // SAFETY: the child makes system calls and runs `work`, which does not return into the harness.
    let supervisor = unsafe { libc::fork() };
    if supervisor == 0 {
        supervise(|| {
            // SAFETY: only the worker uses the tally until the supervisor is gone.
            let tally = unsafe { &mut *tally };
            match enter(state, &places) {
                Err(obstacle) => tally.obstacle = Some(obstacle),
                Ok(caller) => {
                    tally.caller = caller;
                    work(tally, caller, places.props);
                    tally.finished = true;
                }
            }
        });
    }
    assert!(supervisor > 0, "no child process");
    // SAFETY: our child; the tally is ours alone again once it is gone.
    unsafe {
        libc::waitpid(supervisor, ptr::null_mut(), 0);
        let copy = Box::new(tally.read());
        libc::munmap(tally.cast(), len);
        copy
    }
}

/// The process between test and worker: starts the worker, reaps everything, leaves.
fn supervise(worker: impl FnOnce()) -> ! {
    // SAFETY: this process is single-threaded and leaves by _exit; the calls are plain.
    unsafe {
        let mut all: libc::sigset_t = MaybeUninit::zeroed().assume_init();
        libc::sigfillset(&mut all);
        libc::sigdelset(&mut all, libc::SIGALRM);
        libc::sigprocmask(libc::SIG_SETMASK, &all, ptr::null_mut());
        libc::signal(libc::SIGALRM, libc::SIG_DFL);
        libc::alarm(TOO_LONG);
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        if libc::fork() == 0 {
            libc::alarm(TOO_LONG);
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(worker));
            libc::_exit(i32::from(done.is_err()));
        }
        while libc::waitpid(-1, ptr::null_mut(), libc::__WALL) > 0 {}
        libc::_exit(0);
    }
}

/// The filter that a container runtime sets: no clone3, no namespaces by clone.
fn sandbox(clone3_errno: i32) -> Result<(), Obstacle> {
    const NAMESPACES: u32 = 0x7e02_0000;
    const DENY: u32 = libc::SECCOMP_RET_ERRNO;
    const fn step(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        }
    }
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const IF_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    // Offsets into struct seccomp_data: the call's number, the low half of its first argument.
    let mut program = [
        step(LOAD, 0, 0, 0),
        step(IF_EQUAL, 3, 0, libc::SYS_clone3 as u32),
        step(IF_EQUAL, 0, 4, libc::SYS_clone as u32),
        step(LOAD, 0, 0, 16),
        step(IF_ANY_BIT, 1, 2, NAMESPACES),
        step(RETURN, 0, 0, DENY | clone3_errno as u32),
        step(RETURN, 0, 0, DENY | libc::EPERM as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program.
    unsafe {
        ok(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        ok(libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &program,
        ))?;
    }
    Ok(())
}

type Obstacle = (i32, u32);

/// The result of a call that returns -1 on error, or where it failed.
#[track_caller]
fn ok(returned: i32) -> Result<i32, Obstacle> {
    let line = std::panic::Location::caller().line();
    let errno = || std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    if returned < 0 {
        Err((errno(), line))
    } else {
        Ok(returned)
    }
}

fn write_file(path: &CStr, text: &[u8]) -> Result<(), Obstacle> {
    // SAFETY: a path and a buffer of ours.
    unsafe {
        let fd = ok(libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC))?;
        ok(libc::write(fd, text.as_ptr().cast(), text.len()) as i32)?;
        libc::close(fd);
    }
    Ok(())
}

/// Gives up every right, irrevocably.
fn drop_rights() -> Result<(), Obstacle> {
    const NOBODY_IN_PARTICULAR: u32 = 54_321;
    // SAFETY: plain calls.
    unsafe {
        ok(libc::setgroups(0, ptr::null()))?;
        ok(libc::setresgid(
            NOBODY_IN_PARTICULAR,
            NOBODY_IN_PARTICULAR,
            NOBODY_IN_PARTICULAR,
        ))?;
        ok(libc::setresuid(
            NOBODY_IN_PARTICULAR,
            NOBODY_IN_PARTICULAR,
            NOBODY_IN_PARTICULAR,
        ))?;
    }
    Ok(())
}

/// Brings the calling process into the state; returns what it is then.
fn enter(state: State, places: &Places) -> Result<Caller, Obstacle> {
    let (jail, proc) = (&places.jail, &places.jail_proc);
    // SAFETY: the calls change this process only, which is single-threaded and made for that.
    unsafe {
        match state {
            State::AsIs => {}
            State::Unprivileged => drop_rights()?,
            State::Chrooted | State::ChrootedUnprivileged => {
                ok(libc::unshare(libc::CLONE_NEWNS))?;
                let private = libc::MS_REC | libc::MS_PRIVATE;
                let none = ptr::null();
                ok(libc::mount(none, c"/".as_ptr(), none, private, none.cast()))?;
                ok(libc::mount(
                    c"proc".as_ptr(),
                    proc.as_ptr(),
                    c"proc".as_ptr(),
                    0,
                    none.cast(),
                ))?;
                ok(libc::chroot(jail.as_ptr()))?;
                ok(libc::chdir(c"/".as_ptr()))?;
                if state == State::ChrootedUnprivileged {
                    drop_rights()?;
                }
            }
            State::Init => {
                ok(libc::unshare(libc::CLONE_NEWPID))?;
                let init = ok(libc::fork())?;
                if init != 0 {
                    libc::waitpid(init, ptr::null_mut(), 0);
                    libc::_exit(0);
                }
                libc::alarm(TOO_LONG);
            }
            State::PendingPid | State::PendingPidDead => {
                ok(libc::unshare(libc::CLONE_NEWPID))?;
                if !Caller::current().has_fact(Fact::PendingPidNamespace) {
                    return Err((0, line!()));
                }
                let init = ok(libc::fork())?;
                if init == 0 {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
                    loop {
                        libc::pause();
                    }
                }
                if state == State::PendingPidDead {
                    libc::kill(init, libc::SIGKILL);
                    libc::waitpid(init, ptr::null_mut(), 0);
                    return Ok(Caller::current()
                        .with_fact(Fact::PendingPidNamespace)
                        .with_fact(Fact::PidNamespaceDead));
                }
            }
            State::PendingTime => {
                ok(libc::unshare(0x80))?;
            }
            State::Unmapped => {
                ok(libc::unshare(libc::CLONE_NEWUSER))?;
            }
            State::OutOfNamespaces => {
                ok(libc::unshare(libc::CLONE_NEWUSER))?;
                write_file(c"/proc/self/uid_map", b"0 0 1")?;
                write_file(c"/proc/self/setgroups", b"deny")?;
                write_file(c"/proc/self/gid_map", b"0 0 1")?;
                write_file(c"/proc/sys/user/max_user_namespaces", b"0")?;
                write_file(c"/proc/sys/user/max_uts_namespaces", b"0")?;
                write_file(c"/proc/sys/user/max_pid_namespaces", b"0")?;
            }
            State::NoProcesses => {
                let none = libc::rlimit {
                    rlim_cur: 0,
                    rlim_max: 0,
                };
                ok(libc::setrlimit(libc::RLIMIT_NPROC, &none))?;
                drop_rights()?;
            }
            State::Deadline => {
                // struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period.
                let mut attributes = [0u64; 6];
                attributes[0] = 48 | (libc::SCHED_DEADLINE as u64) << 32;
                attributes[3] = 10_000_000;
                attributes[4] = 30_000_000;
                attributes[5] = 30_000_000;
                ok(libc::syscall(libc::SYS_sched_setattr, 0, attributes.as_ptr(), 0) as i32)?;
            }
            State::NoDescriptors => {
                let caller = Caller::current().with_fact(Fact::DescriptorTableFull);
                let lowest_free = ok(libc::dup(2))?;
                libc::close(lowest_free);
                let few = libc::rlimit {
                    rlim_cur: lowest_free as u64,
                    rlim_max: lowest_free as u64,
                };
                ok(libc::setrlimit(libc::RLIMIT_NOFILE, &few))?;
                return Ok(caller);
            }
            State::CgroupFull => {
                let Some([limit, members]) = &places.full_cgroup else {
                    return Err((libc::ENOENT, line!()));
                };
                write_file(limit, b"1")?;
                write_file(members, b"0")?;
                return Ok(Caller::current().with_fact(Fact::CgroupFull));
            }
            State::Sandboxed => {
                drop_rights()?;
                sandbox(libc::ENOSYS)?;
                return Ok(Caller::current()
                    .with_fact(Fact::Clone3Filtered)
                    .with_fact(Fact::NamespacesFiltered));
            }
            State::Clone3Forbidden => {
                drop_rights()?;
                sandbox(libc::EPERM)?;
                return Ok(Caller::current()
                    .with_fact(Fact::Clone3Forbidden)
                    .with_fact(Fact::NamespacesFiltered));
            }
        }
    }
    Ok(Caller::current())
}

/// The facts and exhausted namespaces that [`Caller::current`] must see in a state.
pub(crate) fn to_be_seen(state: State) -> (&'static [Fact], CloneFlags) {
    let none = CloneFlags::empty();
    match state {
        State::Chrooted | State::ChrootedUnprivileged => (&[Fact::Chrooted], none),
        State::Init => (&[Fact::InitOfPidNamespace], none),
        State::PendingPid | State::PendingPidDead => (&[Fact::PendingPidNamespace], none),
        State::PendingTime => (&[Fact::PendingTimeNamespace], none),
        State::Unmapped => (&[Fact::UnmappedIds, Fact::SysAdmin], none),
        State::OutOfNamespaces => (
            &[Fact::SysAdmin],
            CloneFlags::NEWUSER
                .union(CloneFlags::NEWUTS)
                .union(CloneFlags::NEWPID),
        ),
        State::NoProcesses => (&[Fact::ProcessLimitReached], none),
        State::Deadline => (&[Fact::DeadlineWithoutReset], none),
        State::AsIs
        | State::Unprivileged
        | State::NoDescriptors
        | State::CgroupFull
        | State::Sandboxed
        | State::Clone3Forbidden => (&[], none),
    }
}
