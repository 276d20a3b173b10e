//! Sizes that no program means: an error or a thread that works, never a crash or a stall.

use rawthread::{Builder, ErrorKind};

use crate::common;
use crate::util::Holdings;

/// More than an address space of 48 bits has.
const TOO_LARGE: [usize; 8] = [
    usize::MAX,
    usize::MAX - 4095,
    isize::MAX as usize,
    isize::MAX as usize - 65536,
    1 << 62,
    1 << 57,
    1 << 50,
    1 << 48,
];

fn refuse(builder: impl Fn(usize) -> Builder) {
    Builder::new().try_spawn(|| ()).unwrap().join().unwrap();
    let before = Holdings::now();
    for size in TOO_LARGE {
        let error = builder(size).try_spawn(|| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{size:#x}: {error}");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
    // Before it gives up, a spawn unmaps idle stacks: fewer map entries are no leak.
    let after = Holdings::now();
    assert!(
        after.descriptors == before.descriptors && after.maps <= before.maps,
        "{before:?} became {after:?}"
    );
    Builder::new().try_spawn(|| ()).unwrap().join().unwrap();
}

#[test]
fn absurd_stacks_are_refused() {
    if common::in_subprocess("sizes::absurd_stacks_are_refused") {
        refuse(|size| Builder::new().stack_size(size));
    }
}

#[test]
fn absurd_guards_are_refused() {
    if common::in_subprocess("sizes::absurd_guards_are_refused") {
        refuse(|size| Builder::new().guard_size(size));
    }
}

#[test]
fn absurd_stacks_are_refused_to_the_first_thread_too() {
    if common::in_subprocess("sizes::absurd_stacks_are_refused_to_the_first_thread_too") {
        assert!(Builder::new().stack_size(1 << 57).try_spawn(|| ()).is_err());
        assert!(Builder::new().guard_size(1 << 57).try_spawn(|| ()).is_err());
    }
}

/// Sizes that an address space may or may not hold: nothing but an answer is asked for.
#[test]
fn huge_sizes_get_an_answer_soon() {
    if !common::in_subprocess("sizes::huge_sizes_get_an_answer_soon") {
        return;
    }
    for shift in 33..48 {
        for builder in [
            Builder::new().stack_size(1 << shift),
            Builder::new().guard_size(1 << shift),
        ] {
            match builder.try_spawn(move || shift) {
                Ok(thread) => assert_eq!(thread.join().unwrap(), shift),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Limit, "{error}"),
            }
            // Looked at after each, before it can become a danger to the machine.
            assert!(resident() < 100 << 20, "{shift}: {} bytes", resident());
        }
    }
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |key: &str| -> usize {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse::<usize>().unwrap() * 1024
    };
    // Guards have no pages, but may have page tables.
    of("VmRSS:") + of("VmPTE:")
}

#[test]
fn tiny_sizes_become_usable_ones() {
    for size in [0, 1, 4095, 4096, 16 * 1024, 64 * 1024] {
        for guard in [0, 1, 4096, 12_288] {
            let builder = Builder::new().stack_size(size).guard_size(guard);
            let thread = builder.try_spawn(|| {
                let frame = std::hint::black_box([7u8; 2000]);
                frame.iter().map(|byte| u32::from(*byte)).sum::<u32>()
            });
            assert_eq!(thread.unwrap().join().unwrap(), 14_000);
        }
    }
}
