//! Images on this machine: a content store by digest, loading of archives, pulling from registries, overlay snapshots,
//! deterministic building, rebase.
//!
//! Everything here blocks; asynchronous callers use their runtime's thread pool for blocking work. Only `registry` talks to
//! a network; nothing here runs a program, or decides which image a workload should run.
//!
//! Invariants:
//! 1. A blob below `blobs/` has the digest it is named by; it is verified before it gets its name.
//! 2. A failed or killed operation leaves no image, no name and no file behind; leftovers of a kill go at the next open.
//! 3. No path from an archive reaches the file system of the host: archives are staged under numbers, layers are
//!    unpacked by calls that cannot leave their root.
//! 4. Every size, count and depth that input controls is bounded by [`limits`].
//! 5. The same inputs build the same image, byte for byte.
#![forbid(unsafe_code)]

mod build;
mod compress;
mod disk;
mod document;
mod error;
mod ids;
mod index;
mod layer;
pub mod limits;
mod load;
mod rebase;
mod record;
mod registry;
mod rootfs;
mod scan;
mod snapshot;
mod staging;
mod store;
mod tarball;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;

pub use build::{ImageBuilder, LayerBuilder, LayerCompression};
pub use error::{EntryFault, ImageError};
pub use ids::{ImageDigest, LayerDiffId, Reference};
pub use limits::Limits;
pub use load::{LoadProgress, ReadImage, read_images};
pub use rebase::{ConfigChange, REBASED_FROM, REBASED_NEW_BASE, REBASED_OLD_BASE, RebasePlan, RebaseRefusal};
pub use record::{ImageConfig, ImageRecord, LayerRef, Platform};
pub use registry::{
    Credential, Credentials, CredentialsError, PlainHttp, RegistryError, RegistryOptions, RemoteImage,
};
pub use rootfs::{MAX_ROOT_DEPTH, MAX_ROOT_ENTRIES, read_root};
pub use snapshot::Snapshot;
pub use store::{ContentStore, Force, ImageTarget, Inspection, Removed, StoreOptions, TrashedImage};
