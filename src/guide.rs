//! The chapters of `docs/guide`, which documentation alone has.
//!
//! `rustdoc-links.txt` defines the chapters' links to each other for rustdoc. The files define them as
//! well, at their end, as names of files; the first definition counts.

#[doc = include_str!("../docs/guide/rustdoc-links.txt")]
#[doc = include_str!("../docs/guide/thread-or-process.md")]
pub mod c1_thread_or_process {}

#[doc = include_str!("../docs/guide/rustdoc-links.txt")]
#[doc = include_str!("../docs/guide/flags.md")]
pub mod c2_flags {}

#[doc = include_str!("../docs/guide/rustdoc-links.txt")]
#[doc = include_str!("../docs/guide/raw-clone.md")]
pub mod c3_raw_clone {}

#[doc = include_str!("../docs/guide/rustdoc-links.txt")]
#[doc = include_str!("../docs/guide/systems.md")]
pub mod c4_systems {}

#[doc = include_str!("../docs/guide/rustdoc-links.txt")]
#[doc = include_str!("../docs/guide/containers.md")]
pub mod c5_containers {}

#[doc = include_str!("../docs/guide/rustdoc-links.txt")]
#[doc = include_str!("../docs/guide/from-std.md")]
pub mod c6_from_std {}

#[doc = include_str!("../docs/guide/rustdoc-links.txt")]
#[doc = include_str!("../docs/guide/choosing.md")]
pub mod c7_choosing {}

#[doc = include_str!("../docs/guide/rustdoc-links.txt")]
#[doc = include_str!("../docs/guide/async.md")]
pub mod c8_async {}

#[doc = include_str!("../docs/guide/rustdoc-links.txt")]
#[doc = include_str!("../docs/guide/recipes.md")]
pub mod c9_recipes {}

#[doc = include_str!("../docs/guide/rustdoc-links.txt")]
#[doc = include_str!("../docs/process.md")]
pub mod c10_from_std_process {}
