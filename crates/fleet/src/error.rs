//! What can go wrong, with the thing it went wrong with, and what to do about it.

use std::io;
use std::path::PathBuf;

use konzert_advisories::{AdvisoryError, DatabaseError};
use konzert_images::{ImageDigest, ImageError};

use crate::download::DownloadError;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// An import met something that is no advisory; nothing was changed.
    #[error("{}: nothing was imported", path.display())]
    Import {
        /// What was given.
        path: PathBuf,
        /// The entry and what is wrong with it.
        #[source]
        source: Box<AdvisoryError>,
    },
    /// An address could not be fetched; nothing was changed.
    #[error("{address}: nothing was imported")]
    Download {
        /// What was asked for.
        address: String,
        /// Why there is no answer.
        #[source]
        source: Box<DownloadError>,
    },
    /// An import found no advisories at all.
    #[error("{}: no advisories in it", path.display())]
    NoAdvisories {
        /// What was given.
        path: PathBuf,
    },
    /// An archive that cannot be read, or is over a bound.
    #[error("{}: {problem}", path.display())]
    Archive {
        /// What was given.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The advisory database is not usable.
    #[error("advisory database {}", path.display())]
    Database {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: DatabaseError,
    },
    /// The API refused or did not answer.
    #[error("{action}")]
    Api {
        /// What was asked, with the object's name.
        action: String,
        /// The answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// An image could not be read, built or removed.
    #[error("{action}")]
    Image {
        /// What was tried, with the image.
        action: String,
        /// Why it failed.
        #[source]
        source: Box<ImageError>,
    },
    /// The scanner was made without a client.
    #[error("no cluster to look at")]
    NoClient,
    /// A wave size, a selector or another field of a request is wrong.
    #[error("{field}: {problem}")]
    Request {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A record, campaign or advisory that does not exist.
    #[error("{kind} {name:?} does not exist")]
    Unknown {
        /// Kind of the thing.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// An undo that cannot be done.
    #[error("cannot undo {record}: {problem}")]
    Undo {
        /// The record.
        record: String,
        /// Why not.
        problem: String,
    },
    /// The image store's digest is not one.
    #[error("image digest {digest:?}")]
    Digest {
        /// As found.
        digest: String,
        /// What is wrong with it.
        #[source]
        source: Box<ImageError>,
    },
    /// Work on the blocking pool did not end.
    #[error("background work was cancelled")]
    Cancelled,
}

impl FleetError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Import { .. } | Self::NoAdvisories { .. } => {
                "give OSV records (JSON, YAML, a directory, zip or tar of them), the Debian tracker's JSON, an Alpine secdb, \
                 KEV or EPSS"
                    .into()
            }
            Self::Archive { .. } => "give a zip or a tar of OSV records".into(),
            Self::Download { .. } => "fetch it elsewhere, carry it here and give the file".into(),
            Self::Database { source, .. } if source.is_old_format() => {
                "import the advisories again with `konzert db import`".into()
            }
            Self::Database { path, .. } => {
                format!("delete {} and import the advisories again", path.display())
            }
            Self::Image { source, .. } | Self::Digest { source, .. } => {
                return source.hint().map(str::to_owned);
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => "check the path".into(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run it as root".into()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space on the disk".into()
            }
            Self::Unknown { kind: "advisory", .. } => {
                "`konzert db status` shows what is known; import more with `konzert db import`".into()
            }
            Self::Unknown { kind: "reap record", .. } => "`konzert reap log` shows the records".into(),
            Self::Unknown { kind: "campaign", .. } => "`konzert patch status` shows the campaigns".into(),
            Self::NoClient | Self::Api { .. } => "is the cluster reachable? `konzert status`".into(),
            _ => return None,
        })
    }

    /// Whether what the user gave is at fault (exit code 2).
    pub fn is_user_error(&self) -> bool {
        match self {
            Self::Import { .. }
            | Self::NoAdvisories { .. }
            | Self::Archive { .. }
            | Self::Request { .. }
            | Self::Unknown { .. }
            | Self::Digest { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
            }
            _ => false,
        }
    }

    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source: Box::new(source) }
    }

    pub(crate) fn image(action: impl Into<String>) -> impl FnOnce(ImageError) -> Self {
        let action = action.into();
        move |source| Self::Image { action, source: Box::new(source) }
    }
}

/// A digest from an object's status or record.
pub(crate) fn parse_digest(text: &str) -> Result<ImageDigest, FleetError> {
    ImageDigest::parse(text)
        .map_err(|source| FleetError::Digest { digest: text.to_owned(), source: Box::new(source) })
}

/// The code of an API error, when it is one.
pub(crate) fn api_code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
