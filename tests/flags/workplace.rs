//! Processes in which trials may be made: single-threaded, bounded in time, in a given state, and
//! below somebody who reaps what `CLONE_PARENT` leaves behind.
#![allow(unsafe_code, reason = "fork and the calls that set a process's state")]

use std::ffi::{CStr, CString};
use std::fs;
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use rawthread::flags::{Caller, CloneFlags, Fact, Rule};

use crate::trial::{Props, Trial};

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
}

/// What a worker found; lives in memory that is shared with the test.
pub(crate) struct Tally {
    /// The errno and the step (a line number) that kept the state from being reached.
    pub(crate) obstacle: Option<(i32, u32)>,
    pub(crate) finished: bool,
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

/// A name that no other run has: tests run side by side.
fn unique(what: &str) -> String {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    // Relaxed: only the numbers must differ.
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    format!("rawthread-{what}-{}-{run}", process::id())
}

/// A directory in the machine's temporary one that is gone afterwards.
struct Jail(PathBuf);

impl Drop for Jail {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// The cgroups that trials are put into; gone afterwards.
struct Cgroups {
    kept: Option<PathBuf>,
    props: Props,
}

impl Cgroups {
    /// Two cgroups below the root of the version 2 tree, one of them removed again; none of it
    /// where there is no such tree or no right to it.
    fn make() -> Self {
        let not_a_cgroup = open(c"/dev/null");
        let mut cgroups = Self {
            kept: None,
            props: Props {
                cgroup: -1,
                removed_cgroup: -1,
                not_a_cgroup,
                next_tid: highest_tid(),
            },
        };
        let tree = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .into_iter()
            .find(|path| fs::exists(format!("{path}/cgroup.controllers")).unwrap_or(false));
        let Some(tree) = tree else { return cgroups };
        let make = |name: &str| {
            let path = PathBuf::from(format!("{tree}/{}", unique(name)));
            fs::create_dir(&path).ok()?;
            let text = CString::new(path.to_str()?).ok()?;
            Some((path, open(&text)))
        };
        if let (Some((kept, cgroup)), Some((removed, removed_cgroup))) =
            (make("kept"), make("gone"))
        {
            _ = fs::remove_dir(removed);
            cgroups.props.cgroup = cgroup;
            cgroups.props.removed_cgroup = removed_cgroup;
            cgroups.kept = Some(kept);
        }
        cgroups
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for fd in [
            self.props.cgroup,
            self.props.removed_cgroup,
            self.props.not_a_cgroup,
        ] {
            // SAFETY: opened by `make`; closing -1 does nothing.
            unsafe { libc::close(fd) };
        }
        if let Some(path) = &self.kept {
            // Its tasks are dead, but the kernel may still be putting them away.
            for _ in 0..1000 {
                if fs::remove_dir(path).is_ok() {
                    break;
                }
                std::thread::yield_now();
            }
        }
    }
}

fn open(path: &CStr) -> i32 {
    // SAFETY: the path ends in NUL.
    unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) }
}

/// Where to start asking for particular tids: far from those that the kernel hands out.
fn highest_tid() -> i32 {
    let max = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    let max: i32 = max.trim().parse().unwrap_or(32768);
    max / 4 * 3 + (process::id() as i32 * 97) % (max / 8)
}

/// Runs `work` in a worker process in that state and returns what it found.
///
/// The worker is a grandchild; the process between is a subreaper. Both die by SIGALRM after
/// [`TOO_LONG`], whatever happens.
pub(crate) fn run(state: State, work: impl Fn(&mut Tally, Caller, Props)) -> Box<Tally> {
    let jail = Jail(std::env::temp_dir().join(unique("jail")));
    let proc_in_jail = jail.0.join("proc");
    fs::create_dir_all(&proc_in_jail).expect("a directory for the chroot");
    let jail_path = CString::new(jail.0.to_str().expect("plain")).expect("no NUL");
    let proc_path = CString::new(proc_in_jail.to_str().expect("plain")).expect("no NUL");
    let cgroups = Cgroups::make();

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
            match enter(state, &jail_path, &proc_path) {
                Err(obstacle) => tally.obstacle = Some(obstacle),
                Ok(caller) => {
                    tally.caller = caller;
                    work(tally, caller, cgroups.props);
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

/// Gives up every right, for good.
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

/// Brings the calling process into the state; says who it is then.
fn enter(state: State, jail: &CStr, proc: &CStr) -> Result<Caller, Obstacle> {
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
                if !Caller::current().is(Fact::PendingPidNamespace) {
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
                        .with(Fact::PendingPidNamespace)
                        .with(Fact::PidNamespaceDead));
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
                let caller = Caller::current().with(Fact::DescriptorTableFull);
                let lowest_free = ok(libc::dup(2))?;
                libc::close(lowest_free);
                let few = libc::rlimit {
                    rlim_cur: lowest_free as u64,
                    rlim_max: lowest_free as u64,
                };
                ok(libc::setrlimit(libc::RLIMIT_NOFILE, &few))?;
                return Ok(caller);
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
        State::AsIs | State::Unprivileged | State::NoDescriptors => (&[], none),
    }
}
