//! Libraries with thread-locals of both models, loaded while slots with TCBs are in use and idle.

use std::sync::{Arc, Barrier};

use crate::common::{Directory, MUSL, in_subprocess};
use crate::util::{Library, library, on_raw};

const SOURCE: &str = r#"
#include <string.h>
__thread int number MODEL = 1234;
__thread char zeros[64] MODEL;
static int target;
/* Not known before the library is loaded: its image is relocated. */
__thread int *volatile pointer MODEL = &target;
/* What a thread finds: 1234, a good pointer and zeros, or it is not fresh. */
int take(void) {
    int was = number, sum = pointer == &target ? 0 : 10000;
    for (int i = 0; i < 64; i++) sum += zeros[i];
    number = 4321;
    memset(zeros, 1, sizeof zeros);
    return was + sum;
}
"#;

type Take = extern "C" fn() -> i32;

/// `descriptors` is not a model, but one way to have "global-dynamic": by TLS descriptors, which
/// glibc makes static while there is space.
fn with_tls(dir: &Directory, model: &str) -> Option<(Library, Take)> {
    if MUSL && model == "initial-exec" {
        println!("SKIP: musl loads no library of the initial-exec model");
        return None;
    }
    let by = match model {
        "descriptors" => "global-dynamic",
        model => model,
    };
    let define = format!("-DMODEL=__attribute__((tls_model(\"{by}\")))");
    let dialect = match model {
        "descriptors" if cfg!(target_arch = "x86_64") => "-mtls-dialect=gnu2",
        _ => "-O1",
    };
    let library = library(dir, model, SOURCE, &[&define, dialect])?;
    // SAFETY: its type in SOURCE.
    let take = unsafe { library.function("take") };
    Some((library, take))
}

/// The same for every thread: those alive at the load, those idle, those of later.
fn serves_all(model: &str) {
    let dir = Directory::new(model);
    // Idle slots with TCBs.
    let burst: Vec<_> = (0..16)
        .map(|_| rawthread::spawn(rawthread::yield_now))
        .collect();
    burst.into_iter().for_each(|thread| thread.join().unwrap());
    for round in 0..5 {
        let gate = Arc::new(Barrier::new(9));
        let (send, receive) = std::sync::mpsc::channel::<Take>();
        let receive = Arc::new(std::sync::Mutex::new(receive));
        let live: Vec<_> = (0..8)
            .map(|_| {
                let (gate, receive) = (gate.clone(), receive.clone());
                rawthread::spawn(move || {
                    gate.wait();
                    let take = receive.lock().unwrap().recv().unwrap();
                    (take(), take())
                })
            })
            .collect();
        // All live, none has used the library.
        gate.wait();
        let Some((library, take)) = with_tls(&dir, model) else {
            (0..8).for_each(|_| send.send(none).unwrap());
            return;
        };
        (0..8).for_each(|_| send.send(take).unwrap());
        for thread in live {
            assert_eq!(
                thread.join().unwrap(),
                (1234, 4321 + 64),
                "live, round {round}"
            );
        }
        // Idle at the load, and first used by one of those: fresh for each all the same.
        for _ in 0..40 {
            assert_eq!(
                on_raw(move || (take(), take())),
                (1234, 4321 + 64),
                "round {round}"
            );
        }
        assert_eq!(std::thread::spawn(take_of(take)).join().unwrap(), 1234);
        // Closed while slots whose threads used it are idle; the next round opens it anew.
        drop(library);
        on_raw(|| ());
    }
}

extern "C" fn none() -> i32 {
    0
}

#[test]
fn initial_exec() {
    if in_subprocess("dlopen::initial_exec") {
        serves_all("initial-exec");
    }
}

#[test]
fn global_dynamic() {
    if in_subprocess("dlopen::global_dynamic") {
        serves_all("global-dynamic");
    }
}

#[test]
fn descriptors() {
    if in_subprocess("dlopen::descriptors") {
        serves_all("descriptors");
    }
}

const WITH_DESTRUCTOR: &str = r#"
__attribute__((visibility("hidden"))) extern void *__dso_handle;
extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
__thread int number __attribute__((tls_model("initial-exec"))) = 1234;
static int seen;
static void look(void *added) { seen = number + *(int *)added; }
static int one = 1;
/* What the thread finds. Its destructor sees what it leaves, and one more. */
int leave(int left) {
    int was = number;
    number = left;
    __cxa_thread_atexit_impl(look, &one, &__dso_handle);
    return was;
}
int last_seen(void) { return __atomic_load_n(&seen, __ATOMIC_ACQUIRE); }
"#;

#[test]
fn destructors_see_what_their_thread_left() {
    if cfg!(target_env = "musl") {
        println!("SKIP: musl has no thread-local destructors");
        return;
    }
    if !in_subprocess("dlopen::destructors_see_what_their_thread_left") {
        return;
    }
    on_raw(|| ());
    let dir = Directory::new("destructor");
    let Some(library) = library(&dir, "destructor", WITH_DESTRUCTOR, &[]) else {
        return;
    };
    // SAFETY: their types in the source.
    let (leave, last_seen) = unsafe {
        (
            library.function::<extern "C" fn(i32) -> i32>("leave"),
            library.function::<extern "C" fn() -> i32>("last_seen"),
        )
    };
    for left in 0..40 {
        assert_eq!(on_raw(move || leave(left)), 1234, "{left}");
        assert_eq!(last_seen(), left + 1);
    }
}

#[test]
fn a_raw_thread_opens_and_another_closes() {
    if !in_subprocess("dlopen::a_raw_thread_opens_and_another_closes") {
        return;
    }
    for _ in 0..20 {
        let dir = Directory::new("opens");
        let opened = on_raw(move || with_tls(&dir, "global-dynamic"));
        let Some((library, take)) = opened else {
            return;
        };
        assert_eq!(on_raw(take_of(take)), 1234);
        on_raw(move || drop(library));
    }
}

fn take_of(take: Take) -> impl FnOnce() -> i32 + Send {
    move || take()
}

#[test]
fn libraries_come_and_go_while_threads_start_and_end() {
    if !in_subprocess("dlopen::libraries_come_and_go_while_threads_start_and_end") {
        return;
    }
    let dir = Directory::new("churn");
    // Built once, opened often.
    let models = ["initial-exec", "global-dynamic", "descriptors"];
    let models = &models[usize::from(MUSL)..];
    for model in models {
        if with_tls(&dir, model).is_none() {
            return;
        }
    }
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let spawner = {
        let stop = stop.clone();
        rawthread::spawn(move || {
            let mut count = 0u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                rawthread::spawn(|| assert_eq!(vec![1u8; 100].len(), 100))
                    .join()
                    .unwrap();
                count += 1;
            }
            count
        })
    };
    for _ in 0..300 {
        for model in models {
            let library = Library::open(&dir.path().join(format!("{model}.so")));
            // SAFETY: its type in SOURCE.
            let take: Take = unsafe { library.function("take") };
            let seen = on_raw(take_of(take));
            assert_eq!(seen, 1234, "{model}");
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(spawner.join().unwrap() > 0);
}
