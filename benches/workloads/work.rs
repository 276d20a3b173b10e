//! What a work is, and the names of contenders that occur in several.

use crate::common::all;

/// Something that programs do, and the ways to do it.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    /// What a time is for.
    pub(crate) unit: &'static str,
    /// How many units one batch does.
    pub(crate) units: u32,
    /// Batches of one turn that are not measured.
    pub(crate) warm_up: u32,
    /// Measured batches of one turn.
    pub(crate) batches: u32,
    /// Processes of one turn: more than one where only the first batch of a process counts.
    pub(crate) processes: u32,
    pub(crate) contenders: Vec<(&'static str, Prepare)>,
}

/// Prepares what is not measured, and returns what runs one batch.
pub(crate) type Prepare = Box<dyn Fn() -> Batch>;
pub(crate) type Batch = Box<dyn FnMut()>;

pub(crate) const RAWTHREAD: &str = "rawthread";
pub(crate) const STD: &str = "std";
pub(crate) const PTHREAD: &str = "pthread";
pub(crate) const WARM: &str = "warm";
pub(crate) const BARE_CLONE: &str = "bare clone";
pub(crate) const CROSSBEAM: &str = "crossbeam scope";
pub(crate) const RAYON: &str = "rayon";
pub(crate) const THREADPOOL: &str = "threadpool";

/// A contender whose batches need no preparation.
pub(crate) fn plain(name: &'static str, batch: fn()) -> (&'static str, Prepare) {
    (name, Box::new(move || Box::new(batch)))
}

/// The contender of the benches' common list that has this name here.
pub(crate) fn common(name: &str) -> Box<dyn crate::common::contender::Contender> {
    let listed = match name {
        STD => "std::thread",
        name => name,
    };
    let mut all = all::all().into_iter();
    all.find(|contender| contender.name() == listed)
        .expect("a contender of that name")
}

/// A contender that spawns `count` threads which do nothing, and then joins them.
pub(crate) fn spawn_then_join(name: &'static str, count: usize) -> (&'static str, Prepare) {
    let prepare = move || -> Batch {
        let mut contender = common(name);
        Box::new(move || {
            for _ in 0..count {
                contender.spawn(|| ());
            }
            for _ in 0..count {
                contender.join();
            }
        })
    };
    (name, Box::new(prepare))
}
