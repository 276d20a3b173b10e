//! Values aligned beyond a page.

use std::sync::atomic::{AtomicU32, Ordering};

#[repr(align(65536))]
struct Wide(u32);

static DROPPED: AtomicU32 = AtomicU32::new(0);

impl Drop for Wide {
    fn drop(&mut self) {
        assert_eq!(self.0, 7);
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

rawthread::local! {
    static WIDE: Wide = Wide(7);
}

#[test]
fn a_thread_local_may_be_aligned_beyond_a_page() {
    let look = || {
        WIDE.with(|wide| {
            assert!((&raw const *wide).addr().is_multiple_of(65536));
            assert_eq!(wide.0, 7);
        });
    };
    for round in 1..=20 {
        let thread = rawthread::spawn(look);
        thread.join().unwrap();
        assert_eq!(DROPPED.load(Ordering::Relaxed), round);
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(look);
        }
    });
}
