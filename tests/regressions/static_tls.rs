//! Programs with much static TLS: libc takes it from the memory of each thread.

use std::process::Command;

use super::common::{self, Directory};

/// A library that is there from the start, so that its thread-locals are static.
const SOURCE: &str = r#"
__thread char big[SIZE] __attribute__((tls_model("initial-exec"))) = { 1 };
int touch_static_tls(void) {
    int fresh = 1;
    for (unsigned long i = 1; i < SIZE; i += 1024) {
        fresh &= big[i] == 0;
        big[i] = 7;
    }
    return fresh && big[0] == 1;
}
"#;

/// Uses `bytes` of stack.
fn use_stack(bytes: usize) -> usize {
    let frame = std::hint::black_box([1u8; 1024]);
    if bytes <= 2048 {
        return usize::from(frame[7]);
    }
    use_stack(bytes - 2048) + usize::from(frame[9])
}

/// What the child does: threads of all sizes, which use the stack they asked for and the static TLS.
fn threads_of_all_sizes() {
    let touch = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"touch_static_tls".as_ptr()) };
    assert!(!touch.is_null());
    let touch = unsafe { std::mem::transmute::<*mut libc::c_void, extern "C" fn() -> i32>(touch) };
    for round in 0..3 {
        for stack in [0, 16 << 10, 64 << 10, 256 << 10, 2 << 20] {
            let builder = rawthread::Builder::new().stack_size(stack);
            let thread = builder.spawn(move || {
                use_stack(stack.saturating_sub(12 << 10));
                touch()
            });
            let fresh = thread.unwrap_or_else(|error| panic!("stack of {stack}: {error}"));
            assert_eq!(fresh.join().unwrap(), 1, "stack of {stack}, round {round}");
        }
        assert_eq!(rawthread::warm::spawn(move || touch()).join().unwrap(), 1);
    }
    // SAFETY: the parent waits; the child has a TCB of its own.
    let child = unsafe {
        rawthread::process::Builder::new()
            .flags(rawthread::flags::CloneFlags::VM)
            .stack_size(16 << 10)
            .spawn(move || touch())
    };
    assert_eq!(child.unwrap().wait().unwrap().code(), Some(1));
    rawthread::trim();
    assert_eq!(rawthread::spawn(move || touch()).join().unwrap(), 1);
}

#[test]
fn threads_have_the_stack_they_ask_for_beside_much_static_tls() {
    const TEST: &str = "static_tls::threads_have_the_stack_they_ask_for_beside_much_static_tls";
    if common::is_child(TEST) {
        common::watchdog(60);
        return threads_of_all_sizes();
    }
    if cfg!(target_feature = "crt-static") {
        println!("SKIP: a static program loads no libraries");
        return;
    }
    let directory = Directory::new("static-tls");
    for size in [6 << 10, 64 << 10, 1 << 20, 3 << 20] {
        let source = directory.path().join(format!("big{size}.c"));
        let library = directory.path().join(format!("libbig{size}.so"));
        std::fs::write(&source, SOURCE).unwrap();
        let built = Command::new(common::CC)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg(format!("-DSIZE={size}"))
            .status();
        if !built.is_ok_and(|status| status.success()) {
            println!("SKIP: no C compiler");
            return;
        }
        // std's own threads, of which the harness makes one for the test, have static TLS in the
        // stack that they ask for.
        let output = common::rerun_self(TEST)
            .env("LD_PRELOAD", &library)
            .env("RUST_MIN_STACK", "16777216")
            .output();
        common::assert_output(&format!("{TEST}, {size} bytes"), &output.unwrap());
    }
}
