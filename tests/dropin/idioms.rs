// Included twice: `thread` is `std::thread` or `rawthread`.

use std::cell::Cell;
use std::io;
use std::os::unix::thread::JoinHandleExt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc;
use std::time::Duration;

#[derive(Debug)]
enum MyError {
    Io(io::Error),
}

impl MyError {
    fn kind(&self) -> io::ErrorKind {
        let Self::Io(error) = self;
        error.kind()
    }
}

impl From<io::Error> for MyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A library's own abstraction over what makes threads.
trait Spawner {
    fn start(&self, name: &str) -> io::Result<thread::JoinHandle<usize>>;
}

struct Plain;

impl Spawner for Plain {
    fn start(&self, name: &str) -> io::Result<thread::JoinHandle<usize>> {
        let len = name.len();
        thread::Builder::new()
            .name(name.into())
            .spawn(move || len)
    }
}

fn by_question_mark() -> Result<usize, MyError> {
    let handle = thread::Builder::new().spawn(|| 1)?;
    Ok(handle.join().unwrap())
}

fn by_map_err() -> Result<thread::JoinHandle<u8>, MyError> {
    thread::Builder::new().spawn(|| 2).map_err(MyError::Io)
}

#[test]
fn errors_are_io_errors() {
    assert_eq!(by_question_mark().map_err(|error| error.kind()).unwrap(), 1);
    assert_eq!(by_map_err().unwrap().join().unwrap(), 2);
    assert_eq!(Plain.start("abc").unwrap().join().unwrap(), 3);
    let dynamic: Box<dyn Spawner> = Box::new(Plain);
    assert_eq!(dynamic.start("abcd").unwrap().join().unwrap(), 4);
    let boxed = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        thread::Builder::new().spawn(|| ())?.join().unwrap();
        Ok(())
    };
    boxed().unwrap();
}

#[test]
fn handles_collect_into_a_result() {
    let handles = (0..4)
        .map(|n| thread::Builder::new().name(format!("n{n}")).spawn(move || n))
        .collect::<io::Result<Vec<_>>>()
        .unwrap();
    let sum: i32 = handles
        .into_iter()
        .map(|handle| handle.join().unwrap())
        .sum();
    assert_eq!(sum, 6);
}

#[test]
fn a_closure_over_the_error_names_its_type() {
    let describe = |error: io::Error| format!("{:?}: {error}", error.kind());
    let spawned = thread::Builder::new().spawn(|| ()).map_err(describe);
    spawned.unwrap().join().unwrap();
}

/// Address space for no further stack: std's error is EAGAIN of `pthread_create(3)`.
#[test]
fn a_limit_on_memory_would_block() {
    const TEST: &str = concat!(module_path!(), "::a_limit_on_memory_would_block");
    let test = TEST.split_once("::").unwrap().1;
    if std::env::var_os("RAWTHREAD_TEST_LIMITED").is_none() {
        let mut command = crate::common::rerun_self(test);
        command.env("RAWTHREAD_TEST_LIMITED", "1");
        crate::common::assert_output(test, &command.output().unwrap());
        return;
    }
    let large = || thread::Builder::new().stack_size(1 << 30);
    large().spawn(|| ()).unwrap().join().unwrap();
    let limit = libc::rlimit {
        rlim_cur: 512 << 20,
        rlim_max: 512 << 20,
    };
    // SAFETY: reads one structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let error = thread::Builder::new()
        .stack_size(3 << 30)
        .spawn(|| ())
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
    assert!(matches!(
        thread::Builder::new().stack_size(3 << 30).spawn(|| ()),
        Err(ref error) if error.kind() == io::ErrorKind::WouldBlock
    ));
}

fn join_all<T>(handles: Vec<thread::JoinHandle<T>>) -> Vec<thread::Result<T>> {
    handles.into_iter().map(thread::JoinHandle::join).collect()
}

#[test]
fn results_are_std_thread_results() {
    let handles = vec![
        thread::spawn(|| 1),
        thread::spawn(|| panic::resume_unwind(Box::new("two"))),
    ];
    let results = join_all(handles);
    let first: &std::thread::Result<i32> = &results[0];
    assert_eq!(*first.as_ref().unwrap(), 1);
    let payload = results[1].as_ref().unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"two"));
    let result: thread::Result<i32> = panic::catch_unwind(|| 3);
    assert_eq!(result.unwrap(), 3);
}

