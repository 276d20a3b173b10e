//! Blocks in the static TLS area that the loader does not report.
//!
//! glibc keeps a reserve in every thread's static TLS area. A library that `dlopen` brings, and
//! that is built for the initial-exec model, gets its block there, in threads that have long been
//! running, too; so does one with TLS descriptors, AArch64's default, while there is space. Those
//! threads have no entry for it in their DTV, so `dl_iterate_phdr` gives them a null
//! address, as for a block that does not exist. The distance between thread pointer and block is
//! in the loader's description of the module, its link_map, behind the part that is public.
//!
//! Where it is there is found by looking: seven words in a row, of which six are known for a module
//! whose block is reported. Every later use compares five of them once more, and takes only a block
//! that lies where this thread's static TLS lies. Where nothing is found, these blocks are not
//! refreshed.
#![allow(unsafe_code, reason = "reads the loader's descriptions of modules")]

use core::ffi::{c_char, c_void};
use core::ops::{ControlFlow, Range};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::tcb::{INLINE_PACKET_MAX, Slot};
use super::{modules, symbols};
use crate::sys::arch;

/// The public part of a module's description (link.h). Read under the loader's lock, as
/// [`modules::for_each_module`]'s visitors are called: it guards the chain against coming and going.
#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const c_char,
    dynamic: *const c_void,
    next: *const LinkMap,
    previous: *const LinkMap,
}

/// What debuggers find the chain by, up to there (`struct r_debug` of link.h).
#[repr(C)]
struct RDebug {
    version: i32,
    head: *const LinkMap,
}

/// What the loader keeps of a module's thread-locals, in the order in which every glibc from 2.17
/// to 2.42 has it; of another order nothing is found.
struct LinkMapTls {
    image: usize,
    image_len: usize,
    block_len: usize,
    align: usize,
    /// Distance of the block from the thread pointer, which way round the architecture says; or
    /// 0, or a negative number: the block is not in the static area.
    offset: usize,
    module: usize,
}

impl LinkMapTls {
    const LEN: usize = 7 * size_of::<usize>();

    /// # Safety
    /// [`LEN`](Self::LEN) bytes at `address`, which is aligned for a word, are readable.
    unsafe fn read(address: usize) -> Self {
        // SAFETY: as the caller vouches. Atomic: the loader writes the offset without the lock.
        let word = |index: usize| unsafe {
            let word = ptr::with_exposed_provenance::<AtomicUsize>(address + index * 8);
            (*word).load(Ordering::Relaxed)
        };
        Self {
            image: word(0),
            image_len: word(1),
            block_len: word(2),
            align: word(3),
            // The fourth is not the same for modules of the start and for others.
            offset: word(5),
            module: word(6),
        }
    }

    /// Whether they are of this module.
    fn matches(&self, info: &libc::dl_phdr_info, tls: &libc::Elf64_Phdr) -> bool {
        self.image == modules::image(info, tls) as usize
            && self.image_len == tls.p_filesz as usize
            && self.block_len == tls.p_memsz as usize
            && self.align == tls.p_align as usize
            && self.module == info.dlpi_tls_modid
    }
}

/// Where static TLS of the calling thread, whose slot this is, may lie.
pub(super) fn own_static_tls_range(slot: Slot) -> Range<usize> {
    let (base, len) = slot.region().stack();
    arch::static_tls_range(base as usize..base as usize + len)
}

/// Finds the blocks of the calling thread that the loader does not report, module by module.
pub(super) struct UnreportedBlocks {
    /// Distance of [`LinkMapTls`] from the start of a link_map.
    fields_offset: usize,
    /// The rest of the chain, as the modules come in its order; null at its end, `None` until it is
    /// needed.
    rest: Option<*const LinkMap>,
    static_tls: Range<usize>,
}

impl UnreportedBlocks {
    /// For one walk over the modules, by the thread of this slot.
    pub(super) fn new(slot: Slot) -> Self {
        let (base, len) = slot.region().stack();
        // SAFETY: the slot is the calling thread's, which has a TCB.
        let frames = unsafe { (*slot.tcb()).stack_top };
        Self {
            fields_offset: fields_offset(),
            rest: None,
            static_tls: arch::static_tls_range(frames..base as usize + len - INLINE_PACKET_MAX),
        }
    }

