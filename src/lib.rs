//! Threads and processes for Linux, created by the `clone(2)` and `clone3(2)` system calls.
//!
//! The crate root has the names of `std::thread`: [`spawn`], [`scope`], [`Builder`], [`JoinHandle`],
//! [`park`] and the rest, so that `use rawthread as thread;` compiles code written for std. Beyond
//! std, a [`Builder`] sets what is in force before the closure begins, joins have time limits,
//! [`JoinSet`] joins threads as they end, [`warm`] is a thread pool, and an [`Error`] names the limit
//! that kept a thread from being created.
//!
//! ```
//! # #[cfg(feature = "std")] {
//! use rawthread as thread;
//!
//! let worker = thread::Builder::new().name("worker".into()).spawn(|| 6 * 7)?;
//! assert_eq!(worker.join().unwrap(), 42);
//! # }
//! # Ok::<(), rawthread::Error>(())
//! ```
//!
//! [`process`] creates child processes by the same system calls; [`flags`] describes each clone flag
//! and predicts what the kernel refuses. [`sync`] has the locks of `std::sync` for programs without
//! std.
//!
//! `guide`, in the documentation of builds with `std`, explains threads and processes from the start.
//!
//! # What `std::thread` does not have
//!
//! | for | there is | who else has it |
//! |---|---|---|
//! | a thread that is refused | [`Error`]: the limit, its value, the errno; [`Builder::try_spawn`], [`try_spawn_scoped`](Builder::try_spawn_scoped), [`try_spawn_unchecked`](Builder::try_spawn_unchecked), [`try_available_parallelism`]; [`retry`](Builder::retry) | pthreads: the errno |
//! | a thread before it begins | [`Builder::affinity`], [`scheduling`](Builder::scheduling), [`signal_mask`](Builder::signal_mask) | pthreads |
//! | | `Builder::before_start`: a step of the program's own, whose failure is the spawn's | |
//! | | [`private_cwd`](Builder::private_cwd), [`private_fds`](Builder::private_fds), [`cgroup`](Builder::cgroup) | |
//! | | [`stack`](Builder::stack), [`guard_size`](Builder::guard_size), [`name_str`](Builder::name_str) | pthreads |
//! | waiting for a thread | [`try_join`](JoinHandle::try_join), [`join_timeout`](JoinHandle::join_timeout), `join_deadline`, [`join_reaped`](JoinHandle::join_reaped) | pthreads, but for the last |
//! | | `handle.await`: [`JoinFuture`] | |
//! | waiting for any of many | [`JoinSet`]: [`spawn_with`](JoinSet::spawn_with), [`join_next`](JoinSet::join_next), [`try_join_next`](JoinSet::try_join_next), `join_all`, `try_join_all`, [`poll_join_next`](JoinSet::poll_join_next) | |
//! | a thread that runs, by its handle, scoped or not | [`tid`](JoinHandle::tid), [`signal`](JoinHandle::signal), [`cpu_time`](JoinHandle::cpu_time) | pthreads, but for the tid |
//! | | [`open_pidfd`](JoinHandle::open_pidfd), `pidfd`, [`stack`](JoinHandle::stack) | pthreads: the stack's bounds |
//! | | [`affinity`](JoinHandle::affinity), [`set_affinity`](JoinHandle::set_affinity), [`scheduling`](JoinHandle::scheduling), [`set_scheduling`](JoinHandle::set_scheduling) | pthreads, but for [`Scheduling`]'s slice and clamps |
//! | | [`io_priority`](JoinHandle::io_priority), [`set_io_priority`](JoinHandle::set_io_priority) | |
//! | the calling thread | [`affinity`](fn@affinity), [`set_affinity`], [`scheduling`](fn@scheduling), [`set_scheduling`], [`io_priority`](fn@io_priority), [`set_io_priority`], [`stack_usage`] | in part |
//! | many short threads | [`warm`]: [`spawn`](fn@warm::spawn), [`try_spawn`](fn@warm::try_spawn), [`Builder`](warm::Builder), [`scope`](fn@warm::scope), [`spawn_unverified`](warm::spawn_unverified), [`try_spawn_unverified`](warm::try_spawn_unverified), [`set_idle_time`](warm::set_idle_time) | rayon: a pool for computations |
//! | memory | [`reserve`](fn@reserve), [`trim`], [`set_idle_memory`] | |
//! | all threads | [`threads`], and [`dump`](fn@dump) for a process that hangs | |
//! | what follows a spawn | `add_spawn_hook`, [`Builder::no_hooks`] | std on nightly, as `sleep_until` |
//! | real-time threads | [`sync::PiMutex`], with priority inheritance | pthreads |
//! | thread-locals | [`local!`], also without std; destructors have run when a scope ends | |
//! | the C library | `host`, `serve_by_libc`, `allow_partial_support` | |
//! | a program's output within a time | `process::Command::output_timeout`, `process::TimeLimit`, `process::Output::{timed_out, usage}` | |
//!
//! # When to use it
//!
//! For programs that create many threads, that must handle a refused thread, that need a thread's
//! affinity, scheduling or signal mask set before it runs, or that have no std. For a few threads
//! that live as long as the program, [`std::thread`](https://doc.rust-lang.org/std/thread/) is the
//! better choice: it is portable, and its `unsafe` code has many more users.
//!
//! Beside others:
//!
//! | | what it does | beside this crate |
//! |---|---|---|
//! | `std::thread` | pthreads, on every platform | has no settings before the start, no joins with a time limit, and does not name limits; makes 17 system calls for a spawn and its join, where this crate makes 6. std's own names, panic messages and test capture know its threads |
//! | `nix::sched::clone` | calls libc's `clone` with a stack of the caller's | unsafe; makes processes, and no threads that can use libc: a child with `CLONE_VM` runs on its caller's thread-locals. [`process::Builder`] makes children of the same flags, with a stack and, if asked for, thread-locals of their own |
//! | rayon | splits computations on a fixed pool | another tool: many small computations on data. Its pool can run on threads of this crate (`spawn_handler`) |
//! | tokio | runs many waiting tasks on few threads | another tool: waiting for sockets. A thread's or child's end can be awaited (chapter 8 of the guide) |
//!
//! # Platforms
//!
//! | | supported | how tested |
//! |---|---|---|
//! | x86-64 | Linux, 64-bit | every test, on Linux 6.18; emulated Linux 6.1 and 6.12 |
//! | AArch64 | Linux, 64-bit | under qemu-user, and in an emulated kernel |
//! | any other | does not compile | |
//!
//! The oldest kernel on which tests run is 6.1. Where a kernel lacks a newer call, or a
//! sandbox refuses it, the crate uses the older one: `clone` without `clone3` (Linux 5.3), `mprotect`
//! without `MADV_GUARD_INSTALL` (6.13). A method that has no older way is an error there, such as
//! [`JoinHandle::open_pidfd`] before 6.9.
//!
//! A program has one of two runtimes:
//!
//! * With a C library (feature `hosted`, part of `std`). The library lays out each thread control
//!   block, so `malloc`, `errno`, thread-locals, `fork`, `dlopen` and the like work in every
//!   thread. `host()` says which library was found and how well it is supported:
//!
//!   | C library | level | what is lost |
//!   |---|---|---|
//!   | glibc 2.17 to 2.44, dynamic and static | `Support::Full`: raw clones | nothing |
//!   | newer glibc, musl, any other; under a sanitizer or valgrind | `Support::Libc`: threads of the library's own | the speed: a thread costs what the library's costs, and [`warm`] has a new thread for each task |
//!   | any, by `unsafe` `allow_partial_support()` where it would be `Libc` | `Support::Partial`: raw clones | `setuid` and `pthread_kill` do not reach them, although they report success; on musl their robust mutexes stay locked |
//!
//!   `docs/libcs.md` lists distributions, and which of them ran the tests.
//! * Without one: the crate lays out the control blocks itself. The feature `start` brings the
//!   program's entry. In a process that a C library started, [`spawn`] then returns an error.
//!
//! # Features
//!
//! Features add items and change none: a library that uses the crate with few features compiles in
//! a program that enables more. With `std`, an item that bears the name of one of `std::thread` has
//! std's type: `Builder::{spawn, spawn_scoped, spawn_unchecked}` and `available_parallelism` return an
//! `io::Result`. What works in every build has a name of its own, and returns an [`Error`]:
//!
//! | with `std` | in every build |
//! |---|---|
//! | `Builder::spawn`, `spawn_scoped`, `spawn_unchecked`; the first two of `warm::Builder` | [`Builder::try_spawn`], [`try_spawn_scoped`](Builder::try_spawn_scoped), [`try_spawn_unchecked`](Builder::try_spawn_unchecked) |
//! | `available_parallelism` | [`try_available_parallelism`] |
//! | `Builder::name(String)` (also with `alloc`) | [`Builder::name_str`] |
//! | `JoinHandle::pidfd`, an `OwnedFd` | [`JoinHandle::open_pidfd`], a [`Pidfd`] |
//!
//! There is one exception. The error of a join, in [`Result`], is the payload of the panic,
//! `Box<dyn Any + Send>`, with `std`, and [`Panicked`] without. With std it must be
//! `std::thread::Result`, or code written for std would not compile. Without, it cannot be: a `Box`
//! needs `alloc`, and a program that links `alloc` and has no allocator is refused by the compiler
//! ("no global memory allocator found but one is required"). Code that does not name the type of
//! that error compiles in both.
//!
//! `start` and `panic-thread` are for programs without a C library and exclude `hosted`; only such
//! programs have the module `runtime`, which is for the program itself: a library that names it does not
//! compile beside `hosted`. A library enables no runtime; the program enables `std`, `hosted` or
//! `start`, without which every spawn is `Unsupported`. Where a feature changes a limit and no type, the item says so:
//! names have at most 63 bytes without `alloc`. The examples are written for `std`.
//!
//! | feature | brings |
//! |---|---|
//! | `std` (default) | `hosted` and `alloc`; `Builder::spawn` and what else returns an `io::Result`, panics to the joiner, conversions to and from std's types |
//! | `hosted` | threads in a program that links a C library; `diagnosis` |
//! | `diagnosis` | errors name the limit that was met |
//! | `alloc` | `Builder::name`, names of any length, `Builder::before_start`, `add_spawn_hook`, `JoinSet::join_all`, `process::Command` |
//! | `lock_api` | `sync::{RawMutex, RawRwLock, RawPiMutex}` for version 0.4 of the crate of that name |
//! | `start` | without libc: the program's start (`entry!`, `start`) |
//! | `panic-thread` | without libc: a panic ends its thread and no other |
//!
//! An item that needs a feature says so. The documentation of a build without `hosted` shows what
//! only programs without a C library have.
//!
//! # Minimum Rust version
//!
//! Rust 1.88, on stable. Only a new minor version of the crate requires a newer Rust, and the
//! changelog says so. It is never newer than the stable Rust of six months before.
//!
//! # Stability
//!
//! Versions are those of Semantic Versioning. Before 1.0 a minor version may change or remove an item,
//! and the changelog lists each one; a patch version does neither. `docs/api.txt` lists the public
//! items, and a check compares them. What errors, `Debug` and [`flags`] say as text may change at any
//! time.
//!
//! # What is refused
//!
//! No function of the safe API aborts because a limit was met: [`Builder::try_spawn`],
//! `Command::spawn` and their kin return an [`Error`], with the limit's name and value where
//! `diagnosis` is enabled; `Builder::spawn` returns an `io::Error` that holds it.
//! [`spawn`] panics where they return an error, as std's does. Where Rust's allocator itself has nothing
//! left, the cases that README lists under "Limits" end the process, as allocations of Rust's do.
//! `Unsupported` is the error
//! of what the process cannot have: threads with a C library that does not run a thread on the stack
//! that it was given, stacks of the caller's own that the C library cannot be made to report, threads
//! without a C library before the main thread is initialized. A thread of this crate must not be
//! passed to `pthread_exit`, `pthread_cancel`, `pthread_detach` or `pthread_join`.
//!
//! # Unsafe code
//!
//! The safe API is sound in every feature set. Functions that trust their caller are `unsafe` and
//! say in `# Safety` what the caller must ensure; for example [`Builder::try_spawn_unchecked`] trusts
//! that what the closure borrows outlives the thread, and `Builder::stack` that the memory does.
//!
//! | unsafe function | trusts the caller that |
//! |---|---|
//! | `Builder::spawn_unchecked` | what the closure borrows outlives the thread |
//! | `Builder::stack` | the memory is the thread's alone until it has ended |
//! | `Builder::private_fds` | no descriptor crosses between the tables |
//! | `process::fork`, `process::Builder::spawn` and its kin | the child does only what a copy of a process, or a task in its caller's memory, may do |
//! | `process::Stdio::borrowed` | the descriptor stays open until the spawn |
//! | `allow_partial_support` | the program changes no ids while threads run |
//! | `start::write_raw`, `runtime::init_main_thread` | (without libc) the descriptor is not owned elsewhere; it is called once, at the start |
//!
//! Inside, `unsafe` is what the crate is for:
//!
//! | where | what | why |
//! |---|---|---|
//! | `sys` | system calls, and all assembly | no safe interface makes a task on a stack of its own |
//! | `arena`, `stack` | mappings; records that are never unmapped | a stack outlives the code that made it, until the kernel has left it |
//! | `runtime` | thread control blocks, thread-locals, the C library's functions | a thread must look to the C library like its own; without one, the crate lays out what the compiler expects |
//! | `thread` | closures and results in the new thread's stack, the protocol of join and detach | a spawn allocates nothing |
//! | `process` | children in memory that is shared or copied, `execve` | they must not allocate, lock or unwind |
//! | `sync` | cells behind locks | as in std |
//!
//! `flags`, `error` and `diagnosis` have none. Each block has a note that says why it is sound, and
//! names the invariant that it relies on; `docs/invariants.md` lists these, and `docs/lifecycle.md`
//! follows a thread through the source.

