//! Failures of the store, as values: what, which path, entry or digest, and what the user can do.
//!
//! `Display` says what happened and leaves the cause to `source()`; [`ImageError::hint`] says what to try.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::registry::RegistryError;

/// What went wrong with an image, an archive or a snapshot.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A file of the store or of the input could not be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `create`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Loading failed; the source says why.
    #[error("cannot load {}", archive.display())]
    Load {
        /// The archive or directory.
        archive: PathBuf,
        /// Why not.
        #[source]
        source: Box<ImageError>,
    },
    /// Pulling failed; the source says why.
    #[error("cannot pull {image}")]
    Pull {
        /// The reference.
        image: String,
        /// Why not.
        #[source]
        source: Box<ImageError>,
    },
    /// A registry did not give what was asked for.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// The input could not be read.
    #[error("cannot read {what}")]
    Read {
        /// The archive, layer or blob.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The input is neither an OCI layout nor a `docker save` archive.
    #[error("not an image archive: {reason}")]
    NotAnArchive {
        /// What is missing.
        reason: &'static str,
    },
    /// The input stops too early.
    #[error("{what} is cut off{}", entry.as_ref().map(|e| format!(" in entry \"{e}\"")).unwrap_or_default())]
    Truncated {
        /// The archive or layer.
        what: String,
        /// The entry in which it stops, when inside one.
        entry: Option<String>,
    },
    /// A tar header or a compressed stream is damaged.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// The archive or layer.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// An entry asks for something an image must not do.
    #[error("{what} has the entry \"{entry}\", which {fault}")]
    HostileEntry {
        /// The archive or layer.
        what: String,
        /// The path of the entry.
        entry: String,
        /// What is wrong with it.
        fault: EntryFault,
    },
    /// A bound of [`crate::limits`] is exceeded.
    #[error("{what} exceeds the limit of {limit} {unit}")]
    TooLarge {
        /// The archive, layer, entry or document.
        what: String,
        /// The bound.
        limit: u64,
        /// What is counted: `bytes`, `entries`, `layers`.
        unit: &'static str,
    },
    /// Compressed data that expands beyond reason.
    #[error("{what} expands more than {ratio}-fold: it looks like a decompression bomb")]
    Bomb {
        /// The archive or layer.
        what: String,
        /// The largest ratio allowed.
        ratio: u64,
    },
    /// Content does not have the digest it is named by.
    #[error("{what} has the digest {actual}, not {expected}")]
    DigestMismatch {
        /// The blob.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// A layer's uncompressed content does not have the `diff_id` the configuration claims.
    #[error("layer {layer} unpacks to {actual}, but the image says {expected}")]
    DiffIdMismatch {
        /// Digest of the blob.
        layer: String,
        /// What the configuration says.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// A blob has another size than its descriptor says.
    #[error("blob {digest} has {actual} bytes, its descriptor says {expected}")]
    SizeMismatch {
        /// Digest of the blob.
        digest: String,
        /// What the descriptor says.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// The image refers to content that is not there.
    #[error("{needed_by} needs {what}, which is missing")]
    Missing {
        /// The blob or file.
        what: String,
        /// What refers to it.
        needed_by: String,
    },
    /// A document is not the JSON it should be.
    #[error("{what} is malformed")]
    MalformedJson {
        /// The document.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A document is JSON but says something impossible.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// The document.
        what: String,
        /// Why.
        reason: String,
    },
    /// A media type that is not an image's.
    #[error("{what} has the unsupported media type \"{media_type}\"")]
    UnsupportedMediaType {
        /// The manifest or layer.
        what: String,
        /// The media type.
        media_type: String,
    },
    /// The image does not exist for this machine.
    #[error("no image for {wanted} in it; it has {}", available.join(", "))]
    PlatformMissing {
        /// The platform asked for.
        wanted: String,
        /// What there is.
        available: Vec<String>,
    },
    /// A name was given for an archive with several images.
    #[error("the archive has {count} images, one name cannot be given to all of them")]
    AmbiguousName {
        /// How many.
        count: usize,
    },
    /// A text is not an image reference.
    #[error("\"{text}\" is not an image reference: {reason}")]
    BadReference {
        /// The text.
        text: String,
        /// Why.
        reason: &'static str,
    },
    /// A text is not a platform.
    #[error("\"{text}\" is not a platform")]
    BadPlatform {
        /// The text.
        text: String,
    },
    /// A text is not a digest.
    #[error("\"{text}\" is not a digest")]
    BadDigest {
        /// The text.
        text: String,
    },
    /// A name was needed and a bare digest given.
    #[error("\"{reference}\" has no tag")]
    TagNeeded {
        /// The reference.
        reference: String,
    },
    /// No such image in the store.
    #[error("image {image} is not in the store")]
    NotFound {
        /// Name or digest.
        image: String,
    },
    /// No stored image has this layer.
    #[error("layer {diff_id} is not in the store")]
    LayerNotFound {
        /// The layer.
        diff_id: String,
    },
    /// The image is needed.
    #[error("image {image} is in use by {}", by.join(", "))]
    InUse {
        /// Name or digest.
        image: String,
        /// Snapshot keys and lease holders.
        by: Vec<String>,
    },
    /// A snapshot key has characters that a directory name here must not have.
    #[error("\"{key}\" is not a snapshot key")]
    BadKey {
        /// The key.
        key: String,
    },
    /// The key is taken by a snapshot of another image.
    #[error("snapshot {key} already holds image {holds}")]
    SnapshotTaken {
        /// The key.
        key: String,
        /// The image it holds.
        holds: String,
    },
    /// A root file system could not be mounted or unmounted.
    #[error("cannot {action} the root file system at {}", target.display())]
    Mount {
        /// `mount` or `unmount`.
        action: &'static str,
        /// The mount point.
        target: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A path given to the image builder is not usable.
    #[error("cannot put \"{path}\" into a layer: {reason}")]
    BadLayerPath {
        /// The path.
        path: String,
        /// Why.
        reason: &'static str,
    },
}

impl ImageError {
    /// What the user can do about it, one sentence, when there is something.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Load { source, .. } => return source.hint(),
            Self::Pull { source, .. } => match &**source {
                Self::Truncated { .. }
                | Self::Damaged { .. }
                | Self::DigestMismatch { .. }
                | Self::SizeMismatch { .. } => {
                    "the registry, or somebody on the way to it, sends something else than it promised; nothing was kept"
                }
                Self::PlatformMissing { .. } => "ask for another platform with --platform",
                other => return other.hint(),
            },
            Self::Registry(error) => return error.hint(),
            Self::NotAnArchive { .. } => {
                "give an OCI layout (directory or tar) or the output of `docker save`, plain, gzip or zstd"
            }
            Self::Truncated { .. }
            | Self::Damaged { .. }
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. } => "the file is incomplete or changed; export or copy it again",
            Self::DiffIdMismatch { .. } => {
                "the image's configuration does not belong to its layers; rebuild the image"
            }
            Self::HostileEntry { .. } => {
                "such an entry could write outside the image; do not use this archive unless you know who made it"
            }
            Self::Bomb { .. } | Self::TooLarge { .. } => {
                "do not use this archive unless you know who made it; rebuild the image smaller if it is yours"
            }
            Self::Missing { .. } => "the archive is not complete; export the image with all of its layers",
            Self::MalformedJson { .. } | Self::Malformed { .. } => "rebuild or export the image again",
            Self::UnsupportedMediaType { .. } => {
                "only container images with tar layers (plain, gzip or zstd) can be loaded"
            }
            Self::PlatformMissing { .. } => "export or build the image for this machine's platform",
            Self::AmbiguousName { .. } => "load it without a name; the names in the archive are used",
            Self::BadReference { .. } => "write name[:tag][@sha256:digest], for example web:1.2",
            Self::BadPlatform { .. } => {
                "write os/architecture or os/architecture/variant, for example linux/arm64"
            }
            Self::BadDigest { .. } => "a digest is sha256: followed by 64 lower-case hex digits",
            Self::TagNeeded { .. } => "give a name with a tag, for example web:1.2",
            Self::NotFound { .. } => {
                "`konzert image ls` shows what is there; `konzert image load` adds an image"
            }
            Self::InUse { .. } => "stop the containers that use it first, or force the removal",
            Self::Mount { .. } => "mounting an overlay needs root and a kernel with overlayfs",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => "check the path",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => "run it as root",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space on the disk of the data directory"
            }
            _ => return None,
        })
    }

    /// Whether this is about a registry that could not be reached, as opposed to one that said no.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Pull { source, .. } => source.is_unreachable(),
            Self::Registry(error) => error.is_unreachable(),
            _ => false,
        }
    }

    /// For `map_err` on file operations.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source: source.into() }
    }
}