    /// The calling thread's block of the module, whose segment is `tls`, if it is in the static
    /// TLS area.
    ///
    /// # Safety
    /// For visitors of one walk of [`modules::for_each_module`] only, which began after `self`.
    pub(super) unsafe fn find(
        &mut self,
        info: &libc::dl_phdr_info,
        tls: &libc::Elf64_Phdr,
    ) -> Option<*mut u8> {
        if self.fields_offset == NOT_FOUND {
            return None;
        }
        // SAFETY: of the chain: its first never goes, and others were found in this walk, under the
        // lock that keeps them.
        let map = unsafe { find_link_map(self.rest.unwrap_or_else(link_map_head), info) };
        self.rest = Some(map);
        if map.is_null() {
            return None;
        }
        // SAFETY: all link_maps are of one type, and in one of them the words were found at this
        // place; glibc's loader makes no others. They are words of the C type, so aligned.
        let words = unsafe { LinkMapTls::read(map as usize + self.fields_offset) };
        let block = arch::static_tls_block(words.offset);
        let fits =
            self.static_tls.contains(&block) && words.block_len <= self.static_tls.end - block;
        // The loader's marks for "no offset" (0, -1, -2) lie outside of the area.
        (fits && words.matches(info, tls)).then(|| ptr::with_exposed_provenance_mut(block))
    }
}

/// Distance of [`LinkMapTls`] from the start of a link_map.
///
/// | value | meaning |
/// |---|---|
/// | `UNKNOWN` | not looked for yet |
/// | `NOT_FOUND` | not found: another libc, a static program, or a glibc that has them elsewhere |
/// | else | the distance in bytes |
///
/// Relaxed: every thread finds the same.
static FIELDS_OFFSET: AtomicUsize = AtomicUsize::new(UNKNOWN);
const UNKNOWN: usize = usize::MAX;
const NOT_FOUND: usize = 0;

fn fields_offset() -> usize {
    match FIELDS_OFFSET.load(Ordering::Relaxed) {
        UNKNOWN => {
            let mut fields_offset = NOT_FOUND;
            if !link_map_head().is_null() {
                modules::for_each_module(|info| {
                    // SAFETY: a visitor is called under the lock.
                    match unsafe { locate_fields(info) } {
                        Some(found) => {
                            fields_offset = found;
                            ControlFlow::Break(())
                        }
                        None => ControlFlow::Continue(()),
                    }
                });
            }
            FIELDS_OFFSET.store(fields_offset, Ordering::Relaxed);
            fields_offset
        }
        fields_offset => fields_offset,
    }
}

/// The first of the chain, the program's own; null where there is no such chain.
fn link_map_head() -> *const LinkMap {
    let debug = symbols::get(c"_r_debug").cast::<RDebug>();
    // SAFETY: the loader's variable of this type; its first word pair never changes after the start.
    unsafe { debug.as_ref() }.map_or(ptr::null(), |debug| debug.head)
}

/// The module's link_map, from `map` on; null if there is none.
///
/// # Safety
/// `map` is of the chain or null, and the loader's lock is held.
unsafe fn find_link_map(mut map: *const LinkMap, info: &libc::dl_phdr_info) -> *const LinkMap {
    // SAFETY: the chain's pointers are valid under the lock.
    while let Some(this) = unsafe { map.as_ref() } {
        if this.base == info.dlpi_addr as usize && this.name == info.dlpi_name {
            break;
        }
        map = this.next;
    }
    map
}

/// Looks for the words in the link_map of a module whose block is reported.
///
/// From the front, and the first that fit end the search: where they are part of the link_map, no
/// byte behind it is read.
///
/// # Safety
/// The loader's lock is held.
unsafe fn locate_fields(info: &libc::dl_phdr_info) -> Option<usize> {
    let (tls, (block, _)) = (modules::tls_header(info)?, modules::block_of(info)?);
    // SAFETY: as the caller vouches.
    let map = unsafe { find_link_map(link_map_head(), info) };
    if map.is_null() {
        return None;
    }
    // SAFETY: as above.
    let readable = unsafe { readable_end(map) } - map as usize;
    let mut at = size_of::<LinkMap>();
    while at + LinkMapTls::LEN <= readable {
        // SAFETY: readable, by the line above; a link_map is aligned for pointers.
        let words = unsafe { LinkMapTls::read(map as usize + at) };
        if words.matches(info, tls) && arch::static_tls_block(words.offset) == block as usize {
            return Some(at);
        }
        at += size_of::<usize>();
    }
    None
}

/// An address up to which all bytes from `map` on are readable.
///
/// The smallest page has 4 KiB, so in each 4 KiB that hold one readable byte all are. That is so
/// where a link_map begins, and where a name begins; if one of the chain does in the 4 KiB after
/// these, they are readable, too. (A link_map of the start has about 1.2 KiB, its neighbours follow.)
///
/// # Safety
/// `map` is of the chain, and the loader's lock is held.
unsafe fn readable_end(map: *const LinkMap) -> usize {
    const SMALLEST_PAGE: usize = 4096;
    let end = (map as usize | (SMALLEST_PAGE - 1)) + 1;
    let following = end..end + SMALLEST_PAGE;
    let mut other = link_map_head();
    // SAFETY: the chain's pointers are valid under the lock.
    while let Some(this) = unsafe { other.as_ref() } {
        if following.contains(&(other as usize)) || following.contains(&(this.name as usize)) {
            return following.end;
        }
        other = this.next;
    }
    end
}
