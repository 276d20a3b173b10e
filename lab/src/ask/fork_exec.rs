//! Questions about fork, vfork and exec.
#![allow(unsafe_code, reason = "forks, and touches memory by the page")]

use std::fs::read_to_string;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rawthread::flags::CloneFlags;

use super::libc_limits::{HAMMER, hammer};
use super::log::ExperimentLog;
use super::support::{self, SIGCHLD, in_a_fork, spawn_child, threads_here};
use crate::syscall;

pub(super) const PAGE: usize = 4096;

/// A line of a file in /proc that holds a number of kB, in MiB.
pub(super) fn mib(file: &str, field: &str) -> Option<usize> {
    let text = read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kb: usize = line
        .trim_start_matches(':')
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .ok()?;
    Some(kb / 1024)
}

/// How many page faults it takes to write to the first 1,000 pages of `memory`.
fn faults(memory: usize) -> i64 {
    let count = || {
        // SAFETY: `rusage` is plain data, and the kernel fills it.
        unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_SELF, &mut usage);
            usage.ru_minflt
        }
    };
    let before = count();
    for page in 0..1000 {
        // SAFETY: inside the mapping of `fork_cost`.
        unsafe { ((memory + page * PAGE) as *mut u8).write_volatile(2) };
    }
    count() - before
}

/// Enough memory to see what fork does with it.
const SMALLEST: usize = 64 << 20;
/// How long memory is touched, beyond the first `SMALLEST` bytes.
const SLOW: Duration = Duration::from_secs(5);

/// fork and vfork (and the exec that follows) beside each other, with much memory touched.
pub(super) fn fork_cost(log: &mut ExperimentLog) {
    let free = mib("/proc/meminfo", "MemAvailable").unwrap_or(0);
    let mut size = if free > 3072 { 1024 } else { 128 } << 20;
    // SAFETY: a new mapping, written page by page.
    let memory = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let memory = libc::mmap(std::ptr::null_mut(), size, access, kind, -1, 0);
        if memory == libc::MAP_FAILED {
            return log.skip("no memory to touch");
        }
        // Huge pages would hide what a page table costs.
        libc::madvise(memory, size, libc::MADV_NOHUGEPAGE);
        let start = Instant::now();
        for page in (0..size).step_by(PAGE) {
            memory.cast::<u8>().add(page).write_volatile(1);
            // A machine that is busy or swaps shows the same with less.
            if page >= SMALLEST && start.elapsed() > SLOW {
                size = page;
                break;
            }
        }
        memory as usize
    };
    let touched = size >> 20;
    for (flags, name) in [
        (CloneFlags::empty(), "fork"),
        (CloneFlags::VM | CloneFlags::VFORK, "vfork"),
    ] {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let start = Instant::now();
            let Some(mut made) = spawn_child(log, flags, SIGCHLD, || 0) else {
                return;
            };
            let _ = made.wait();
            best = best.min(start.elapsed());
        }
        let faults = faults(memory);
        let copies = flags.is_empty();
        let right = if copies { faults >= 900 } else { faults < 100 };
        log.check(
            right,
            format!(
                "{name} with {touched} MiB touched: then {faults} page faults to write 1000 pages"
            ),
        );
        log.note(format!("{name} and wait took {best:.1?} (best of 3)"));
    }
    let start = Instant::now();
    let program = std::process::Command::new("/proc/self/exe")
        .arg(crate::probe::child::EXEC_EXIT)
        .status();
    let took = start.elapsed();
    match program.map(|end| end.code()) {
        Ok(Some(crate::probe::child::EXEC_STATUS)) => log.check(
            faults(memory) < 100,
            format!(
                "std::process::Command (which is posix_spawn): no page is copied; took {took:.1?}"
            ),
        ),
        other => log.check(
            false,
            format!("the program could not be started: {other:?}"),
        ),
    }
}

/// Whether thread `tid` of this process sleeps inside clone or clone3.
fn sleeps_in_clone(tid: i32) -> bool {
    let text = read_to_string(format!("/proc/self/task/{tid}/syscall")).unwrap_or_default();
    let number = text.split(' ').next().and_then(|word| word.parse().ok());
    matches!(number, Some(libc::SYS_clone | libc::SYS_clone3))
}

