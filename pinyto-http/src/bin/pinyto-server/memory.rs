//! Memory that large requests have needed goes back to the system.

/// Tells the C library's allocator to. To be called before there are threads.
///
/// By itself it raises the size from which it asks the system for each block, up to 32 MiB, as
/// soon as such blocks are freed; from then on they come from heaps that hardly ever shrink, of
/// which there are eight for each processor.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "there is no safe interface to it")]
pub(crate) fn give_back_what_is_large() {
    /// In bytes.
    const FROM: libc::c_int = 256 * 1024;
    const HEAPS: libc::c_int = 4;
    // SAFETY: it sets two numbers of the allocator's, under its own lock. What it doesn't know it
    // leaves as it was.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, FROM);
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
    }
}

/// Other allocators do it anyway.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_what_is_large() {}
