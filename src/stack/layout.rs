//! Where the parts of a slot lie: arithmetic only.

/// The default stack size, in bytes: 2 MiB, as `std::thread`.
pub(crate) const DEFAULT_STACK: usize = 2 * 1024 * 1024;

/// No program on Linux has more bytes of address space unless it asks for it (arch/arm64: 48 bits;
/// arch/x86/include/asm/page_64_types.h: 47).
const ADDRESS_SPACE: usize = 1 << 48;

/// The parts of one slot, in bytes, from its lowest address up:
///
/// ```text
/// | lower guard | signal stack | guard | stack: grows down, libc's or our TCB at its top |
/// ```
///
/// The *lower guard* keeps a signal handler that overflows the alternate signal stack out of the slot
/// below; the *guard* stops the stack itself.
///
/// Invariants, for every value of this type:
/// * LAYOUT-1: Every field is a multiple of the page size it was made for.
/// * LAYOUT-2: `total()` does not overflow and is at most [`ADDRESS_SPACE`].
/// * LAYOUT-3: The guard is at least one page. Below it lies memory of others: the signal stack, or
///   the stack of another thread. Safe code that recurses must fault before it writes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    lower_guard: usize,
    signal_stack: usize,
    guard: usize,
    stack: usize,
}

impl Layout {
    /// The layout for at least `stack` bytes of stack above a guard of at least `guard` bytes (a
    /// page if that is less) and a signal stack of at least `signal_stack` bytes; `None` if no
    /// address space could hold it.
    pub(crate) fn new(
        stack: usize,
        guard: usize,
        signal_stack: usize,
        page: usize,
    ) -> Option<Self> {
        debug_assert!(page.is_power_of_two());
        let round = |bytes: usize| bytes.checked_next_multiple_of(page);
        let layout = Self {
            lower_guard: if signal_stack == 0 { 0 } else { page },
            signal_stack: round(signal_stack)?,
            guard: round(guard.max(page))?,
            stack: round(stack.max(page))?,
        };
        let total = layout
            .lower_guard
            .checked_add(layout.signal_stack)?
            .checked_add(layout.guard)?
            .checked_add(layout.stack)?;
        (total <= ADDRESS_SPACE).then_some(layout)
    }

    /// Bytes from the slot's lowest address to its end.
    pub(crate) const fn total(&self) -> usize {
        self.lower_guard + self.signal_stack + self.guard + self.stack
    }

    /// Offset and length of the lower guard; length 0 if there is none.
    pub(crate) const fn lower_guard(&self) -> (usize, usize) {
        (0, self.lower_guard)
    }

    /// Offset and length of the alternate signal stack.
    #[cfg(any(feature = "hosted", test))]
    pub(crate) const fn signal_stack(&self) -> (usize, usize) {
        (self.lower_guard, self.signal_stack)
    }

    /// Offset and length of the guard: never empty (LAYOUT-3).
    pub(crate) const fn guard(&self) -> (usize, usize) {
        (self.lower_guard + self.signal_stack, self.guard)
    }

    /// Offset and length of the stack with the TCB at its top.
    pub(crate) const fn stack(&self) -> (usize, usize) {
        (
            self.lower_guard + self.signal_stack + self.guard,
            self.stack,
        )
    }
}

/// Rounds a stack size up to its class, so that the cache serves near sizes alike: four classes
/// to each doubling, so at most a fifth of the address space is given away.
pub(crate) fn size_class(stack: usize) -> Option<usize> {
    const FLOOR: usize = 64 * 1024;
    if stack <= FLOOR {
        return Some(FLOOR);
    }
    // The step is a quarter of the power of two at or below `stack - 1`.
    let step = (1usize << (usize::BITS - 1 - (stack - 1).leading_zeros())) / 4;
    stack.checked_next_multiple_of(step)
}

