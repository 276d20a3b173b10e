//! A step before the start that panics with a payload whose own drop panics.

use super::common::in_subprocess;

struct Twice;

impl Drop for Twice {
    fn drop(&mut self) {
        // A payload of no size: that of a panic in a drop is forgotten, and would be a leak.
        std::panic::panic_any(());
    }
}

/// The second panic left the thread by its first frame, which ends the process.
#[test]
fn a_panic_of_a_payload_is_the_error_of_the_spawn_as_the_first_one_is() {
    if !in_subprocess(
        "attack_before_start::a_panic_of_a_payload_is_the_error_of_the_spawn_as_the_first_one_is",
    ) {
        return;
    }
    std::panic::set_hook(Box::new(|_| ()));
    for _ in 0..3 {
        let refused = rawthread::Builder::new()
            .before_start(|| -> Result<(), rawthread::Error> { std::panic::panic_any(Twice) })
            .try_spawn(|| ());
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::ECANCELED));
        rawthread::spawn(|| ()).join().unwrap();
    }
}
