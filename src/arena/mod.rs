//! Memory that is never freed, so that late readers are safe.
//!
//! A waker, the kernel clearing a tid word, or a list walker that lost a race may use an address
//! after its user is gone: it finds an entry there, possibly of another user. The exception is a
//! block too large for an entry, which has a mapping of its own.
//!
//! * [`arena`]: permanent entries of one type; [`free_list`]: lock-free lists of them.
//! * [`growth`] and [`treiber`]: the protocols of both, on words that can be loom's.
//! * [`block_alloc`]: memory for one value of any type, without an allocator.

#[expect(
    clippy::module_inception,
    reason = "the file is named for its type, as every other file of the layer"
)]
mod arena;
pub(crate) mod block_alloc;
mod free_list;
pub(crate) mod growth;
pub(crate) mod treiber;

pub(crate) use arena::{Arena, ArenaEntry, FIRST_CHUNK, Zeroable};
pub(crate) use free_list::FreeList;
