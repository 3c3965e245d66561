//! Memory that the allocator keeps, back to the kernel.

/// Gives free memory back to the kernel. glibc keeps what small blocks were freed between others,
/// so after a crowd of flows the process would stay as large as it was.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim touches free memory only, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
