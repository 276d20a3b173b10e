//! What a program asks of its loader and `start` does not do ends it, with the reason.

use super::{FIXED, PIE, directory, elf, program, run, text};

/// Kinds of `x86_64` and `aarch64`, whichever the programs are for.
fn kind(x86_64: u32, aarch64: u32) -> String {
    let kind = match super::triple().starts_with("aarch64") {
        false => x86_64,
        true => aarch64,
    };
    format!("relocation of kind {kind} ")
}

#[test]
fn what_is_not_understood_ends_with_a_message_and_127() {
    let cases = [
        ("copy", kind(5, 1024)),
        ("tls", kind(16, 1028)),
        ("symbol", kind(8, 1027)),
        ("ifunc", kind(37, 1032)),
        ("rel", "without addends".into()),
        ("library", "not a static program".into()),
        ("text", "in code".into()),
        ("text-flag", "in code".into()),
        ("no-headers", "no program headers".into()),
    ];
    for build in [FIXED, PIE] {
        for (case, said) in &cases {
            let output = program(build, "refused").arg(case).output().expect("runs");
            let (printed, errors) = text(&output);
            let ended = output.status;
            assert_eq!(ended.code(), Some(127), "{case}: {ended} {printed}{errors}");
            assert!(errors.starts_with("fatal: "), "{case}: {errors}");
            assert!(errors.contains(said), "{case}: {errors}");
            assert_eq!(printed, "", "{case}");
        }
    }
}

/// The other side: the same headers with what is understood.
#[test]
fn what_is_understood_starts() {
    for build in [FIXED, PIE] {
        for case in ["good", "good-plt"] {
            let printed = run(program(build, "refused").arg(case), 0);
            assert_eq!(printed, "again, 6\n", "{case}");
        }
        let printed = run(program(build, "refused").arg("empty"), 0);
        assert_eq!(printed, "again, 0\n");
    }
}

/// As the linker says it: with tables of its own at a fixed address, in the dynamic section of a
/// static PIE.
#[test]
fn an_ifunc_of_c_ends_with_a_message_and_127() {
    for build in [FIXED, PIE] {
        assert!(elf::has_ifunc(&directory(build).join("ifunc")));
        let output = program(build, "ifunc").output().expect("runs");
        let (printed, errors) = text(&output);
        let ended = output.status;
        assert_eq!(ended.code(), Some(127), "{ended} {printed}{errors}");
        assert!(errors.contains(&kind(37, 1032)), "{errors}");
    }
}
