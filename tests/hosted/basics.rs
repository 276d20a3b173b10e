//! What every C function leans on: errno, malloc, stdio, locale, character classes.

use std::collections::HashSet;
use std::ffi::CStr;

use crate::common::{MUSL, in_subprocess};
use crate::util::{on_raw, told_by_live_threads};

fn errno() -> i32 {
    // SAFETY: the calling thread's errno.
    unsafe { *libc::__errno_location() }
}

fn set_errno(value: i32) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value };
}

#[test]
fn errno_is_each_threads_own_and_starts_at_zero() {
    set_errno(libc::EXDEV);
    // Warm slots come back with the errno of their last thread, unless it is put back.
    for round in 0..50 {
        let threads: Vec<_> = (0..8)
            .map(|index| {
                rawthread::spawn(move || {
                    let first = errno();
                    // SAFETY: a call that fails.
                    let failed = unsafe { libc::close(-1) };
                    let after_failure = errno();
                    set_errno(1000 + index);
                    rawthread::yield_now();
                    (first, failed, after_failure, errno())
                })
            })
            .collect();
        for (index, thread) in threads.into_iter().enumerate() {
            let seen = thread.join().unwrap();
            assert_eq!(
                seen,
                (0, -1, libc::EBADF, 1000 + index as i32),
                "round {round}"
            );
        }
    }
    assert_eq!(errno(), libc::EXDEV);
}

#[test]
fn errno_locations_of_live_threads_differ() {
    // SAFETY: only its address is looked at.
    let places = told_by_live_threads(16, || unsafe { libc::__errno_location() } as usize);
    assert_eq!(places.len(), 16);
}

#[test]
fn memory_is_freed_by_another_thread_than_allocated_it() {
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Vec<u8>>(64);
    let producers: Vec<_> = (0..4u8)
        .map(|index| {
            let sender = sender.clone();
            rawthread::spawn(move || {
                for round in 0..20_000usize {
                    let len = 1 + (round * 37 + usize::from(index) * 101) % 3000;
                    sender.send(vec![index ^ round as u8; len]).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let consumer = rawthread::spawn(move || {
        receiver
            .into_iter()
            .inspect(|block| assert!(block.iter().all(|byte| *byte == block[0])))
            .count()
    });
    for producer in producers {
        producer.join().unwrap();
    }
    assert_eq!(consumer.join().unwrap(), 80_000);
}

#[test]
fn lines_of_stdio_are_whole() {
    let path = std::env::temp_dir().join(format!("rawthread-stdio-{}", std::process::id()));
    let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: plain stdio on a file of this test's.
    let file = unsafe { libc::fopen(name.as_ptr(), c"w".as_ptr()) };
    assert!(!file.is_null());
    let file = crate::util::Shared(file);
    let threads: Vec<_> = (0..8)
        .map(|index| {
            rawthread::spawn(move || {
                for round in 0..500 {
                    // SAFETY: the stream is open until all threads are joined; it locks itself.
                    unsafe {
                        let format = c"%d %d %s\n".as_ptr();
                        libc::fprintf(file.get(), format, index, round, c"to the end".as_ptr());
                    }
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    // SAFETY: no code uses it any more.
    unsafe { libc::fclose(file.get()) };
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let lines: HashSet<_> = text.lines().collect();
    let expected = (0..8).flat_map(|index| (0..500).map(move |round| (index, round)));
    assert_eq!(lines.len(), 4000);
    for (index, round) in expected {
        assert!(lines.contains(&*format!("{index} {round} to the end")));
    }
}

unsafe extern "C" {
    fn __ctype_b_loc() -> *const *const u16;
}

/// The character-class table in force on the calling thread.
fn ctype_table() -> usize {
    // SAFETY: glibc keeps the pointer valid while the thread lives.
    unsafe { *__ctype_b_loc() as usize }
}

#[test]
fn a_locale_of_one_thread_is_not_the_next_ones() {
    let plain = on_raw(ctype_table);
    for _ in 0..20 {
        let (was, now) = on_raw(|| {
            // SAFETY: a locale of this thread's; never freed, so no thread can be left with it.
            unsafe {
                let locale = libc::newlocale(
                    libc::LC_CTYPE_MASK,
                    c"C.UTF-8".as_ptr(),
                    std::ptr::null_mut(),
                );
                assert!(!locale.is_null());
                crate::common::keep(locale);
                let was = libc::uselocale(locale);
                (was as isize, libc::uselocale(std::ptr::null_mut()) as isize)
            }
        });
        assert_eq!(was, -1, "a thread begins with LC_GLOBAL_LOCALE");
        assert_ne!(now, -1);
        assert_eq!(on_raw(ctype_table), plain);
    }
}

#[test]
fn a_thread_sees_the_locale_that_was_set_after_its_tcb_was_made() {
    if !in_subprocess("basics::a_thread_sees_the_locale_that_was_set_after_its_tcb_was_made") {
        return;
    }
    let before = on_raw(ctype_table);
    // SAFETY: no other thread uses locales here.
    let set = unsafe { libc::setlocale(libc::LC_ALL, c"C.UTF-8".as_ptr()) };
    assert!(!set.is_null());
    let pthread = std::thread::spawn(ctype_table).join().unwrap();
    if before == pthread {
        println!("SKIP: C and C.UTF-8 share their tables here");
    }
    for _ in 0..3 {
        assert_eq!(on_raw(ctype_table), pthread);
    }
}

#[test]
fn character_classes_and_numbers() {
    for _ in 0..20 {
        on_raw(|| {
            // SAFETY: pure functions on constants.
            unsafe {
                assert!(libc::isalpha(i32::from(b'q')) != 0 && libc::isalpha(i32::from(b'7')) == 0);
                assert_eq!(libc::toupper(i32::from(b'q')), i32::from(b'Q'));
                let mut end = std::ptr::null_mut();
                let text = c"2.5e3 rest";
                assert_eq!(libc::strtod(text.as_ptr(), &mut end), 2500.0);
                assert_eq!(end.cast_const(), text.as_ptr().add(5));
                libc::strtod(c"1e999".as_ptr(), &mut end);
                assert_eq!(errno(), libc::ERANGE);
            }
        });
    }
}

#[test]
fn strerror_speaks_on_every_thread() {
    for _ in 0..20 {
        on_raw(|| {
            // SAFETY: the text stays until this thread's next call.
            let known = unsafe { CStr::from_ptr(libc::strerror(libc::ENOENT)) };
            assert_eq!(known.to_str().unwrap(), "No such file or directory");
            // An unknown number is written to a buffer of the thread's; musl has one text for all.
            // SAFETY: as above.
            let unknown = unsafe { CStr::from_ptr(libc::strerror(12_345)) };
            let expected = if MUSL {
                "No error information"
            } else {
                "12345"
            };
            assert!(unknown.to_str().unwrap().contains(expected));
        });
    }
}
