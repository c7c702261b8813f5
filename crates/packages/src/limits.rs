//! Bounds on what is read from an image, in one place. Image contents are hostile.

/// Longest text file: dpkg's status, apk's installed, metadata of languages, documents.
pub const MAX_FILE_BYTES: u64 = 64 << 20;
/// Longest binary package database.
pub const MAX_DATABASE_BYTES: u64 = 512 << 20;
/// Longest single record of a binary package database (rpm itself allows 256 MiB; real headers stay below 16 MiB).
pub const MAX_RECORD_BYTES: usize = 32 << 20;
/// Executables up to this size are held whole while they are looked at, one at a time.
pub const MAX_WHOLE_EXECUTABLE_BYTES: u64 = 32 << 20;
/// Of larger executables: bytes kept from the beginning.
pub const EXECUTABLE_HEAD_BYTES: usize = 1 << 20;
/// Longest build information of an executable, also after expansion.
pub const MAX_BUILD_INFO_BYTES: usize = 8 << 20;
/// Most sections and segments of an executable.
pub const MAX_ELF_TABLE: usize = 65_536;
/// Deepest archive inside an archive.
pub const MAX_ARCHIVE_DEPTH: usize = 5;
/// Most entries of an archive, those of archives inside it included.
pub const MAX_ARCHIVE_ENTRIES: u64 = 500_000;
/// Most bytes that an archive may expand to, those of archives inside it included.
pub const MAX_EXPANDED_BYTES: u64 = 2 << 30;
/// Largest ratio of expanded to read bytes of an archive, above [`RATIO_FLOOR_BYTES`].
pub const MAX_EXPANSION_RATIO: u64 = 100;
/// Expanded bytes below which the ratio does not count.
pub const RATIO_FLOOR_BYTES: u64 = 64 << 20;
/// Longest manifest or properties file in an archive.
pub const MAX_ARCHIVE_TEXT_BYTES: u64 = 1 << 20;
/// Most packages kept for one image, and for one layer.
pub const MAX_PACKAGES: usize = 200_000;
/// Most files with packages kept for one layer.
pub const MAX_FACT_FILES: usize = 200_000;
/// Most paths that the packages of one file may own.
pub const MAX_OWNED_PATHS: usize = 4_000_000;
/// Longest name, version or architecture that is believed.
pub const MAX_FIELD_BYTES: usize = 1024;
/// Most warnings that one file or layer adds; the last one says that there are more.
pub const MAX_WARNINGS: usize = 20;
/// Longest path kept.
pub const MAX_PATH_BYTES: usize = 4096;