pub(super) fn vfork_blocks(log: &mut ExperimentLog) {
    let (reader, writer) = support::pipe();
    let caller = syscall::gettid();
    // The child waits for this thread, which waits until the caller is asleep: if vfork stopped
    // them all, neither would go on.
    let other = std::thread::spawn(move || {
        while !sleeps_in_clone(caller) {
            sleep(Duration::from_micros(200));
        }
        let start = Instant::now();
        let mut rounds = 0u64;
        while start.elapsed() < Duration::from_millis(5) {
            rounds += 1;
        }
        let still_asleep = sleeps_in_clone(caller);
        support::send(writer, 1);
        (rounds, still_asleep)
    });
    let flags = CloneFlags::VM | CloneFlags::VFORK;
    let Some(mut made) = spawn_child(log, flags, SIGCHLD, move || {
        support::receive(reader).unwrap_or(0)
    }) else {
        return;
    };
    let told = made.wait().ok().and_then(|end| end.code()) == Some(1);
    match other.join() {
        Ok((rounds, asleep)) => log.check(
            told && asleep && rounds > 0,
            format!("the caller slept inside clone while another thread counted to {rounds}"),
        ),
        Err(_) => log.check(false, "the other thread died"),
    }
}

/// Three threads that wait, and one of them with a lock.
fn three_threads(lock: &Arc<Mutex<()>>) {
    let (reader, _writer) = support::pipe();
    let (ready, tell) = support::pipe();
    for index in 0..3 {
        let lock = Arc::clone(lock);
        rawthread::spawn(move || {
            let _held = (index == 0).then(|| lock.lock());
            support::send(tell, index);
            support::receive(reader)
        });
    }
    for _ in 0..3 {
        support::receive(ready);
    }
}

pub(super) fn threads_after_fork(log: &mut ExperimentLog) {
    let lock = Arc::new(Mutex::new(()));
    three_threads(&lock);
    let here = threads_here();
    log.check(here == 4, format!("before fork: {here} threads"));
    let in_child = in_a_fork(|| threads_here() as i32);
    log.check(in_child == 1, format!("in the child: {in_child} thread"));
    let locked = in_a_fork(|| i32::from(lock.try_lock().is_err())) == 1;
    let word = if locked { "still locked" } else { "free" };
    log.check(
        locked,
        format!(
            "a mutex that another thread held is {word} in the child, and no thread of the child will unlock it"
        ),
    );
}

/// What `EXEC_REPORT` does: sends its pid, its tid and the number of its threads to descriptor
/// `fd`; or runs `hammer`, whose count becomes the exit status.
pub(crate) fn exec_report(fd: Option<&str>) {
    if fd.is_some_and(|word| word == HAMMER) {
        std::process::exit(hammer());
    }
    if let Some(fd) = fd.and_then(|fd| fd.parse().ok()) {
        for number in [syscall::getpid(), syscall::gettid(), threads_here() as i32] {
            support::send(fd, number);
        }
    }
}

pub(super) fn exec(log: &mut ExperimentLog) {
    let (reader, writer) = support::pipe();
    let ended = in_a_fork(|| {
        three_threads(&Arc::new(Mutex::new(())));
        let last = rawthread::spawn(move || {
            for number in [syscall::getpid(), syscall::gettid(), threads_here() as i32] {
                support::send(writer, number);
            }
            let fd = std::ffi::CString::new(writer.to_string()).unwrap_or_default();
            let arguments = [
                c"lab".as_ptr(),
                c"exec-report".as_ptr(),
                fd.as_ptr(),
                std::ptr::null(),
            ];
            // SAFETY: an array of NUL-terminated strings that ends in null; returns on failure.
            unsafe { libc::execv(c"/proc/self/exe".as_ptr(), arguments.as_ptr()) }
        });
        let _ = last.join();
        1
    });
    let numbers = || [(); 3].map(|()| support::receive(reader).unwrap_or(-1));
    if ended != 0 {
        return log.check(false, "the program could not be started");
    }
    let [pid, tid, threads] = numbers();
    log.check(
        tid != pid && threads > 1,
        format!("before: pid {pid}, {threads} threads; thread {tid} calls execve"),
    );
    let [new_pid, new_tid, left] = numbers();
    log.check(
        new_pid == pid && new_tid == pid && left == 1,
        format!("after: pid {new_pid}, tid {new_tid}, {left} thread"),
    );
}
