//! Every bound on what an archive or a layer may ask of this machine, in one place.
//!
//! Nothing is enforced here; the readers take these numbers. A bound that is exceeded is an error that names it.

/// Mebibyte and gibibyte in bytes.
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

/// Longest manifest, index or configuration document, in bytes.
pub const MAX_DOCUMENT_BYTES: u64 = 4 * MIB;
/// Most layers of one image: what overlayfs can stack (500 lower directories).
pub const MAX_LAYERS: usize = 500;
/// Most manifests and indexes that the index of one archive leads to.
pub const MAX_INDEX_MANIFESTS: usize = 512;
/// Deepest index inside an index.
pub const MAX_INDEX_DEPTH: usize = 4;
/// Most images in one archive.
pub const MAX_ARCHIVE_IMAGES: usize = 256;
/// Longest path of an entry, in bytes.
pub const MAX_PATH_BYTES: usize = 4096;
/// Longest component of a path, in bytes (`NAME_MAX`).
pub const MAX_COMPONENT_BYTES: usize = 255;
/// Deepest directory nesting of an entry.
pub const MAX_PATH_DEPTH: usize = 256;
/// Longest extension header (PAX records or GNU long name) of an entry, in bytes.
pub const MAX_EXTENSION_BYTES: u64 = MIB;
/// Longest value of an extended attribute, in bytes (`XATTR_SIZE_MAX`).
pub const MAX_XATTR_BYTES: usize = 64 << 10;
/// Most `SCHILY.xattr` records kept of one entry.
pub const MAX_XATTRS: usize = 64;
/// Longest snapshot key, in bytes.
pub const MAX_KEY_BYTES: usize = 128;
/// Bounds that an installation may want to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of one archive after its outer compression.
    pub archive_bytes: u64,
    /// Most entries of one archive.
    pub archive_entries: u64,
    /// Most bytes of one layer, uncompressed.
    pub layer_bytes: u64,
    /// Most entries of one layer.
    pub layer_entries: u64,
    /// Largest allowed ratio of uncompressed to compressed bytes, tested above `ratio_floor_bytes`.
    pub ratio: u64,
    /// Uncompressed bytes below which the ratio is not tested.
    pub ratio_floor_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive_bytes: 64 * GIB,
            archive_entries: 200_000,
            layer_bytes: 16 * GIB,
            layer_entries: 1_000_000,
            ratio: 50,
            ratio_floor_bytes: 64 * MIB,
        }
    }
}
