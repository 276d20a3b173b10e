//! Threads that stay until they are released, and what each limit's error must say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rawthread::{Builder, Error, ErrorKind, JoinHandle, Limit};

use crate::common;
use crate::util::{self, Holdings};

/// What every thread and closure of a crowd holds a reference to.
#[derive(Default)]
struct Census {
    began: AtomicUsize,
}

/// Threads asleep until they are released.
pub(crate) struct Crowd {
    census: Arc<Census>,
    handles: Vec<JoinHandle<usize>>,
}

impl Crowd {
    pub(crate) fn new() -> Self {
        util::park_once();
        Self {
            census: Arc::default(),
            // Nothing is to be allocated at a limit on memory.
            handles: Vec::with_capacity(20_000),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.handles.len()
    }

    pub(crate) fn add(&mut self, builder: Builder) -> Result<(), Error> {
        let census = self.census.clone();
        let number = self.len();
        let handle = builder.try_spawn(move || {
            census.began.fetch_add(1, Ordering::Relaxed);
            rawthread::park();
            number
        })?;
        self.handles.push(handle);
        Ok(())
    }

    /// Adds threads until that fails, and tells how.
    pub(crate) fn fill(&mut self, most: usize, builder: impl Fn() -> Builder) -> Error {
        loop {
            assert!(self.len() < most, "{most} threads, and no limit was met");
            if let Err(error) = self.add(builder()) {
                return error;
            }
        }
    }

    /// Every thread that `spawn` returned must begin: it cannot fail any more.
    fn assert_all_began(&self) {
        common::poll_until("every thread begins", || {
            self.census.began.load(Ordering::Relaxed) == self.len()
        });
    }

    /// No closure of a failed spawn is left: each was dropped, with what it had captured.
    fn assert_no_closure_is_left(&self) {
        assert_eq!(Arc::strong_count(&self.census), self.len() + 1);
    }

    /// Ends the youngest threads until `left` remain, and waits until the kernel has none of them.
    pub(crate) fn shrink(&mut self, left: usize) {
        let before = util::tasks();
        let gone = self.handles.split_off(left);
        let count = gone.len();
        for (index, handle) in gone.into_iter().enumerate() {
            handle.thread().unpark();
            assert_eq!(handle.join().unwrap(), left + index);
        }
        self.census.began.fetch_sub(count, Ordering::Relaxed);
        common::poll_until("ended threads leave the kernel's list", || {
            util::tasks() + count <= before
        });
    }
}

/// What must be said of the limit.
pub(crate) struct Expected {
    pub(crate) limit: Limit,
    pub(crate) value: u64,
    pub(crate) errno: i32,
}

impl Expected {
    pub(crate) fn check(&self, error: Error) {
        let text = error.to_string();
        assert_eq!(error.limit(), Some(self.limit), "{text}");
        assert_eq!(error.kind(), ErrorKind::Limit, "{text}");
        let named = format!("{} ({})", self.limit.name(), self.value);
        assert!(text.contains(&named), "{named}: {text}");
        let io = std::io::Error::from(error);
        assert_eq!(io.to_string(), text);
        // As of std's threads, whose pthread_create(3) says EAGAIN for want of memory as well.
        assert_eq!(io.kind(), std::io::ErrorKind::WouldBlock, "{text}");
        assert_eq!(
            Error::from_io(&io).unwrap().raw_os_error(),
            Some(self.errno)
        );
    }
}

/// Fills a crowd up to a limit on tasks, and tells the whole story: the error, that it costs
/// nothing however often it comes, and that the end of some threads lifts it. Returns how many
/// threads there were in the end, when no libc thread was on its way out any more.
pub(crate) fn meet(expected: &Expected, builder: impl Fn() -> Builder) -> usize {
    let mut crowd = Crowd::new();
    let error = crowd.fill(20_000, &builder);
    expected.check(error);
    crowd.assert_all_began();
    crowd.assert_no_closure_is_left();
    assert!(crowd.len() >= 2, "too few threads to try anything");

    let before = Holdings::now();
    for _ in 0..50 {
        expected.check(crowd.add(builder()).unwrap_err());
    }
    assert_eq!(Holdings::now(), before, "failed spawns leave something");
    crowd.assert_no_closure_is_left();
    let most = crowd.len();

    crowd.shrink(most / 2);
    for _ in most / 2..most {
        crowd.add(builder()).expect("the limit is lifted");
    }
    expected.check(crowd.fill(20_000, &builder));
    crowd.assert_all_began();
    crowd.assert_no_closure_is_left();
    let most = crowd.len();
    crowd.shrink(0);
    most
}

/// Lets `count` threads live at once and end, so that as many spawns find everything ready.
pub(crate) fn warm_up(count: usize, builder: impl Fn() -> Builder) {
    let mut crowd = Crowd::new();
    for _ in 0..count {
        crowd.add(builder()).unwrap();
    }
    crowd.shrink(0);
}
