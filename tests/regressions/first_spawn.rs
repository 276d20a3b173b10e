//! The first thread of a process, on which libc is probed.

use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::common;

const KEYS: usize = 8;
static RIGHT: AtomicUsize = AtomicUsize::new(0);
static RAN: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn destroy<const N: usize>(value: *mut libc::c_void) {
    RAN.fetch_add(1, Ordering::Relaxed);
    if value as usize == N + 1 {
        RIGHT.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a child does: many threads make the process's first thread of this crate at once, then one
/// checks that each key's value went to its own destructor.
fn examine_from_many_threads() {
    let keys = [
        destroy::<0>,
        destroy::<1>,
        destroy::<2>,
        destroy::<3>,
        destroy::<4>,
        destroy::<5>,
        destroy::<6>,
        destroy::<7>,
    ]
    .map(|destructor: unsafe extern "C" fn(*mut libc::c_void)| {
        let mut key = 0;
        assert_eq!(
            unsafe { libc::pthread_key_create(&mut key, Some(destructor)) },
            0
        );
        key
    });
    let start = Barrier::new(6);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                start.wait();
                rawthread::spawn(|| ()).join().unwrap();
            });
        }
    });
    let set = move || {
        for (index, key) in keys.into_iter().enumerate() {
            unsafe { libc::pthread_setspecific(key, (index + 1) as *const _) };
        }
    };
    rawthread::spawn(set).join().unwrap();
    assert_eq!(RAN.load(Ordering::Relaxed), KEYS);
    assert_eq!(RIGHT.load(Ordering::Relaxed), KEYS);
}

/// Two examinations at once took each other's probes for their own in libc's table of keys, and
/// destructors did not run; one process in twelve.
#[test]
fn first_threads_made_at_once_find_the_destructors_of_keys() {
    const TEST: &str = "first_spawn::first_threads_made_at_once_find_the_destructors_of_keys";
    if common::is_child(TEST) {
        return examine_from_many_threads();
    }
    for round in 0..150 {
        let output = common::rerun_self(TEST).output();
        common::assert_output(&format!("{TEST}, round {round}"), &output.unwrap());
    }
}

/// dlsym(3) in the donor waited for the loader's lock, which is held while constructors run.
///
/// The library is this test program's own shape: a C one whose constructor calls back into the
/// program, as a plugin's does that registers itself.
#[test]
fn the_first_thread_may_be_made_while_a_library_is_being_loaded() {
    const TEST: &str = "first_spawn::the_first_thread_may_be_made_while_a_library_is_being_loaded";
    const LIBRARY: &str = "RAWTHREAD_PLUGIN";
    if let Some(library) = std::env::var_os(LIBRARY) {
        // A deadlock ends by SIGALRM.
        common::watchdog(30);
        let path = std::ffi::CString::new(library.into_encoded_bytes()).unwrap();
        static MADE: AtomicUsize = AtomicUsize::new(0);
        extern "C" fn register() {
            rawthread::spawn(|| ()).join().unwrap();
            MADE.fetch_add(1, Ordering::Relaxed);
        }
        let callback = format!("{}", register as *const () as usize);
        // SAFETY: this process has one thread that reads its environment.
        unsafe { std::env::set_var("RAWTHREAD_CALLBACK", callback) };
        assert!(!unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) }.is_null());
        assert_eq!(MADE.load(Ordering::Relaxed), 1);
        return;
    }
    if cfg!(target_feature = "crt-static") {
        println!("SKIP: a static program loads no libraries");
        return;
    }
    let folder = std::env::temp_dir().join(format!("rawthread-plugin-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (source, library) = (folder.join("plugin.c"), folder.join("plugin.so"));
    std::fs::write(
        &source,
        "#include <stdlib.h>\n\
         __attribute__((constructor)) static void init(void) {\n\
         ((void (*)(void))strtoul(getenv(\"RAWTHREAD_CALLBACK\"), 0, 10))();\n}\n",
    )
    .unwrap();
    let built = Command::new(common::CC)
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    if built.is_ok_and(|status| status.success()) {
        let output = common::rerun_self(TEST).env(LIBRARY, &library).output();
        common::assert_output(TEST, &output.unwrap());
    } else {
        println!("SKIP: no C compiler");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

fn tasks() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// The thread that examines libc has all signals blocked, and then runs the process's first closure.
#[test]
fn the_first_thread_has_its_spawners_signal_mask() {
    if !common::in_subprocess("first_spawn::the_first_thread_has_its_spawners_signal_mask") {
        return;
    }
    let blocked = || {
        let mut set = unsafe { std::mem::zeroed() };
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set) };
        (1..32)
            .filter(|signal| unsafe { libc::sigismember(&set, *signal) } == 1)
            .collect::<Vec<_>>()
    };
    let mut set = unsafe { std::mem::zeroed() };
    unsafe {
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR1);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
    let before = tasks();
    let (mask, count) = rawthread::spawn(move || (blocked(), tasks()))
        .join()
        .unwrap();
    assert_eq!(mask, [libc::SIGUSR1]);
    assert_eq!(blocked(), [libc::SIGUSR1]);
    assert_eq!(count, before + 1);
}

/// The first thread has a stack of another size than the one on which libc was examined: what waited there
/// to run it leaves, and its stack serves a later thread.
#[test]
fn a_first_thread_with_a_stack_of_its_own_size_leaves_none_behind() {
    if !common::in_subprocess(
        "first_spawn::a_first_thread_with_a_stack_of_its_own_size_leaves_none_behind",
    ) {
        return;
    }
    let before = tasks();
    for size in [64 * 1024, 2 << 20] {
        let builder = rawthread::Builder::new().stack_size(size);
        let count = builder.spawn(tasks).unwrap().join().unwrap();
        assert_eq!(count, before + 1, "{size}");
    }
}
