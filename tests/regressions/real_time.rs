//! A real-time thread that ends while an ordinary thread of its processor is inside setuid(2), which can only go
//! on while the other one sleeps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rawthread::{Builder, CpuSet, Policy};

use super::common::{MUSL, in_subprocess, watchdog};
use super::supervisor;

/// The processor time of the process, in nanoseconds.
fn process_time() -> u64 {
    let mut time = unsafe { std::mem::zeroed::<libc::timespec>() };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Whether the real-time thread may end.
static MAY_END: AtomicBool = AtomicBool::new(false);
static ENDS: AtomicBool = AtomicBool::new(false);
static STARTED_AT: AtomicU64 = AtomicU64::new(0);

/// In the supervisor: setuid has marked every thread, and is about to signal the first.
fn end_amid_setuid() {
    STARTED_AT.store(process_time(), Ordering::Release);
    MAY_END.store(true, Ordering::Release);
    while !ENDS.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(1));
    }
    // It is on its way out, and waits there, or will soon. It does not matter here if that is late.
    std::thread::sleep(Duration::from_millis(20));
}

#[test]
fn a_real_time_thread_ends_amid_the_setuid_of_an_ordinary_one() {
    if MUSL {
        skip!(
            "musl's setuid sends its signals by tkill(2), and none of its threads ends meanwhile"
        );
    }
    if unsafe { libc::geteuid() } != 0 {
        skip!("changing ids and SCHED_FIFO need root");
    }
    if rawthread::host().unwrap().support() == rawthread::Support::Partial
        || !in_subprocess("real_time::a_real_time_thread_ends_amid_the_setuid_of_an_ordinary_one")
    {
        return;
    }
    watchdog(60);
    let mut processor = CpuSet::new();
    processor.insert(rawthread::affinity().unwrap().iter().next().unwrap());
    let spawned = Builder::new()
        .affinity(processor.clone())
        .scheduling(Policy::Fifo { priority: 1 })
        .spawn(|| {
            while !MAY_END.load(Ordering::Acquire) {
                rawthread::sleep(Duration::from_millis(1));
            }
            ENDS.store(true, Ordering::Release);
        });
    let real_time = match spawned {
        Ok(thread) => thread,
        Err(error) => skip!("{error}"),
    };
    let setuid = std::thread::spawn(move || {
        rawthread::set_affinity(&processor).unwrap();
        if !supervisor::supervise(libc::SYS_tgkill) {
            return false;
        }
        supervisor::act_at(0, end_amid_setuid);
        assert_eq!(unsafe { libc::setegid(libc::getegid()) }, 0);
        true
    });
    if !setuid.join().unwrap() {
        MAY_END.store(true, Ordering::Release);
        skip!("no supervisors here");
    }
    real_time.join().unwrap();
    assert!(ENDS.load(Ordering::Acquire), "setuid signalled no thread");
    let used = Duration::from_nanos(process_time() - STARTED_AT.load(Ordering::Acquire));
    // The kernel lets ordinary threads in after 950 ms of a real-time one.
    assert!(
        used < Duration::from_millis(400),
        "{used:?} of processor time"
    );
}
