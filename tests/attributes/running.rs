//! Processors and scheduling of threads that run.

use std::fs;
use std::time::Duration;

use rawthread::{Builder, CpuSet, ErrorKind, IoPriority, Policy, Scheduling, warm};

use crate::support;

/// The thread's nice value and policy, as the kernel shows them to others.
fn kernels_view(tid: i32) -> (i32, i32) {
    unsafe {
        let nice = libc::getpriority(libc::PRIO_PROCESS, tid as u32);
        (
            libc::syscall(libc::SYS_sched_getscheduler, tid) as i32,
            nice,
        )
    }
}

fn first_cpu() -> CpuSet {
    rawthread::affinity().unwrap().iter().take(1).collect()
}

#[test]
fn a_handle_changes_its_thread_and_no_other() {
    let before = (
        rawthread::affinity().unwrap(),
        rawthread::scheduling().unwrap(),
    );
    let thread = rawthread::spawn(|| {
        rawthread::park();
        (CpuSet::current().unwrap(), rawthread::scheduling().unwrap())
    });
    let one = first_cpu();
    thread.set_affinity(&one).unwrap();
    assert_eq!(thread.affinity().unwrap(), one);
    thread.set_scheduling(Policy::Batch { nice: 9 }).unwrap();
    assert_eq!(kernels_view(thread.tid()), (libc::SCHED_BATCH, 9));
    let read = thread.scheduling().unwrap();
    assert_eq!(read.policy(), Policy::Batch { nice: 9 });
    thread.thread().unpark();
    assert_eq!(thread.join().unwrap(), (one, read));
    assert_eq!(rawthread::affinity().unwrap(), before.0);
    assert_eq!(rawthread::scheduling().unwrap(), before.1);
}

#[test]
fn a_scoped_handle_does_the_same() {
    rawthread::scope(|s| {
        let thread = s.spawn(|| {
            rawthread::park();
            rawthread::affinity().unwrap()
        });
        let one = first_cpu();
        thread.set_affinity(&one).unwrap();
        thread.set_scheduling(Policy::Idle).unwrap();
        assert_eq!(thread.scheduling().unwrap().policy(), Policy::Idle);
        thread.thread().unpark();
        assert_eq!(thread.join().unwrap(), one);
    });
}

#[test]
fn a_thread_changes_itself() {
    let read = rawthread::spawn(|| {
        let one = first_cpu();
        rawthread::set_affinity(&one).unwrap();
        assert_eq!(rawthread::affinity().unwrap(), one);
        rawthread::set_scheduling(Policy::Other { nice: 7 }).unwrap();
        rawthread::scheduling().unwrap()
    });
    assert_eq!(read.join().unwrap().policy(), Policy::Other { nice: 7 });
}

#[test]
fn bad_sets_and_priorities_are_the_kernels_error_or_none_of_its_business() {
    let thread = rawthread::spawn(rawthread::park);
    for cpus in [CpuSet::new(), [1_000_000].into_iter().collect()] {
        let error = thread.set_affinity(&cpus).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = rawthread::set_affinity(&cpus).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let offline: CpuSet = [8191].into_iter().collect();
    let error = thread.set_affinity(&offline).unwrap_err();
    assert_eq!(
        (error.operation(), error.raw_os_error()),
        (Some("sched_setaffinity"), Some(libc::EINVAL))
    );
    let error = thread
        .set_scheduling(Policy::Fifo { priority: 1000 })
        .unwrap_err();
    assert_eq!(
        (error.operation(), error.raw_os_error()),
        (Some("sched_setattr"), Some(libc::EINVAL))
    );
    thread.thread().unpark();
    thread.join().unwrap();
}

#[test]
fn a_slice_is_read_back_where_the_kernel_has_slices() {
    let thread = rawthread::spawn(rawthread::park);
    let default = thread.scheduling().unwrap().slice();
    let short = Scheduling::new(Policy::Other { nice: 0 }).with_slice(Duration::from_micros(300));
    thread.set_scheduling(short).unwrap();
    match thread.scheduling().unwrap().slice() {
        Some(slice) => {
            assert_eq!(slice, Duration::from_micros(300));
            // Without a slice the default is back.
            thread.set_scheduling(Policy::Other { nice: 0 }).unwrap();
            assert_eq!(thread.scheduling().unwrap().slice(), default);
        }
        None => println!("SKIP: slices need Linux 6.12"),
    }
    thread.thread().unpark();
    thread.join().unwrap();
}

#[test]
fn utilization_clamps_are_in_force_or_refused_by_their_name() {
    let thread = rawthread::spawn(rawthread::park);
    let clamped = Scheduling::new(Policy::Other { nice: 0 })
        .with_min_utilization(100)
        .with_max_utilization(900);
    match thread.set_scheduling(clamped) {
        Ok(()) => {
            let read = thread.scheduling().unwrap();
            assert_eq!(
                (read.min_utilization(), read.max_utilization()),
                (Some(100), Some(900))
            );
            let reversed = clamped.with_min_utilization(950);
            let error = thread.set_scheduling(reversed).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
        Err(error) => {
            assert!(
                matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::E2BIG)),
                "{error}"
            );
            assert!(error.to_string().contains("clamps"), "{error}");
            println!("SKIP: {error}");
        }
    }
    thread.thread().unpark();
    thread.join().unwrap();
}

