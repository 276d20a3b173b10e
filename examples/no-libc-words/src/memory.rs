//! The heap: a fixed piece of memory from the kernel, and an allocator crate behind a lock.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use linked_list_allocator::Heap;
use rawthread::sync::Mutex;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// Bytes that the heap may grow to. The kernel gives pages as they are touched.
const SIZE: usize = 256 << 20;

struct Allocator(Mutex<Heap>);

#[global_allocator]
static ALLOCATOR: Allocator = Allocator(Mutex::new(Heap::empty()));

impl Allocator {
    /// Runs `f` on the heap, which has its memory after the first call.
    fn with<T>(&self, f: impl FnOnce(&mut Heap) -> T) -> T {
        let mut heap = self.0.lock();
        if heap.size() == 0 {
            // SAFETY: the kernel chooses the place of a new mapping.
            let memory = unsafe {
                let access = ProtFlags::READ | ProtFlags::WRITE;
                mmap_anonymous(ptr::null_mut(), SIZE, access, MapFlags::PRIVATE)
            };
            if let Ok(memory) = memory {
                // SAFETY: the mapping is this heap's alone, and is never unmapped.
                unsafe { heap.init(memory.cast(), SIZE) };
            }
        }
        f(&mut heap)
    }
}

// SAFETY: the heap returns memory that fits the layout and is in use once; the lock lets one thread at
// a time use it.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let found = self.with(|heap| heap.allocate_first_fit(layout));
        found.map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if let Some(at) = NonNull::new(at) {
            // SAFETY: the caller has it from `alloc` with this layout.
            self.with(|heap| unsafe { heap.deallocate(at, layout) });
        }
    }
}