/// How many of the class sizes there are below this one: 0 for the smallest.
pub(crate) fn class_index(class: usize) -> usize {
    const FLOOR_BITS: usize = 16;
    let top = (usize::BITS - 1 - class.leading_zeros()) as usize;
    let quarter = (class >> (top - 2)) & 3;
    (top - FLOOR_BITS) * 4 + quarter
}

/// More than the index of the largest class.
pub(crate) const SIZE_CLASSES: usize = (usize::BITS as usize - 16) * 4;

/// Rounds a guard size up to its class: a power of two of pages, at least one (LAYOUT-3). Few
/// sizes, so that idle slots find their next thread; guards take no memory.
pub(crate) fn guard_class(guard: usize, page: usize) -> Option<usize> {
    let pages = guard.div_ceil(page).max(1);
    pages.checked_next_power_of_two()?.checked_mul(page)
}

/// How many of the guard classes there are below the one of so many pages.
pub(crate) fn guard_index(pages: usize) -> usize {
    pages.ilog2() as usize
}

/// More than the index of the largest class of guards, with pages of 4 KiB or more.
pub(crate) const GUARD_CLASSES: usize = usize::BITS as usize - 12;

/// Where, from the top down, a value of this size and alignment begins below `top`; `None` if the
/// address space ends first.
pub(crate) fn align_below(top: usize, size: usize, align: usize) -> Option<usize> {
    debug_assert!(align.is_power_of_two());
    Some(top.checked_sub(size)? & !(align - 1))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::primitive::cases::Random;

    const PAGE: usize = 4096;

    /// A small generator, so that the properties are tried on the same inputs every time.
    fn numbers() -> impl Iterator<Item = usize> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        core::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Every order of magnitude as often as any other.
            (state >> 32 >> (state % 31)) as usize * 7 + (state % 3) as usize
        })
    }

    #[test]
    fn parts_are_whole_pages_in_order_without_gaps() {
        let mut inputs = numbers();
        for _ in 0..20_000 {
            let (stack, guard, signal) = (
                inputs.next().unwrap(),
                inputs.next().unwrap(),
                inputs.next().unwrap() % 100_000,
            );
            let Some(layout) = Layout::new(stack, guard, signal, PAGE) else {
                continue;
            };
            let mut end = 0;
            for (offset, len) in [
                layout.lower_guard(),
                layout.signal_stack(),
                layout.guard(),
                layout.stack(),
            ] {
                assert_eq!(offset, end);
                assert_eq!(len % PAGE, 0);
                end = offset + len;
            }
            assert_eq!(end, layout.total());
            assert!(layout.stack().1 >= stack.max(1));
            assert!(layout.guard().1 >= guard.max(PAGE) && layout.signal_stack().1 >= signal);
            assert_eq!(layout.lower_guard().1 == 0, signal == 0);
        }
    }

    /// A number near an edge: powers of two, the ends of both word types, the address space.
    fn edge(random: &mut Random) -> usize {
        let near = match random.below(4) {
            0 => usize::MAX,
            1 => isize::MAX as usize,
            2 => ADDRESS_SPACE,
            _ => 1 << random.below(usize::BITS as usize),
        };
        let bits = random.below(18);
        let off = random.below(1 << bits);
        match random.below(2) {
            0 => near.saturating_add(off),
            _ => near.saturating_sub(off),
        }
    }

    /// As the same in numbers that do not overflow, with each page size of the two architectures.
    #[test]
    fn sizes_near_the_edges_are_as_in_wide_numbers() {
        let round = |bytes: usize, to: usize| (bytes.max(1) as u128).next_multiple_of(to as u128);
        for seed in 0..100_000 {
            let mut random = Random(seed);
            let page = random.of(&[4096, 16 << 10, 64 << 10]);
            let (stack, guard) = (edge(&mut random), edge(&mut random));
            let signal = random.of(&[0, 1, page, 20_000, stack]);
            let guard = random.of(&[0, page, guard]);

            let below = if signal == 0 {
                0
            } else {
                page as u128 + round(signal, page)
            };
            let total = below + round(guard, page) + round(stack, page);
            let layout = Layout::new(stack, guard, signal, page);
            let expected = Some(total).filter(|total| *total <= ADDRESS_SPACE as u128);
            assert_eq!(
                layout.map(|layout| layout.total() as u128),
                expected,
                "seed {seed}"
            );

            // Four classes to each doubling, from 64 KiB on.
            let doubling = (stack as u128).clamp(1 << 16, u128::MAX).ilog2();
            let class = (4..=8)
                .map(|quarters| quarters * (1_u128 << doubling) / 4)
                .find(|class| *class >= stack as u128);
            let class = class.and_then(|class| usize::try_from(class).ok());
            assert_eq!(size_class(stack), class, "seed {seed}");
            if let Some(class) = class {
                assert!(class_index(class) < SIZE_CLASSES);
            }

            let pages = guard.div_ceil(page).max(1) as u128;
            let class = pages.next_power_of_two() * page as u128;
            let class = usize::try_from(class).ok();
            assert_eq!(guard_class(guard, page), class, "seed {seed}");
            if let Some(class) = class {
                assert!(guard_index(class / page) < GUARD_CLASSES);
            }

            let (top, align) = (edge(&mut random), 1 << random.below(usize::BITS as usize));
            let at = top.checked_sub(stack).map(|at| at / align * align);
            assert_eq!(align_below(top, stack, align), at, "seed {seed}");
        }
    }

    #[test]
    fn absurd_sizes_are_refused_not_wrapped() {
        for stack in [
            usize::MAX,
            usize::MAX - PAGE,
            isize::MAX as usize,
            ADDRESS_SPACE,
        ] {
            assert_eq!(Layout::new(stack, PAGE, PAGE, PAGE), None);
        }
        assert_eq!(Layout::new(PAGE, usize::MAX, 0, PAGE), None);
        assert_eq!(size_class(usize::MAX), None);
    }

    #[test]
    fn a_class_holds_its_sizes_and_little_more() {
        let mut last = (0, None);
        for size in numbers().take(20_000) {
            let class = size_class(size).unwrap();
            assert!(class >= size);
            assert!(
                size <= 64 * 1024 || class - size <= size / 4,
                "{size} -> {class}"
            );
            assert_eq!(size_class(class), Some(class), "a class is its own class");
            assert!(class_index(class) < SIZE_CLASSES);
        }
        let mut class = 64 * 1024;
        while let Some(next) = size_class(class + 1) {
            assert_eq!(class_index(next), class_index(class) + 1);
            last = (class, Some(next));
            class = next;
        }
        assert!(last.1.is_some());
    }

    #[test]
    fn a_guard_class_holds_its_sizes() {
        for guard in numbers()
            .take(20_000)
            .chain([0, 1, PAGE, isize::MAX as usize])
        {
            let class = guard_class(guard, PAGE).unwrap();
            assert!(class >= guard && class.is_multiple_of(PAGE));
            assert!(class == PAGE || class / 2 < guard.next_multiple_of(PAGE));
            assert_eq!(guard_class(class, PAGE), Some(class));
            assert!(guard_index(class / PAGE) < GUARD_CLASSES);
        }
        assert_eq!(guard_class(0, PAGE), Some(PAGE));
        assert_eq!(guard_class(PAGE, PAGE), Some(PAGE));
        assert_eq!(guard_class(usize::MAX, PAGE), None);
    }

    #[test]
    fn values_are_placed_aligned_and_inside() {
        for (index, size) in numbers().take(20_000).enumerate() {
            let align = 1 << (index % 13);
            let top = 0x7fff_0000_0000 + index * 16;
            let at = align_below(top, size, align).unwrap();
            assert!(at.is_multiple_of(align) && at + size <= top && top - at < size + align);
        }
        assert_eq!(align_below(100, 101, 8), None);
    }
}