#[test]
fn scopes_parking_and_locals() {
    thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
    fn bump(key: &'static thread::LocalKey<Cell<u32>>) -> Result<u32, thread::AccessError> {
        key.try_with(|count| {
            count.set(count.get() + 1);
            count.get()
        })
    }
    let mut numbers = [1, 2, 3];
    let sum = thread::scope(|scope: &thread::Scope<'_, '_>| {
        let handles: io::Result<Vec<thread::ScopedJoinHandle<'_, ()>>> = numbers
            .iter_mut()
            .map(|number| {
                let name = format!("scoped {number}");
                thread::Builder::new()
                    .name(name)
                    .stack_size(128 << 10)
                    .spawn_scoped(scope, || *number *= 2)
            })
            .collect();
        for handle in handles.unwrap() {
            handle.join().unwrap();
        }
        bump(&COUNT).unwrap() + scope.spawn(|| bump(&COUNT).unwrap()).join().unwrap()
    });
    assert_eq!((numbers, sum), ([2, 4, 6], 2));
    let (sender, receiver) = mpsc::channel::<thread::Thread>();
    let parked = thread::spawn(move || {
        sender.send(thread::current()).unwrap();
        thread::park();
        thread::park_timeout(Duration::ZERO);
        thread::yield_now();
        thread::sleep(Duration::ZERO);
    });
    let other: thread::Thread = receiver.recv().unwrap();
    let id: thread::ThreadId = other.id();
    assert_eq!(id, parked.thread().id());
    other.unpark();
    parked.join().unwrap();
    assert!(thread::available_parallelism().is_ok_and(|count| count.get() > 0));
    assert!(!thread::panicking());
}

#[test]
fn a_thread_that_joins_itself_panics() {
    let (sender, receiver) = mpsc::channel::<thread::JoinHandle<()>>();
    let (report, reported) = mpsc::channel();
    sender
        .send(thread::spawn(move || {
            let own = receiver.recv().unwrap();
            let payload = panic::catch_unwind(AssertUnwindSafe(|| own.join())).unwrap_err();
            let text = payload.downcast_ref::<String>().cloned();
            report.send(text.unwrap_or_default()).unwrap();
        }))
        .unwrap();
    let text = reported.recv().unwrap();
    let expected = format!(
        "failed to join thread: {}",
        io::Error::from_raw_os_error(libc::EDEADLK)
    );
    assert_eq!(text, expected);
}

#[test]
fn a_pthread_t_works_with_libc() {
    let (sender, receiver) = mpsc::channel::<()>();
    let handle = thread::spawn(move || {
        let _ = receiver.recv();
        // SAFETY: always succeeds.
        (unsafe { libc::pthread_self() } as usize, unsafe { libc::gettid() })
    });
    let pthread = handle.as_pthread_t() as libc::pthread_t;
    let mut clock = 0;
    let mut name = [0; 16];
    // SAFETY: the handle was neither joined nor given up.
    unsafe {
        assert_eq!(libc::pthread_kill(pthread, 0), 0);
        assert_eq!(libc::pthread_setname_np(pthread, c"dropin".as_ptr()), 0);
        let len = name.len();
        assert_eq!(libc::pthread_getname_np(pthread, name.as_mut_ptr(), len), 0);
        assert_eq!(std::ffi::CStr::from_ptr(name.as_ptr()), c"dropin");
        assert_eq!(libc::pthread_getcpuclockid(pthread, &mut clock), 0);
        let mut time = std::mem::zeroed();
        assert_eq!(libc::clock_gettime(clock, &mut time), 0);
        let mut cpus: libc::cpu_set_t = std::mem::zeroed();
        let size = size_of_val(&cpus);
        assert_eq!(libc::pthread_getaffinity_np(pthread, size, &mut cpus), 0);
        assert!(libc::CPU_COUNT(&cpus) > 0);
    }
    sender.send(()).unwrap();
    let (own, tid) = loop {
        // An ended thread is known until it is joined.
        if handle.is_finished() {
            // SAFETY: as above.
            let sent = unsafe { libc::pthread_kill(pthread, 0) };
            assert!([0, libc::ESRCH].contains(&sent));
            break handle.join().unwrap();
        }
        thread::yield_now();
    };
    assert_eq!(own, pthread as usize);
    assert!(tid > 0);
}

#[test]
fn a_pthread_t_outlives_its_handle() {
    let (sender, receiver) = mpsc::channel::<()>();
    let (done, ended) = mpsc::channel::<()>();
    let handle = thread::spawn(move || {
        let _done = done;
        let _ = receiver.recv();
    });
    let pthread = handle.into_pthread_t() as libc::pthread_t;
    // SAFETY: the thread was neither joined nor detached.
    assert_eq!(unsafe { libc::pthread_kill(pthread, 0) }, 0);
    sender.send(()).unwrap();
    assert!(ended.recv().is_err());
    for _ in 0..20 {
        thread::spawn(|| ()).join().unwrap();
    }
    // SAFETY: as above.
    let sent = unsafe { libc::pthread_kill(pthread, 0) };
    assert!([0, libc::ESRCH].contains(&sent));
}