/// What is wrong with an archive entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryFault {
    /// Starts with `/`.
    Absolute,
    /// Has a `..` component.
    ParentComponent,
    /// Is empty, or has a NUL byte.
    BadName,
    /// Is longer or deeper than allowed.
    TooLong,
    /// Lies below a symbolic link of the same layer that points out of the image.
    ThroughSymlink,
    /// Lies below something that is not a directory.
    BelowFile,
    /// Puts a file where the same layer has a directory.
    ReplacesDirectory,
    /// Is a hard link whose target is absolute or climbs out.
    LinkEscapes,
    /// Is a hard link whose target is not in the layer.
    LinkTargetMissing,
    /// Is a symbolic link without a usable target.
    BadLinkTarget,
    /// Has a type images do not have.
    UnsupportedType,
    /// Is a sparse file, which layers do not have.
    Sparse,
    /// Is a whiteout without a name to remove.
    BadWhiteout,
}

impl fmt::Display for EntryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absolute => "is an absolute path",
            Self::ParentComponent => "climbs out with \"..\"",
            Self::BadName => "is not a usable path",
            Self::TooLong => "is too long or nested too deeply",
            Self::ThroughSymlink => "lies behind a symbolic link that leaves the image",
            Self::BelowFile => "lies below something that is not a directory",
            Self::ReplacesDirectory => "replaces a directory of the same layer",
            Self::LinkEscapes => "is a hard link to something outside the image",
            Self::LinkTargetMissing => "is a hard link to something that is not in the layer",
            Self::BadLinkTarget => "is a link without a usable target",
            Self::UnsupportedType => "has a type that images do not have",
            Self::Sparse => "is a sparse file",
            Self::BadWhiteout => "is a whiteout that names nothing",
        })
    }
}