#![no_std]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

/// Tries the snippets of the README.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64"
)))]
compile_error!(
    "rawthread creates threads by Linux's clone system call and knows its ABI on x86_64 and aarch64 (64-bit) only"
);

#[cfg(all(feature = "start", feature = "hosted"))]
compile_error!(
    "the feature `start` is for programs without a C library, the feature `hosted` (which `std` brings) for programs with one: choose"
);

#[cfg(all(feature = "panic-thread", feature = "hosted"))]
compile_error!(
    "the feature `panic-thread` is for programs without a C library; with the feature `std`, panics unwind to the joiner"
);

#[cfg(all(doc, feature = "std"))]
#[doc = include_str!("../docs/guide/rustdoc-links.txt")]
#[doc = include_str!("../docs/guide/README.md")]
pub mod guide;

mod diagnosis;
mod error;
pub mod flags;
#[cfg(all(test, loom))]
mod loom_models;
mod primitive;
pub mod process;
pub mod sync;
mod sys;

mod arena;

#[cfg(not(feature = "hosted"))]
pub mod runtime;
#[cfg(feature = "hosted")]
mod runtime;

mod stack;
mod thread;

pub use error::{Error, ErrorKind, Limit};
#[cfg(all(feature = "start", not(feature = "hosted"), not(test)))]
pub use runtime::freestanding::start;
#[cfg(feature = "hosted")]
pub use runtime::hosted::{
    choice::{allow_partial_support, serve_by_libc},
    host,
    libc_layout::{Host, Support},
};
pub use thread::*;
