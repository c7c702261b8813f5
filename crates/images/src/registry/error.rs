//! Why a registry did not give what was asked for.

use konzert_fetch::FetchError;

use crate::error::ImageError;

/// What a registry said instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is no answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It wants to know who asks, or knows and says no. Registries also say so of repositories that do not exist.
    #[error("{host} denies access to {repository}{said}")]
    Denied {
        /// Who.
        host: String,
        /// What was asked for.
        repository: String,
        /// `: ` and its own words, when there are any.
        said: String,
        /// Where credentials for it were looked for.
        known: Known,
    },
    /// It does not have it.
    #[error("{host} has no {what}{said}")]
    NotFound {
        /// Who.
        host: String,
        /// What was asked for.
        what: String,
        /// `: ` and its own words, when there are any.
        said: String,
    },
    /// An answer that is no content.
    #[error("{host} answers {status}{said}")]
    Status {
        /// Who.
        host: String,
        /// The code.
        status: http::StatusCode,
        /// `: ` and its own words, when there are any.
        said: String,
    },
    /// Authentication that leads nowhere.
    #[error("{host} asks for authentication: {problem}")]
    Authentication {
        /// Who.
        host: String,
        /// What is wrong with what it asks for or answers.
        problem: String,
    },
    /// An answer with another part of a blob than was asked for, or of another length.
    #[error("{host} sends something else than the {size} bytes of blob {digest}")]
    Length {
        /// Who.
        host: String,
        /// Which blob.
        digest: String,
        /// How much there is.
        size: u64,
    },
    /// A blob ends too early, again and again.
    #[error("{host} breaks off at byte {received} of {size} of blob {digest}")]
    Incomplete {
        /// Who.
        host: String,
        /// Which blob.
        digest: String,
        /// How much came.
        received: u64,
        /// How much there is.
        size: u64,
        /// What the last attempt met, unless it just ended.
        #[source]
        source: Option<Box<RegistryError>>,
    },
    /// Something that cannot be put into a request.
    #[error("{what} cannot be sent to {host}")]
    Request {
        /// Who.
        host: String,
        /// What.
        what: &'static str,
    },
    /// Connections cannot be made at all.
    #[error("cannot prepare connections")]
    Driver(#[source] std::io::Error),
}

/// What is known of credentials for a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// None.
    None,
    /// Some, and they did not help.
    Credentials,
    /// A helper program might have some; it was not run.
    Helper,
}

impl RegistryError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Fetch(FetchError::Handshake { .. } | FetchError::Tls { .. }) => {
                "if its certificate is your own, add the authority to this machine ($SSL_CERT_FILE); if it speaks plain HTTP, say --plain-http"
            }
            Self::Length { .. } | Self::Fetch(FetchError::Redirect { .. }) => "ask who runs the registry",
            Self::Fetch(_) | Self::Driver(_) | Self::Incomplete { .. } => {
                "check the name of the registry and the network, or carry the image here and `konzert image load` it"
            }
            Self::Denied { known: Known::None, .. } => {
                "check the name; if it is private, log in with a tool that writes `auths` into ~/.docker/config.json, or name such a file in \
                 $REGISTRY_AUTH_FILE"
            }
            Self::Denied { known: Known::Credentials, .. } => {
                "check the name, and that the credentials in ~/.docker/config.json or $REGISTRY_AUTH_FILE may read it"
            }
            Self::Denied { known: Known::Helper, .. } => {
                "its credentials are with a credential helper (`credHelpers`, `credsStore`), and helpers are not run: put them into `auths` of a file \
                 and name it in $REGISTRY_AUTH_FILE"
            }
            Self::NotFound { .. } => "check the repository and the tag or digest",
            Self::Status { status, .. } if *status == http::StatusCode::TOO_MANY_REQUESTS => {
                "wait, or log in: registries let strangers ask less often"
            }
            Self::Status { .. } | Self::Authentication { .. } => {
                "is this address a registry? ask who runs it"
            }
            Self::Request { .. } => "check the credentials for this registry",
        })
    }

    /// Whether the same request may have an answer a moment later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_transient(),
            Self::Status { status, .. } => {
                status.is_server_error() || *status == http::StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }

    /// Whether no server was reached that could have answered.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Fetch(error) if error.is_unreachable())
    }
}

impl From<RegistryError> for ImageError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}
