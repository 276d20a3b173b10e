use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rawthread::Builder;

#[test]
fn a_private_cwd_and_umask_are_the_threads_own() {
    let before = std::env::current_dir().unwrap();
    let old_mask = unsafe { libc::umask(0o022) };
    let thread = Builder::new()
        .private_cwd()
        .spawn(|| {
            std::env::set_current_dir("/").unwrap();
            unsafe { libc::umask(0o077) };
            std::env::current_dir().unwrap()
        })
        .unwrap();
    assert_eq!(thread.join().unwrap(), std::path::Path::new("/"));
    assert_eq!(std::env::current_dir().unwrap(), before);
    assert_eq!(unsafe { libc::umask(old_mask) }, 0o022);
}

#[test]
fn a_plain_thread_shares_the_umask() {
    // In a process of its own: other tests make files.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        rawthread::spawn(|| unsafe { libc::umask(0o027) })
            .join()
            .unwrap();
        unsafe { libc::_exit(i32::from(libc::umask(0) != 0o027)) };
    }
    let mut status = 0;
    unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(status, 0);
}

fn is_open(number: i32) -> bool {
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

#[test]
fn descriptors_opened_after_the_clone_stay_on_their_side() {
    let builder = Builder::new();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    // SAFETY: numbers cross, never owners; what the thread opens it closes.
    let thread = unsafe { builder.private_fds() }
        .spawn(move || {
            wait.recv().unwrap();
            let own = std::fs::File::open("/dev/null").unwrap();
            (0..2000).filter(|number| is_open(*number)).count() + usize::from(own.as_raw_fd() < 0)
        })
        .unwrap();
    let later: Vec<_> = (0..20)
        .map(|_| std::fs::File::open("/dev/null").unwrap())
        .collect();
    let mine = (0..2000).filter(|number| is_open(*number)).count();
    go.send(()).unwrap();
    let theirs = thread.join().unwrap();
    assert!(theirs <= mine - later.len() + 1 + 8, "{theirs} {mine}");
}

#[test]
fn closing_in_the_thread_leaves_the_spawners_copy_open() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let number = file.as_raw_fd();
    let builder = Builder::new();
    // SAFETY: the thread closes its own copy by number; the owner stays here.
    let thread = unsafe { builder.private_fds() }
        .spawn(move || {
            unsafe { libc::close(number) };
            is_open(number)
        })
        .unwrap();
    assert!(!thread.join().unwrap());
    assert!(is_open(number));
    // A plain thread shares the table: an owner sent across is closed for all.
    let owned: OwnedFd = file.into();
    rawthread::spawn(move || drop(owned)).join().unwrap();
    // Another test may have taken the number meanwhile, so nothing can be said of it now.
}

#[test]
fn a_socket_made_before_works_on_both_sides() {
    let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let number = there.as_raw_fd();
    let builder = Builder::new();
    // SAFETY: the thread takes its own copy by number; `there` stays the spawner's.
    let thread = unsafe { builder.private_fds() }
        .spawn(move || {
            // SAFETY: the copy that the clone made, which no value owns in this table.
            let mut copy = unsafe { std::os::unix::net::UnixStream::from_raw_fd(number) };
            copy.write_all(b"from the other table").unwrap();
        })
        .unwrap();
    let mut text = [0; 20];
    here.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"from the other table");
    thread.join().unwrap();
    drop(there);
}

#[test]
fn malloc_stdio_and_locals_work_with_everything_private() {
    thread_local!(static LOCAL: std::cell::Cell<u32> = const { std::cell::Cell::new(1) });
    let builder = Builder::new();
    // SAFETY: the file lives and dies inside.
    let thread = unsafe { builder.private_cwd().private_fds() }
        .spawn(|| {
            LOCAL.set(LOCAL.get() + 1);
            let path = std::env::temp_dir().join(format!("rawthread-{}", std::process::id()));
            let mut file = std::fs::File::create_new(&path).unwrap();
            file.write_all(&vec![7; 100_000]).unwrap();
            let length = file.stream_position().unwrap();
            std::fs::remove_file(path).unwrap();
            (LOCAL.get(), length)
        })
        .unwrap();
    assert_eq!(thread.join().unwrap(), (2, 100_000));
}
