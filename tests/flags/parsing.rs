//! Flags as text.

use rawthread::flags::{CloneFlags, FlagInfo, KernelVersion, signal_name, signal_number};

#[test]
fn every_name_is_read_in_every_spelling() {
    for info in FlagInfo::ALL {
        let bare = info.name.strip_prefix("CLONE_").expect("a prefix");
        for spelling in [
            info.name,
            bare,
            &bare.to_lowercase(),
            &info.name.to_lowercase(),
        ] {
            assert_eq!(spelling.parse(), Ok(info.flag), "{spelling}");
            let (flags, signal) = CloneFlags::parse_legacy(spelling).expect("the same name");
            assert_eq!(flags.bits() | u64::from(signal), info.flag.bits());
        }
        assert_eq!(info.flag.to_string(), info.name);
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut bits = 1u64;
    for _ in 0..10_000 {
        bits = bits
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        for bits in [bits, bits >> 32, bits & bits >> 7] {
            let flags = CloneFlags::from_bits_retain(bits);
            assert_eq!(flags.to_string().parse(), Ok(flags));
            assert_eq!(format!("{bits:#x}").parse(), Ok(flags));
            assert_eq!(bits.to_string().parse(), Ok(flags));
        }
    }
}

#[test]
fn unnamed_bits_are_kept() {
    let flags: CloneFlags = "vm,0x8000000000000001"
        .parse()
        .expect("a name and a number");
    assert_eq!(flags.bits(), 0x8000_0000_0000_0101);
    assert_eq!(flags.unknown_bits(), 0x8000_0000_0000_0001);
    assert_eq!(flags.to_string(), "CLONE_VM|0x8000000000000001");
    assert!(CloneFlags::all().contains(flags), "all means all bits");
}

#[test]
fn a_bad_word_is_named() {
    for (text, word, hint) in [
        ("vm|fiels", "fiels", "no clone flag"),
        ("CLONE_", "CLONE_", "no clone flag"),
        ("vm fs", "vm fs", "joined by | or ,"),
        ("", "", "a flag is missing"),
        ("vm,,fs", "", "0 for none"),
        ("vm|", "", "a flag is missing"),
        ("0xzz", "0xzz", "not a number"),
        ("0x", "0x", "not a number"),
        ("0x+1", "0x+1", "not a number"),
        ("12monkeys", "12monkeys", "not a number"),
        ("0x10000000000000000", "0x10000000000000000", "64 bits"),
        ("18446744073709551616", "18446744073709551616", "64 bits"),
        ("-1", "-1", "no clone flag"),
        ("vm|SIGCHLD", "SIGCHLD", "exit signal"),
    ] {
        let error = text.parse::<CloneFlags>().expect_err(text);
        assert_eq!(error.word(), word, "{text:?}");
        assert!(error.to_string().contains(hint), "{text:?}: {error}");
        assert!(error.to_string().contains(word), "{text:?}: {error}");
    }
}

#[test]
fn a_very_long_word_is_cut_at_a_character() {
    let long = "ä".repeat(100);
    let error = format!("x{long}")
        .parse::<CloneFlags>()
        .expect_err("no such flag");
    assert_eq!(error.word(), format!("x{}", "ä".repeat(19)));
    assert!(format!("{error:?}").contains("xää"));
}

#[test]
fn what_strace_prints_of_clone_is_read() {
    let text = "CLONE_VM|CLONE_VFORK|SIGCHLD";
    let vfork = CloneFlags::VM | CloneFlags::VFORK;
    assert_eq!(CloneFlags::parse_legacy(text), Ok((vfork, 17)));
    assert_eq!(CloneFlags::parse_legacy("0x4111"), Ok((vfork, 17)));
    assert_eq!(
        CloneFlags::parse_legacy("0x3d0f00").map(|(_, signal)| signal),
        Ok(0)
    );
    assert_eq!(
        CloneFlags::parse_legacy("vm|sigbad")
            .expect_err("no such signal")
            .word(),
        "sigbad"
    );
    assert_eq!(
        CloneFlags::parse_legacy("é").expect_err("not ASCII").word(),
        "é"
    );
}

#[test]
fn signals_are_the_kernels() {
    for (name, number) in [
        ("SIGHUP", libc::SIGHUP),
        ("SIGKILL", libc::SIGKILL),
        ("SIGUSR1", libc::SIGUSR1),
        ("SIGUSR2", libc::SIGUSR2),
        ("SIGCHLD", libc::SIGCHLD),
        ("SIGSTOP", libc::SIGSTOP),
        ("SIGWINCH", libc::SIGWINCH),
        ("SIGSYS", libc::SIGSYS),
    ] {
        assert_eq!(signal_number(name), Some(number as u32));
        assert_eq!(signal_name(number as u32), Some(&name[3..]));
    }
    assert_eq!([signal_name(0), signal_name(32)], [None, None]);
    for (name, number) in [
        ("SIGRTMIN", 32),
        ("sigrt_1", 33),
        ("SIGRT_2", 34),
        ("SIGRT_32", 64),
        ("SIGRTMAX", 64),
    ] {
        assert_eq!(signal_number(name), Some(number), "{name}");
        let legacy = CloneFlags::parse_legacy(&format!("CLONE_VM|{name}"));
        assert_eq!(legacy, Ok((CloneFlags::VM, number)));
        let alone = name.parse::<CloneFlags>().expect_err(name);
        assert!(alone.to_string().contains("exit signal"), "{alone}");
    }
    for name in [
        "SIGRT_33",
        "SIGRT_",
        "SIGRT_+1",
        "SIGRT_-1",
        "SIGRT",
        "SIGRTMIN+1",
        "SIGRT_4294967295",
    ] {
        assert_eq!(signal_number(name), None, "{name}");
    }
    assert_eq!(
        [
            signal_number("SIG"),
            signal_number("S"),
            signal_number("séx")
        ],
        [None; 3]
    );
}

#[test]
fn releases_are_read() {
    let read = KernelVersion::parse;
    assert_eq!(read("6.18.44"), Some(KernelVersion::new(6, 18, 44)));
    assert_eq!(
        read("5.15.0-1051-azure"),
        Some(KernelVersion::new(5, 15, 0))
    );
    assert_eq!(read("4.4.0"), Some(KernelVersion::new(4, 4, 0)));
    assert_eq!(read("6.12-rc1+"), Some(KernelVersion::new(6, 12, 0)));
    assert_eq!(
        [read(""), read("6"), read("x.y.z"), read("99999.1.2")],
        [None; 4]
    );
}