#[test]
fn deadlines_are_read_back() {
    let deadline = Policy::Deadline {
        runtime: Duration::from_millis(1),
        deadline: Duration::from_millis(10),
        period: Duration::from_millis(20),
    };
    let thread = rawthread::spawn(rawthread::park);
    match thread.set_scheduling(deadline) {
        Ok(()) => assert_eq!(thread.scheduling().unwrap().policy(), deadline),
        Err(error) => println!("SKIP: {error}"),
    }
    thread.thread().unpark();
    thread.join().unwrap();
}

#[test]
fn a_thread_that_ended_gets_esrch() {
    let one = first_cpu();
    for _ in 0..1000 {
        let thread = rawthread::spawn(|| ());
        // Calls race with the end: each acts on the live thread or is refused.
        let error = loop {
            if let Err(error) = thread.set_affinity(&one) {
                break error;
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
        let ended = thread.scheduling().unwrap_err();
        assert_eq!(ended.raw_os_error(), Some(libc::ESRCH));
        thread.join().unwrap();
    }
    assert_ne!(rawthread::affinity().unwrap().len(), 0);
}

/// The kernel is asked to give the number of a thread that ended to the next one.
#[test]
fn a_handle_never_reaches_the_thread_that_has_its_threads_number() {
    const LAST: &str = "/proc/sys/kernel/ns_last_pid";
    let (mut met, mut tries) = (0, 0);
    while met < 20 && tries < 2000 {
        tries += 1;
        let ended = rawthread::spawn(|| ());
        let tid = ended.tid();
        while !ended.is_finished()
            || std::path::Path::new(&format!("/proc/self/task/{tid}")).exists()
        {
            std::thread::yield_now();
        }
        if let Err(error) = fs::write(LAST, (tid - 1).to_string()) {
            println!("SKIP: {LAST}: {error}");
            return ended.join().unwrap();
        }
        let heir = rawthread::spawn(rawthread::park);
        if heir.tid() == tid {
            met += 1;
            let error = ended.set_scheduling(Policy::Batch { nice: 3 }).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
            let error = ended.set_affinity(&first_cpu()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
            assert_eq!(
                ended.scheduling().unwrap_err().raw_os_error(),
                Some(libc::ESRCH)
            );
            assert_eq!(kernels_view(tid), kernels_view(0));
            assert_eq!(heir.affinity().unwrap(), rawthread::affinity().unwrap());
        }
        heir.thread().unpark();
        heir.join().unwrap();
        ended.join().unwrap();
    }
    if met == 0 {
        println!("SKIP: the kernel gave no number to a second thread of this process");
    }
}

#[test]
fn a_forked_child_does_not_reach_the_parents_thread() {
    let thread = rawthread::spawn(rawthread::park);
    let tid = thread.tid();
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = thread.set_scheduling(Policy::Batch { nice: 2 }).err();
        let errno = refused.and_then(|error| error.raw_os_error());
        unsafe { libc::_exit(i32::from(errno != Some(libc::ESRCH))) };
    }
    let mut status = 0;
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    assert_eq!(kernels_view(tid), kernels_view(0));
    thread.thread().unpark();
    thread.join().unwrap();
}

#[test]
fn a_change_of_a_task_does_not_reach_the_next_task() {
    if support::by_libc() {
        return;
    }
    let before = kernels_view(0);
    let (cpus, io) = (rawthread::affinity().unwrap(), kernels_io_priority(0));
    for round in 0..50 {
        let task = warm::spawn(rawthread::park);
        match round % 3 {
            2 => task.set_io_priority(IoPriority::Idle).unwrap(),
            0 => task.set_scheduling(Policy::Batch { nice: 6 }).unwrap(),
            _ => task.set_affinity(&first_cpu()).unwrap(),
        }
        task.thread().unpark();
        task.join().unwrap();
        let next = warm::spawn(|| {
            let cpus = rawthread::affinity().unwrap();
            (kernels_view(0), cpus, kernels_io_priority(0))
        });
        assert_eq!(next.join().unwrap(), (before, cpus.clone(), io));
    }
}

/// The kernel's number of a thread's I/O priority.
fn kernels_io_priority(tid: i32) -> i64 {
    unsafe { libc::syscall(libc::SYS_ioprio_get, 1, tid) }
}

#[test]
fn io_priorities_are_in_force_in_the_thread_and_no_other() {
    let before = kernels_io_priority(0);
    let thread = rawthread::spawn(rawthread::park);
    for (priority, number) in [
        (IoPriority::Idle, 3 << 13),
        (IoPriority::BestEffort { level: 6 }, 2 << 13 | 6),
        (IoPriority::RealTime { level: 7 }, 1 << 13 | 7),
    ] {
        match thread.set_io_priority(priority) {
            Ok(()) => {
                assert_eq!(kernels_io_priority(thread.tid()), number);
                assert_eq!(thread.io_priority().unwrap(), priority);
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EPERM));
                println!("SKIP: {error}");
            }
        }
    }
    let error = thread
        .set_io_priority(IoPriority::BestEffort { level: 8 })
        .unwrap_err();
    assert_eq!(
        (error.operation(), error.raw_os_error()),
        (Some("ioprio_set"), Some(libc::EINVAL))
    );
    thread.thread().unpark();
    while !thread.is_finished() {
        std::thread::yield_now();
    }
    let error = thread.set_io_priority(IoPriority::Idle).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    thread.join().unwrap();
    assert_eq!(kernels_io_priority(0), before);
    // Before the closure begins.
    let thread = Builder::new()
        .before_start(|| rawthread::set_io_priority(IoPriority::Idle))
        .try_spawn(|| kernels_io_priority(0))
        .unwrap();
    assert_eq!(thread.join().unwrap(), 3 << 13);
}
