//! Bounds on what is read from an image, in one place. Image contents are hostile.

/// Longest single package database or os-release file.
pub const MAX_FILE_BYTES: usize = 64 << 20;
/// Most packages kept for one image.
pub const MAX_PACKAGES: usize = 200_000;
/// Longest name, version or architecture that is believed.
pub const MAX_FIELD_BYTES: usize = 1024;
/// Most warnings that one database adds; the last one says that there are more.
pub const MAX_WARNINGS: usize = 20;
